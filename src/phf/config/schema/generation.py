"""The section `generation`: what is sampled, and how the samples are scored."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from phf.config.levels import request_of
from phf.config.schema.section import Section


def _file_name(name: str) -> str:
    if not name.isprintable() or name.startswith(".") or set(name) & set("/\\") or not name:
        raise PydanticCustomError(
            "file_name", "its name becomes a file name, so it cannot contain / or begin with a dot"
        )
    return name


FileName = Annotated[str, AfterValidator(_file_name)]
"""A name that becomes that of a file or folder."""
Levels = Annotated[str, BeforeValidator(request_of)]
"""Control tokens, or the levels of preferences that stand for them; see `phf.config.levels`."""


class ScenarioConfig(Section):
    """One way of generating samples, with the keys of the released system."""

    name: FileName
    """Names the scenario's numbers and its file of samples."""
    num_samples: int = Field(default=32, ge=1)
    """Exactly this many samples."""
    prompts_path: str | None = None
    """Source of prompts: a JSON Lines or Parquet file, a saved or Hub dataset such as
    `allenai/real-toxicity-prompts`, a set that ships with `phf` (`phf:toxicity`, ...), or `python-stdlib` for function
    headers of the running interpreter's standard library. Taken in order, again from the start when they run out."""
    prompts_column: str = "text"
    """Column with the prompt; `prompt.text` is the field `text` of the column `prompt`."""
    prompts_where: dict[str, Any] = {}
    """Only the records with these values, such as `{challenging: true}`."""
    samples_per_prompt: int = Field(default=1, ge=1)
    """Consecutive samples of the same prompt. 25 or more give the expected maximum over 25 and the probability of a hit
    among 25 (RealToxicityPrompts, arXiv 2009.11462), of the first num_samples / samples_per_prompt prompts."""
    prefix: Levels | None = None
    """Control token after the document start (EOS or BOS) and before the prompt; of several preferences, those of all, or a
    level of each (`{pep8: best, pii: worst}`). None: what `generation.prefer` says."""
    generate_kwargs: dict[str, Any] = {}
    """Arguments of `generate`; `max_length` counts document start, prefix and prompt."""
    guidance_scale: float | None = Field(default=None, ge=0)
    """Classifier-free guidance from the opposite control token towards `prefix`: 1 is plain sampling, more has more effect."""
    best_of: int = Field(default=1, ge=1)
    """Draw this many candidates for each sample and keep the one that the model's value head rates highest."""
    num_hits_threshold: float = 0.5
    """A sample is a hit if its score is greater."""
    use_prompt_for_scoring: bool = False
    """Score prompt + continuation instead of the continuation."""
    scorers: list[dict[str, Any]] = []
    """Additional scorers, each `class_name` and settings: one that did not score the training data is held out, and
    shows whether the model learned the preference or the scorer."""


class GenerationConfig(Section):
    """What is sampled from the model, and how the samples are scored."""

    scorer_config: dict[str, Any]
    """`class_name` and settings of the scorer; the same scorer annotates raw documents."""
    prefer: Levels | None = None
    """The level of each preference that texts start with: `{pep8: best, pii: 2}`, or `worst` for a model with one preference;
    `none` leaves the control token out. None: the best of each."""
    metrics_configs: list[dict[str, Any]] = []
    """Metrics over all samples of a scenario, each `class_name` and settings."""
    scenario_configs: list[ScenarioConfig] = []
    """Generation scenarios."""
    batch_size: int = Field(default=512, ge=1)
    """Samples generated at once."""
    every_n_steps: int = Field(default=1000, ge=1)
    """Generate at every step that is a multiple of this."""
    force_call_on: list[int] = []
    """Generate also at these steps."""
    run_on_train_start: bool = True
    """Generate before the first step."""
    run_on_train_end: bool = True
    """Generate after the last step."""
