"""The audited model: how it is prompted, and what it samples and continues, as ids."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from phf.audit.settings import AuditSettings, Room
from phf.errors import ConfigError
from phf.models.context import context_of
from phf.models.model_folder import (
    check_model_folder,
    load_folder_lm,
    load_folder_tokenizer,
)
from phf.models.prompting import prompting_of
from phf.sampling.generate import continue_ids
from phf.sampling.scenarios import GenerationScenario


class AuditedModel:
    """The model in `folder`, prompted as in evaluation: with its best control tokens, or with those that
    `prefer` asks for.

    Raises `CorpusError` for a folder without a model, `ConfigError` for a level that it was not trained with.
    """

    def __init__(self, folder: Path, settings: AuditSettings, prefer: str | None = None) -> None:
        check_model_folder(folder)
        self.folder = folder
        self.tokenizer: Any = load_folder_tokenizer(folder)
        own = prompting_of(folder, self.tokenizer)
        if prefer is not None and not own.control_tokens:
            raise ConfigError(f"--prefer {prefer}: {folder} has no control tokens. Leave it out.")
        self.prompting = own.preferring(prefer, "--prefer")
        self._settings = settings
        scenario = self._scenario("start", {})
        self.start: list[int] = scenario.start_ids(self.tokenizer)
        self._banned_ids = self.prompting.control_tokens.ids(self.tokenizer)
        recorded = self.prompting.threshold_for(settings.scores_column)
        self.threshold = recorded or 0.0 if settings.threshold is None else settings.threshold
        self.lm: Any = load_folder_lm(folder)
        self.room: Room = settings.room(context_of(self.lm.config), len(self.start))

    def sample(self) -> list[np.ndarray]:
        """int64 ids of `num_samples` samples without a prompt, control tokens and ends left out."""
        settings = self._settings
        scenario = self._scenario(
            "samples",
            {
                "do_sample": True,
                "max_new_tokens": self.room.sample,
                "temperature": settings.temperature,
                "top_p": settings.top_p,
                "top_k": 0,
            },
        )
        return self._continue(scenario, [self.start] * settings.num_samples)

    def continue_greedily(self, prefixes: Sequence[np.ndarray]) -> list[np.ndarray]:
        """int64 ids of the likeliest continuation of each prefix, token by token, of `room.span` tokens or fewer."""
        scenario = self._scenario("extraction", {"do_sample": False, "max_new_tokens": self.room.span})
        return self._continue(scenario, [self.start + prefix.tolist() for prefix in prefixes])

    def _continue(self, scenario: GenerationScenario, prompts: list[list[int]]) -> list[np.ndarray]:
        drawn = (
            continue_ids(
                self.lm,
                self.tokenizer,
                scenario,
                prompts,
                seed=self._settings.seed,
                batch_size=self._settings.batch_size,
                banned_token_ids=self._banned_ids,
            )
            if prompts
            else []
        )
        return [np.array(ids, np.int64) for ids in drawn]

    def _scenario(self, name: str, generate_kwargs: dict[str, Any]) -> GenerationScenario:
        return GenerationScenario(
            name=name, num_samples=1, prefix=self.prompting.prefix, generate_kwargs=generate_kwargs
        )
