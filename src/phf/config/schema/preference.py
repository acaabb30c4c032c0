"""One of several preferences of `dataset.conditioning.preferences`."""

from pydantic import ConfigDict, Field

from phf.config.schema.section import Section


class PreferenceConfig(Section):
    """Which control token a preference puts in front of a segment, by the scores of one scorer."""

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """What prompts call it: `--prefer NAME=best`."""
    scores_column: str = Field(min_length=1)
    """Column of an annotated dataset that holds its scores; by default `dataset.scores_column`."""
    class_name: str
    """What chooses its control tokens: `ScoreThresholds` with ascending `thresholds`, the default, or your own class; or,
    instead, `kind: quantiles` with `num_bins`. Other keys are its settings."""
    control_tokens: list[str] = Field(min_length=1)
    """Its control tokens, best first; by default `<|NAME-1|>`, `<|NAME-2|>` and so on."""
    drop_token_fraction: float = Field(ge=0.0, le=1.0)
    """Share of segments that do not get its control token, drawn apart from those of other preferences; by default that of the
    section."""
