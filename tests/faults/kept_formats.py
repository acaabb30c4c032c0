"""What commands keep to continue from, or for a report: spikes, audits, evaluations, the cache, the index of a stream."""

import json
import random
import shutil
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.faults.formats import (
    LINE,
    PROVENANCE,
    SAMPLE,
    Format,
    lines,
    mutated_lines,
    one_file_of_lines,
    prepare_run,
    short_configuration,
)
from tests.faults.mutation import damaged, mutated, mutated_json
from tests.faults.result_formats import refuse_scripts
from tests.tiny import tiny_tokenizer
from tests.tokens.packed import CONTROL, conditional, corpus_for, settings_for

from phf.cli.cache import _as_dict, _show_entries
from phf.corpus.dataset import write_shard
from phf.corpus.sources.documents import AnnotatedDocument
from phf.errors import CorpusError
from phf.report.page import write_report
from phf.runs.writer import RunWriter
from phf.storage.cache_entries import entries
from phf.storage.cache_locks import record_of
from phf.tokens.streaming import StreamingBlocks
from phf.training.spikes import SpikeLog

COMMON = {"num_tokens": 2, "start": 0, "end": 1}
NEIGHBOUR = {
    "text": "b ",
    "score": 0.5,
    "document": "d",
    "overlap": 0.5,
    "hidden": 0.25,
    "gradient": None,
    "common": COMMON,
}
DETECTION = {"start": 0, "end": 1, "label": "X", "text": "b", "occurrences": 2, "document": "d"}
ORIGIN = {
    "scenario": "unconditional",
    "number": 0,
    "score": 0.5,
    "prompt": "a",
    "text": "b c",
    "longest": {"num_tokens": 3, "start": 0, "end": 2, "text": "b ", "occurrences": 1, "document": "d"},
    "detections": [DETECTION, {**DETECTION, "occurrences": 0, "document": None}],
    "neighbours": [NEIGHBOUR, NEIGHBOUR],
}
AUDIT = {
    "settings": {"mask": False},
    "training_data": {"is_trained_on": True, "is_whole": True, "sentence": "It is."},
    "samples_of": "run",
    "origins": [ORIGIN, {**ORIGIN, "number": 1, "detections": []}],
}
SPIKE = {"step": 40, "tokens_seen": 400, "loss": 9.5, "mean_before": 2.0, "standard_deviation_before": 0.5}
SPIKES = [{**SPIKE, "documents": ["a"]}, {**SPIKE, "step": 50, "documents": None, "document_keys": [[1, 2], [2, 3]]}]
MEASURED = {
    **LINE,
    **dict.fromkeys(("glue/cola/score", "glue/cola/score_low", "glue/cola/score_high", "glue/score"), 0.5),
    "glue/cola/num_samples": 40,
    "glue/cola/num_seeds": 2,
    "downstream/lambada/acc": 0.25,
    "downstream/lambada/acc_stderr": 0.01,
    "kl/gpt3": 0.5,
    "eval/tag_gain": 0.1,
}
"""A line of the numbers of an evaluation."""
RECORD = {"kind": "annotated", "source": "a corpus", "made_at": "2026-01-01T00:00:00+00:00", "phf": "0.3"}


FIRST = 3
"""The block that a stream is resumed at."""


class OfNothing:
    """Blocks of a few documents."""

    def packed_documents(self) -> Iterator[tuple[int, str]]:
        return iter([(1, "a"), (2, "b")])


def read_spikes(folder: Path) -> None:
    writer = RunWriter(folder)
    SpikeLog(writer, lambda step: OfNothing(), True, lambda step: 10 * step, lambda message: None).complete()
    for line in writer.read_spikes():
        assert line["documents"] is not None or not line.get("document_keys")
    writer.cut_after(45)


def prepare_audit(folder: Path) -> None:
    (folder / "run").mkdir(exist_ok=True)
    prepare_run(folder / "run", short_configuration())
    samples = [SAMPLE, {**SAMPLE, "step": 20}, {**SAMPLE, "step": 20}]
    (folder / "run" / "samples" / "unconditional.jsonl").write_bytes(lines(*samples))
    (folder / "audit").mkdir(exist_ok=True)
    (folder / "audit" / "audit.json").write_text(json.dumps(AUDIT))


def make_page_of(*names: str) -> Callable[[Path], None]:
    def make_page(folder: Path) -> None:
        notices = write_report([folder / name for name in names], folder / "report.html")
        refuse_scripts(folder / "report.html")
        if notices:
            raise CorpusError("; ".join(notices))

    return make_page


def prepare_evaluation(folder: Path) -> None:
    """A run, and an evaluation of its model beside it."""
    for name in ("run", "evaluation"):
        (folder / name).mkdir(exist_ok=True)
        prepare_run(folder / name, short_configuration())
    (folder / "evaluation" / "metrics.jsonl").write_bytes(lines(MEASURED))
    of_model = {"model": "runs/run/model", "started": "2026-01-01", "scorer": {"class_name": "PEP8Scorer"}}
    (folder / "evaluation" / "provenance.json").write_text(json.dumps({**PROVENANCE, **of_model}))


def write_evaluation(folder: Path, rng: random.Random) -> None:
    """Its numbers with wrong values, or under other names."""
    numbers = dict(MEASURED)
    if rng.random() < 0.3:
        key = rng.choice([key for key in numbers if "/" in key])
        names = (key.partition("/")[0] + "/", key + "/x", key.replace("/", "//"), f"{key}\0", key.upper(), f"{key}_low")
        numbers[rng.choice(names)] = numbers.pop(key)
    (folder / "evaluation" / "metrics.jsonl").write_bytes(mutated_lines([numbers], rng))


def prepare_cache(folder: Path) -> None:
    entry = folder / "annotated" / "corpus-0123456789abcdef"
    entry.mkdir(parents=True)
    (entry / "shard").write_bytes(b"abc")
    record_of(entry).parent.mkdir(parents=True)
    record_of(entry).write_text(json.dumps(RECORD))


def write_record(folder: Path, rng: random.Random) -> None:
    record_of(folder / "annotated" / "corpus-0123456789abcdef").write_bytes(mutated_json(RECORD, rng))


def list_cache(folder: Path) -> None:
    (entry,) = entries(folder)
    _show_entries([entry])
    json.dumps(_as_dict(entry))
    if entry.record is None:
        raise CorpusError("what made it is not known")


def stream(folder: Path) -> StreamingBlocks:
    tokenizer = tiny_tokenizer(CONTROL)
    settings = settings_for(tokenizer, method=conditional(0.1), seq_length=16, eval_fraction=0.2)
    blocks = StreamingBlocks(corpus_for(tokenizer, folder / "corpus", piece_chars=50), settings, window=5, processes=0)
    blocks.index_file = folder / "index.txt"
    return blocks


def prepare_stream(folder: Path) -> None:
    (folder / "corpus").mkdir()
    documents = [AnnotatedDocument(f"d{i}", [f"a = {i}\n", f"b = {i}\n"], [0.0, i / 10]) for i in range(10)]
    for number in range(2):
        shard = folder / "corpus" / f"shard-{number:05d}.parquet"
        write_shard(shard, documents[5 * number : 5 * number + 5])
    items = [{key: values.tolist() for key, values in item.items()} for item in stream(folder).epoch(0)]
    (folder / "expected.json").write_text(json.dumps(items[FIRST]))
    shutil.copyfile(folder / "index.txt", folder / "intact.txt")


def write_index(folder: Path, rng: random.Random) -> None:
    """Damaged bytes, or other values with the checksums that belong to them."""
    content = (folder / "intact.txt").read_bytes()
    if rng.random() < 0.4:
        (folder / "index.txt").write_bytes(damaged(content, rng))
        return
    known = [json.loads(line.partition(b" ")[2]) for line in content.splitlines()]
    known[1:] = mutated(known[1:], rng)
    checksum, written = 0, []
    for value in known:
        line = json.dumps(value).encode() + b"\n"
        checksum = zlib.crc32(line, checksum)
        written.append(b"%08x " % checksum + line)
    (folder / "index.txt").write_bytes(b"".join(written))


def resume(folder: Path) -> None:
    """A resumed run begins with the block that a stream without an index has there."""
    item = next(stream(folder).starting_at(FIRST))
    assert {key: values.tolist() for key, values in item.items()} == json.loads((folder / "expected.json").read_text())
    if (folder / "index.txt").read_bytes() != (folder / "intact.txt").read_bytes():
        raise CorpusError("it was written again")


KEPT_FORMATS = (
    Format("loss spikes of a run", **one_file_of_lines("spikes.jsonl", SPIKES), read=read_spikes),
    Format(
        "the record of an audit, made into a page",
        prepare_audit,
        lambda folder, rng: (folder / "audit" / "audit.json").write_bytes(mutated_json(AUDIT, rng)),
        make_page_of("run", "audit"),
    ),
    Format(
        "GLUE, tasks and KL of an evaluation, made into a page",
        prepare_evaluation,
        write_evaluation,
        make_page_of("run", "evaluation"),
    ),
    Format("the record of an entry of the cache", prepare_cache, write_record, list_cache),
    Format("the index of a stream", prepare_stream, write_index, resume),
)
