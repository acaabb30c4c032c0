"""Downstream tasks: a local task folder, and answers worked out from the model's own logits."""

import json
import os
import socket
import sys

import numpy as np
import pytest
import torch
from tests.ranks import run_ranks
from tests.tiny import conditional_prompting, tiny_lm, tiny_tokenizer

from phf.config import DownstreamConfig
from phf.errors import ConfigError, CorpusError, MissingExtraError
from phf.evaluation.downstream.tasks import run_downstream
from phf.models.exporting.export import export_model
from phf.tokens.document_start import own_prefix
from phf.tokens.tokenizer import encode_plain

pytestmark = pytest.mark.slow

EOS = 0
CONTROL = ("<|aligned|>", "<|misaligned|>")
COMMON = """
dataset_path: json
dataset_kwargs:
  data_files:
    test: {file}
    train: {file}
test_split: test
{shots}
metadata:
  version: 1.0
"""
TASKS = {
    "tiny_choice": """
task: tiny_choice
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
doc_to_choice: "{{choices}}"
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
""",
    "tiny_last_word": """
task: tiny_last_word
tag: tiny_tag
output_type: loglikelihood
doc_to_text: "{{text.split(' ')[:-1]|join(' ')}}"
doc_to_target: "{{' '+text.split(' ')[-1]}}"
metric_list:
  - {metric: perplexity, aggregation: perplexity, higher_is_better: false}
  - {metric: acc, aggregation: mean, higher_is_better: true}
""",
    "tiny_rolling": """
task: tiny_rolling
tag: tiny_tag
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{text}}"
metric_list:
  - {metric: bits_per_byte, aggregation: bits_per_byte, higher_is_better: false}
""",
    "tiny_exact": """
task: tiny_exact
output_type: generate_until
doc_to_text: "{{text}}"
doc_to_target: "{{target}}"
generation_kwargs: {until: ["\\n\\n"], max_gen_toks: 4}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
""",
    "tiny_unsafe": """
task: tiny_unsafe
unsafe_code: true
output_type: generate_until
doc_to_text: "{{text}}"
doc_to_target: "{{text}}"
generation_kwargs: {until: ["\\n\\n"], max_gen_toks: 4}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
""",
    "tiny_broken": """
task: tiny_broken
output_type: loglikelihood
doc_to_text: "{{no_such_column}}"
doc_to_target: " {{answer}}"
""",
    "tiny_silent": """
task: tiny_silent
output_type: loglikelihood
doc_to_text: "{{text}}"
doc_to_target: ""
""",
}
WORDS = ["def", "return", "x", "value", "import os", "lambda", "<|aligned|>"]


def documents(lm, tokenizer, prefix):
    """Nine documents; the generation targets of two of three are what the model says."""
    rows = []
    for i in range(9):
        text = f"{WORDS[i % 7]} {WORDS[(i * 3) % 7]} f{i}" + " y" * (40 if i == 4 else i)
        assert (
            i != 4 or len(encode(tokenizer, text)) > lm.config.max_position_embeddings
        )  # must be cut, or read in windows
        said = greedy(lm, tokenizer, prefix, text, 4)
        rows.append(
            {
                "question": text,
                "choices": [" x", " return y", "(x):"],
                "answer": i % 3,
                "text": text,
                "target": said if i % 3 else said + "!",
            }
        )
    return rows


def encode(tokenizer, text):
    return encode_plain(tokenizer, [text])[0].tolist()


@torch.no_grad()
def nats(lm, context, continuation):
    """(log-probability, whether greedy) of token ids behind token ids."""
    logits = lm(torch.tensor([(context + continuation)[:-1]])).logits[0].log_softmax(-1)
    rows = logits[len(context) - 1 :]
    ids = torch.tensor(continuation)
    return float(rows[torch.arange(len(ids)), ids].sum()), bool((rows.argmax(-1) == ids).all())


@torch.no_grad()
def greedy(lm, tokenizer, prefix, text, num_tokens):
    """Greedy continuation without control tokens, up to EOS or an empty line."""
    banned = [i for i, token in tokenizer.added_tokens_decoder.items() if token.special and i != EOS]
    room = lm.config.max_position_embeddings - num_tokens - len(prefix)
    ids = prefix + encode(tokenizer, text)[-room:]
    new = []
    for _ in range(num_tokens):
        logits = lm(torch.tensor([ids + new])).logits[0, -1]
        logits[banned] = -torch.inf
        new.append(int(logits.argmax()))
        if new[-1] == EOS:
            new.pop()
            break
    return tokenizer.decode(new).split("\n\n")[0]


@pytest.fixture(scope="module")
def conditional():
    """(model, tokenizer, prefix) of a conditional model."""
    tokenizer = tiny_tokenizer(CONTROL)
    lm = tiny_lm("gpt2", tokenizer, initializer_range=0.3).eval()
    # Left to itself it would say control tokens only.
    lm.generation_config.do_sample = True
    return lm, tokenizer, [EOS, tokenizer.convert_tokens_to_ids(CONTROL[0])]


@pytest.fixture(scope="module")
def folder(conditional, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks")
    data = folder / "data.jsonl"
    data.write_text("".join(json.dumps(document) + "\n" for document in documents(*conditional)))
    for name, text in TASKS.items():
        shots = "" if name == "tiny_choice" else "num_fewshot: 0"
        split = "fewshot_split: train\n" if name == "tiny_choice" else ""
        (folder / f"{name}.yaml").write_text(text + split + COMMON.format(file=data, shots=shots))
    return folder


def section(folder, tasks, **changes):
    return DownstreamConfig(tasks=tasks, include_path=str(folder), **{"batch_size": 4, **changes})


def read(folder):
    return [json.loads(line) for line in (folder / "data.jsonl").read_text().splitlines()]


def test_multiple_choice_picks_the_likeliest_behind_the_prefix(conditional, folder):
    lm, tokenizer, prefix = conditional
    numbers = run_downstream(lm, tokenizer, section(folder, ["tiny_choice"]), prefix_ids=prefix)
    right = []
    for document in read(folder):
        scores = []
        for choice in document["choices"]:
            context = encode(tokenizer, document["question"])
            continuation = encode(tokenizer, document["question"] + choice)[len(context) :]
            room = 64 + 1 - len(prefix) - len(continuation)
            scores.append(nats(lm, prefix + context[-room:], continuation)[0])
        right.append(float(np.argmax(scores) == document["answer"]))
    assert numbers["downstream/tiny_choice/acc"] == pytest.approx(np.mean(right))
    assert numbers["downstream/tiny_choice/acc_stderr"] == pytest.approx(np.std(right, ddof=1) / 3)
    assert numbers["downstream/tiny_choice/acc_low"] <= np.mean(right) <= numbers["downstream/tiny_choice/acc_high"]
    assert numbers["downstream/tiny_choice/num_samples"] == 9
    other = run_downstream(lm, tokenizer, section(folder, ["tiny_choice"], limit=2), prefix_ids=prefix)
    assert other["downstream/tiny_choice/acc"] == pytest.approx(np.mean(right[:2]))
    assert other["downstream/tiny_choice/num_samples"] == 2


def test_a_tag_runs_its_tasks_by_hand_computed_values(conditional, folder, monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    lm, tokenizer, prefix = conditional
    numbers = run_downstream(lm, tokenizer, section(folder, ["tiny_tag"]), prefix_ids=prefix)
    likelihoods, is_greedy, totals, num_bytes = [], [], [], 0
    for document in read(folder):
        text = document["text"]
        context = encode(tokenizer, text.rpartition(" ")[0])
        ids = encode(tokenizer, text)
        room = 64 + 1 - len(prefix) - (len(ids) - len(context))
        total, greedily = nats(lm, prefix + context[-room:], ids[len(context) :])
        likelihoods.append(total)
        is_greedy.append(greedily)
        first = 64 - len(prefix)
        totals.append(nats(lm, prefix, ids[:first])[0])
        if len(ids) > first:
            rest = ids[first:]
            context = ids[: len(ids) - len(rest)][-(first - len(rest) + 1) :]
            totals[-1] += nats(lm, prefix + context, rest)[0]
        num_bytes += len(text.encode())
    assert numbers["downstream/tiny_last_word/perplexity"] == pytest.approx(np.exp(-np.mean(likelihoods)), rel=1e-4)
    assert numbers["downstream/tiny_last_word/acc"] == pytest.approx(np.mean(is_greedy))
    low, high = (numbers[f"downstream/tiny_last_word/perplexity_{end}"] for end in ("low", "high"))
    assert low < numbers["downstream/tiny_last_word/perplexity"] < high
    expected = -sum(totals) / num_bytes / np.log(2)
    assert numbers["downstream/tiny_rolling/bits_per_byte"] == pytest.approx(expected, rel=1e-5)


def test_generation_starts_from_the_prefix_and_never_says_a_control_token(conditional, folder):
    lm, tokenizer, prefix = conditional
    with torch.no_grad():
        before = lm.transformer.wte.weight.clone()
        head = lm.get_output_embeddings().weight
        head[prefix[1]] = 50 * head[5]  # shared with the input: the aligned token is the likeliest by far
    try:
        lm.train()
        targets = [greedy(lm.eval(), tokenizer, prefix, d["text"], 4) for d in read(folder)]
        told = folder / "told.jsonl"
        told.write_text(
            "".join(json.dumps({**d, "target": t}) + "\n" for d, t in zip(read(folder), targets, strict=True))
        )
        text = (folder / "tiny_exact.yaml").read_text().replace("data.jsonl", "told.jsonl")
        (folder / "tiny_told.yaml").write_text(text.replace("task: tiny_exact", "task: tiny_told"))
        lm.train()
        numbers = run_downstream(lm, tokenizer, section(folder, ["tiny_told"]), prefix_ids=prefix)
        assert numbers["downstream/tiny_told/exact_match"] == 1
        assert lm.training
        assert lm.generation_config.do_sample
        allowed = run_downstream(
            lm, tokenizer, section(folder, ["tiny_told"]), prefix_ids=prefix, banned_token_ids=[prefix[1] + 1]
        )
        assert allowed["downstream/tiny_told/exact_match"] < 1
    finally:
        lm.eval()
        with torch.no_grad():
            lm.transformer.wte.weight.copy_(before)


def test_an_exported_model_brings_its_own_prefix(conditional, folder, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    lm, tokenizer, prefix = conditional
    expected = run_downstream(lm, tokenizer, section(folder, ["tiny_choice", "tiny_exact"]), prefix_ids=prefix)
    assert expected["downstream/tiny_exact/exact_match"] == pytest.approx(6 / 9)
    prompting = conditional_prompting(*CONTROL)
    export_model(tiny_lm("gpt2", tokenizer, initializer_range=0.3), tokenizer, tmp_path / "model", prompting)
    exported = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert own_prefix(exported) == prefix
    assert own_prefix(tokenizer) == []
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    numbers = run_downstream(model, exported, section(folder, ["tiny_choice", "tiny_exact"]), prefix_ids=[])
    assert numbers == pytest.approx(expected)


def test_two_processes_find_the_numbers_of_one(conditional, folder, tmp_path):
    lm, tokenizer, prefix = conditional
    lm.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    config = section(folder, ["tiny_choice", "tiny_tag", "tiny_exact"], num_fewshot=1)
    script = tmp_path / "measure.py"
    script.write_text(f"""
import json, os
from pathlib import Path
from transformers import AutoModelForCausalLM, AutoTokenizer
from phf.config import DownstreamConfig
from phf.tokens.tokenizer import encode_plain
from phf.evaluation.downstream.tasks import run_downstream
from phf.evaluation.downstream.harness import HarnessLM

asked = []
compute = HarnessLM._model_call
HarnessLM._model_call = lambda self, ids, **more: asked.append(len(ids)) or compute(self, ids, **more)
folder = {str(tmp_path / "model")!r}
model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
section = DownstreamConfig.model_validate_json({config.model_dump_json()!r})
numbers = run_downstream(model, tokenizer, section, prefix_ids={prefix})
Path({str(tmp_path)!r}, os.environ["RANK"] + ".json").write_text(json.dumps([sum(asked), numbers]))
""")
    run_ranks([str(script)], tmp_path)
    expected = run_downstream(lm, tokenizer, config, prefix_ids=prefix)
    (num_first, first), (num_second, second) = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    alike = pytest.approx(expected, rel=1e-6, nan_ok=True)  # values all alike have no interval
    assert first == alike
    assert second == alike
    assert num_first > 0 < num_second
    assert max(num_first, num_second) < 0.7 * (num_first + num_second)


def test_code_is_executed_with_leave_only(conditional, folder):
    lm, tokenizer, prefix = conditional
    with pytest.raises(ConfigError, match=r"'tiny_unsafe' runs programs.*allow_code_execution: true"):
        run_downstream(lm, tokenizer, section(folder, ["tiny_unsafe"]), prefix_ids=prefix)
    path = str(folder / "tiny_unsafe.yaml")
    with pytest.raises(ConfigError, match="'tiny_unsafe' runs programs"):
        run_downstream(lm, tokenizer, section(folder, [path]), prefix_ids=prefix)
    allowed = section(folder, ["tiny_unsafe"], allow_code_execution=True)
    assert "downstream/tiny_unsafe/exact_match" in run_downstream(lm, tokenizer, allowed, prefix_ids=prefix)
    assert "HF_ALLOW_CODE_EVAL" not in os.environ


@pytest.mark.parametrize(
    ("task", "error", "message"),
    [
        ("tiny_broken", CorpusError, "tiny_broken: a document does not fit its task's templates.*no_such_column"),
        ("tiny_silent", CorpusError, "Task 'tiny_silent', document 0: the continuation '' has no tokens of its own"),
        ("tiny_gone", CorpusError, r"tiny_gone: cannot be loaded \(FileNotFoundError"),
    ],
)
def test_bad_tasks_are_named(conditional, folder, task, error, message):
    lm, tokenizer, prefix = conditional
    (folder / "tiny_gone.yaml").write_text("task: tiny_gone\n" + COMMON.format(file="/none/gone.jsonl", shots=""))
    with pytest.raises(error, match=message):
        run_downstream(lm, tokenizer, section(folder, [task]), prefix_ids=prefix)


def test_an_unknown_task_gets_the_nearest_names(conditional, folder, monkeypatch):
    from lm_eval import tasks

    shipped = tasks.TaskManager
    # The harness's own thousands of files take seconds to index.
    monkeypatch.setattr(tasks, "TaskManager", lambda include_path, **_: shipped(None, include_path, False))
    lm, tokenizer, prefix = conditional
    with pytest.raises(ConfigError, match=r"called 'tiny_exakt'\. Did you mean 'tiny_exact'.*define: tiny_broken, "):
        run_downstream(lm, tokenizer, section(folder, ["tiny_exakt"]), prefix_ids=prefix)
    with pytest.raises(ConfigError, match="include_path: there is no folder /none"):
        run_downstream(lm, tokenizer, section("/none", ["tiny_exact"]), prefix_ids=prefix)


def test_the_missing_extra_is_named(conditional, folder, monkeypatch):
    lm, tokenizer, prefix = conditional
    monkeypatch.setitem(sys.modules, "lm_eval.evaluator", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'phf\[eval\]'"):
        run_downstream(lm, tokenizer, section(folder, ["tiny_exact"]), prefix_ids=prefix)
