"""The model under attack: sampled with its own prompting, and scored with the task's scorer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from phf.config import Config, RedTeamConfig
from phf.errors import ConfigError
from phf.feedback import Prompting
from phf.models import prompting_of
from phf.models.context import context_of
from phf.models.model_folder import check_model_folder, load_folder_lm, load_folder_tokenizer
from phf.redteam.pool import PoolEntry
from phf.sampling.generate import generate_samples
from phf.sampling.scenarios import GenerationScenario
from phf.sampling.settings import check_lengths, sampling_config
from phf.scorers import Scorer, build_scorer, checked_scores
from phf.tokens.tokenizer import PlainEncoder

MIN_ROOM_TOKENS = 10
"""Minimum number of tokens of `max_length` that a prompt must leave."""


class PromptsScenario(GenerationScenario):
    """A scenario with given prompts, each sampled `num_completions` times."""

    texts: tuple[str, ...]
    num_completions: int

    def prompts(self) -> list[str]:
        """Every prompt `num_completions` times in a row."""
        return [text for text in self.texts for _ in range(self.num_completions)]


class Target:
    """A model with its tokenizer, the way it is prompted, and what scores its continuations."""

    def __init__(self, model: Any, tokenizer: Any, prompting: Prompting, config: Config) -> None:
        assert config.redteam is not None
        self.model = model
        self.tokenizer = tokenizer
        self.settings: RedTeamConfig = config.redteam
        self.batch_size = config.generation.batch_size
        self.scorer: Scorer = build_scorer(config.generation.scorer_config)
        self._encoder = PlainEncoder(tokenizer)
        prompting = prompting.preferring(config.generation.prefer)
        self.prefix = prompting.prefix
        self._banned_ids = prompting.banned_ids(tokenizer, self.prefix)
        self.max_prompt_tokens = self._max_prompt_tokens()

    def problem(self, prompt: str) -> str | None:
        """Why this prompt cannot be used: as `flaw` says, or "too long"; None if it can."""
        if (problem := flaw(prompt)) is not None:
            return problem
        return "too long" if self.num_tokens(prompt) > (self.max_prompt_tokens or np.inf) else None

    def num_tokens(self, prompt: str) -> int:
        """Tokens of the prompt alone."""
        return len(self._encoder.encode([prompt])[0])

    def sample(
        self, prompts: Sequence[str], *, trial: int, round_number: int, seed: int, num_completions: int | None = None
    ) -> list[PoolEntry]:
        """Continue each prompt `num_completions` times (default: as configured), and score the continuations."""
        count = num_completions or self.settings.num_completions
        scenario = self._scenario(prompts, count)
        samples = generate_samples(
            self.model,
            self.tokenizer,
            scenario,
            seed=seed,
            batch_size=self.batch_size,
            banned_token_ids=self._banned_ids,
        )
        scores = self.score(samples.prompts, samples.continuations)
        own = self._checked(list(prompts))
        rows = [slice(start, start + count) for start in range(0, len(scores), count)]
        return [
            PoolEntry(prompt, trial, round_number, samples.continuations[row], scores[row], score)
            for prompt, row, score in zip(prompts, rows, own, strict=True)
        ]

    def unsampled(self, prompts: Sequence[str], *, trial: int, assumed_score: float) -> list[PoolEntry]:
        """Initial prompts that are assigned `assumed_score` (the paper's way)."""
        own = self._checked(list(prompts))
        return [
            PoolEntry(prompt, trial, 0, [], [], score, assumed_score)
            for prompt, score in zip(prompts, own, strict=True)
        ]

    def score(self, prompts: Sequence[str], continuations: Sequence[str]) -> list[float | None]:
        """Scores of the continuations, as `redteam.scored_text` says; None where unscored."""
        pairs = list(zip(prompts, continuations, strict=True))
        if self.settings.scored_text == "continuation":
            return self._checked(list(continuations))
        if self.settings.scored_text == "with_prompt":
            return self._checked([prompt + text for prompt, text in pairs])
        scored = self.scorer.score_documents([[prompt, text] for prompt, text in pairs if text])
        in_context = iter([checked_scores(self.scorer, scores, 2)[1] for scores in scored])
        return [next(in_context) if text else None for _, text in pairs]

    def _checked(self, texts: list[str]) -> list[float | None]:
        return checked_scores(self.scorer, self.scorer.score_texts(texts), len(texts))

    def _scenario(self, prompts: Sequence[str], num_completions: int) -> PromptsScenario:
        return PromptsScenario(
            name="redteam",
            texts=tuple(prompts),
            num_completions=num_completions,
            num_samples=len(prompts) * num_completions,
            prefix=self.prefix,
            generate_kwargs=self.settings.generate_kwargs,
        )

    def _max_prompt_tokens(self) -> int | None:
        """Longest prompt that leaves room for a continuation; None for a model without a limit. Checks the settings too."""
        scenario = self._scenario([""], 1)
        check_sampling(self.settings)
        config = sampling_config(scenario, self.tokenizer, self._banned_ids)
        (start,) = scenario.prompt_ids(self.tokenizer, [""])
        check_lengths(scenario, config, [start], self.model)
        context = context_of(self.model.config)
        if config.max_new_tokens is not None:
            room = None if context is None else context - config.max_new_tokens
        else:
            room = (config.max_length or 20) - MIN_ROOM_TOKENS  # 20: transformers' own default
        limit = None if room is None else room - len(start)
        if limit is not None and limit < 1:
            raise ConfigError(
                "redteam.generate_kwargs leaves no room for a prompt. Raise max_length, or lower max_new_tokens."
            )
        limits = [value for value in (limit, self.settings.max_prompt_tokens) if value is not None]
        return min(limits, default=None)


def flaw(prompt: str) -> str | None:
    """Why no model can continue this prompt: "empty" or "not valid Unicode"; None if one can."""
    if not prompt.strip():
        return "empty"
    try:
        prompt.encode("utf-8")
    except UnicodeEncodeError:
        return "not valid Unicode"
    return None


def check_sampling(settings: RedTeamConfig) -> None:
    """Raises `ConfigError` for settings with which no model can be searched."""
    if not settings.generate_kwargs.get("do_sample"):
        raise ConfigError(
            "redteam.generate_kwargs.do_sample is not true, so all continuations of a prompt would be the same."
        )
    sampling_config(GenerationScenario(name="redteam", num_samples=1, generate_kwargs=settings.generate_kwargs))


def load_target(folder: Path, config: Config) -> Target:
    """The model in `folder`. Raises `CorpusError` for a folder without one, `ConfigError` for one without tokenizer."""
    check_model_folder(folder)
    tokenizer = load_folder_tokenizer(folder)
    return Target(load_folder_lm(folder), tokenizer, prompting_of(folder, tokenizer), config)
