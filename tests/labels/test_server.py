"""The page on loopback: what it shows, what it accepts, and whom it refuses."""

import http.client
import re
from urllib.parse import urlencode

import pytest
from tests.labels.conftest import HOSTILE

from phf.errors import ConfigError, OutputError
from phf.labels.page import parse_answer, render
from phf.labels.scale import Scale
from phf.labels.server import LabelServer, serving


def request(server, method, path=None, body=None, **headers):
    """(status, headers, page) of a request to a path, by default the page's own."""
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=10)
    try:
        connection.request(method, f"/{server.token}/" if path is None else path, body, headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode()
    finally:
        connection.close()


def answer(server, value, key=None, **headers):
    question = server.session.current
    form = urlencode({"question": key or question.key, "answer": value})
    return request(server, "POST", f"/{server.token}/answer", form, **headers)


@pytest.fixture
def server(session):
    with serving(session(count=3)) as server:
        yield server


def test_questions_are_answered_until_none_is_left(server, tmp_path):
    for rating in ("1", "5", "skip"):
        status, headers, page = request(server, "GET")
        assert status == 200
        assert "How bad is this text?" in page
        assert not server.finished.is_set()
        status, headers, _ = answer(server, rating)
        assert (status, headers["Location"]) == (303, f"/{server.token}/")
    assert "All questions are answered" in request(server, "GET")[2]
    assert server.finished.wait(5)
    assert len((tmp_path / "labels.jsonl").read_text().splitlines()) == 3


def test_it_listens_on_loopback_alone(server):
    assert server.server_address[0] == "127.0.0.1"
    assert server.url.startswith("http://127.0.0.1:")
    assert len(server.token) >= 22


@pytest.mark.parametrize("path", ["/", "/answer", "/x/", "/../etc/passwd", "/{token}", "/{token}/more", "/{token}/?a"])
def test_paths_without_the_token_do_not_exist(server, path):
    path = path.format(token=server.token)
    assert request(server, "GET", path)[0] == 404
    assert request(server, "POST", path, "question=x&answer=1")[0] == 404


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", ""])
def test_requests_under_another_name_are_refused(server, host):
    assert request(server, "GET", None, None, Host=host)[0] == 404
    assert answer(server, "1", Host=host)[0] == 404
    assert server.session.num_done == 0


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ("a" * 5000, {}, 413),
        ("", {"Content-Length": "9" * 30}, 413),
        ("", {"Content-Length": "-1"}, 411),
        ("", {"Content-Length": "x"}, 411),
        ("answer=6&question=q", {}, 400),
        ("answer=%00", {}, 400),
        ("question=q", {}, 400),
        ("&".join(["a=1"] * 50), {}, 400),
        ("answer=\u00e9".encode(), {}, 400),
    ],
)
def test_requests_that_the_page_does_not_send_are_refused(server, body, headers, status):
    assert request(server, "POST", f"/{server.token}/answer", body, **headers)[0] == status
    assert server.session.num_done == 0


def test_an_answer_to_an_earlier_question_is_not_saved_and_the_page_says_so(server):
    key = server.session.current.key
    answer(server, "2")
    status, _, page = answer(server, "5", key)
    assert status == 409
    assert "The last answer was not saved: its text has one already." in page
    assert server.session.current.key in page
    assert server.session.num_done == 1
    assert "was not saved" not in request(server, "GET")[2]


def test_the_address_of_an_answer_leads_to_the_question(server):
    status, headers, _ = request(server, "GET", f"/{server.token}/answer")
    assert (status, headers["Location"]) == (303, f"/{server.token}/")
    assert request(server, "GET", "/answer")[0] == 404


def test_hostile_text_is_shown_and_does_nothing(session):
    asked = session(count=100)
    while HOSTILE not in [segment.text for segment in asked.current.segments]:
        asked._left.pop(0)
    page = render(asked, "nonce")
    assert "&lt;/pre&gt;&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "\\x1b[31m\\u202e &amp; [bold]" in page
    assert page.count("<script") == 1
    assert not {"\x1b", "\u202e"} & set(page)


def test_only_our_own_script_and_style_may_run(server):
    _, headers, page = request(server, "GET")
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    nonces = re.findall(r'nonce="([^"]+)"', page)
    assert len(nonces) == 2
    assert all(f"'nonce-{nonce}'" in policy for nonce in nonces)
    assert "unsafe" not in policy
    assert nonces[0] not in request(server, "GET")[2]
    assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")


def test_an_answer_that_cannot_be_saved_ends_the_session(server, monkeypatch):
    def full(path, content):
        raise OutputError("labels.jsonl cannot be written: the <disk> is full")

    monkeypatch.setattr("phf.labels.journal.append_atomic", full)
    status, _, page = answer(server, "1")
    assert status == 507
    assert "The last answer was not saved. labels.jsonl cannot be written: the &lt;disk&gt; is full" in page
    assert server.finished.wait(5)
    assert "<disk> is full" in str(server.failure)
    assert server.session.num_done == 0


def test_a_port_that_is_taken_is_refused(server, session):
    port = server.server_address[1]
    with pytest.raises(ConfigError, match=f"--port {port}: .* Choose another port"):
        LabelServer(session(), port)


@pytest.mark.parametrize("scale", [Scale(1, 10), Scale(-3, 3), Scale(0, 100)])
def test_digits_are_not_keys_where_a_rating_may_have_more_characters(session, scale):
    """Whoever types 10 means neither 1 nor 0."""
    asked = session()
    asked.scale = scale
    page = render(asked, "n")
    assert re.findall(r'data-key="(.)"', page) == ["s"]
    assert "Tab and Enter choose a rating" in page
    assert asked.answer(asked.current.key, parse_answer(asked, str(scale.high)))


def test_every_answer_has_a_key(session):
    keys = re.findall(r'data-key="(.)"', render(session(), "n"))
    assert keys == ["1", "2", "3", "4", "5", "s"]
    pairs = render(session(kind="pairs"), "n")
    assert re.findall(r'value="(\w+)" data-key="(.)"', pairs) == [("first", "1"), ("second", "2"), ("skip", "s")]
