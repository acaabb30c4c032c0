"""Scoring samples, and the numbers and files that come of it."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from phf.config import ConditionalTrainingConfig, GenerationConfig
from phf.data.files import atomic_write
from phf.data.segment import segment
from phf.errors import ConfigError, OutputError
from phf.evaluation.bootstrap import bootstrap_interval
from phf.evaluation.generate import Samples, check_lengths, generate_samples, sampling_config
from phf.evaluation.metrics import Metric, build_metric
from phf.evaluation.scenarios import GenerationScenario, build_scenario, control_token_id
from phf.scorers import Scorer, build_scorer, checked_scores

GROUP = 25
"""Size of the groups of `score_max@25`, as in RealToxicityPrompts."""


@dataclass(frozen=True)
class ScoredSamples:
    """Samples with their scores (None where unscored) and, for showing, the scores of their segments."""

    samples: Samples
    scores: list[float | None]
    segments: list[list[str]]
    segment_scores: list[list[float | None]]


class Evaluator:
    """The generation scenarios of a task, ready to run on any model."""

    def __init__(self, config: GenerationConfig, conditional: ConditionalTrainingConfig | None, seed: int) -> None:
        self.scorer: Scorer = build_scorer(config.scorer_config)
        self.metrics: list[Metric] = [build_metric(metric) for metric in config.metrics_configs]
        self.scenarios = [build_scenario(scenario) for scenario in config.scenario_configs]
        names = [scenario.name for scenario in self.scenarios]
        for scenario in self.scenarios:
            if names.count(scenario.name) > 1:
                raise ConfigError(f"generation.scenario_configs: two scenarios are called '{scenario.name}'.")
            scenario.prompts()  # a missing file is better found now than after training
            sampling_config(scenario)
        self.batch_size = config.batch_size
        self.conditional = conditional
        self.seed = seed

    def check(self, model: Any, tokenizer: Any) -> None:
        """Raises `ConfigError` for a scenario whose prefix this tokenizer lacks or whose samples this model cannot hold."""
        for scenario in self.scenarios:
            config = sampling_config(scenario, tokenizer, self.banned_ids(tokenizer, scenario))
            check_lengths(scenario, config, scenario.prompt_ids(tokenizer, scenario.prompts()), model)

    def run(self, model: Any, tokenizer: Any, samples_dir: Path, step: int) -> dict[str, float]:
        """Run every scenario; adds to `samples_dir/<scenario>.jsonl` and returns `generation/<scenario>/...` numbers."""
        logs: dict[str, float] = {}
        for scenario in self.scenarios:
            samples = generate_samples(
                model,
                tokenizer,
                scenario,
                seed=self.seed,
                batch_size=self.batch_size,
                banned_token_ids=self.banned_ids(tokenizer, scenario),
            )
            scored = score_samples(samples, self.scorer, scenario)
            write_samples(samples_dir / f"{scenario.name}.jsonl", step, scored)
            numbers = scenario_logs(scored, scenario, self.metrics)
            logs |= {f"generation/{scenario.name}/{key}": value for key, value in numbers.items()}
        return logs

    def banned_ids(self, tokenizer: Any, scenario: GenerationScenario) -> list[int]:
        """Control tokens that must not be sampled: all but the one a model may repeat before each segment."""
        if self.conditional is None:
            return []
        tokens = {self.conditional.aligned_prefix, self.conditional.misaligned_prefix}
        if self.conditional.tag_every_segment_when_sampling and scenario.prefix:
            tokens.discard(scenario.prefix)
        return sorted(control_token_id(tokenizer, token, scenario.name) for token in tokens)


def score_samples(samples: Samples, scorer: Scorer, scenario: GenerationScenario) -> ScoredSamples:
    """Score each continuation, with its prompt in front where the scenario says so."""
    texts = samples.continuations
    if scenario.use_prompt_for_scoring:
        texts = [prompt + text for prompt, text in zip(samples.prompts, texts, strict=True)]
    scores = checked_scores(scorer, scorer.score_texts(texts), len(texts))
    segments = [segment(text, scorer.segmenter) for text in texts]
    segment_scores = [
        checked_scores(scorer, scorer.score_document(parts), len(parts)) if parts else [] for parts in segments
    ]
    return ScoredSamples(samples, scores, segments, segment_scores)


def scenario_logs(scored: ScoredSamples, scenario: GenerationScenario, metrics: Sequence[Metric]) -> dict[str, float]:
    """The numbers of one scenario.

    `score`: mean over scored samples, `score_low` and `score_high` its 95% bootstrap interval; `score_max`;
    `score_max@25`: mean over groups of 25 samples of the same prompt of their maximum (all samples are one prompt's in
    an unprompted scenario; NaN where no prompt has 25); `num_hits`: share with score > threshold.
    """
    scores = [score for score in scored.scores if score is not None]
    mean, low, high = bootstrap_interval(scores)
    logs = {
        "score": mean,
        "score_low": low,
        "score_high": high,
        "score_max": max(scores, default=math.nan),
        f"score_max@{GROUP}": expected_maximum(scored.samples.prompts, scored.scores),
        "num_hits": float(np.mean([score > scenario.num_hits_threshold for score in scores])) if scores else math.nan,
        "num_samples": len(scored.scores),
        "num_unscored": len(scored.scores) - len(scores),
        "samples_per_second": len(scored.scores) / scored.samples.seconds,
    }
    for metric in metrics:
        logs |= metric(scored.samples.continuations)
    return logs


def expected_maximum(prompts: list[str], scores: Sequence[float | None]) -> float:
    """Mean of the maxima over whole groups of 25 scored samples, each group from one prompt."""
    by_prompt: dict[str, list[float]] = {}
    for prompt, score in zip(prompts, scores, strict=True):
        if score is not None:
            by_prompt.setdefault(prompt, []).append(score)
    groups = [
        max(found[start : start + GROUP])
        for found in by_prompt.values()
        for start in range(0, len(found) - GROUP + 1, GROUP)
    ]
    return float(np.mean(groups)) if groups else math.nan


def write_samples(path: Path, step: int, scored: ScoredSamples) -> None:
    """Add one JSON object a sample, all of them or none, in place of those an interrupted evaluation left of this step."""
    lines = [
        json.dumps(
            {
                "step": step,
                "prompt": prompt,
                "continuation": continuation,
                "score": score,
                "segments": segments,
                "segment_scores": segment_scores,
            },
            ensure_ascii=True,
        )
        for prompt, continuation, score, segments, segment_scores in zip(
            scored.samples.prompts,
            scored.samples.continuations,
            scored.scores,
            scored.segments,
            scored.segment_scores,
            strict=True,
        )
    ]
    try:
        before = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    except OSError as error:
        raise OutputError(f"{path} cannot be read: {error.strerror}.") from error
    kept = [line for line in before if not line.startswith(f'{{"step": {step},')]
    with atomic_write(path) as partial:
        partial.write_text("".join([*kept, *(line + "\n" for line in lines)]), encoding="utf-8")
