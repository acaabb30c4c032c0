"""Finetuning on GLUE: tiny local tasks, standard metrics by hand, and mistakes."""

import json
import shutil

import numpy as np
import pytest
import torch
from tests.tiny import conditional_prompting, tiny_lm, tiny_tokenizer

from phf.config import GlueConfig
from phf.errors import ConfigError, CorpusError
from phf.evaluation.glue import finetuning as glue
from phf.evaluation.glue.finetuning import encode_examples, run_glue
from phf.evaluation.glue.tasks import TASKS, load_task, measure
from phf.models import pretrained_tokenizer
from phf.models.exporting.export import export_model

CONTROL = ("<|aligned|>", "<|misaligned|>")
PROMPTING = conditional_prompting(*CONTROL)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("glue") / "model"
    tokenizer = tiny_tokenizer(CONTROL)
    export_model(tiny_lm("gpt2", tokenizer), tokenizer, folder, PROMPTING)
    return folder


def write(folder, task, split, rows):
    path = folder / task / f"{split}.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def data(tmp_path):
    """Learnable from the first token: `return` is class 1; the number of a pair is 5 if it ends in `return`."""
    generator = np.random.default_rng(0)
    for split, count in (("train", 96), ("validation", 40)):
        labels = generator.integers(2, size=count).tolist()
        texts = [("return" if label else "def") + " x" * int(generator.integers(1, 5)) for label in labels]
        write(
            tmp_path, "sst2", split, [{"sentence": t, "label": k, "idx": 0} for t, k in zip(texts, labels, strict=True)]
        )
        rows = [
            {"sentence1": "x", "sentence2": t.split()[0], "label": 5.0 * k} for t, k in zip(texts, labels, strict=True)
        ]
        write(tmp_path, "stsb", split, rows)
    return tmp_path


def section(data, **changes):
    settings = {"tasks": ["sst2"], "data_dir": str(data), "learning_rate": 1e-2, "batch_size": 8, "seeds": [0, 1]}
    return GlueConfig.model_validate({**settings, **changes})


@pytest.mark.slow
def test_a_learnable_task_is_learned_and_not_learned_twice(model_folder, data, tmp_path, monkeypatch):
    state = torch.get_rng_state()
    numbers = run_glue(model_folder, section(data, tasks=["sst2", "stsb"]), tmp_path / "out")
    assert torch.equal(torch.get_rng_state(), state)
    assert numbers["glue/sst2/accuracy"] > 0.9
    assert numbers["glue/sst2/score"] == numbers["glue/sst2/accuracy"]
    assert numbers["glue/stsb/pearson"] > 0.9
    assert numbers["glue/stsb/score"] == pytest.approx(
        (numbers["glue/stsb/pearson"] + numbers["glue/stsb/spearman"]) / 2
    )
    assert numbers["glue/score"] == pytest.approx((numbers["glue/sst2/score"] + numbers["glue/stsb/score"]) / 2)
    assert (numbers["glue/sst2/num_samples"], numbers["glue/sst2/num_seeds"]) == (40, 2)
    lines = [json.loads(line) for line in (tmp_path / "out" / "glue.jsonl").read_text().splitlines()]
    assert [(line["task"], line["seed"]) for line in lines] == [("sst2", 0), ("sst2", 1), ("stsb", 0), ("stsb", 1)]
    assert all(line["metrics"]["score"] == max(line["epochs"]) for line in lines)

    def refuse(*_):
        raise AssertionError("finetuned again")

    monkeypatch.setattr(glue, "_finetune", refuse)
    again = run_glue(model_folder, section(data, tasks=["sst2", "stsb"]), tmp_path / "out")
    assert again == pytest.approx(numbers, rel=0, abs=0, nan_ok=True)  # seeds that agree have no interval
    with pytest.raises(ConfigError, match=r"results of 'sst2' from another model or with other settings"):
        run_glue(model_folder, section(data, learning_rate=1e-3), tmp_path / "out")


@pytest.mark.slow
def test_training_stops_when_the_dev_score_does(model_folder, data, tmp_path):
    run_glue(model_folder, section(data, learning_rate=1e-12, patience=1, seeds=[3]), tmp_path / "out")
    line = json.loads((tmp_path / "out" / "glue.jsonl").read_text())
    assert len(line["epochs"]) == 2  # the second is no better than the first
    assert line["epochs"][0] == line["metrics"]["score"] == line["epochs"][1]


def test_examples_start_like_prompts_and_lose_their_ends(model_folder):
    tokenizer = pretrained_tokenizer(str(model_folder), "MODEL_DIR")
    aligned = tokenizer.convert_tokens_to_ids(CONTROL[0])
    ids = {text: tokenizer.encode(text, add_special_tokens=False) for text in ("def f", "x", "\nx", "\nreturn x")}
    pair = [{"sentence1": "def f", "sentence2": "x", "label": 1}]
    (encoded,) = encode_examples(tokenizer, TASKS["rte"], pair, 64)
    assert encoded == {"input_ids": [0, aligned, *ids["def f"], *ids["\nx"]], "labels": 1}
    long = [{"sentence1": "def f" * 30, "sentence2": "return x", "label": 0}]
    (encoded,) = encode_examples(tokenizer, TASKS["rte"], long, 32)
    assert len(encoded["input_ids"]) == 32
    assert encoded["input_ids"][-len(ids["\nreturn x"]) :] == ids["\nreturn x"]
    (encoded,) = encode_examples(tokenizer, TASKS["sst2"], [{"sentence": CONTROL[1], "label": 0}], 64)
    assert tokenizer.convert_tokens_to_ids(CONTROL[1]) not in encoded["input_ids"]


def test_standard_metrics_by_hand():
    predictions, labels = np.array([1, 1, 0, 0, 1]), np.array([1, 0, 0, 0, 0])  # 1 true and 2 false positives
    assert measure(TASKS["sst2"], predictions, labels) == {"accuracy": pytest.approx(3 / 5)}
    assert measure(TASKS["mrpc"], predictions, labels)["f1"] == pytest.approx(2 / (2 + 2 + 0))
    assert measure(TASKS["cola"], predictions, labels) == {"matthews": pytest.approx(2 / np.sqrt(3 * 1 * 4 * 2))}
    metrics = measure(TASKS["stsb"], np.array([1.0, 2.0, 10.0]), np.array([0.0, 1.0, 2.0]))
    assert metrics == {"pearson": pytest.approx(9 / np.sqrt(2 * 146 / 3)), "spearman": pytest.approx(1)}
    assert measure(TASKS["stsb"], np.ones(3), np.arange(3.0)) == {"pearson": 0, "spearman": 0}


def test_both_dev_sets_of_mnli_are_measured_apart():
    logits = np.eye(3)[[0, 1, 2, 0, 0]]
    metrics = glue._dev_metrics(TASKS["mnli"], [3, 2], glue.EvalPrediction(logits, np.array([0, 1, 2, 0, 1])))
    assert metrics == {"m_accuracy_matched": 1, "m_accuracy_mismatched": 0.5, "m_score": 0.75}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"text": "x", "label": 0}], r"train\.jsonl, line 1: 'sentence' must be text; the columns are"),
        ([{"sentence": "x", "label": 0}, {"sentence": "x", "label": 2}], "line 2: 'label' is 2; it must be a class"),
        ([{"sentence": "x", "label": -1}], "'label' is -1"),
        ([], "train of 'sst2' has no examples"),
    ],
)
def test_data_of_another_kind_is_refused(tmp_path, rows, message):
    write(tmp_path, "sst2", "train", rows)
    with pytest.raises(CorpusError, match=message):
        load_task("sst2", str(tmp_path))


def test_mistakes_are_named_before_any_training(model_folder, data, tmp_path, monkeypatch):
    monkeypatch.setattr(glue, "_finetune", None)
    with pytest.raises(CorpusError, match=r"glue\.data_dir: there is no file .*rte/train\.jsonl"):
        run_glue(model_folder, section(data, tasks=["sst2", "rte"]), tmp_path / "out")
    with pytest.raises(ConfigError, match=r"glue\.learning_rate has no value for 'sst2', only for rte"):
        run_glue(model_folder, section(data, learning_rate={"rte": 1e-5}), tmp_path / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "glue.jsonl").write_text("{")
    with pytest.raises(CorpusError, match=r"It was not written by `phf evaluate --glue`"):
        run_glue(model_folder, section(data), tmp_path / "out")
    with pytest.raises(CorpusError, match=r"nyu-mll/glue cannot be loaded.*set glue\.data_dir"):
        run_glue(model_folder, section(data, data_dir=None), tmp_path / "other")


def test_padding_is_masked_though_the_tokenizer_gives_no_mask(model_folder, data, tmp_path, monkeypatch):
    folder = shutil.copytree(model_folder, tmp_path / "maskless")
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_input_names": ["input_ids"]}))

    class Seen(Exception):
        pass

    def look(_folder, tokenizer, *_):
        padded = tokenizer.pad([{"input_ids": [1, 2, 3]}, {"input_ids": [4]}])
        assert padded["attention_mask"] == [[1, 1, 1], [1, 0, 0]]
        raise Seen

    monkeypatch.setattr(glue, "_finetune", look)
    with pytest.raises(Seen):
        run_glue(folder, section(data), tmp_path / "out")
