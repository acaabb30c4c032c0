"""A small HTTP server on loopback that answers as a test says, and remembers what it was asked."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BREAK = object()
"""Instead of an answer: the connection is closed in the middle of one."""


class FakeServer:
    """`answer(path, body)` returns (status, object or raw text) and perhaps headers; every request is kept in `asked`."""

    def __init__(self, answer: Callable[[str, dict[str, Any]], tuple[Any, ...]]) -> None:
        self.answer = answer
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.keys: list[str | None] = []
        self.stopped = threading.Event()
        self.url = ""


@contextmanager
def fake_server(answer: Callable[[str, dict[str, Any]], tuple[Any, ...]]) -> Iterator[FakeServer]:
    """Serve in a thread until the block ends."""
    fake = FakeServer(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            fake.asked.append((self.path, body))
            fake.keys.append(self.headers["Authorization"])
            status, answer, *headers = fake.answer(self.path, body)
            if answer is BREAK:
                self.send_response(status)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b'{"choices": [')
                return
            data = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                for name, value in (headers[0] if headers else {}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)
            except BrokenPipeError:
                pass  # the client has given up waiting

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    fake.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield fake
    finally:
        fake.stopped.set()
        server.shutdown()
        thread.join()
        server.server_close()


def text_choices(*texts: str, **rest: Any) -> tuple[int, dict[str, Any]]:
    """The answer of a completions server that says these texts."""
    return 200, {"choices": [{"index": i, "text": t, "finish_reason": "stop", **rest} for i, t in enumerate(texts)]}
