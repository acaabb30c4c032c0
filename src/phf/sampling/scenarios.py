"""Generation scenarios: the prompts, and the number of samples."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from phf.config import ScenarioConfig
from phf.errors import ConfigError
from phf.registry.names import did_you_mean
from phf.sampling.prompts import read_prompts
from phf.storage.reading import short
from phf.tokens.document_start import prefix_ids
from phf.tokens.tokenizer import encode_plain


class GenerationScenario(ScenarioConfig):
    """A scenario that can be run: its prompts, as texts and as ids."""

    def prompts(self) -> list[str]:
        """The prompt of each sample, `num_samples` of them; empty strings without a prompts file."""
        if self.prompts_path is None:
            return [""] * self.num_samples
        prompts = self._read_prompts()
        return [prompts[i // self.samples_per_prompt % len(prompts)] for i in range(self.num_samples)]

    def check_repetition(self) -> None:
        """Raises `ConfigError` if a prompt would be continued several times without sampling, to equal samples that would
        all count."""
        if self.generate_kwargs.get("do_sample"):
            return
        num_prompts = 1 if self.prompts_path is None else len(self._read_prompts())
        num_distinct = min(num_prompts, -(-self.num_samples // self.samples_per_prompt))
        if num_distinct < self.num_samples:
            prompts = f"{num_distinct:,} prompt{'s'[: num_distinct != 1]}"
            raise ConfigError(
                f"Scenario '{self.name}': without sampling, a prompt has a single continuation, so the {self.num_samples:,} "
                f"samples of {prompts} would repeat it and count each time. Set generate_kwargs.do_sample: true, or "
                f"num_samples: {num_distinct}{' and samples_per_prompt: 1' if self.samples_per_prompt > 1 else ''}."
            )

    def prompt_ids(self, tokenizer: Any, prompts: list[str]) -> list[list[int]]:
        """Start, control token and prompt of each sample as ids; the prompt is encoded as text only."""
        start = self.start_ids(tokenizer)
        return [start + ids.tolist() for ids in encode_plain(tokenizer, prompts)]

    def start_ids(self, tokenizer: Any) -> list[int]:
        """The beginning of each sample: the tokenizer's document start and the control token, if there is one."""
        return prefix_ids(tokenizer, self.prefix, f"Scenario '{self.name}': prefix ")

    def _read_prompts(self) -> list[str]:
        assert self.prompts_path is not None
        return read_prompts(self.prompts_path, self.prompts_column, self.prompts_where)


def build_scenario(config: ScenarioConfig | Mapping[str, Any]) -> GenerationScenario:
    """A scenario of `generation.scenario_configs`, ready to run. Raises `ConfigError` naming the key."""
    values = config.model_dump(exclude_unset=True) if isinstance(config, ScenarioConfig) else dict(config)
    try:
        return GenerationScenario.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
    key = ".".join(map(str, problem["loc"]))
    where = f"generation.scenario_configs, scenario '{values.get('name', '?')}'"
    if problem["type"] == "extra_forbidden":
        raise ConfigError(f"{where}: unknown key '{key}'. {did_you_mean(key, ScenarioConfig.model_fields)}")
    if problem["type"] == "missing":
        raise ConfigError(f"{where}: '{key}' is missing.")
    raise ConfigError(f"{where}: '{key}' is {short(repr(problem['input']))}: {problem['msg']}.")
