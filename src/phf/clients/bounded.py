"""An HTTP client whose answers end: the whole of one, headers included, in a given time, and at a given size, decompressed.

The timeouts of HTTP libraries are those of single reads, which a byte every few seconds evades, and a few kilobytes of gzip
expand to gigabytes.
"""

import time
import zlib
from collections.abc import Iterable, Iterator
from importlib import import_module
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

DEADLINE = "phf_deadline"
"""Key of a request's extensions: `time.monotonic()` when its answer must be complete."""
CHUNK_BYTES = 2**16
"""Decompressed at a time."""


def bounded_client(client_class: Any, seconds: float, max_bytes: int) -> Any:
    """An instance of `client_class`, a `Client` of httpx or of a library that is like it.

    `seconds`: after which an attempt raises the library's `ReadTimeout`. `max_bytes`: longer bodies are cut off after one
    byte more, by which the caller recognises them.
    """
    httpx = import_module(
        next(base for base in client_class.__mro__ if base.__name__ == "Client").__module__.split(".")[0]
    )

    class Bounded(httpx.SyncByteStream):  # type: ignore[misc, name-defined]
        """The body of a response, decompressed, up to the limits."""

        def __init__(self, response: Any) -> None:
            self._stream, self._deadline = response.stream, response.request.extensions[DEADLINE]
            # otherwise the library would decompress it, without a limit
            self._is_gzip = response.headers.pop("content-encoding", "").strip().lower() in ("gzip", "x-gzip")

        def __iter__(self) -> Iterator[bytes]:
            num_bytes = 0
            for chunk in _gunzipped(self._stream) if self._is_gzip else self._stream:
                if time.monotonic() > self._deadline:
                    raise httpx.ReadTimeout("the answer takes too long")
                yield chunk[: max_bytes + 1 - num_bytes]
                num_bytes += len(chunk)
                if num_bytes > max_bytes:
                    return

        def close(self) -> None:
            self._stream.close()

    def bound(response: Any) -> None:
        response.stream = Bounded(response)

    class BoundedClient(client_class):  # type: ignore[misc]
        """`send` in a thread that is not waited for any longer; its connection is closed at the next byte."""

        def send(self, request: Any, **settings: Any) -> Any:
            request.extensions[DEADLINE] = time.monotonic() + seconds
            done: SimpleQueue[Any] = SimpleQueue()

            def fetch() -> None:
                try:
                    done.put(super(BoundedClient, self).send(request, **settings))
                except (httpx.HTTPError, httpx.StreamError, OSError, ValueError, RuntimeError) as error:
                    done.put(error)

            Thread(target=fetch, daemon=True).start()
            try:
                outcome = done.get(timeout=seconds)
            except Empty:
                raise httpx.ReadTimeout("the answer takes too long", request=request) from None
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

    headers = {"Accept-Encoding": "gzip"}  # the one that is decompressed here
    return BoundedClient(timeout=seconds, headers=headers, event_hooks={"response": [bound]})


def _gunzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Decompressed chunks of at most `CHUNK_BYTES`; of damaged data what comes before the damage."""
    decompressor = zlib.decompressobj(zlib.MAX_WBITS | 16)
    for chunk in chunks:
        left = chunk
        while left and not decompressor.eof:
            try:
                content = decompressor.decompress(left, CHUNK_BYTES)
            except zlib.error:
                return
            if content:
                yield content
            left = decompressor.unconsumed_tail
