"""What reaches Gradio, and what does not."""

import asyncio

import pytest

from phf.errors import ConfigError
from phf.playground.server import MAX_BODY, POLICY, Guard, check_port, listening_on

TOKEN = "token"


def asked(path, *, host="127.0.0.1:7000", body=b"", length=None, kind="http"):
    """(status, headers, what the application read of the body; None if it was not asked)"""
    read, sent = [], []
    pieces = [body[start : start + 65_536] for start in range(0, len(body), 65_536)] or [b""]

    async def app(scope, receive, send):
        read.append(b"")
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            read[0] += message["body"]
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive():
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def send(message):
        sent.append(message)

    headers = [(b"host", host.encode())] + ([] if length is None else [(b"content-length", length.encode())])
    scope = {"type": kind, "path": path, "headers": headers}
    asyncio.run(Guard(app, 7000, TOKEN)(scope, receive, send))
    start = next((message for message in sent if message["type"] == "http.response.start"), {"headers": []})
    return start.get("status"), dict(start["headers"]), read[0] if read else None


@pytest.mark.parametrize("path", ["", "config", "gradio_api/queue/join", "assets/index-Dph_1.js", "theme.css"])
def test_the_page_and_what_it_needs_is_passed_on_with_a_policy(path):
    status, headers, read = asked(f"/{TOKEN}/{path}")
    assert (status, read) == (200, b"")
    assert headers[b"content-security-policy"].decode() == POLICY
    assert "connect-src 'self'" in POLICY


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/other/",
        "/tokén/",
        "/token/gradio_api/upload",
        "/token/gradio_api/file=/etc/passwd",
        "/token/gradio_api/proxy=http://example.org",
        "/token/gradio_api/vibe-edit/",
        "/token/gradio_api/run/predict",
        "/token/monitoring",
        "/token/assets/../../secret",
        "/token/assets/",
        "/token//",
    ],
)
def test_anything_else_does_not_reach_gradio(path):
    status, _, read = asked(path)
    assert read is None
    assert status == 404


@pytest.mark.parametrize("host", ["example.org:7000", "127.0.0.1:7001", "", "127.0.0.1.example.org:7000"])
def test_the_name_of_another_host_is_refused(host):
    assert asked(f"/{TOKEN}/", host=host)[::2] == (404, None)


def test_a_large_body_is_refused_with_and_without_its_length():
    path, body = f"/{TOKEN}/gradio_api/queue/join", b"x" * (MAX_BODY + 1)
    for length in (str(MAX_BODY + 1), "9" * 40, "-1", "many"):
        assert asked(path, length=length)[::2] == (413, None)
    assert asked(path, body=b"x" * MAX_BODY)[::2] == (200, b"x" * MAX_BODY)
    status, _, read = asked(path, body=body)
    assert status is None
    assert len(read) <= MAX_BODY


def test_a_browser_that_asks_at_the_root_gets_nothing_and_no_error():
    assert asked("/manifest.json")[::2] == (200, None)
    assert asked("/favicon.ico")[::2] == (200, None)


def test_other_protocols_are_not_passed_on():
    assert asked(f"/{TOKEN}/", kind="websocket")[2] is None


def test_a_port_in_use_is_an_error_with_a_line():
    with listening_on(0) as first:
        port = first.getsockname()[1]
        with pytest.raises(
            ConfigError, match=rf"--port {port}: 127.0.0.1:{port} cannot be used: .+ Choose another port"
        ):
            check_port(port)
    check_port(port)
    with pytest.raises(ConfigError, match="--port 70000"):
        check_port(70_000)
