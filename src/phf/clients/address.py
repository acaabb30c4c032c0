"""Where a server is, and the key for it, which is in an environment variable: no address or configuration holds a secret."""

import os
from urllib.parse import SplitResult, urlsplit

from phf.errors import ConfigError
from phf.storage.secrets import is_name_of_variable, is_secret

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


def address(base_url: str) -> str:
    """`base_url` without a final slash; one without a path gets `/v1`. Raises `ConfigError` for one that is not the URL of a
    server, or that contains a secret, which is not shown."""
    parts = _parts(base_url)
    if "@" in base_url or parts.query or parts.fragment:
        what = "a user name or password" if "@" in base_url else "a query (after ? or #)"
        raise ConfigError(f"base_url contains {what}; remove it and set a key with api_key_env.")
    if is_secret(base_url):
        raise ConfigError("base_url contains what looks like a key; remove it and set a key with api_key_env.")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"base_url is {base_url!r}; it must be like http://localhost:8000/v1.")
    return base_url.rstrip("/") + ("" if parts.path.strip("/") else "/v1")


def key_of(base_url: str, variable: str) -> str | None:
    """The key in an environment variable; None if it is not set, for a server on this machine.

    Raises `ConfigError` for what is not the name of a variable, without showing it, since it may be the key itself; and for
    another machine without a key.
    """
    if not is_name_of_variable(variable):
        raise ConfigError(
            "api_key_env is not the name of an environment variable. If it is the key itself: put it into an environment "
            "variable, and set api_key_env to the name of that variable."
        )
    key = os.environ.get(variable)
    if not key and _parts(base_url).hostname not in LOCAL_HOSTS:
        raise ConfigError(
            f"The environment variable {variable} is not set, so there is no key for {base_url}. Set it, or "
            "choose another variable in api_key_env; a server that does not need a key accepts any text."
        )
    if key and not (key.isascii() and key.isprintable() and key == key.strip()):
        raise ConfigError(
            f"The environment variable {variable} holds a key with spaces around it, or characters that are not ASCII; it "
            "cannot be sent. Set it again."
        )
    return key


def _parts(base_url: str) -> SplitResult:
    try:
        parts = urlsplit(base_url)
        _ = parts.port
    except ValueError as error:
        raise ConfigError(
            f"base_url is not the URL of a server ({error}); it must be like http://localhost:8000/v1."
        ) from None
    return parts
