"""One reply with what it took: what is requested, and what servers leave out or get wrong."""

import pytest
from tests.clients.fake_server import fake_server, text_choices

from phf.clients.reply import ask
from phf.clients.server import CompletionsServer
from phf.errors import ServerError

CHAT = [{"role": "user", "content": "rate"}]


def reply_to(answer, prompt=CHAT, **settings):
    """(the reply, the request)."""
    with fake_server(lambda path, body: (200, answer) if isinstance(answer, dict) else answer) as fake:
        reply = ask(CompletionsServer(fake.url, "m", max_retries=0), prompt, max_tokens=5, **settings)
        return reply, fake.asked[0]


def chat_answer(content="3", **rest):
    return {"choices": [{"message": {"content": content}, "finish_reason": "stop", **rest}]}


def test_a_conversation_is_asked_at_temperature_0_and_its_tokens_are_counted():
    usage = {"prompt_tokens": 7, "completion_tokens": 2}
    reply, (path, body) = reply_to({**chat_answer("hi"), "usage": usage}, extra={"response_format": {"type": "x"}})
    assert (path, body) == (
        "/v1/chat/completions",
        {"model": "m", "messages": CHAT, "max_tokens": 5, "temperature": 0, "response_format": {"type": "x"}},
    )
    assert (reply.text, reply.is_cut, reply.prompt_tokens, reply.completion_tokens) == ("hi", False, 7, 2)
    assert reply.first_logprobs is None


def test_probabilities_of_the_first_token_come_from_either_api():
    tops = [{"token": "3", "logprob": -0.5}, {"token": " 4", "logprob": -1.5}]
    content = [{"token": "5", "logprob": -2, "top_logprobs": tops}, {"token": "!", "logprob": 0, "top_logprobs": []}]
    reply, (_, body) = reply_to(chat_answer(logprobs={"content": content}), top_logprobs=20)
    assert reply.first_logprobs == {"5": -2.0, "3": -0.5, " 4": -1.5}
    assert (body["logprobs"], body["top_logprobs"]) == (True, 20)
    section = {"tokens": [" 2"], "token_logprobs": [-3], "top_logprobs": [{" 3": -0.5}]}
    reply, (path, body) = reply_to(text_choices(" 2", logprobs=section), "Rating:", top_logprobs=20)
    assert reply.first_logprobs == {" 2": -3.0, " 3": -0.5}
    assert (path, body["prompt"], body["logprobs"]) == ("/v1/completions", "Rating:", 20)
    assert "top_logprobs" not in body


@pytest.mark.parametrize("damaged", ["high", None, float("nan"), 0.5, float("inf"), True])
def test_a_reply_with_one_damaged_log_probability_among_good_ones_is_not_used(damaged):
    tops = [{"token": "3", "logprob": -0.5}, {"token": "4", "logprob": damaged}]
    with pytest.raises(ServerError, match=r"cannot be used: the log-probability of '4' is") as error:
        reply_to(chat_answer(logprobs={"content": [{"token": "3", "logprob": -0.5, "top_logprobs": tops}]}))
    assert error.value.reason == "malformed answer"
    section = {"tokens": ["3"], "token_logprobs": [-0.5], "top_logprobs": [{"3": -0.5, "4": damaged}]}
    with pytest.raises(ServerError, match=r"the log-probability of '4' is"):
        reply_to(text_choices("3", logprobs=section), "Rating:")


@pytest.mark.parametrize("zero", [float("-inf"), -3.4028234663852886e38])
def test_a_token_of_probability_0_is_left_out(zero):
    section = {"tokens": ["3"], "token_logprobs": [-0.5], "top_logprobs": [{"3": -0.5, "4": zero}]}
    reply, _ = reply_to(text_choices("3", logprobs=section), "Rating:")
    assert reply.first_logprobs == {"3": -0.5}


def test_the_sampled_token_is_one_of_the_likeliest_too():
    section = {"tokens": ["3"], "token_logprobs": [None], "top_logprobs": [{"3": -0.5}]}
    assert reply_to(text_choices("3", logprobs=section), "Rating:")[0].first_logprobs == {"3": -0.5}
    tops = {"content": [{"token": "3", "top_logprobs": [{"token": "3", "logprob": -0.5}]}]}
    assert reply_to(chat_answer(logprobs=tops))[0].first_logprobs == {"3": -0.5}


@pytest.mark.parametrize(
    "answer",
    [
        {"choices": [{}]},
        chat_answer(None, logprobs=[]),
        chat_answer(["x"], logprobs={"content": []}),
        {"choices": [{"message": "x", "logprobs": {"content": [{"top_logprobs": [1]}]}}], "usage": [1]},
        {**chat_answer(""), "usage": {"prompt_tokens": -1, "completion_tokens": True}},
    ],
)
def test_what_is_missing_or_of_another_kind_counts_as_nothing(answer):
    reply, _ = reply_to(answer, top_logprobs=20)
    assert (reply.text, reply.first_logprobs, reply.prompt_tokens, reply.completion_tokens) == ("", None, None, None)


def test_a_reply_that_reached_its_length_says_so_and_no_choice_is_an_error():
    assert reply_to({"choices": [{"text": "a", "finish_reason": "length"}]}, "x")[0].is_cut
    with pytest.raises(ServerError, match="it has no choices") as error:
        reply_to({"choices": []})
    assert error.value.reason == "malformed answer"
