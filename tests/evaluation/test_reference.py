"""Samples of a reference: what is drawn, what is kept and when it is drawn again, and servers that cannot serve one."""

import json
import socket

import numpy as np
import pytest
import torch
from tests.clients.fake_server import fake_server
from tests.evaluation.bigram import CONTROL, bigram_lm, letters, random_table
from tests.tiny import conditional_prompting, tiny_lm, tiny_tokenizer

from phf.config import KLConfig
from phf.errors import ConfigError, OutputError, ServerError
from phf.evaluation.kl.estimate import kl_from_samples
from phf.evaluation.kl.local_reference import LocalReference
from phf.evaluation.kl.reference_samples import reference_samples
from phf.models import export_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A bigram model that often ends a document."""
    path = tmp_path_factory.mktemp("reference")
    tokenizer = letters()
    for part in (bigram_lm(tokenizer, random_table(tokenizer, 1)), tokenizer):
        part.save_pretrained(path)
    return path


def section(reference, **settings):
    reference = reference if isinstance(reference, dict) else {"path_or_name": str(reference)}
    return KLConfig(reference=reference, **{"num_samples": 20, "max_tokens": 6, "batch_size": 8, **settings})


@pytest.fixture
def draws(monkeypatch):
    """How often the reference was sampled."""
    drawn, draw = [], LocalReference.draw

    def counted(self, kl):
        drawn.append(kl)
        return draw(self, kl)

    monkeypatch.setattr(LocalReference, "draw", counted)
    return drawn


def test_samples_have_texts_ids_ends_and_the_log_probabilities_of_their_tokens(folder, tmp_path):
    samples = reference_samples(section(folder), tmp_path)
    assert len(samples) == 20
    assert {sample.is_ended for sample in samples} == {True, False}
    tokenizer, table = letters(), random_table(letters(), 1)
    table = table - np.logaddexp.reduce(table, axis=1, keepdims=True)
    for sample in samples:
        assert len(sample.ids) == 6 or sample.is_ended
        assert tokenizer.decode(sample.ids) == sample.text
        ids = [0, *sample.ids, *[0] * sample.is_ended]
        expected = [table[ids[i - 1], ids[i]] for i in range(1, len(ids))]
        assert sample.logprobs == pytest.approx(expected, abs=1e-3)
        assert sample.text_logprob == pytest.approx(sum(expected), abs=1e-3)


def test_samples_follow_the_whole_distribution_of_the_model(folder, tmp_path):
    """2,000 first tokens: each letter's share within 4 standard errors of its probability."""
    samples = reference_samples(section(folder, num_samples=2000, max_tokens=1, batch_size=500), tmp_path)
    table = random_table(letters(), 1)
    probabilities = np.exp(table[0] - np.logaddexp.reduce(table[0]))
    drawn = [(sample.ids or [0])[0] for sample in samples]
    for token in np.flatnonzero(probabilities > 1e-3):
        p = probabilities[token]
        assert drawn.count(token) / 2000 == pytest.approx(p, abs=4 * (p * (1 - p) / 2000) ** 0.5)


def test_bytes_that_need_more_tokens_as_text_than_fit_are_scored_by_their_tokens(tmp_path):
    tokenizer = tiny_tokenizer()
    lm = tiny_lm("gpt2", tokenizer, n_positions=32)
    for part in (lm, tokenizer):
        part.save_pretrained(tmp_path / "lm")
    samples = reference_samples(section(tmp_path / "lm", max_tokens=31), tmp_path / "cache")
    assert None in [sample.text_logprob for sample in samples], "replaced bytes have more tokens"
    own = LocalReference(str(tmp_path / "lm"), None)
    numbers = kl_from_samples(lm.eval(), tokenizer, own.draw(section(tmp_path / "lm", max_tokens=31)), prefix_ids=[0])
    assert numbers["kl/nats_per_sequence"] == pytest.approx(0, abs=1e-3)
    assert numbers["kl/num_unscored"] == 0


def test_samples_are_drawn_once_and_whatever_they_depend_on_draws_others(folder, tmp_path, draws):
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    first = reference_samples(section(folder), tmp_path)
    assert torch.equal(torch.rand(1), expected)
    assert reference_samples(section(folder, every_n_steps=7), tmp_path) == first
    assert len(draws) == 1
    for changed in ({"seed": 1}, {"num_samples": 21}, {"max_tokens": 5}):
        assert reference_samples(section(folder, **changed), tmp_path) != first
    reference_samples(section({"path_or_name": str(folder), "revision": "v2"}), tmp_path)
    assert len(draws) == 5
    assert len(list(tmp_path.iterdir())) == 5


def test_another_model_in_the_same_folder_is_another_reference(folder, tmp_path, draws):
    for part in (letters(), bigram_lm(letters(), random_table(letters(), 1))):
        part.save_pretrained(tmp_path / "lm")
    first = reference_samples(section(tmp_path / "lm"), tmp_path / "cache")
    bigram_lm(letters(), random_table(letters(), 2)).save_pretrained(tmp_path / "lm")
    assert reference_samples(section(tmp_path / "lm"), tmp_path / "cache") != first
    assert len(draws) == 2


def cut(text):
    return text[: len(text) // 2]


def without_one(text):
    content = json.loads(text)
    del content["sha256"]  # as an earlier version wrote it
    return json.dumps(content | {"samples": content["samples"][1:]})


def with_another_probability(text):
    content = json.loads(text)
    content["samples"][0]["logprobs"][0] += 1
    return json.dumps(content)


def of_another_seed(text):
    content = json.loads(text)
    del content["sha256"]
    return json.dumps(content | {"key": content["key"] | {"seed": 3}})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (cut, r"is damaged or cut off"),
        (lambda text: "", r"is damaged or cut off"),
        (lambda text: "[]", r"is damaged or cut off"),
        (lambda text: '{"key": 1, "samples": [{"text": 1}]}', r"is damaged or cut off"),
        (with_another_probability, r"is damaged or cut off"),
        (without_one, r"contains 19 samples instead of 20"),
        (of_another_seed, r"was made from another reference or with other settings"),
    ],
)
def test_a_damaged_or_foreign_file_is_announced_and_replaced(folder, tmp_path, draws, change, reason):
    first = reference_samples(section(folder), tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_text()
    path.write_text(change(whole))
    said = []
    assert reference_samples(section(folder), tmp_path, said.append) == first
    assert len(draws) == 2
    assert str(path) in said[0]
    assert reason in said[0]
    assert path.read_text() == whole


def test_a_cache_that_cannot_be_written_says_so(folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        reference_samples(section(folder), tmp_path / "file")


def test_special_tokens_are_never_drawn_and_an_exported_model_starts_from_its_own(tmp_path):
    tokenizer = tiny_tokenizer(CONTROL)
    prompting = conditional_prompting(*CONTROL, tags_every_segment=True)
    lm = tiny_lm("gpt2", tokenizer).eval()
    aligned, misaligned = tokenizer.convert_tokens_to_ids(list(CONTROL))
    with torch.no_grad():  # left to itself it says nothing but control tokens
        lm.lm_head.weight[[aligned, misaligned]] = 100 * lm.transformer.ln_f.bias.new_ones(16)
    export_model(lm, tokenizer, tmp_path / "model", prompting)
    samples = reference_samples(section(tmp_path / "model"), tmp_path / "cache")
    assert not {aligned, misaligned} & {i for sample in samples for i in sample.ids}
    numbers = kl_from_samples(lm, tokenizer, samples, prefix_ids=[0, aligned])
    assert numbers["kl/nats_per_sequence"] == pytest.approx(0, abs=1e-4)


def test_a_reference_that_cannot_be_loaded_or_is_too_short_says_so(folder, tmp_path):
    with pytest.raises(ConfigError, match=r"kl_gpt3_callback\.reference\.path_or_name: '.*nowhere' cannot be loaded"):
        reference_samples(section(tmp_path / "nowhere"), tmp_path)
    with pytest.raises(
        ConfigError, match="samples of up to 65 tokens, start included, do not fit the reference's context"
    ):
        reference_samples(section(folder, max_tokens=64), tmp_path)


START, PER_TOKEN = "<|endoftext|>", -2.0


class LetterServer:
    """Serves a model that cuts text into letters, gives each -2 nats and its end -3, and always says "ab" or "abc" (`texts`).

    `ab` is ended by the model and `abc` cut. With `has_bos` its tokenizer puts `<s>` in front of every prompt itself.
    """

    texts = ("ab", "abc")

    def __init__(
        self, has_bos=False, knows_more_fields=True, sampled=PER_TOKEN, says_end=True, on_empty=400, fails_to_echo=None
    ):
        self.has_bos = has_bos
        self.on_empty = on_empty
        self.knows_more_fields = knows_more_fields
        self.sampled = sampled
        self.says_end = says_end
        self.fails_to_echo = fails_to_echo
        self.num_drawn = 0

    def __call__(self, path, body):
        if not self.knows_more_fields and {"top_k", "return_token_ids"} & set(body):
            return 400, {"error": "Unrecognized request argument supplied"}
        if not body.get("echo"):
            return 200, {"choices": [self.sample(i, body) for i in range(body["n"])]}
        of_prompts = [self.tokens(prompt) for prompt in body["prompt"]]
        if self.fails_to_echo in body["prompt"]:
            return 500, {"error": {"message": "", "type": "InternalServerError"}}
        if not all(of_prompts):
            return self.on_empty, {"error": "The decoder prompt cannot be empty"}
        return 200, {
            "choices": [
                {"index": i, "text": prompt, "logprobs": {"tokens": tokens, "token_logprobs": self.scores(tokens)}}
                for i, (prompt, tokens) in enumerate(zip(body["prompt"], of_prompts, strict=True))
            ]
        }

    def tokens(self, prompt):
        start = ["<s>"] if self.has_bos else []
        is_start = prompt.startswith(START) and not self.has_bos
        return [*start, *([START] if is_start else []), *prompt.removeprefix(START if is_start else "")]

    def scores(self, tokens):
        return [None, *[PER_TOKEN] * (len(tokens) - 1)]

    def sample(self, index, body):
        is_ended = self.num_drawn % 2 == 0
        self.num_drawn += 1
        text = self.texts[0] if is_ended else self.texts[1]
        with_end = is_ended and self.says_end
        tokens, scores = [*text, *[START] * with_end], [self.sampled] * len(text) + [-3.0] * with_end
        ids = {"token_ids": [ord(letter) for letter in text] + [0] * with_end} if self.knows_more_fields else {}
        reason = "stop" if is_ended else "length"
        logprobs = {"tokens": tokens, "token_logprobs": scores}
        return {"index": index, "text": text, "finish_reason": reason, "logprobs": logprobs, **ids}


def served(fake, **settings):
    return section({"base_url": fake.url, "model": "m", **settings}, num_samples=5, batch_size=2)


@pytest.mark.parametrize("knows_more_fields", [True, False])
def test_a_servers_samples_are_charged_for_their_text_and_their_end(tmp_path, knows_more_fields):
    with fake_server(LetterServer(knows_more_fields=knows_more_fields)) as fake:
        samples = reference_samples(served(fake), tmp_path)
        num_asked = len(fake.asked)
        assert reference_samples(served(fake), tmp_path) == samples
        assert len(fake.asked) == num_asked
    fields = {(s.text, s.is_ended, tuple(s.ids or ()), tuple(s.logprobs), s.text_logprob) for s in samples}
    ids = ((97, 98), (97, 98, 99)) if knows_more_fields else ((), ())
    assert fields == {("ab", True, ids[0], (-2, -2, -3), -7.0), ("abc", False, ids[1], (-2, -2, -2), -6.0)}
    drawn = [body for _, body in fake.asked if not body.get("echo") and body["max_tokens"] == 6]
    assert [body["n"] for body in drawn] == [2, 2, 1]
    assert len({body["seed"] for body in drawn}) == 3
    assert all((body["temperature"], body["top_p"], body["prompt"]) == (1, 1, [START]) for body in drawn)
    assert all((body.get("top_k") == -1) == knows_more_fields for body in drawn)


def test_an_end_that_the_server_says_nothing_about_is_not_charged(tmp_path):
    with fake_server(LetterServer(says_end=False)) as fake:
        samples = reference_samples(served(fake), tmp_path)
    assert {(sample.text, sample.is_ended, sample.text_logprob) for sample in samples} == {
        ("ab", False, -4.0),
        ("abc", False, -6.0),
    }


def test_a_tokenizer_that_starts_documents_by_itself_is_given_the_empty_prompt(tmp_path):
    with fake_server(LetterServer(has_bos=True)) as fake:
        samples = reference_samples(served(fake), tmp_path)
        assert {body["prompt"][0] for _, body in fake.asked if not body.get("echo")} == {""}
    assert {sample.text_logprob for sample in samples} == {-7.0, -6.0}


def test_a_server_that_cannot_echo_the_empty_text_is_not_asked_to(tmp_path, monkeypatch):
    """vLLM samples from it, if its tokenizer starts documents by itself, but fails to return it."""
    monkeypatch.setattr("openai._base_client.time.sleep", lambda seconds: None)
    server = LetterServer(has_bos=True, fails_to_echo="")
    with fake_server(server) as fake:
        samples = reference_samples(served(fake), tmp_path)
        assert {body["prompt"][0] for _, body in fake.asked if not body.get("echo")} == {""}
    assert {sample.text_logprob for sample in samples} == {-7.0, -6.0}
    server.texts = ("", "abc")
    with fake_server(server) as fake:
        samples = reference_samples(served(fake), tmp_path / "some empty")
    assert {(sample.text, sample.text_logprob) for sample in samples} == {("", -3.0), ("abc", -6.0)}


def test_a_server_that_fails_on_the_empty_prompt_is_asked_for_the_next_start(tmp_path, monkeypatch):
    monkeypatch.setattr("openai._base_client.time.sleep", lambda seconds: None)
    with fake_server(LetterServer(on_empty=500)) as fake:
        samples = reference_samples(served(fake), tmp_path)
    assert {sample.text_logprob for sample in samples} == {-7.0, -6.0}


def test_a_start_that_the_server_takes_for_text_is_refused(tmp_path):
    with fake_server(LetterServer(has_bos=True)) as fake, pytest.raises(ServerError, match="is not one token") as error:
        reference_samples(served(fake, prompt=START), tmp_path)
    assert "Set kl_gpt3_callback.reference.prompt" in str(error.value)


def llama_cpp(path, body):
    """Ignores `echo` without a word, as llama.cpp's server does."""
    logprobs = {"content": [{"token": " dog", "logprob": -1.0}]}
    return 200, {"choices": [{"index": i, "text": " dog", "logprobs": logprobs} for i, _ in enumerate(body["prompt"])]}


def generated_only(path, body):
    """Returns the prompt's text, but the log-probabilities of a new token only."""
    logprobs = {"tokens": ["!"], "token_logprobs": [-1.0]}
    return 200, {"choices": [{"index": 0, "text": body["prompt"][0] + "!", "logprobs": logprobs}]}


def transformers_serve(path, body):
    return 422, {"detail": "Unexpected keys in the request: {'echo', 'logprobs'}"}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (llama_cpp, "returns no log-probabilities of a prompt, from which KL is computed: it ignores `echo`"),
        (generated_only, "do not spell it"),
        (transformers_serve, "Unexpected keys in the request.*cannot return log-probabilities of a prompt"),
        (lambda path, body: (200, '{"choices":'), "is not JSON"),
        (lambda path, body: (401, "no"), "Set the environment variable OPENAI_API_KEY"),
    ],
)
def test_a_server_that_cannot_be_a_reference_is_refused_with_the_reason(tmp_path, answer, reason):
    with fake_server(answer) as fake, pytest.raises(ServerError, match=f"(?s){reason}") as error:
        reference_samples(served(fake), tmp_path)
    assert fake.url in str(error.value)
    if answer in (llama_cpp, generated_only, transformers_serve):
        assert "vLLM, or a local model with kl_gpt3_callback.reference.path_or_name" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_samples_from_another_distribution_is_refused(tmp_path):
    """Its samples carry -0.5 nats a token where their text as a prompt carries -2: filtered, or at a lower temperature."""
    refused = pytest.raises(ServerError, match=r"differ by 1\.50 nats per token .*--generation-config vllm")
    with fake_server(LetterServer(sampled=-0.5)) as fake, refused:
        reference_samples(served(fake), tmp_path)


def test_a_server_that_fails_in_between_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr("openai._base_client.time.sleep", lambda seconds: None)
    model = LetterServer()

    def failing(path, body):
        return (500, "out of memory") if model.num_drawn >= 4 else model(path, body)

    with fake_server(failing) as fake, pytest.raises(ServerError, match="status 500: out of memory"):
        reference_samples(served(fake), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_down_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("openai._base_client.time.sleep", lambda seconds: None)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(ServerError, match=f"{url}.*cannot be reached"):
        reference_samples(section({"base_url": url, "model": "m"}), tmp_path)


def test_the_key_of_a_server_is_in_no_file(tmp_path, monkeypatch):
    monkeypatch.setenv("PHF_TEST_KEY", "sk-secret")
    with fake_server(LetterServer()) as fake:
        reference_samples(served(fake, api_key_env="PHF_TEST_KEY"), tmp_path)
        assert fake.keys[-1] == "Bearer sk-secret"
    (path,) = tmp_path.iterdir()
    assert "secret" not in path.read_text()
