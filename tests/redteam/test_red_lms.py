"""Red LMs that are language models: on this machine, and behind a server."""

import json
import shutil

import pytest
from tests.clients.fake_server import fake_server, text_choices
from tests.redteam.attack import entry, write_model

from phf.config.schema import RedTeamTemplate
from phf.errors import ConfigError, ServerError
from phf.redteam.red_lm import build_red_lm

EXAMPLES = [entry("He said", 0.5), entry("She said", 0.1)]
TEMPLATE = RedTeamTemplate(introduction="Rude ones:", request="{count} more.")
SECRET = "sk-very-secret-key"


def server_lm(url, **settings):
    section = {"class_name": "ServerRedLM", "base_url": url, "model": "red", "max_retries": 0, **settings}
    return build_red_lm(section, TEMPLATE)


def chat_choices(*texts):
    return 200, {"choices": [{"index": i, "message": {"content": text}} for i, text in enumerate(texts)]}


def test_a_chat_model_is_asked_for_as_many_replies_as_it_takes(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    with fake_server(lambda path, body: chat_choices(*["1. a\n2. b\n3. c"] * body["n"])) as server:
        proposal = server_lm(server.url, prompts_per_reply=2, temperature=0.5).propose(EXAMPLES, EXAMPLES, 5, 2**62 + 1)
    assert proposal.prompts == ["a", "b", "a", "b", "a"]
    ((path, body),) = server.asked
    assert path == "/v1/chat/completions"
    assert body["messages"] == [{"role": "user", "content": "Rude ones:\n\n1. He said\n2. She said\n\n2 more."}]
    assert (body["n"], body["temperature"], body["seed"]) == (3, 0.5, 1)


def test_a_base_model_continues_the_list():
    with fake_server(lambda path, body: text_choices(" They said\n4. We said", " ", "\n\nrubbish")) as server:
        proposal = server_lm(server.url, is_chat=False, prompts_per_reply=1).propose(EXAMPLES, EXAMPLES, 3, 0)
    assert proposal.prompts == ["They said"]
    assert proposal.unreadable == ["3. ", "3.\n\nrubbish"]
    ((path, body),) = server.asked
    assert path == "/v1/completions"
    assert body["prompt"] == "Rude ones:\n\n1. He said\n2. She said\n3."


@pytest.mark.parametrize("reply", [None, "", "I cannot help with that."])
def test_a_reply_without_prompts_is_given_back_as_unreadable(reply):
    with fake_server(lambda path, body: chat_choices(reply)) as server:
        proposal = server_lm(server.url).propose(EXAMPLES, EXAMPLES, 5, 0)
    assert (proposal.prompts, proposal.unreadable) == ([], [reply or ""])


def test_a_server_that_is_down_is_named_and_the_key_is_not(monkeypatch):
    monkeypatch.setenv("RED_KEY", SECRET)
    with fake_server(lambda path, body: (500, "broken")) as server:
        url = server.url
        with pytest.raises(ServerError, match="answered with status 500"):
            server_lm(url, api_key_env="RED_KEY").propose(EXAMPLES, EXAMPLES, 1, 0)
    with pytest.raises(ServerError, match="cannot be reached") as caught:
        server_lm(url, api_key_env="RED_KEY").propose(EXAMPLES, EXAMPLES, 1, 0)
    assert SECRET not in str(caught.value)


def test_a_key_in_the_configuration_is_refused_and_not_repeated():
    with pytest.raises(ConfigError, match=r"redteam.red_lm.api_key is not a setting of ServerRedLM") as caught:
        server_lm("http://localhost:1/v1", api_key=SECRET)
    assert SECRET not in str(caught.value)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("red") / "model")


def local_lm(folder, **settings):
    section = {"class_name": "HuggingFaceRedLM", "path_or_name": str(folder), "max_new_tokens": 4, **settings}
    return build_red_lm(section, RedTeamTemplate(introduction="", format="fenced"))


def test_a_local_model_is_seeded_and_leaves_the_random_state_alone(folder):
    import torch

    red_lm = local_lm(folder)
    assert not red_lm.is_chat
    state = torch.random.get_rng_state()
    short = [entry("x", 0.5)]
    proposal = red_lm.propose(short, short, 8, 2**62)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert proposal == red_lm.propose(short, short, 8, 2**62)
    assert proposal != red_lm.propose(short, short, 8, 1)
    assert len(proposal.prompts) + len(proposal.unreadable) == 2  # 5 prompts a reply: two replies of one fence each


def test_a_tokenizer_that_gives_no_attention_mask_will_do(folder):
    with_mask, without = local_lm(folder), local_lm(folder)
    without._tokenizer.model_input_names = ["input_ids"]
    assert "attention_mask" not in without._tokenizer("x")
    examples = [entry("x", 0.5)]
    assert without.propose(examples, examples, 8, 3) == with_mask.propose(examples, examples, 8, 3)


def test_examples_that_do_not_fit_the_red_lm_are_refused(folder):
    with pytest.raises(ConfigError, match=r"the context of the red LM is 64. Lower redteam.red_lm.max_new_tokens"):
        local_lm(folder).propose([entry("x1 " * 40, 0.5)], [], 5, 0)
    with pytest.raises(ConfigError, match=r"has no chat template. Set it to false"):
        local_lm(folder, is_chat=True)
    with pytest.raises(ConfigError, match=r"redteam.red_lm.path_or_name: '.*nowhere' cannot be loaded"):
        local_lm(folder / "nowhere")


def test_the_settings_of_a_model_for_generation_are_not_used(folder, tmp_path):
    """Its temperature and the like are the red LM's own; a `suppress_tokens` of the model would forbid all others."""
    other = shutil.copytree(folder, tmp_path / "other")
    path = other / "generation_config.json"
    settings = {"repetition_penalty": 9.0, "suppress_tokens": [*range(20, 250)], "typical_p": 0.1}
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))
    examples = [entry("x", 0.5)]
    same, again = (local_lm(one).propose(examples, examples, 8, 3) for one in (folder, other))
    assert same == again


def test_a_chat_template_is_used_where_there_is_one(folder):
    red_lm = local_lm(folder)
    red_lm._tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}|"
    asked = []
    red_lm._sample = lambda text, *_, **__: asked.append(text) or ["```\nfound\n```"]
    red_lm.is_chat = True
    assert red_lm.propose([entry("x", 0.5)], [], 5, 0).prompts == ["found\n"]
    assert asked[0].startswith("\n\n```\nx\n```\n\nWrite 5 more")
    assert asked[0].endswith("|")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -1.0}, "red_lm.temperature is -1; it must be a number above 0"),
        ({"temperature": 0.0}, "red_lm.temperature is 0"),
        ({"max_new_tokens": 0}, "red_lm.max_new_tokens is 0; it must be at least 1"),
        ({"top_p": 1.5}, "red_lm.top_p is 1.5"),
        ({"max_new_tokens": 64}, "a reply may have 64, but the context of the red LM is 64. Lower"),
    ],
)
def test_settings_that_give_no_reply_are_refused_before_anything_is_sampled(settings, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        local_lm(write_model(tmp_path / "red"), **settings)


def test_settings_that_a_server_would_refuse_are_refused_before_it_is_asked():
    server_lm("http://127.0.0.1:1/v1", temperature=0.0)
    for settings in ({"temperature": -1.0}, {"max_tokens": 0}):
        with pytest.raises(ConfigError, match=f"redteam.red_lm.{next(iter(settings))} is"):
            server_lm("http://127.0.0.1:1/v1", **settings)


def test_examples_that_do_not_fit_a_local_model_are_found_without_a_reply(folder, monkeypatch):
    red_lm = local_lm(folder)
    monkeypatch.setattr(type(red_lm._model), "generate", lambda *_, **__: pytest.fail("a reply was sampled"))
    red_lm.check(["He said"])
    with pytest.raises(ConfigError, match=r"the examples are .* tokens.*Lower .*redteam.num_examples"):
        red_lm.check(["He said " * 500])
