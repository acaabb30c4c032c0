"""The samples of a round: drawn from the model, scored like the training data, and those that can be trained on."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from phf.annotate.runner import annotate
from phf.corpus.dataset import read_annotated
from phf.corpus.manifest import Manifest
from phf.corpus.sources.documents import AnnotatedDocument
from phf.errors import CorpusError
from phf.evaluation.generation.evaluator import Evaluator
from phf.evaluation.model_evaluation import ModelEvaluation
from phf.feedback import Method
from phf.sampling.generate import generate_samples
from phf.sampling.scenarios import GenerationScenario
from phf.sampling.settings import check_lengths, sampling_config
from phf.statistics import Interval, mean_interval
from phf.storage.files import write_text_atomic
from phf.storage.hashing import hash64
from phf.storage.reading import read_json_lines_as

EMPTY, UNSCORED, FILTERED = "empty", "not scored", "filtered out by the method"
"""Why a sample is left out."""


@dataclass(frozen=True)
class Usable:
    """The samples of a round that are trained on, and what became of the others."""

    documents: list[AnnotatedDocument]
    left_out: dict[str, int]
    """Reason -> number of samples."""
    score: Interval
    """Mean score of the segments of a sample, over the scored samples, trained on or filtered out."""


def from_own_distribution(scenario: GenerationScenario, count: int, temperature: float) -> GenerationScenario:
    """The scenario's prompts and lengths, sampled `count` times from the model's whole distribution.

    Trained on samples of a lower temperature or a nucleus, a model becomes sharper with every round until it repeats itself.
    """
    lengths = {key: value for key, value in scenario.generate_kwargs.items() if key in ("max_length", "max_new_tokens")}
    drawn = {"do_sample": True, "temperature": temperature, "top_p": 1.0, "top_k": 0}
    update = {"num_samples": count, "generate_kwargs": {**lengths, **drawn}, "guidance_scale": None, "best_of": 1}
    return scenario.model_copy(update=update)


def check_drawn(evaluator: Evaluator, scenario: GenerationScenario, tokenizer: Any, lm: Any) -> None:
    """Raises `ConfigError` for settings or lengths of the scenario that do not fit the model."""
    config = sampling_config(scenario, tokenizer, evaluator.banned_ids(tokenizer, scenario), lm)
    check_lengths(scenario, config, scenario.prompt_ids(tokenizer, scenario.prompts()), lm)


def draw(model: ModelEvaluation, scenario: GenerationScenario, seed: int, prefix: str, path: Path) -> None:
    """Write the samples of the scenario as JSON Lines: id, text (prompt and continuation), prompt, is_ended.

    `seed`: of the round; `prefix`: what ids begin with.
    """
    evaluator, tokenizer = model.evaluator, model.tokenizer
    check_drawn(evaluator, scenario, tokenizer, model.lm)
    samples = generate_samples(
        model.lm,
        tokenizer,
        scenario,
        seed=hash64("refresh", seed) >> 1,
        batch_size=evaluator.batch_size,
        banned_token_ids=evaluator.banned_ids(tokenizer, scenario),
    )
    rows = zip(samples.prompts, samples.continuations, samples.are_ended, strict=True)
    lines = [
        {"id": f"{prefix}-{number:06d}", "text": prompt + continuation, "prompt": prompt, "is_ended": is_ended}
        for number, (prompt, continuation, is_ended) in enumerate(rows, start=1)
    ]
    write_text_atomic(path, "".join(json.dumps(line) + "\n" for line in lines))


def count_ended(path: Path) -> tuple[int, int]:
    """(samples, those that the model ended itself) in a file that `draw` wrote."""
    lines = [line for _, line in read_json_lines_as(dict[str, Any], path, CorpusError)]
    return len(lines), sum(bool(line.get("is_ended")) for line in lines)


def score(path: Path, scorer_config: dict[str, Any], segmenter: str, folder: Path) -> Manifest:
    """Score the samples in `path` segment by segment, into an annotated dataset, as the training data was."""
    return annotate([str(path)], scorer_config, segmenter, folder)


def usable(folder: Path, method: Method, bounds: tuple[float, float]) -> Usable:
    """The scored samples in `folder` that the method trains on.

    A sample with a segment that the scorer cannot score is left out as a whole: what the model should make of it is not
    known, and without that segment it would be another text. `bounds`: of the scorer.
    """
    left_out: Counter[str] = Counter()
    scored: list[AnnotatedDocument] = []
    for document in read_annotated(str(folder)):
        if not "".join(document.texts).strip():
            left_out[EMPTY] += 1
        elif None in document.scores:
            left_out[UNSCORED] += 1
        else:
            scored.append(document)
    averages = np.array([document.avg_score for document in scored], np.float32)
    keeps = method.keeps(averages) if scored else np.zeros(0, bool)
    if num_filtered := int((~keeps).sum()):
        left_out[FILTERED] = num_filtered
    kept = [document for document, is_kept in zip(scored, keeps, strict=True) if is_kept]
    return Usable(kept, dict(left_out), mean_interval(averages.tolist(), bounds=bounds))


def no_samples(left_out: dict[str, int], reasons: Sequence[str]) -> CorpusError:
    """The error for a round without a sample to train on; `reasons`: of the scorer."""
    counts = ", ".join(f"{reason} {count:,}" for reason, count in left_out.items())
    why = f" The scorer's reasons: {', '.join(reasons)}." if reasons else ""
    return CorpusError(
        f"None of the samples of this round can be trained on: {counts}.{why} The rounds before it are kept; draw more "
        "--samples, or sample another --scenario."
    )
