"""What went wrong with a request, as an error that says what to do."""

from collections.abc import Callable
from typing import Any

from phf.errors import ServerError
from phf.text import counted, visible

UNREACHABLE = "cannot be reached"
"""`ServerError.reason` where no connection to the server was possible."""
BROKEN = frozenset(("RemoteProtocolError", "ReadError", "WriteError"))
"""Errors of the HTTP library where a server was reached, but broke off: that may be due to the one request."""
RETRY = "x-stainless-retry-count"
"""Header in which the client says which retry a request is."""
WAIT_CHARS = 40
"""Of what a server asks to wait, for a message."""
Shown = Callable[[str], str]
"""Makes text of a server fit for a message."""


def connection_error(where: str, error: BaseException, max_retries: int, shown: Shown) -> ServerError:
    """For a request without an answer. `error`: that of the HTTP library."""
    is_broken = any(base.__name__ in BROKEN for base in type(error).__mro__)
    what = "broke off the connection" if is_broken else UNREACHABLE
    advice = "Look at the server's own log" if is_broken else "Start the server, or correct base_url"
    return ServerError(
        f"{where}: {what} ({shown(str(error))}), after {counted(max_retries + 1, 'attempt')}. {advice}.",
        reason="the connection broke off" if is_broken else UNREACHABLE,
    )


def status_error(where: str, response: Any, api_key_env: str, max_retries: int, shown: Shown) -> ServerError:
    """For an answer that is an error. `response`: that of the HTTP library."""
    status: int = response.status_code
    if status in (401, 403):
        # the server's message is left out: it may quote part of the key
        return ServerError(
            f"{where}: refused the key (status {status}). Set the environment variable {api_key_env} to a key of "
            "that server, or choose another variable in api_key_env.",
            status,
        )
    if status == 404:
        advice = "Does base_url end as the server expects (often in /v1), and does it serve a model of that name?"
    elif status in (408, 409, 429) or status >= 500:
        retries = response.request.headers.get(RETRY, "")
        made = 1 + (int(retries) if retries.isdecimal() else max_retries)
        asked = response.headers.get("retry-after")
        wait = f" The server asks to wait (Retry-After: {visible(asked, WAIT_CHARS)})." if asked else ""
        times = "was 1 attempt" if made == 1 else f"were {made} attempts"
        advice = f"There {times}.{wait} Wait and try again, or look at the server's own log."
    else:
        advice = "The server does not support this request, or not with these values."
    return ServerError(f"{where}: answered with status {status}: {shown(response.text)}. {advice}", status)
