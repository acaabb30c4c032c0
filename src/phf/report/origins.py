"""Where samples come from, as `phf audit` found it: read from its folders, and put into words."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from phf.errors import CorpusError
from phf.runs.reader import Run, Sample
from phf.storage.audit_shapes import TracedFile
from phf.storage.reading import read_json_as
from phf.text import counted, masked

AUDIT = "audit.json"
"""What `phf audit` writes."""
SHOWN_CHARS = 400
"""Of a segment, around what it has in common with the sample."""
LESS_THAN = 4
"""Tokens that a common span has at least; see `phf.audit.overlap.NGRAM`."""
Origins = dict[tuple[str, int], dict[str, Any]]
"""(scenario, number of the sample in it) -> an entry of `origins` in audit.json, with `data`, the `training_data` there."""


class Said(NamedTuple):
    """What the search says about a sample."""

    kind: str
    """copied, partly, new or alike: all of what the scorer detected is in the data, some of it, nothing; nothing detected."""
    badge: str
    """A few words."""
    sentences: list[str]


def said_of(origin: Mapping[str, Any]) -> Said:
    """In words. Texts in them are strangers'."""
    data = origin["data"]
    is_all = data["is_trained_on"] is True and data["is_whole"]
    where = "the training data" if is_all else "this dataset"
    known = [one for one in origin["detections"] if one["occurrences"] is not None]
    there = [one for one in known if one["occurrences"]]
    longest = origin["longest"]
    length = f"{longest['num_tokens']:,} tokens" if longest else f"fewer than {LESS_THAN} tokens"
    if not known:
        kind, badge = "alike", f"longest copy: {length}"
    elif len(there) == len(known):
        kind, badge = "copied", "copied" if is_all else f"in {where}"
    elif there:
        kind, badge = "partly", f"{len(there)} of {len(known)} " + ("copied" if is_all else f"in {where}")
    else:
        kind, badge = "new", "made up" if is_all else f"not in {where}"
    sentences = list(dict.fromkeys(_copied(one, where) for one in there))
    for opening, count in (("Not in", 0), ("Not looked for, since the tokenizer changes it, in", None)):
        others = dict.fromkeys(map(_named, (one for one in origin["detections"] if one["occurrences"] == count)))
        if others:
            sentences.append(f"{opening} {where}: {', '.join(others)}.")
    if longest:
        first = f"first in {longest['document']}" if longest["occurrences"] > 1 else f"in {longest['document']}"
        span = f"{_quoted(longest['text'])}, {_times(longest['occurrences'])}, {first}"
        sentences.append(f"Longest span that a segment of {where} has verbatim: {length}, {span}.")
    else:
        sentences.append(f"Longest span that a segment of {where} has verbatim: {length}.")
    return Said(kind, badge, sentences)


def around_common(neighbour: Mapping[str, Any]) -> tuple[str, str, str]:
    """The text of a segment before, in and after the longest span that it has in common with the sample, each cut to
    `SHOWN_CHARS`."""
    text, common = neighbour["text"], neighbour["common"]
    before, own, after = text[: common["start"]], text[common["start"] : common["end"]], text[common["end"] :]
    half = SHOWN_CHARS // 2
    return (
        before if len(before) <= half else "…" + before[-half:],
        own if len(own) <= SHOWN_CHARS else own[:SHOWN_CHARS] + "…",
        after if len(after) <= half else after[:half] + "…",
    )


def facts_of(neighbour: Mapping[str, Any]) -> str:
    """How much a segment is like the sample, and where it is from, on a line."""
    measures = [("n-grams", "overlap"), ("hidden states", "hidden"), ("gradients", "gradient")]
    likeness = [f"{name} {neighbour[key]:.2f}" for name, key in measures if neighbour[key] is not None]
    score = "unscored" if neighbour["score"] is None else f"score {neighbour['score']:.4g}"
    common = f"{counted(neighbour['common']['num_tokens'], 'token')} verbatim"
    return f"{neighbour['document']}, {score}: {common}, {', '.join(likeness)}"


def find_audits(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """(folders of audits among these, or in these as runs are in folders of runs; the other paths)."""
    audits = [folder for path in paths for folder in [path, *sorted(file.parent for file in path.glob(f"*/{AUDIT}"))]]
    audits = [folder for folder in dict.fromkeys(audits) if (folder / AUDIT).is_file()]
    return audits, [path for path in paths if path not in audits]


def read_origins(folders: Sequence[Path], runs: Sequence[Run]) -> tuple[list[Origins], list[str]]:
    """(what these audits found of the samples of each run, a notice for each audit that is of none of them).

    An audit is of a run with the name of the one it has traced, if that has all samples that it has traced, where it had them.
    Raises `CorpusError` for a damaged file.
    """
    of_runs: list[Origins] = [{} for _ in runs]
    notices = []
    for folder in folders:
        record = read_json_as(TracedFile, folder / AUDIT, CorpusError, "Run phf audit again.", finite=True)
        origins = record.get("origins") or []
        if not origins:
            continue
        data, name = record.get("training_data"), record.get("samples_of")
        if data is None or name is None or not all(map(_is_complete, origins)):
            notices.append(
                f"{folder} was written by an earlier version, which did not record whose samples it traced: audit again."
            )
            continue
        is_masked = bool(record["settings"].get("mask"))
        matching = [
            number
            for number, run in enumerate(runs)
            if run.name.rpartition("/")[2] == name and all(_is_of(one, run, is_masked) for one in origins)
        ]
        for number in matching:
            of_runs[number] |= {(one["scenario"], one["number"]): {**one, "data": data} for one in origins}
        if not matching:
            notices.append(
                f"{folder} says where samples of '{name}' come from, which is not among these runs, or has new samples."
            )
    return of_runs, notices


def _is_complete(origin: Mapping[str, Any]) -> bool:
    return {"number", "longest", "detections"} <= origin.keys() and all("common" in one for one in origin["neighbours"])


def _is_of(origin: Mapping[str, Any], run: Run, is_masked: bool) -> bool:
    samples = run.samples.get(origin["scenario"], [])
    return origin["number"] < len(samples) and _texts(samples[origin["number"]], is_masked) == (
        origin["prompt"],
        origin["text"],
    )


def _texts(sample: Sample, is_masked: bool) -> tuple[str, str]:
    text = "".join(sample.segments)
    return (masked(sample.prompt), masked(text)) if is_masked else (sample.prompt, text)


def _copied(one: Mapping[str, Any], where: str) -> str:
    first = "first " if one["occurrences"] > 1 else ""
    return f"In {where}: {_named(one)}, {_times(one['occurrences'])}, {first}in {one['document']}."


def _named(one: Mapping[str, Any]) -> str:
    return f"{one['label']} {_quoted(one['text'])}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _quoted(text: str) -> str:
    """On one line, shortened."""
    line = " ".join(text.split())
    return f"“{line if len(line) <= 120 else line[:120] + '…'}”" if line else "white space"
