"""The client of OpenAI-compatible servers: what it asks, and every way in which a server can fail."""

import base64
import json
import logging
import socket
import sys
import traceback
from urllib.parse import quote

import pytest
from tests.clients.fake_server import fake_server, text_choices

from phf.clients.server import CompletionsServer
from phf.errors import ConfigError, MissingExtraError, ServerError

KEY = 'sk-very"secret\\key'


@pytest.fixture
def naps(monkeypatch):
    """Seconds the client waited between retries, which no test spends."""
    seconds: list[float] = []
    monkeypatch.setattr("openai._base_client.time.sleep", seconds.append)
    return seconds


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("PHF_TEST_KEY", KEY)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def client(fake, **settings):
    return CompletionsServer(fake.url, "m", **settings)


def complete(server, n=1, **settings):
    return server.complete("once", n=n, max_tokens=4, temperature=1, **settings)


def test_completions_are_requested_with_these_settings_and_returned_as_texts():
    with fake_server(lambda path, body: text_choices("a", "b")) as fake:
        texts = complete(client(fake), n=2, top_p=0.5, stop=["\n"], seed=3)
    assert texts == ["a", "b"]
    body = {"model": "m", "prompt": "once", "n": 2, "max_tokens": 4, "temperature": 1, "top_p": 0.5, "stop": ["\n"]}
    assert fake.asked == [("/v1/completions", {**body, "seed": 3})]
    assert fake.keys == ["Bearer none"]


def test_chat_replies_come_back_as_texts_and_silence_as_an_empty_one():
    choices = [{"message": {"role": "assistant", "content": text}} for text in ("hi", None)]
    with fake_server(lambda path, body: (200, {"choices": choices})) as fake:
        replies = client(fake).chat([{"role": "user", "content": "hello"}], n=2, max_tokens=4, temperature=0.5)
    assert replies == ["hi", ""]
    assert fake.asked[0][0] == "/v1/chat/completions"
    assert fake.asked[0][1]["messages"] == [{"role": "user", "content": "hello"}]
    assert "seed" not in fake.asked[0][1]


def test_a_server_that_knows_no_n_is_asked_again_with_another_seed():
    with fake_server(lambda path, body: text_choices(str(body["seed"]))) as fake:
        assert complete(client(fake), n=3, seed=7) == ["7", "8", "9"]
    assert [body["n"] for _, body in fake.asked] == [3, 2, 1]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_pass_is_asked_again_after_longer_and_longer_waits(status, naps):
    answers = iter([(status, {"error": "busy"})] * 3 + [text_choices("finally")])
    with fake_server(lambda path, body: next(answers)) as fake:
        assert complete(client(fake)) == ["finally"]
    assert len(fake.asked) == 4
    assert 0.3 < naps[0] < naps[1] < naps[2] < 2.1


@pytest.mark.parametrize("status", [429, 500])
def test_retries_are_bounded(status, naps):
    with fake_server(lambda path, body: (status, {"error": "still\x1b[31m busy"})) as fake:
        with pytest.raises(
            ServerError, match=rf"status {status}: .*busy.* There were 3 attempts. Wait and try again"
        ) as error:
            complete(client(fake, max_retries=2))
        assert len(fake.asked) == 3
    assert error.value.status == status
    assert fake.url in str(error.value)
    assert "\x1b" not in str(error.value)


def test_a_server_that_asks_to_wait_for_long_is_not_asked_again_and_says_so(naps):
    busy = (429, {"error": "busy"}, {"Retry-After": "3600"})
    with fake_server(lambda path, body: busy) as fake:
        with pytest.raises(ServerError, match=r"There was 1 attempt\. The server asks to wait \(Retry-After: 3600\)\."):
            complete(client(fake, max_retries=2))
        assert len(fake.asked) == 1


def test_a_slow_server_is_not_waited_for_longer_than_told(naps):
    def slow(path, body):
        fake.stopped.wait(5)
        return text_choices("too late")

    with fake_server(slow) as fake:
        with pytest.raises(ServerError, match=r"no answer within 0\.1 seconds, after 2 attempts"):
            complete(client(fake, timeout=0.1, max_retries=1))
        fake.stopped.set()


def test_a_server_that_is_down_says_where_it_was_looked_for(naps):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ServerError, match=rf"{url}/v1/completions, model 'm': cannot be reached .*Start the server"):
        complete(CompletionsServer(url, "m", max_retries=1))
    assert len(naps) == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ('{"choices": [', "it is not JSON"),
        ("<html>\x1b[2Jhello</html>", r"it is not JSON: <html>\\x1b\[2Jhello"),
        ("[" * 100_000, "it is not JSON"),
        ([1, 2], "it has no list of choices"),
        ({"choices": None}, "it has no list of choices"),
        ({"choices": ["a"]}, "it has no list of choices"),
        ({"choices": []}, "it has no choices"),
        ({"choices": [{"index": 0}]}, "a choice has no text"),
    ],
)
def test_answers_that_make_no_sense_are_errors(answer, reason):
    with fake_server(lambda path, body: (200, answer)) as fake, pytest.raises(ServerError, match=reason) as error:
        complete(client(fake))
    assert "\x1b" not in str(error.value)
    assert len(str(error.value)) < 1000


def test_a_chat_answer_without_a_message_is_an_error():
    with fake_server(lambda path, body: text_choices("a")) as fake, pytest.raises(ServerError, match="no message"):
        client(fake).chat([], n=1, max_tokens=4, temperature=1)


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_key_is_named_by_its_variable_and_never_shown(status, naps, caplog):
    caplog.set_level(logging.DEBUG)
    body = {"error": {"message": f"Incorrect API key provided: {KEY}, or {KEY[:8]}"}}
    with fake_server(lambda path, asked: (status, body)) as fake:
        with pytest.raises(ServerError, match="Set the environment variable PHF_TEST_KEY") as error:
            complete(client(fake, api_key_env="PHF_TEST_KEY"))
        assert len(fake.asked) == 1
    assert fake.keys == [f"Bearer {KEY}"]
    assert error.value.status == status
    shown = "".join(traceback.format_exception(error.value)) + caplog.text
    assert KEY not in shown
    assert KEY[:8] not in str(error.value)


@pytest.mark.parametrize("status", [200, 400, 500])
def test_the_key_is_masked_in_whatever_a_server_quotes(status):
    answer = (status, f"you sent {KEY} or {json.dumps(KEY)}")
    with fake_server(lambda *_: answer) as fake, pytest.raises(ServerError, match=r"you sent \*\*\*") as error:
        complete(client(fake, api_key_env="PHF_TEST_KEY", max_retries=0))
    assert "secret" not in "".join(traceback.format_exception(error.value))


def test_a_key_that_a_server_quotes_in_parts_is_masked_too():
    half = len(KEY) // 2
    encoded = base64.b64encode(KEY.encode()).decode()
    answer = (400, f"you sent {KEY[:half]}\n{KEY[half:]}, encoded {quote(KEY, safe='')} or {encoded}")
    with fake_server(lambda *_: answer) as fake, pytest.raises(ServerError) as error:
        complete(client(fake, api_key_env="PHF_TEST_KEY", max_retries=0))
    assert not any(form[i : i + 8] in str(error.value) for form in (KEY, encoded) for i in range(len(form) - 7))


def test_a_model_the_server_lacks_and_a_refused_request_are_not_asked_for_again():
    with fake_server(lambda path, body: (404, "no model m")) as fake:
        with pytest.raises(ServerError, match="often in /v1"):
            complete(client(fake))
        fake.answer = lambda path, body: (400, "n must be 1")
        with pytest.raises(ServerError, match=r"status 400: n must be 1\. The server does not support"):
            complete(client(fake))
        assert len(fake.asked) == 2


def test_log_probabilities_of_given_texts_come_back_in_their_order():
    logprobs = {"tokens": ["<s>", "a"], "token_logprobs": [None, -1], "text_offset": [0, 3]}
    choices = [{"index": 1, "text": "b", "logprobs": None}, {"index": 0, "text": "a", "logprobs": logprobs}]
    with fake_server(lambda path, body: (200, {"choices": choices})) as fake:
        first, second = client(fake).token_logprobs(["a", "b"])
        assert (first.tokens, first.logprobs, first.offsets) == (["<s>", "a"], [None, -1.0], [0, 3])
        assert second is None
        assert (
            fake.asked[0][1] | {"echo": True, "max_tokens": 0, "logprobs": 1, "prompt": ["a", "b"]} == fake.asked[0][1]
        )
        with pytest.raises(ServerError, match="2 choices for 1 prompt"):
            client(fake).token_logprobs([[1, 2]])


@pytest.mark.parametrize(
    "logprobs",
    [
        None,
        [],
        {"content": [{"token": "a", "logprob": -1}]},
        {"tokens": ["a"], "token_logprobs": []},
        {"tokens": ["a"], "token_logprobs": ["-1"]},
        {"tokens": ["a"], "token_logprobs": [float("nan")]},
        {"tokens": [1], "token_logprobs": [-1]},
    ],
)
def test_log_probabilities_in_no_known_form_count_as_none(logprobs):
    with fake_server(lambda path, body: text_choices("a", logprobs=logprobs)) as fake:
        assert client(fake).token_logprobs(["a"]) == [None]
        assert client(fake).sample("a", n=1, max_tokens=1, seed=0)[0].logprobs is None


def test_log_probabilities_of_another_text_than_the_one_given_count_as_none():
    logprobs = {"tokens": ["x"], "token_logprobs": [-2.5]}
    with fake_server(lambda path, body: text_choices("x", logprobs=logprobs)) as fake:
        assert client(fake).token_logprobs(["x"])[0].logprobs == [-2.5]
        assert client(fake).token_logprobs(["once x"]) == [None]


def test_samples_carry_log_probabilities_their_end_and_their_ids():
    logprobs = {"tokens": ["x"], "token_logprobs": [-2.5], "text_offset": [4]}
    answers = [text_choices("x", logprobs=logprobs, token_ids=[9]), text_choices("y", finish_reason="length")]
    with fake_server(lambda path, body: answers.pop(0)) as fake:
        x, y = client(fake).sample("s", n=2, max_tokens=1, seed=5, extra={"top_k": -1})
    assert (x.text, x.is_ended, x.token_ids, x.logprobs.logprobs) == ("x", True, [9], [-2.5])
    assert (y.text, y.is_ended, y.token_ids, y.logprobs) == ("y", False, None, None)
    wanted = {"temperature": 1, "top_p": 1, "logprobs": 1, "top_k": -1, "seed": 5, "n": 2, "max_tokens": 1}
    assert fake.asked[0][1] == {"model": "m", "prompt": ["s"], **wanted}


def test_a_server_elsewhere_needs_a_key_and_a_url_without_a_path_gets_one():
    with pytest.raises(ConfigError, match="environment variable OPENAI_API_KEY is not set"):
        CompletionsServer("https://example.org/v1", "m")
    assert CompletionsServer("http://localhost:8000/", "m").base_url == "http://localhost:8000/v1"
    assert CompletionsServer("https://example.org/api/", "m", "PHF_TEST_KEY").base_url == "https://example.org/api"


@pytest.mark.parametrize(
    ("url", "message"),
    [("localhost:8000", "must be like http"), ("http://me:hunter2@host/v1", "contains a user name or password")],
)
def test_a_base_url_that_is_none_says_so(url, message):
    with pytest.raises(ConfigError, match=message) as error:
        CompletionsServer(url, "m")
    assert "hunter2" not in str(error.value)


def test_a_missing_client_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingExtraError, match=r"needs openai\. Install it with: pip install 'phf\[openai\]'"):
        CompletionsServer("http://localhost:8000", "m")
