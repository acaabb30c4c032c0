"""The page served to the browsers of this machine, and to those who know its address. Nothing is sent anywhere else."""

import hmac
import os
import re
import secrets
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phf.errors import ConfigError, MissingExtraError
from phf.playground.page import Answering, build_page
from phf.playground.site import Site

HOST = "127.0.0.1"
MAX_BODY = 1 << 20
"""Bytes of a request's body; the longest prompt has a tenth of it."""
START_SECONDS = 60
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'self'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""The browser asks no other server for anything, whatever a page of Gradio contains."""
NEEDED = re.compile(
    r"(|config/?|theme\.css|(static|assets)/[\w./-]+"
    r"|gradio_api/(queue/(join|data)/?|cancel|reset/?|startup-events|info/?|heartbeat/\w+|theme\.css|app_id/?))"
)
"""Below its own address, the paths of Gradio that the page needs. Files, uploads and proxies are not among them."""

AT_THE_ROOT = {"/manifest.json": b"{}", "/favicon.ico": b""}
"""What a browser asks for without the address of the page: empty, since a refusal would be an error in its console."""

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Guard:
    """An ASGI application around Gradio's: own host name, random address, needed paths and small bodies only."""

    def __init__(self, app: Any, port: int, token: str) -> None:
        self.app, self.token = app, token
        self.hosts = {f"{HOST}:{port}", f"localhost:{port}"}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]} if scope["type"] == "http" else {}
        status, body = self._refusal(scope, headers), b""
        if scope["type"] == "http" and status == 404 and scope["path"] in AT_THE_ROOT:
            status, body = 200, AT_THE_ROOT[scope["path"]]
        if status is not None:
            if scope["type"] == "http":
                length = (b"content-length", str(len(body)).encode())
                await send({"type": "http.response.start", "status": status, "headers": [length]})
                await send({"type": "http.response.body", "body": body})
            return None
        return await self.app(scope, _limited(receive), _with_headers(send))

    def _refusal(self, scope: Message, headers: dict[bytes, str]) -> int | None:
        """The status of the refusal; None for a request that is passed on."""
        _, token, path = [*scope.get("path", "").split("/", 2), "", ""][:3]
        is_ours = hmac.compare_digest(token.encode("utf-8", "replace"), self.token.encode())
        if not is_ours or headers.get(b"host") not in self.hosts or not NEEDED.fullmatch(path) or ".." in path:
            return 404
        length = headers.get(b"content-length", "0")
        return 413 if not length.isdigit() or int(length[:12]) > MAX_BODY else None


def _limited(receive: Receive) -> Receive:
    seen = 0

    async def limited() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        return {"type": "http.disconnect"} if seen > MAX_BODY else message

    return limited


def _with_headers(send: Send) -> Send:
    added = {"content-security-policy": POLICY, "x-content-type-options": "nosniff", "referrer-policy": "same-origin"}

    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            more = [(name.encode(), value.encode()) for name, value in added.items()]
            message = {**message, "headers": [*message.get("headers", []), *more]}
        await send(message)

    return with_headers


@dataclass
class Playground:
    """A running server."""

    url: str
    answering: Answering
    thread: threading.Thread


@contextmanager
def serving(site: Site, port: int = 0, *, max_seconds: float) -> Iterator[Playground]:
    """A server that answers while the block runs.

    Raises `ConfigError` for a port that cannot be used, `MissingExtraError` without Gradio.
    """
    # Gradio reads these when it is imported: no telemetry, no look for newer versions
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_SHARE": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}
    with listening_on(port) as listening:
        port = listening.getsockname()[1]
        token = secrets.token_urlsafe(16)
        answering = Answering(site, max_seconds)
        page = build_page(site, answering)
        server = _server(page, port, token)
        # a socket of its own, which it closes, however long it takes to end
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening.dup()]}, daemon=True)
        thread.start()
        try:
            while not server.started and thread.is_alive():
                thread.join(0.05)
            yield Playground(f"http://{HOST}:{port}/{token}/", answering, thread)
        finally:
            server.should_exit = True
            thread.join(10)


def check_port(port: int) -> None:
    """Raises `ConfigError` for a port that cannot be used, before models are loaded."""
    with listening_on(port):
        pass


@contextmanager
def listening_on(port: int) -> Iterator[socket.socket]:
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, port))
            listening.listen()
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(f"--port {port}: {HOST}:{port} cannot be used: {reason}. Choose another port.") from error
        yield listening


def _server(page: Any, port: int, token: str) -> Any:
    try:
        import gradio as gr
        import uvicorn
        from fastapi import FastAPI
    except ImportError as error:
        raise MissingExtraError("phf playground", "gradio", "playground") from error
    app = gr.mount_gradio_app(
        FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        page,
        path=f"/{token}",
        server_name=HOST,
        server_port=port,
        footer_links=[],
        run_history=False,
        show_error=False,
        ssr_mode=False,
        mcp_server=False,
        enable_monitoring=False,
        theme=_theme(gr),
        css_paths=[Path(__file__).parent / "page.css"],
    )
    config = uvicorn.Config(
        Guard(app, port, token), log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=2
    )
    return uvicorn.Server(config)


def _theme(gr: Any) -> Any:
    """Fonts of the reader's system, and colours that are dark or light enough for everybody to read."""
    theme = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    return theme.set(
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
        button_primary_text_color="white",
    )
