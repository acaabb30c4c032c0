"""Scorers that took no part in training: the samples of finished runs are scored by them, too, without training again.

held-out-scorers/<run>/<scorer>.json of the study's folder has their scores. They are computed again only where the samples or
the scorer have changed.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phf.errors import ConfigError, OutputError, PhfError
from phf.registry.names import SCORERS
from phf.runs.reader import Run, Sample
from phf.runs.writer import write_json
from phf.scorers import Scorer, build_scorer, checked_scores
from phf.storage.hashing import hash64
from phf.storage.reading import read_json_as
from phf.storage.shapes import HeldOutScores
from phf.study.folder import StudyFolder
from phf.study.plan import StudyRun
from phf.text import visible_text
from phf.workers.activity import watched

SCORED_AT_ONCE = 128
"""Samples that a scorer gets at once: two full batches of a model on a GPU."""


@dataclass(frozen=True)
class HeldOut:
    """What one held-out scorer gives the samples of each run."""

    name: str
    """Its class; numbered where several scorers have the same."""
    description: dict[str, Any]
    """See `Scorer.describe`."""
    bounds: tuple[float, float]
    """The lowest and the highest possible score."""
    scores: dict[str, dict[str, list[float | None]]] = field(default_factory=dict)
    """Name of the run -> scenario -> the score of each sample, in order."""
    trained_on: set[str] = field(default_factory=set)
    """Names of runs that it is not held out from: it scored one of several preferences that they were trained with."""


def build_held_out(sections: Sequence[Mapping[str, Any]], runs: Sequence[StudyRun]) -> list[Scorer]:
    """The scorers of a study's `held_out_scorers`.

    Raises `ConfigError` for one that cannot be built, is named twice, or has a part in the training of a run.
    """
    scorers: list[Scorer] = []
    meanings: list[dict[str, Any]] = []
    trained = {json.dumps(run.config.generation.scorer_config, sort_keys=True, default=str): run for run in runs}
    for number, section in enumerate(sections):
        where = f"held_out_scorers.{number}"
        scorer = build_scorer(section, where)
        meaning = SCORERS.canonical(dict(section))
        if meaning in meanings:
            raise ConfigError(
                f"{where}: {section['class_name']} with the same settings is named twice. Remove one of the two."
            )
        meanings.append(meaning)
        scorers.append(scorer)
        for run in trained.values():
            if shared := _shared(section, run.config.generation.scorer_config, scorer.working_settings):
                raise ConfigError(
                    f"{where}: {shared} scores the training data of {run.arm.task}, so it is not held out. Choose a scorer "
                    "that training does not use: another class, or another model."
                )
    return scorers


def score_held_out(
    scorers: Sequence[Scorer], results: Mapping[str, Run], folder: StudyFolder
) -> tuple[list[HeldOut], dict[tuple[str, str], str]]:
    """The scores that each scorer gives the samples of each run, and what is missing: (run, scorer) -> the reason.

    `results`: name of the run -> its numbers and samples. A run that was trained on the scores of the scorer has none: where
    they are those of one of several preferences, as another method than the study's others; otherwise that is a reason.
    """
    answers: list[HeldOut] = []
    missing: dict[tuple[str, str], str] = {}
    for name, scorer in zip(distinct_names(scorers), scorers, strict=True):
        held_out = HeldOut(name, scorer.describe(), scorer.score_bounds)
        for run_name, run in results.items():
            if _is_preference(scorer, run):
                held_out.trained_on.add(run_name)
                continue
            try:
                _refuse_used(scorer, run)
                held_out.scores[run_name] = _scores_of(scorer, run, folder.held_out(run_name, _file_name(scorer)))
            except PhfError as error:
                missing[run_name, name] = str(error)
        answers.append(held_out)
    return answers, missing


def distinct_names(scorers: Sequence[Scorer]) -> list[str]:
    """Their names on the page: PIIScorer; ClassifierScorer (1) and ClassifierScorer (2) where two are of one class."""
    names = [scorer.name for scorer in scorers]
    return [
        name if names.count(name) == 1 else f"{name} ({names[: index + 1].count(name)})"
        for index, name in enumerate(names)
    ]


def _scores_of(scorer: Scorer, run: Run, path: Path) -> dict[str, list[float | None]]:
    """Scenario -> the scores of its samples; those that the file has already, and it gets those that it lacks."""
    known = _known(path)
    scores = {}
    for scenario, samples in run.samples.items():
        texts = [text_of(sample) for sample in samples]
        digest = hashlib.sha256(json.dumps(texts).encode()).hexdigest()
        entry = known.get(scenario)
        if entry is None or entry["texts_sha256"] != digest or len(entry["scores"]) != len(texts):
            entry = {"texts_sha256": digest, "scores": list(_scored(scorer, texts, f"{run.name}, {scenario}"))}
            known[scenario] = entry
            write_json(path, {"scorer": scorer.describe(), "scenarios": known})
        scores[scenario] = entry["scores"]
    return scores


def text_of(sample: Sample) -> str:
    """What the task's scorer was given: the continuation, preceded by the prompt if the scenario says so."""
    return "".join(sample.segments)


def _scored(scorer: Scorer, texts: list[str], of: str) -> Iterator[float | None]:
    parts = [texts[start : start + SCORED_AT_ONCE] for start in range(0, len(texts), SCORED_AT_ONCE)]
    for part in watched(parts, visible_text(f"scoring the samples of {of} by {scorer.name}"), len(texts)):
        yield from checked_scores(scorer, scorer.score_texts(list(part)), len(part))


def _known(path: Path) -> dict[str, Any]:
    """The scenarios of a file that an earlier attempt has left."""
    if not path.is_file():
        return {}
    advice = "Delete it, and the samples are scored again."
    return dict(read_json_as(HeldOutScores, path, OutputError, advice, finite=True)["scenarios"])


def _file_name(scorer: Scorer) -> str:
    """Different for scorers that may give different scores."""
    digest = hash64("held out", json.dumps(scorer.describe(), sort_keys=True, default=str))
    return f"{re.sub(r'[^A-Za-z0-9]+', '-', scorer.name)}-{digest:016x}.json"


def _refuse_used(scorer: Scorer, run: Run) -> None:
    """Raises `ConfigError` if the training data of the run, as it has recorded it, was scored by the scorer."""
    for data in run.provenance.get("dataset") or []:
        if shared := _used(scorer, data.get("scorer")):
            raise ConfigError(f"{shared} has scored the data that it was trained on, so it is not held out")


def _is_preference(scorer: Scorer, run: Run) -> bool:
    """Whether the scorer scored one of several preferences that the run was trained with, but the main one."""
    for data in run.provenance.get("dataset") or []:
        scorers = data.get("scorers")
        others = scorers.values() if isinstance(scorers, dict) else ()
        if any(_used(scorer, other) for other in others) and not _used(scorer, data.get("scorer")):
            return True
    return False


def _used(scorer: Scorer, described: Any) -> str | None:
    """The class that a scorer, as provenance describes it, has in common with this one; None if there is none."""
    if not isinstance(described, dict) or not isinstance(described.get("class_name"), str):
        return None
    settings = described["settings"] if isinstance(described.get("settings"), dict) else {}
    section = {"class_name": scorer.name, **scorer.settings}
    return _shared(section, {**settings, "class_name": described["class_name"]}, scorer.working_settings)


def _shared(first: Mapping[str, Any], second: Mapping[str, Any], working: frozenset[str]) -> str | None:
    """The class of a scorer that is the same in two sections, parts of composite scorers included; None if there is none."""
    of_second = [_meaning(part, working) for part in _parts(second)]
    for part in _parts(first):
        if _meaning(part, working) in of_second:
            return str(part["class_name"])
    return None


def _meaning(section: Mapping[str, Any], working: frozenset[str]) -> dict[str, Any]:
    """Equal for sections that give the same scores, wherever and however fast."""
    return {key: value for key, value in SCORERS.canonical(dict(section)).items() if key not in working}


def _parts(section: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield section
    inner = section.get("scorers")
    for part in inner if isinstance(inner, list) else ():
        if isinstance(part, Mapping) and "class_name" in part:
            yield from _parts(part)
