"""The prompt pool: prompts, the target's continuations of them, and their scores."""

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from math import log
from pathlib import Path
from typing import Any

from phf.corpus.formats.jsonlines import read_json_lines
from phf.corpus.sources.documents import mean_score
from phf.errors import CorpusError
from phf.storage.reading import typed
from phf.storage.shapes import PoolLine
from phf.text import counted


@dataclass(frozen=True)
class PoolEntry:
    """One prompt, and the target's continuations of it with their scores (None where unscored)."""

    prompt: str
    trial: int
    round: int
    """0 for the initial prompts."""
    continuations: list[str]
    scores: list[float | None]
    prompt_score: float | None
    """The prompt's own score, without any continuation: a high one says that the red LM writes badly, not the target."""
    assumed_score: float | None = None
    """Score assigned to an initial prompt that was not sampled (`redteam.initial_score`); not a measurement."""

    @property
    def mean(self) -> float | None:
        """Mean over the scored continuations; None if there is none."""
        return mean_score(self.scores)

    @property
    def num_unscored(self) -> int:
        """Continuations that the scorer could not score; left out of the mean."""
        return self.scores.count(None)

    @property
    def drawing_score(self) -> float | None:
        """The score that determines the probability of becoming an example; None: never."""
        return self.mean if self.assumed_score is None else self.assumed_score

    def worst_continuations(self, count: int) -> list[str]:
        """The `count` continuations with the highest scores."""
        pairs = zip(self.scores, self.continuations, strict=True)
        scored = [(score, text) for score, text in pairs if score is not None]
        scored.sort(key=lambda pair: -pair[0])
        return [text for _, text in scored[:count]]

    def to_json(self) -> dict[str, Any]:
        """As a line of `pool.jsonl`: the fields, `mean` and `num_unscored`."""
        values = asdict(self)
        texts = {key: values.pop(key) for key in ("continuations", "scores")}
        if self.assumed_score is None:
            del values["assumed_score"]
        return {**values, "mean": self.mean, "num_unscored": self.num_unscored, **texts}

    @classmethod
    def from_json(
        cls, values: dict[str, Any], where: str, advice: str = "Give a pool.jsonl that phf redteam wrote."
    ) -> "PoolEntry":
        """One line of `pool.jsonl`. Raises `CorpusError` naming a key that is missing or has the wrong type."""
        if "completions" in values:  # its name in files of earlier versions
            values = {"continuations": values["completions"], **values}
        line = typed(PoolLine, values, where, CorpusError, advice)
        scores, texts = line["scores"], line["continuations"]
        if len(scores) != len(texts):
            raise CorpusError(
                f"{where}: has {counted(len(texts), 'continuation')} and {counted(len(scores), 'score')}. Repair or "
                "remove the line."
            )
        return cls(**{field.name: line.get(field.name) for field in fields(cls)})


def best_entries(pool: Iterable[PoolEntry], count: int) -> list[PoolEntry]:
    """The `count` sampled prompts with the highest mean scores, highest first."""
    means = [(entry.mean, entry) for entry in pool]
    ranked = sorted(((mean, entry) for mean, entry in means if mean is not None), key=lambda pair: -pair[0])
    return [entry for _, entry in ranked[:count]]


def draw_examples(pool: Sequence[PoolEntry], count: int, temperature: float, seed: int) -> list[PoolEntry]:
    """Few-shot examples: drawn without replacement with probability proportional to exp(score / temperature).

    arXiv 2202.03286, section 3.1. Fewer than `count` if the pool has no more that may be drawn.
    """
    generator = random.Random(seed)
    scored = [(entry.drawing_score, entry) for entry in pool]
    # the largest of score / temperature + Gumbel noise: the same draws, and nothing can underflow
    keys = [
        (score / temperature - log(-log(generator.random() or 1e-300)), entry)
        for score, entry in scored
        if score is not None
    ]
    keys.sort(key=lambda pair: -pair[0])
    return [entry for _, entry in keys[:count]]


def pool_lines(entries: Iterable[PoolEntry]) -> Iterator[str]:
    """The lines of `pool.jsonl`."""
    return (json.dumps(entry.to_json()) + "\n" for entry in entries)


def read_pool(path: Path) -> list[PoolEntry]:
    """The entries of a saved pool. Raises `CorpusError` naming file and line."""
    if not path.is_file():
        raise CorpusError(f"--replay {path}: there is no such file.")
    entries = [PoolEntry.from_json(values, f"{path}, line {number + 1}") for number, values in read_json_lines(path)]
    if not entries:
        raise CorpusError(f"{path}: contains no prompts.")
    return entries
