"""Generation scenarios: what the model is prompted with, and how many samples are drawn."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from phf.errors import ConfigError
from phf.registry.names import did_you_mean
from phf.sampling.prompts import read_prompts
from phf.tokens.document_start import document_start
from phf.tokens.tokenizer import encode_plain


@dataclass(frozen=True, kw_only=True)
class GenerationScenario:
    """One way of generating samples, with the keys of the released system."""

    name: str
    """Names the scenario's numbers and its file of samples."""
    num_samples: int = 32
    """Exactly this many samples."""
    prompts_path: str | None = None
    """Where prompts come from: a JSON Lines or Parquet file, a saved or Hub dataset such as
    `allenai/real-toxicity-prompts`, a set that ships with `phf` (`phf:toxicity`, ...), or `python-stdlib` for function
    headers of the running interpreter's standard library. Taken in order, again from the start when they run out."""
    prompts_column: str = "text"
    """Column with the prompt; `prompt.text` is the field `text` of the column `prompt`."""
    prompts_where: dict[str, Any] = field(default_factory=dict)
    """Only the records with these values, such as `{challenging: true}`."""
    samples_per_prompt: int = 1
    """Samples in a row of the same prompt. 25 and more give the expected maximum over 25 and the probability of a hit
    among 25 (RealToxicityPrompts, arXiv 2009.11462), of the first num_samples / samples_per_prompt prompts."""
    prefix: str | None = None
    """Control token that stands behind the document start (EOS or BOS) and in front of the prompt."""
    generate_kwargs: dict[str, Any] = field(default_factory=dict)
    """Arguments of `generate`; `max_length` counts document start, prefix and prompt."""
    guidance_scale: float | None = None
    """Classifier-free guidance from the other control token towards `prefix`: 1 is plain sampling, more steers harder."""
    best_of: int = 1
    """Draw so many candidates for each sample and keep the one that the model's value head likes best."""
    num_hits_threshold: float = 0.5
    """A sample is a hit if its score is greater."""
    use_prompt_for_scoring: bool = False
    """Score prompt + continuation instead of the continuation."""
    scorers: list[dict[str, Any]] = field(default_factory=list)
    """More scorers, each `class_name` and settings: one that the training data was not scored by is held out, and
    shows whether the model learned the preference or the scorer."""
    prompt_before_control: bool = False
    """Released key. Whatever it says, the control token comes first: so did the released code where it was true, and
    where it was false the model was prompted as it was never trained."""
    display_as_html: bool = False
    """Released key, without effect."""
    token_type_id: int | None = None
    """Released key, without effect."""

    def __post_init__(self) -> None:
        if not self.name.isprintable() or self.name.startswith(".") or set(self.name) & set("/\\") or not self.name:
            raise ConfigError(
                f"Scenario {self.name!r}: its name becomes a file name, so it cannot have / or begin with a dot."
            )
        for key in ("num_samples", "samples_per_prompt", "best_of"):
            if getattr(self, key) < 1:
                raise ConfigError(f"Scenario '{self.name}': {key} is {getattr(self, key)}; it must be at least 1.")
        if self.guidance_scale is not None and not 0 <= self.guidance_scale < math.inf:
            raise ConfigError(
                f"Scenario '{self.name}': guidance_scale is {self.guidance_scale}; it must be a number, 0 or more."
            )

    def prompts(self) -> list[str]:
        """The prompt of each sample, `num_samples` of them; empty strings without a prompts file."""
        if self.prompts_path is None:
            return [""] * self.num_samples
        prompts = read_prompts(self.prompts_path, self.prompts_column, self.prompts_where)
        return [prompts[i // self.samples_per_prompt % len(prompts)] for i in range(self.num_samples)]

    def prompt_ids(self, tokenizer: Any, prompts: list[str]) -> list[list[int]]:
        """Start, control token and prompt of each sample as ids; the prompt is encoded as text only."""
        start = self.start_ids(tokenizer)
        return [start + ids.tolist() for ids in encode_plain(tokenizer, prompts)]

    def start_ids(self, tokenizer: Any) -> list[int]:
        """What each sample begins with: the tokenizer's document start and the control token, if there is one."""
        control = [control_token_id(tokenizer, self.prefix, self.name)] if self.prefix else []
        return document_start(tokenizer) + control


def build_scenario(config: Mapping[str, Any]) -> GenerationScenario:
    """Build one item of `generation.scenario_configs`. Raises `ConfigError` naming the key."""
    known = {f.name: f.type for f in fields(GenerationScenario)}
    where = f"generation.scenario_configs, scenario '{config.get('name', '?')}'"
    for key in config:
        if key not in known:
            raise ConfigError(f"{where}: unknown key '{key}'. {did_you_mean(key, known)}")
    try:
        return TypeAdapter(GenerationScenario).validate_python(dict(config))
    except ValidationError as error:
        problem = error.errors()[0]
        own = problem.get("ctx", {}).get("error")
        if isinstance(own, ConfigError):
            raise own from None
        raise ConfigError(f"{where}: '{'.'.join(map(str, problem['loc']))}': {problem['msg']}.") from None


def control_token_id(tokenizer: Any, token: str, scenario: str) -> int:
    """Id of a control token; `ConfigError` if the tokenizer has no special token of that name."""
    special = {str(t): i for i, t in tokenizer.added_tokens_decoder.items() if t.special}
    if token not in special:
        raise ConfigError(
            f"Scenario '{scenario}': prefix {token!r} is not a special token of the model's tokenizer. "
            f"{did_you_mean(token, special)}"
        )
    return special[token]


def banned_control_ids(
    tokenizer: Any, control_tokens: Sequence[str] | None, prefix: str | None, tags_every_segment: bool, scenario: str
) -> list[int]:
    """Control tokens that must not be sampled, sorted: all but the one that a model may repeat before each segment.

    Args:
        control_tokens: of a conditional model; None for any other.
        prefix: what the scenario's prompts begin with.
        tags_every_segment: whether the model may repeat it.
        scenario: for errors.
    """
    banned = set(control_tokens or ())
    if tags_every_segment:
        banned.discard(prefix or "")
    return sorted(control_token_id(tokenizer, token, scenario) for token in banned)
