"""Scoring samples, and the resulting numbers and files.

Processes share the scoring: a scorer judges texts independently of each other, so it does not matter which process scores
them. Rounding errors of a scorer with a model depend on the texts it is given at once, so these are the same for any number
of processes. The main process makes the numbers, which need all samples, and writes.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, TypeVar

from phf.config import GenerationConfig, ScenarioConfig
from phf.corpus.segmenting.segment import segment
from phf.errors import ConfigError
from phf.evaluation.generation.maxima import GROUP, group_maxima
from phf.evaluation.generation.metrics import Metric, build_metric
from phf.feedback import Prompting
from phf.models.value_head import ValueHead
from phf.runs.writer import RunWriter
from phf.sampling.division import ALONE, Division
from phf.sampling.generate import Samples, generate_samples
from phf.sampling.scenarios import GenerationScenario, build_scenario
from phf.sampling.settings import check_lengths, check_steering, sampling_config
from phf.scorers import Scorer, build_scorer, checked_scores
from phf.scorers.spans import Span
from phf.statistics import UNBOUNDED, Interval, mean_interval
from phf.workers.activity import activity

T = TypeVar("T")
R = TypeVar("R")
SCORED_AT_ONCE = 128
"""Samples that a process passes to a scorer at once: few enough to be shared, and two full batches of a model on a GPU."""


@dataclass(frozen=True)
class ScoredSamples:
    """Samples with their scores (None if unscored) and, for display, the scores of their segments."""

    samples: Samples
    scores: list[float | None]
    segments: list[list[str]]
    segment_scores: list[list[float | None]]
    segment_spans: list[list[list[Span]]] | None = None
    """Detections of the scorer in each segment, for display; None if not requested."""

    @property
    def texts(self) -> list[str]:
        """The scored texts: the continuations, preceded by their prompts if the scenario says so."""
        return ["".join(parts) for parts in self.segments]


class Evaluator:
    """The generation scenarios of a task, ready to run on any model."""

    def __init__(self, config: GenerationConfig, prompting: Prompting, seed: int) -> None:
        self.scorer: Scorer = build_scorer(config.scorer_config)
        self.metrics: list[Metric] = [build_metric(metric) for metric in config.metrics_configs]
        self.prompting = prompting.preferring(config.prefer)
        self.scenarios = [build_scenario(self._started(scenario)) for scenario in config.scenario_configs]
        names = [scenario.name for scenario in self.scenarios]
        self.more_scorers = {
            scenario.name: [
                build_scorer(
                    section, where=f"generation.scenario_configs, scenario '{scenario.name}': scorers.{number}"
                )
                for number, section in enumerate(scenario.scorers)
            ]
            for scenario in self.scenarios
        }
        for scenario in self.scenarios:
            if names.count(scenario.name) > 1:
                raise ConfigError(f"generation.scenario_configs: two scenarios are called '{scenario.name}'.")
            scenario.prompts()  # a missing file should be found now, not after training
            sampling_config(scenario)
            scenario.check_repetition()
        self.batch_size = config.batch_size
        self.seed = seed

    def _started(self, scenario: ScenarioConfig) -> ScenarioConfig:
        """A scenario that says nothing about control tokens starts from those that are preferred."""
        if scenario.prefix is not None or self.prompting.preferred is None:
            return scenario
        return scenario.model_copy(update={"prefix": self.prompting.preferred})

    def check(self, model: Any, tokenizer: Any, value_head: ValueHead | None = None) -> None:
        """Raises `ConfigError` for a scenario whose prefix this tokenizer lacks, whose samples this model cannot hold, or
        whose guidance or best_of lacks what it needs."""
        for scenario in self.scenarios:
            config = sampling_config(scenario, tokenizer, self.banned_ids(tokenizer, scenario))
            check_lengths(scenario, config, scenario.prompt_ids(tokenizer, scenario.prompts()), model)
            check_steering(scenario, model, self.negative_prefix(scenario), value_head)

    def run(
        self,
        model: Any,
        tokenizer: Any,
        output: RunWriter,
        step: int,
        value_head: ValueHead | None = None,
        division: Division = ALONE,
    ) -> dict[str, float]:
        """Run every scenario; adds to the samples in the run folder and returns `generation/<scenario>/...` numbers.

        `division`: the processes that share sampling and scoring; the main one writes, and each gets the numbers.
        """
        logs: dict[str, float] = {}
        for scenario in self.scenarios:
            samples = generate_samples(
                model,
                tokenizer,
                scenario,
                seed=self.seed,
                batch_size=self.batch_size,
                banned_token_ids=self.banned_ids(tokenizer, scenario),
                negative_prefix=self.negative_prefix(scenario),
                value_head=value_head,
                division=division,
            )
            scored = score_samples(samples, self.scorer, scenario, division)
            more = [
                (scorer, score_shared(scored.texts, scorer, scenario, division))
                for scorer in self.more_scorers[scenario.name]
            ]
            write = partial(self._write, scenario, scored, more, output, step)
            logs |= {f"generation/{scenario.name}/{key}": value for key, value in division.from_main(write).items()}
        return logs

    def _write(
        self,
        scenario: GenerationScenario,
        scored: "ScoredSamples",
        more: Sequence[tuple[Scorer, list[float | None]]],
        output: RunWriter,
        step: int,
    ) -> dict[str, float]:
        """Write the samples; returns their numbers."""
        output.write_samples(scenario.name, step, sample_lines(scored))
        with activity(f"measuring the samples of '{scenario.name}'"):
            numbers = scenario_logs(scored, scenario, self.metrics, self.scorer.score_bounds)
        for scorer, scores in more:
            logs = score_logs(scored.samples.prompts, scores, scenario.num_hits_threshold, scorer.score_bounds)
            numbers |= {f"{scorer.name}/{key}": value for key, value in logs.items()}
        return numbers

    def banned_ids(self, tokenizer: Any, scenario: GenerationScenario) -> list[int]:
        """Control tokens that must not be sampled: all but those that a model may repeat before each segment."""
        return self.prompting.banned_ids(tokenizer, scenario.prefix)

    def negative_prefix(self, scenario: GenerationScenario) -> str | None:
        """The control token that guidance steers away from; None without another one."""
        return self.prompting.away_from(scenario.prefix)


def score_samples(
    samples: Samples, scorer: Scorer, scenario: GenerationScenario, division: Division = ALONE
) -> ScoredSamples:
    """Score each continuation, preceded by its prompt if the scenario says so, and its segments.

    `division`: the processes that share the scoring; each gets all scores.
    """
    texts = samples.continuations
    if scenario.use_prompt_for_scoring:
        texts = [prompt + text for prompt, text in zip(samples.prompts, texts, strict=True)]
    documents = [segment(text, scorer.segmenter) for text in texts]
    scores = score_shared(texts, scorer, scenario, division)

    def judge(segments: list[list[str]]) -> list[tuple[list[float | None], list[list[Span]]]]:
        return list(zip(score_segments(scorer, segments), scorer.documents_spans(segments), strict=True))

    what = f"scoring the segments of '{scenario.name}' by {scorer.name}"
    judged = _shared(judge, documents, what, scorer, division)
    segment_scores, spans = [scores for scores, _ in judged], [spans for _, spans in judged]
    return ScoredSamples(samples, scores, documents, segment_scores, spans)


def score_shared(
    texts: list[str], scorer: Scorer, scenario: GenerationScenario, division: Division
) -> list[float | None]:
    """Scores of independent texts, which processes share; each gets all scores."""

    def score(part: list[str]) -> list[float | None]:
        return checked_scores(scorer, scorer.score_texts(part), len(part))

    what = f"scoring the samples of '{scenario.name}' by {scorer.name}"
    return _shared(score, texts, what, scorer, division)


def _shared(
    work: Callable[[list[T]], list[R]], items: list[T], what: str, scorer: Scorer, division: Division
) -> list[R]:
    """The results of all items, of which `work` is given a part at a time.

    A scorer on a device that was chosen by number is used by the main process alone: a GPU might not have room for the
    scorers of all.
    """
    parts = [items[start : start + SCORED_AT_ONCE] for start in range(0, len(items), SCORED_AT_ONCE)]
    if ":" in str(getattr(scorer, "device", "")):
        return list(chain(*division.from_main(lambda: ALONE.map(work, parts, what, len))))
    return list(chain(*division.map(work, parts, what, len)))


def score_segments(scorer: Scorer, documents: Sequence[list[str]]) -> list[list[float | None]]:
    """Scores of the segments of each document, in one call; an empty document has none."""
    present = [segments for segments in documents if segments]
    present_scores = iter(scorer.score_documents(present) if present else [])
    return [checked_scores(scorer, next(present_scores), len(segments)) if segments else [] for segments in documents]


def scenario_logs(
    scored: ScoredSamples,
    scenario: GenerationScenario,
    metrics: Sequence[Metric],
    bounds: tuple[float, float] = UNBOUNDED,
) -> dict[str, float]:
    """The numbers of one scenario: those of its scores, samples per second, and of each metric over the continuations."""
    logs = score_logs(scored.samples.prompts, scored.scores, scenario.num_hits_threshold, bounds)
    logs["samples_per_second"] = len(scored.scores) / scored.samples.seconds
    for metric in metrics:
        logs |= metric(scored.samples.continuations)
    return logs


def score_logs(
    prompts: list[str],
    scores: Sequence[float | None],
    threshold: float,
    bounds: tuple[float, float] = UNBOUNDED,
) -> dict[str, float]:
    """The numbers of one scorer for the samples of a scenario.

    `score`: mean over scored samples; `num_hits`: share with score > threshold. Over groups of 25 scored samples of the
    same prompt (all samples are one prompt's in an unprompted scenario; NaN if no prompt has 25): `score_max@25`, mean
    of their maxima, and `hit_probability@25`, share with at least one hit (RealToxicityPrompts, arXiv 2009.11462). Each
    with its 95% interval `_low`, `_high`, clustered by prompt. `score_max`: largest score.

    `bounds`: the lowest and the highest possible score.
    """
    scored = [(prompt, score) for prompt, score in zip(prompts, scores, strict=True) if score is not None]
    of_prompts, known = [prompt for prompt, _ in scored], [score for _, score in scored]
    groups = group_maxima(prompts, scores)
    of_groups, maxima = [prompt for prompt, _ in groups], [maximum for _, maximum in groups]
    hits, group_hits = [[float(score > threshold) for score in of_kind] for of_kind in (known, maxima)]
    return {
        **_named("score", mean_interval(known, of_prompts, bounds)),
        "score_max": max(known, default=math.nan),
        **_named(f"score_max@{GROUP}", mean_interval(maxima, of_groups, bounds)),
        **_named(f"hit_probability@{GROUP}", mean_interval(group_hits, of_groups, (0.0, 1.0))),
        **_named("num_hits", mean_interval(hits, of_prompts, (0.0, 1.0))),
        "num_samples": len(scores),
        "num_unscored": len(scores) - len(known),
    }


def _named(key: str, interval: Interval) -> dict[str, float]:
    return {key: interval.mean, f"{key}_low": interval.low, f"{key}_high": interval.high}


def sample_lines(scored: ScoredSamples) -> Iterator[dict[str, Any]]:
    """Each sample as `phf.runs.writer.RunWriter.write_samples` wants it."""
    for prompt, continuation, score, segments, segment_scores, spans in zip(
        scored.samples.prompts,
        scored.samples.continuations,
        scored.scores,
        scored.segments,
        scored.segment_scores,
        scored.segment_spans or [[]] * len(scored.scores),
        strict=True,
    ):
        line = {
            "prompt": prompt,
            "continuation": continuation,
            "score": score,
            "segments": segments,
            "segment_scores": segment_scores,
        }
        yield line | (
            {"segment_spans": [[s._asdict() for s in of_segment] for of_segment in spans]} if any(spans) else {}
        )
