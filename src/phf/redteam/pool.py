"""The prompt pool: what the target was asked, what it answered, and how bad that was."""

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


@dataclass(frozen=True)
class PoolEntry:
    """One prompt, and the target's completions of it with their scores (None where unscored)."""

    prompt: str
    trial: int
    round: int
    """0 for the prompts that the search began with."""
    completions: list[str]
    scores: list[float | None]
    prompt_score: float | None
    """The prompt's own score, without any completion: a high one says that the red LM writes badly, not the target."""
    assumed_score: float | None = None
    """What an initial prompt is taken for that was not sampled (`redteam.initial_score`); no measurement."""

    @property
    def mean(self) -> float | None:
        """Mean over the scored completions; None where there is none."""
        return mean_score(self.scores)

    @property
    def num_unscored(self) -> int:
        """Completions that the scorer could not score; left out of the mean."""
        return self.scores.count(None)

    @property
    def drawing_score(self) -> float | None:
        """What decides how probably the prompt becomes an example; None: never."""
        return self.mean if self.assumed_score is None else self.assumed_score

    def worst_completions(self, count: int) -> list[str]:
        """The `count` completions of highest score."""
        scored = [(score, text) for score, text in zip(self.scores, self.completions, strict=True) if score is not None]
        scored.sort(key=lambda pair: -pair[0])
        return [text for _, text in scored[:count]]

    def to_json(self) -> dict[str, Any]:
        """As a line of `pool.jsonl`: the fields, `mean` and `num_unscored`."""
        values = asdict(self)
        texts = {key: values.pop(key) for key in ("completions", "scores")}
        if self.assumed_score is None:
            del values["assumed_score"]
        return {**values, "mean": self.mean, "num_unscored": self.num_unscored, **texts}

    @classmethod
    def from_json(
        cls, values: dict[str, Any], where: str, advice: str = "Name the pool.jsonl that a phf redteam wrote."
    ) -> "PoolEntry":
        """One line of `pool.jsonl`. Raises `CorpusError` naming what is missing or of another type."""
        line = typed(PoolLine, values, where, CorpusError, advice)
        scores, texts = line["scores"], line["completions"]
        if len(scores) != len(texts):
            raise CorpusError(f"{where}: has {len(texts)} completions and {len(scores)} scores; repair or remove it.")
        return cls(**{field.name: line.get(field.name) for field in fields(cls)})


def best_entries(pool: Iterable[PoolEntry], count: int) -> list[PoolEntry]:
    """The `count` sampled prompts of highest mean score, highest first."""
    means = [(entry.mean, entry) for entry in pool]
    ranked = sorted(((mean, entry) for mean, entry in means if mean is not None), key=lambda pair: -pair[0])
    return [entry for _, entry in ranked[:count]]


def draw_examples(pool: Sequence[PoolEntry], count: int, temperature: float, seed: int) -> list[PoolEntry]:
    """Few-shot examples: drawn without replacement with probability proportional to exp(score / temperature).

    arXiv 2202.03286, section 3.1. Fewer than `count` where the pool has no more that may be drawn.
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
        raise CorpusError(f"{path}: holds no prompts.")
    return entries
