"""The page of `phf label` served to the browsers of this machine, and to those who know its address."""

import hmac
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any
from urllib.parse import parse_qs

from phf.errors import ConfigError, PhfError
from phf.labels.journal import Session
from phf.labels.page import NOT_SAVED, parse_answer, render
from phf.text import visible_text

HOST = "127.0.0.1"
MAX_BODY = 4096
"""Bytes of a request's body; an answer has fewer than a hundred."""
TIMEOUT = 30
"""Seconds that a connection may be silent."""


class LabelServer(ThreadingHTTPServer):
    """Serves one session on loopback; every path begins with a random token.

    `finished` is set when the page that says so was shown; `failure` holds an error that ends the session.
    """

    daemon_threads = True

    def __init__(self, session: Session, port: int = 0) -> None:
        self.session = session
        self.token = secrets.token_urlsafe(16)
        self.finished = Event()
        self.failure: PhfError | None = None
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(f"--port {port}: {HOST}:{port} cannot be used: {reason}. Choose another port.") from error

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server_address[1]}/{self.token}/"

    def fail(self, error: PhfError) -> None:
        """End the session because an answer cannot be saved."""
        self.failure = error
        self.finished.set()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that hangs up is not worth a traceback."""


@contextmanager
def serving(session: Session, port: int = 0) -> Iterator[LabelServer]:
    """A server that answers while the block runs."""
    with LabelServer(session, port) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: LabelServer
    timeout = TIMEOUT
    server_version, sys_version = "phf", ""

    def do_GET(self) -> None:
        match self._path():
            case "":
                self._show(HTTPStatus.OK)
            case "answer":  # somebody loads the address of an answer again
                self._redirect()

    def do_POST(self) -> None:
        path = self._path()
        if path is None:
            return None
        if path != "answer":
            return self._refuse(HTTPStatus.NOT_FOUND)
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            return self._refuse(HTTPStatus.LENGTH_REQUIRED)
        if len(length) > 9 or int(length) > MAX_BODY:
            return self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        try:
            form = parse_qs(self.rfile.read(int(length)).decode("ascii"), max_num_fields=4)
        except ValueError:
            return self._refuse(HTTPStatus.BAD_REQUEST)
        session = self.server.session
        answer = parse_answer(session, form.get("answer", [""])[0])
        if answer is None:
            return self._refuse(HTTPStatus.BAD_REQUEST)
        try:
            is_saved = session.answer(form.get("question", [""])[0], answer)
        except PhfError as error:
            self._refuse(HTTPStatus.INSUFFICIENT_STORAGE, f"The last answer was not saved. {error}")
            return self.server.fail(error)
        return self._redirect() if is_saved else self._show(HTTPStatus.CONFLICT, NOT_SAVED)

    def _show(self, status: HTTPStatus, notice: str = "") -> None:
        nonce = secrets.token_urlsafe(16)
        self._send(status, render(self.server.session, nonce, notice), nonce)
        if self.server.session.current is None:
            self.server.finished.set()

    def _redirect(self) -> None:
        self.send_response(HTTPStatus.SEE_OTHER)
        self.send_header("Location", f"/{self.server.token}/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _path(self) -> str | None:
        """What is requested below our address: "" or `answer`; None, once it is refused, for anything else, and for a request
        without the token or under another name: a page of another host has neither."""
        port = self.server.server_address[1]
        is_ours = self.headers.get("Host") in (f"{HOST}:{port}", f"localhost:{port}")
        for path in ("", "answer"):
            expected = f"/{self.server.token}/{path}"
            if is_ours and hmac.compare_digest(self.path.encode("utf-8", "replace"), expected.encode()):
                return path
        self._refuse(HTTPStatus.NOT_FOUND)
        return None

    def _refuse(self, status: HTTPStatus, reason: str | None = None) -> None:
        self.close_connection = True
        said = escape(visible_text(reason or status.phrase))
        self._send(status, f"<!doctype html><title>{status.phrase}</title><p>{said}")

    def _send(self, status: HTTPStatus, page: str, nonce: str | None = None) -> None:
        content = page.encode("utf-8", "replace")
        sources = f"style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; form-action 'self'; " if nonce else ""
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header(
            "Content-Security-Policy", f"default-src 'none'; {sources}base-uri 'none'; frame-ancestors 'none'"
        )
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "same-origin")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Requests are not logged."""
