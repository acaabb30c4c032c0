"""Servers that never finish, or never stop: an attempt ends in its time, an answer at its size, and a repeated key is gone."""

import gzip
import json
import resource
import socket
import threading
import time
from contextlib import contextmanager, suppress

import pytest
import zstandard
from tests.clients.fake_server import fake_server, text_choices

from phf.clients import server as server_module
from phf.clients.reply import ask
from phf.clients.server import CompletionsServer
from phf.errors import ServerError

KEY = "a-key-that-nobody-has-1234"
ANSWER = json.dumps({"choices": [{"index": 0, "text": "ok", "finish_reason": "stop"}]}).encode()


@contextmanager
def raw_server(answer):
    """Calls `answer(send, stopped)` for each request; yields the address."""
    stopped = threading.Event()

    def serve(connection):
        with connection:
            connection.recv(65536)
            with suppress(OSError):  # the client has given up
                answer(connection.sendall, stopped)

    def accept(listener):
        while not stopped.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            stopped.set()


def head(*lines):
    return "\r\n".join(["HTTP/1.1 200 OK", "Content-Type: application/json", *lines, "", ""]).encode()


def complete(url, **settings):
    server = CompletionsServer(url, "m", max_retries=0, **settings)
    return server.complete("once", n=1, max_tokens=4, temperature=1)


def drip_body(send, stopped):
    send(head("Content-Length: 1000"))
    while not stopped.wait(0.05):
        send(b" ")


def drip_header(send, stopped):
    send(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while not stopped.wait(0.05):
        send(b"a")


def silence(send, stopped):
    stopped.wait()


@pytest.mark.parametrize("answer", [drip_body, drip_header, silence])
def test_an_answer_that_is_not_complete_in_time_is_not_waited_for(answer):
    with raw_server(answer) as url:
        server = CompletionsServer(url, "m", max_retries=0, timeout=0.4)
        start = time.monotonic()
        with pytest.raises(ServerError, match=r"no answer within 0\.4 seconds"):
            server.complete("once", n=1, max_tokens=4, temperature=1)
    assert time.monotonic() - start < 5


def endless(send, stopped):
    send(head("Transfer-Encoding: chunked"))
    while not stopped.is_set():
        send(b"10000\r\n" + b" " * 0x10000 + b"\r\n")


def bomb(send, stopped):
    body = gzip.compress(b" " * 2**25, 1)  # 32 MiB of spaces
    send(head("Content-Encoding: gzip", f"Content-Length: {len(body)}") + body)


@pytest.mark.parametrize("answer", [endless, bomb])
def test_an_answer_ends_at_its_size_compressed_or_not(answer, monkeypatch):
    monkeypatch.setattr(server_module, "MAX_ANSWER_BYTES", 2**20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with raw_server(answer) as url, pytest.raises(ServerError, match=r"longer than 1,048,576 bytes.*less at a time"):
        complete(url, timeout=30)
    if answer is endless:
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


@pytest.mark.parametrize("encoding", ["gzip", "GZip", "x-gzip"])
def test_a_compressed_answer_is_read(encoding):
    body = gzip.compress(ANSWER)

    def answer(send, stopped):
        send(head(f"Content-Encoding: {encoding}", f"Content-Length: {len(body)}") + body)

    with raw_server(answer) as url:
        assert complete(url) == ["ok"]


@pytest.mark.parametrize(("encoding", "body"), [("gzip", ANSWER), ("zstd", zstandard.compress(ANSWER))])
def test_an_answer_that_is_not_compressed_as_requested_is_one_error(encoding, body):
    def answer(send, stopped):
        send(head(f"Content-Encoding: {encoding}", f"Content-Length: {len(body)}") + body)

    with raw_server(answer) as url, pytest.raises(ServerError, match="it is not JSON"):
        complete(url)


def test_a_redirection_has_the_same_limits(monkeypatch):
    monkeypatch.setattr(server_module, "MAX_ANSWER_BYTES", 2**20)

    def answer(send, stopped):
        send(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /v1/completions\r\nTransfer-Encoding: chunked\r\n\r\n")
        endless(send, stopped)

    with raw_server(answer) as url, pytest.raises(ServerError):
        complete(url, timeout=2)


def test_a_key_that_the_server_repeats_is_nowhere_in_its_answer(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with fake_server(lambda path, body: text_choices(f"the key is {KEY}!")) as fake:
        assert complete(fake.url) == ["the key is ***!"]
        assert ask(CompletionsServer(fake.url, "m"), "once", max_tokens=4).text == "the key is ***!"
    spelled = "".join(f"\\u{ord(character):04x}" for character in KEY)
    with fake_server(lambda path, body: (200, f'{{"choices": [{{"text": "{spelled}"}}]}}')) as fake:
        assert complete(fake.url) == ["***"]


def test_a_word_that_is_the_key_of_a_local_server_stays_in_texts(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "EMPTY")
    with fake_server(lambda path, body: text_choices("EMPTY handed")) as fake:
        assert complete(fake.url) == ["EMPTY handed"]
