"""The formats of the files that `phf` reads: an intact example of each, and what reads it."""

import json
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from tests.faults.mutation import damaged, mutated, mutated_json

from phf.annotate.corpus_piece import Cursor
from phf.annotate.folder import claimed, finished
from phf.annotate.hub import dataset_card
from phf.annotate.runner import annotate
from phf.annotate.shards import ShardResult, _finished_shard
from phf.config import Config, load_config
from phf.corpus.formats.row_policy import ReadNotes
from phf.corpus.manifest import read_manifest
from phf.corpus.shards import listed_shards
from phf.corpus.sources.documents import read_records
from phf.corpus.sources.listing import JOB
from phf.errors import CorpusError
from phf.evaluation.results import Results
from phf.feedback import Prompting
from phf.labels.read import read_labels
from phf.models.exporting.card import CardFacts, model_card
from phf.redteam.pool import best_entries, draw_examples, read_pool
from phf.redteam.rounds import Round
from phf.runs.reader import find_runs, read_samples
from phf.study.schema import read_study

LINE = {
    "step": 10,
    "tokens_seen": 1000,
    "train/loss": 2.5,
    "generation/unconditional/score/avg_score": 0.25,
    "eval/loss": 2.0,
}
SAMPLE = {
    "step": 10,
    "prompt": "a",
    "continuation": "b c",
    "score": 0.5,
    "segments": ["b ", "c"],
    "segment_scores": [0.0, None],
    "segment_spans": [[{"start": 0, "end": 1, "label": "X"}], []],
}
PROVENANCE = {
    "phf_version": "0.2",
    "method": "mle",
    "task": "pep8/pretrain",
    "max_steps": 20,
    "threshold": 0.5,
    "dataset": [
        {"source": "a", "scorer": {"class_name": "PEP8Scorer", "version": "1", "settings": {}}, "num_documents": 5}
    ],
    "choices": {"optim": "adamw"},
    "schedule": [{"name": "mle", "from_tokens": 0, "until_tokens": 10}],
    "seeds": {"training": 42},
    "hardware": {"cpu": "c", "gpus": []},
    "num_parameters": 10,
}
POOL = {
    "prompt": "x = ",
    "trial": 0,
    "round": 1,
    "prompt_score": 0.1,
    "continuations": ["1", "2"],
    "scores": [0.5, None],
}
PHF = {
    "threshold": 0.1,
    "control_tokens": ["<|aligned|>", "<|misaligned|>"],
    "tag_every_segment_when_sampling": False,
    "conditioning": {"class_name": "ScoreThresholds", "thresholds": [0.1]},
    "document_start": ["<|endoftext|>"],
    "preferred": "<|aligned|>",
}
ROW = {"text": "a", "id": "1", "meta": {"a": 1}}
PAIR = {"prompt": "p", "chosen": "a", "rejected": "b", "annotator": "c", "id": "1", "dataset": "d"}
RATING = {"text": "t", "rating": 3, "scale": [1, 5], "higher_is_worse": True, "annotator": "c"}
STUDY = {
    "tasks": ["pep8"],
    "methods": ["mle", "conditional"],
    "seeds": [1, 2],
    "overrides": {"training.num_tokens": 1000},
    "settings": [{"name": "low", "methods": ["mle"], "overrides": {"training.learning_rate": 1e-4}}],
}
OVERRIDES = (
    *(
        "training.learning_rate",
        "training.seed",
        "training.num_tokens",
        "training.effective_batch_size",
        "training.save_steps",
    ),
    *(
        "dataset.datasets",
        "dataset.filter_threshold",
        "dataset.eval_fraction",
        "dataset.seq_length",
        "model.config_kwargs",
    ),
    *("model.config_kwargs.n_head", "model.model_kwargs.revision", "objective", "objective.name", "objective.alpha"),
    *("generation.scenario_configs", "generation.scenario_configs.0.name", "generation.scenario_configs.0.num_samples"),
    *(
        "generation.scorer_config",
        "generation.scorer_config.class_name",
        "generation.metrics_configs.1.n",
        "generation",
    ),
    *("redteam.red_lm", "redteam.temperature", "redteam.generate_kwargs.top_k", "kl_gpt3_callback.reference.base_url"),
    *(
        "schedule",
        "schedule.0.until",
        "downstream.tasks",
        "glue.tasks",
        "tokenizer.train_from_corpus",
        "dataset.conditioning",
    ),
    *(
        "dataset.conditional_training_config.threshold",
        "dataset.document_filter",
        "a.b.c",
        "",
        ".",
        "training",
        "task",
        "size",
    ),
)


@dataclass(frozen=True)
class Format:
    """A format: `prepare(folder)` writes intact files, `write(folder, rng)` a damaged one, `read(folder)` reads them."""

    name: str
    prepare: Callable[[Path], None]
    write: Callable[[Path, random.Random], None]
    read: Callable[[Path], Any]


def lines(*values: Any) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def mutated_lines(values: list[Any], rng: random.Random) -> bytes:
    number = rng.randrange(len(values))
    content = [json.dumps(value).encode() for value in values]
    content[number] = mutated_json(values[number], rng)
    whole = b"\n".join(content) + b"\n"
    return damaged(whole, rng) if rng.random() < 0.1 else whole


def mutated_yaml(value: Any, rng: random.Random) -> bytes:
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        value = mutated(json.loads(json.dumps(value)), rng)
    content = yaml.safe_dump(value, allow_unicode=False).encode()
    return damaged(content, rng) if rng.random() < 0.25 else content


def one_file(name: str, values: Any) -> dict[str, Any]:
    """`prepare` and `write` of a format of one JSON file."""

    def prepare(folder: Path) -> None:
        (folder / name).write_bytes(json.dumps(values).encode())

    return {"prepare": prepare, "write": lambda folder, rng: (folder / name).write_bytes(mutated_json(values, rng))}


def one_file_of_lines(name: str, values: list[Any]) -> dict[str, Any]:
    """`prepare` and `write` of a format of one file of JSON Lines."""

    def prepare(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(lines(*values))

    return {
        "prepare": prepare,
        "write": lambda folder, rng: (folder / name).write_bytes(mutated_lines(values, rng)),
    }


@cache
def task() -> Config:
    """A whole configuration."""
    return load_config(task="pep8", method="conditional")[0]


def configuration() -> dict[str, Any]:
    """What of it is not at its default."""
    values: dict[str, Any] = task().model_dump(exclude_defaults=True)
    return values


def short_configuration() -> dict[str, Any]:
    """Less of it, where reading it is most of a case."""
    values = json.loads(json.dumps(configuration()))
    del values["redteam"], values["generation"]["metrics_configs"]
    return dict(values)


def prepare_run(folder: Path, config: dict[str, Any] | None = None) -> None:
    (folder / "samples").mkdir(exist_ok=True)
    (folder / "metrics.jsonl").write_bytes(lines(LINE, {**LINE, "step": 20}))
    (folder / "samples" / "unconditional.jsonl").write_bytes(lines(SAMPLE, {**SAMPLE, "step": 20}))
    (folder / "provenance.json").write_text(json.dumps(PROVENANCE))
    (folder / "config.yaml").write_text(yaml.safe_dump(config or configuration()))


def write_run(folder: Path, rng: random.Random, config: dict[str, Any] | None = None) -> None:
    prepare_run(folder, config)
    kind = rng.randrange(4)
    if kind == 0:
        (folder / "metrics.jsonl").write_bytes(mutated_lines([LINE, {**LINE, "step": 20}], rng))
    elif kind == 1:
        (folder / "samples" / "unconditional.jsonl").write_bytes(mutated_lines([SAMPLE, {**SAMPLE, "step": 20}], rng))
    elif kind == 2:
        (folder / "provenance.json").write_bytes(mutated_json(PROVENANCE, rng))
    else:
        (folder / "config.yaml").write_bytes(mutated_yaml(config or configuration(), rng))


def read_run_folder(folder: Path) -> None:
    for run in find_runs([folder])[0]:
        assert all(
            isinstance(value, int | float) for values in (run.series(key) for key in LINE) for _, value in values
        )
        _ = run.training, run.threshold, run.scenarios, run.training_scorers, run.problem, run.method
    read_samples(folder, "unconditional", 20)


SETTINGS = {"sources": ["c"], "fingerprint": "f", "shard": "8 MiB", "scorers": {"scores": {"class_name": "PEP8Scorer"}}}


def prepare_dataset(folder: Path) -> None:
    corpus = folder.with_name(folder.name + "-corpus")
    corpus.mkdir(exist_ok=True)
    (corpus / "a.jsonl").write_bytes(lines(*({"text": f"x={i}\n"} for i in range(20))))
    annotate([str(corpus)], {"class_name": "PEP8Scorer"}, None, folder)


def write_manifest(folder: Path, rng: random.Random) -> None:
    path, kept = folder / "manifest.json", folder / "intact"
    if not kept.is_file():
        kept.write_bytes(path.read_bytes())
    values = json.loads(kept.read_bytes())
    values.pop("sha256", None)  # as in a dataset of an older version: otherwise every change is found by it
    path.write_bytes(mutated_json(values, rng))


def read_dataset(folder: Path) -> None:
    read_manifest(folder)
    listed_shards(folder)
    dataset_card(folder, "owner/name")


SHARD = ShardResult(
    name="shard-00000.parquet",
    num_documents=0,
    num_chars=0,
    num_segments=0,
    num_unscored=0,
    reasons={"a": 1},
    sha256="",
    num_bytes=0,
    precision="",
    identity="",
    start=[0, 0, 0, 1],
    end=[1, 0, 0, 1],
    num_source_bytes=0.0,
    pieces=[[[1, 0, 0, 1], "a"]],
    notes={
        "left_out": {"a": {"count": 1, "files": ["b"]}},
        "skipped": {"count": 1, "rows": [{"where": "a", "reason": "b"}]},
    },
)


def read_counts(folder: Path) -> None:
    """As a killed annotation is continued: a shard whose counts cannot be read is scored again."""
    shard = _finished_shard(folder / "shard-00000.parquet.json", None)
    if shard is None:
        raise CorpusError("it is scored again")
    ReadNotes.of_json(shard.notes).first().describe_left_out()
    Cursor(*shard.start), [Cursor(*end) for end, _ in shard.pieces]


def read_some_samples(folder: Path) -> None:
    (folder / "metrics.jsonl").write_bytes(lines(LINE))
    find_runs([folder])
    read_samples(folder, "s", 20)


def table() -> pa.Table:
    return pa.table(
        {"text": [f"x = {i}\n" for i in range(50)], "score": np.arange(50) / 50, "id": [str(i) for i in range(50)]}
    )


def prepare_table(folder: Path) -> None:
    pq.write_table(table(), folder / "a.parquet")


def write_table(folder: Path, rng: random.Random) -> None:
    intact = folder.with_name(folder.name + ".intact")
    if not intact.is_file():
        intact.write_bytes((folder / "a.parquet").read_bytes())
    (folder / "a.parquet").write_bytes(damaged(intact.read_bytes(), rng))


def read_corpus(folder: Path) -> None:
    for record in read_records(str(folder)):
        assert record is not None


def override(rng: random.Random) -> str:
    key = rng.choice(OVERRIDES)
    value = mutated_yaml(rng.choice(([1], {"name": "AWR"}, {"class_name": "PEP8Scorer", "x": 1}, {"a": [1, 2]})), rng)
    text = (
        value.decode("utf-8", "replace").strip() if rng.random() < 0.6 else json.dumps(mutated({"a": 1}, rng).get("a"))
    )
    return f"{key}={text}" if rng.random() < 0.95 else f"{key}{text}"


def results(folder: Path) -> None:
    Results(folder, {"model.safetensors": "a"}, task(), 0.5).read()


def nothing(folder: Path) -> None:
    pass


EVALUATION = {
    "job": {"model": {"model.safetensors": "a"}, "threshold": 0.5, "seed": 42},
    "parts": {"generation": {"generation/unconditional/score/avg_score": 0.25}, "held_out": {"eval/loss": 2.0}},
    "tokens": 5,
}


def prepare_evaluation(folder: Path) -> None:
    (folder / "config.yaml").write_text(yaml.safe_dump(configuration()))


def read_job(folder: Path) -> None:
    (folder / "shard-00000.parquet").touch()
    with claimed(folder, SETTINGS):
        finished(folder, SETTINGS)


def read_pools(folder: Path) -> None:
    entries = read_pool(folder / "pool.jsonl")
    best_entries(entries, 2)
    draw_examples(entries, 2, 0.1, 0)


def read_round(folder: Path) -> None:
    Round.read(folder / "0.json")


def read_prompting(folder: Path) -> None:
    Prompting.load(folder).conditioned()
    model_card(folder, CardFacts("m"), folder)


def load_yaml(folder: Path) -> None:
    load_config(config=folder / "config.yaml", for_models=True)


def read_override(folder: Path) -> None:
    load_config(task="pep8", method="conditional", overrides=[(folder / "override").read_text()])


FORMATS = (
    Format("a run folder, read for a report", prepare_run, write_run, read_run_folder),
    Format("the manifest of a dataset, read and made into a card", prepare_dataset, write_manifest, read_dataset),
    Format("an override", nothing, lambda folder, rng: (folder / "override").write_text(override(rng)), read_override),
    Format("the job of an annotation", **one_file(JOB, SETTINGS), read=read_job),
    Format("the counts of a shard", **one_file("shard-00000.parquet.json", asdict(SHARD)), read=read_counts),
    Format("phf.json, read and made into a card", **one_file("phf.json", PHF), read=read_prompting),
    Format("evaluation.json", prepare_evaluation, one_file("evaluation.json", EVALUATION)["write"], results),
    Format("samples", **one_file_of_lines("samples/s.jsonl", [SAMPLE, {**SAMPLE, "step": 20}]), read=read_some_samples),
    Format(
        "a configuration",
        nothing,
        lambda folder, rng: (folder / "config.yaml").write_bytes(mutated_yaml(configuration(), rng)),
        load_yaml,
    ),
    Format("a pool of prompts", **one_file_of_lines("pool.jsonl", [POOL, POOL]), read=read_pools),
    Format("a round of a search", **one_file("0.json", {"rejected": {"a": 1}, "entries": [POOL]}), read=read_round),
    Format(
        "pairs", **one_file_of_lines("a.jsonl", [PAIR] * 3), read=lambda folder: read_labels([str(folder / "a.jsonl")])
    ),
    Format(
        "ratings",
        **one_file_of_lines("a.jsonl", [RATING] * 3),
        read=lambda folder: read_labels([str(folder / "a.jsonl")]),
    ),
    Format(
        "the file of a study",
        nothing,
        lambda folder, rng: (folder / "s.yml").write_bytes(mutated_yaml(STUDY, rng)),
        lambda folder: read_study(str(folder / "s.yml")),
    ),
    Format(
        "a corpus of JSON Lines",
        **one_file_of_lines("a.jsonl", [{"text": "a", "id": "1", "meta": {"a": 1}}] * 3),
        read=read_corpus,
    ),
    Format("a corpus of Parquet", prepare_table, write_table, read_corpus),
)
