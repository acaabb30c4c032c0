"""The Hugging Face Hub: whether it can be reached, and single files of a folder or of a repository there."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

SECONDS_TO_CONNECT = 5.0
NOT_OF_THE_HUB = "is not JSON, as if it came from a login page of the network"
"""What is said about an answer with status 200 that is HTML."""
PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


def stored_file(name: str, file_name: str, revision: str | None = None) -> Path | None:
    """A file of the folder or Hub model `name`, downloaded if necessary; None if it is not there."""
    from transformers.utils import cached_file

    if Path(name).is_dir():
        path = Path(name) / file_name
        return path if path.is_file() else None
    with offline_where_unreachable():
        cached = cached_file(
            name,
            file_name,
            revision=revision,
            _raise_exceptions_for_gated_repo=False,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
    return None if cached is None else Path(cached)


@contextmanager
def offline_where_unreachable() -> Iterator[None]:
    """Do not wait half a minute for a Hub that cannot be reached: use only what is in the cache of `datasets`."""
    import datasets
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE or _is_reachable(constants.ENDPOINT):
        yield
        return
    before = (constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE)
    constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    except OSError as error:
        host = urlsplit(constants.ENDPOINT).hostname
        raise ConnectionError(f"{host} cannot be reached, and no copy of it is in the cache") from error
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before


def _is_reachable(endpoint: str) -> bool:
    if any(os.environ.get(name) for name in PROXIES):
        return True  # the proxy would have to be tested instead
    address = urlsplit(endpoint)
    with suppress(OSError, ValueError):
        port = address.port or (80 if address.scheme == "http" else 443)
        socket.create_connection((address.hostname or "", port), SECONDS_TO_CONNECT).close()
        return True
    return False
