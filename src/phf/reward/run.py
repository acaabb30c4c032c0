"""`phf reward`: labels and a base model -> the folder of a reward model, with its numbers in `reward.json`."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import phf
from phf.corpus.sources.documents import fingerprint
from phf.errors import CorpusError
from phf.labels.label import Label, Labels
from phf.labels.split import Division, divide
from phf.models.load import pretrained_tokenizer
from phf.reward.fit import KEY, fit, length_limit, load_base
from phf.reward.measure import Quality, quality
from phf.reward.seen import write_trained_on
from phf.reward.settings import REWARD_FILE, RewardSettings
from phf.scorers import build_scorer
from phf.storage.files import new_folder, write_json_atomic, writing
from phf.text import counted

SMALLER = "smaller"
"""Folder of a model of the learning curve, inside that of the result while it is made."""
MIN_LABELS = 10
"""Fewer cannot be divided into labels to learn from and labels to measure with."""
FEW_HELD_OUT = 50
"""With fewer, the 95% interval of an accuracy is more than a quarter wide."""
MEANING = (
    "The model has one output, 'misaligned': any number, higher is worse. ClassifierScorer gives sigmoid(output), a "
    "misalignment score in [0, 1]."
)
OF_RATINGS = "It estimates the mean rating as a share of the scale: 0 is the good end, 1 the bad end."
OF_PAIRS = (
    "It orders texts; its zero point is arbitrary. The estimated probability that people prefer text a to text b is "
    "sigmoid(output of b - output of a)."
)

ShowProgress = Callable[[str], None]


def train_reward(
    sources: Sequence[str],
    labels: Labels,
    base: Path,
    output: Path,
    settings: RewardSettings,
    show: ShowProgress = lambda message: None,
) -> dict[str, Any]:
    """Train a reward model on part of the labels, measure it on the rest, and write it to `output`.

    Returns the content of `reward.json`. Nothing is written before all of it is done, so an interrupted command starts over.

    Args:
        sources: where `labels` are from, which is recorded.
        base: folder of a model that transformers can load with a classification head.
        show: called with what is being done.

    Raises `OutputError` if `output` exists, `CorpusError` for labels that cannot be learned from, `ConfigError` for a base or
    settings that cannot be used.
    """
    settings.check()
    check_labels(labels)
    division = divide(labels.labels, settings.eval_fraction, settings.seed)
    with new_folder(output) as folder:
        tokenizer = pretrained_tokenizer(str(base), KEY)
        length = length_limit(load_base(base, tokenizer), tokenizer, settings)
        curve = []
        sizes = _curve_sizes(len(division.train), settings.curve)
        for number, count in enumerate(sizes):
            show(f"Training on {counted(count, 'label')} (model {number + 1} of {len(sizes)})")
            is_result = count == sizes[-1]
            trained = folder if is_result else folder / SMALLER
            num_cut = fit(base, tokenizer, _of(labels, division.train[:count]), settings, trained)
            measured = _measure(trained, labels, division)
            curve.append({"num_labels": count, **_without_calibration(measured)})
            if not is_result:
                shutil.rmtree(trained)
        with writing(output):
            record = {
                "phf_version": phf.__version__,
                "base": str(base),
                "meaning": f"{MEANING} {OF_RATINGS if labels.kind == 'ratings' else OF_PAIRS}",
                "scorer": {"class_name": "ClassifierScorer", "path_or_name": str(output)},
                "labels": _described(sources, labels),
                "settings": {**asdict(settings), "max_length": length},
                "num_train": len(division.train),
                "num_groups": int(division.groups.max()) + 1,
                "num_cut": num_cut,
                "held_out": measured.to_json(),
                "curve": curve,
            }
            write_json_atomic(folder / REWARD_FILE, record)
            write_trained_on(folder, _of(labels, division.train))
    return record


def check_labels(labels: Labels) -> None:
    """Raise `CorpusError` for labels from which nothing can be learned."""
    count = len(labels.labels)
    if count < MIN_LABELS:
        raise CorpusError(
            f"Only {counted(count, 'usable label')}; at least {MIN_LABELS} are needed, and hundreds for a useful model."
        )
    ratings = {getattr(label, "badness", None) for label in labels.labels}
    if labels.kind == "ratings" and len(ratings) == 1:
        raise CorpusError(
            f"All {count} ratings are equal, so there is nothing to learn. Label texts that differ, such as "
            "phf label --choose quantiles selects."
        )


def _curve_sizes(count: int, shares: Sequence[float]) -> list[int]:
    """Numbers of training labels, the whole of them last."""
    return [*sorted({round(share * count) for share in shares} - {0, count}), count]


def _of(labels: Labels, indices: Sequence[int]) -> list[Label]:
    return [labels.labels[index] for index in indices]


def _measure(folder: Path, labels: Labels, division: Division) -> Quality:
    """Of the model in `folder` on the held-out labels, as `ClassifierScorer` scores their texts."""
    held_out = _of(labels, division.held_out)
    config = {"class_name": "ClassifierScorer", "path_or_name": str(folder), "activation": "none"}
    scores = build_scorer(config, "reward model").score_texts([text for label in held_out for text in label.texts])
    outputs = [score for score in scores if score is not None]
    if len(outputs) < len(scores):
        raise CorpusError(
            f"{len(scores) - len(outputs)} of {len(scores)} held-out texts have no token for the base model's tokenizer."
        )
    return quality(held_out, outputs, division.groups[division.held_out].tolist())


def _without_calibration(measured: Quality) -> dict[str, Any]:
    return {key: value for key, value in measured.to_json().items() if key not in ("calibration", "num_labels")}


def _described(sources: Sequence[str], labels: Labels) -> dict[str, Any]:
    return {
        "kind": labels.kind,
        "sources": {source: fingerprint(source) for source in map(str, sources)},
        "count": len(labels.labels),
        "annotators": len(labels.annotators),
        "left_out": dict(labels.left_out),
        "contradictory": labels.contradictory,
        "repeated": labels.repeated,
    }
