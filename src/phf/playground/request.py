"""What somebody asks of a playground, checked: nothing that a browser sends is trusted."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from phf.errors import ConfigError
from phf.models.context import context_of
from phf.playground.site import PlaygroundModel, Site
from phf.playground.ways import Way
from phf.sampling.scenarios import GenerationScenario
from phf.sampling.settings import check_lengths, sampling_config
from phf.tokens.tokenizer import encode_plain

MAX_COLUMNS = 8
MAX_PROMPT_CHARS = 20_000
MAX_NEW_TOKENS = 1024
MAX_TEMPERATURE, MAX_TOP_K, MAX_GUIDANCE, MAX_SEED = 2.0, 1000, 10.0, 2**31 - 1
DEFAULT_NEW_TOKENS = 100


class PromptScenario(GenerationScenario):
    """One sample of one prompt, which is given as a text."""

    text: str

    def prompts(self) -> list[str]:
        """The prompt."""
        return [self.text]


@dataclass(frozen=True)
class Column:
    """One of the texts side by side."""

    model: PlaygroundModel
    way: Way

    @property
    def title(self) -> str:
        return f"{self.model.name}: {self.way.label}"


@dataclass(frozen=True)
class Request:
    """A prompt, and how it is to be continued."""

    prompt: str
    columns: tuple[Column, ...]
    temperature: float
    """0: always the likeliest token."""
    top_p: float
    top_k: int
    """0: all tokens."""
    max_new_tokens: int
    guidance_scale: float
    seed: int
    shortest: Mapping[str, int] = field(default_factory=dict)
    """`min_length` or `min_new_tokens` of the scenario of the run, where it has them."""
    scores_prompt: bool = False
    """Whether the scored text begins with the prompt."""

    def generate_kwargs(self) -> dict[str, Any]:
        """The arguments of `generate`, as a scenario has them."""
        kwargs: dict[str, Any] = {"do_sample": self.temperature > 0, "max_new_tokens": self.max_new_tokens}
        kwargs |= self.shortest
        if self.temperature > 0:
            kwargs |= {"temperature": self.temperature, "top_p": self.top_p, "top_k": self.top_k}
        return kwargs

    def scenario(self, column: Column) -> PromptScenario:
        """What samples the text of a column."""
        return PromptScenario(
            name="playground",
            text=self.prompt,
            num_samples=1,
            prefix=column.way.prefix,
            generate_kwargs=self.generate_kwargs(),
            guidance_scale=column.way.scale(self.guidance_scale),
            use_prompt_for_scoring=self.scores_prompt,
        )


def read_request(site: Site, values: dict[str, Any]) -> Request:
    """The request that `values`, name -> what a browser sent, stand for.

    Raises `ConfigError`, which says what is wrong and what is possible, for anything that cannot be sampled.
    """
    prompt = values.get("prompt")
    if not isinstance(prompt, str):
        raise ConfigError("The prompt must be text.")
    if len(prompt) > MAX_PROMPT_CHARS:
        raise ConfigError(f"The prompt has {len(prompt):,} characters; {MAX_PROMPT_CHARS:,} are possible. Shorten it.")
    try:
        prompt.encode()
    except UnicodeEncodeError:
        raise ConfigError("The prompt contains half of a character (a lone surrogate). Type it again.") from None
    request = Request(
        prompt=prompt.replace("\r\n", "\n"),
        columns=_columns(site, values.get("columns")),
        temperature=_number(values, "temperature", 0, MAX_TEMPERATURE),
        top_p=_number(values, "top_p", 0.01, 1),
        top_k=int(_number(values, "top_k", 0, MAX_TOP_K, whole=True)),
        max_new_tokens=int(_number(values, "max_new_tokens", 1, most_new_tokens(site), whole=True)),
        guidance_scale=_number(values, "guidance_scale", 0, MAX_GUIDANCE),
        seed=int(_number(values, "seed", 0, MAX_SEED, whole=True)),
        shortest={key: value for key, value in site.scenario.generate_kwargs.items() if key.startswith("min_")},
        scores_prompt=site.scenario.use_prompt_for_scoring,
    )
    for column in request.columns:
        _check_fits(request, column)
    return request


def most_new_tokens(site: Site) -> int:
    """The greatest number of tokens that can be asked for: less than every model's context."""
    contexts = [context - 2 for model in site.models if (context := context_of(model.lm.config)) is not None]
    return max(1, min([MAX_NEW_TOKENS, *contexts]))


def default_new_tokens(site: Site) -> int:
    """The number of tokens that the page begins with: that of the run, as far as it leaves half of the context to a prompt."""
    own = site.scenario.generate_kwargs
    wanted = own.get("max_new_tokens") or own.get("max_length") or DEFAULT_NEW_TOKENS
    return max(1, min(wanted, most_new_tokens(site) // 2))


def _columns(site: Site, keys: Any) -> tuple[Column, ...]:
    known = site.columns()
    if not isinstance(keys, Sequence) or isinstance(keys, str) or not all(isinstance(key, str) for key in keys):
        raise ConfigError("Columns must be a list of names.")
    chosen = [Column(*known[key]) for key in dict.fromkeys(keys) if key in known]
    if any(key not in known for key in keys):
        raise ConfigError("A column does not exist. Load the page again.")
    if not chosen:
        raise ConfigError("No column is chosen. Choose at least one way to continue the prompt.")
    if len(chosen) > MAX_COLUMNS:
        raise ConfigError(f"{len(chosen)} columns are chosen; {MAX_COLUMNS} are possible at once. Choose fewer.")
    return tuple(chosen)


def _number(values: dict[str, Any], name: str, low: float, high: float, *, whole: bool = False) -> float:
    value, what = values.get(name), name.replace("_", " ")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        shown, is_possible = "not a number", False
    else:
        shown, is_possible = f"{value:g}", low <= value <= high and (not whole or value == int(value))
    if not is_possible:
        kind = "a whole number from" if whole else "from"
        raise ConfigError(f"The {what} is {shown}; it must be {kind} {low:g} to {high:,.10g}.")
    assert isinstance(value, (int, float))
    return float(value)


def _check_fits(request: Request, column: Column) -> None:
    """Raises `ConfigError` if prompt and continuation do not fit the model's context."""
    model, scenario = column.model, request.scenario(column)
    (prompt_ids,) = scenario.prompt_ids(model.tokenizer, [request.prompt])
    context = context_of(model.lm.config)
    if context is not None and len(prompt_ids) + request.max_new_tokens > context:
        (own_ids,) = encode_plain(model.tokenizer, [request.prompt])
        raise ConfigError(
            f"{model.name} has a context of {context} tokens: the prompt is {len(own_ids)} tokens, and up to "
            f"{request.max_new_tokens} are to be added. Shorten the prompt, or lower the number of new tokens."
        )
    check_lengths(scenario, sampling_config(scenario, model.tokenizer, (), model.lm), [prompt_ids], model.lm)
