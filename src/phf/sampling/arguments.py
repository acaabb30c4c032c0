"""Types of the arguments of `generate`: transformers checks most of them only while it samples, after hours of training."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from phf.storage.shapes import Count, Number

Positive = Annotated[Number, Field(gt=0)]
AtLeastOne = Annotated[int, Field(ge=1, lt=2**31)]


class GenerateArguments(TypedDict, total=False):
    """Those of numbers and choices; others are left to transformers."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    do_sample: bool
    temperature: Number
    top_p: Number
    min_p: Number
    typical_p: Number
    top_h: Number
    epsilon_cutoff: Number
    eta_cutoff: Number
    repetition_penalty: Positive
    encoder_repetition_penalty: Positive
    length_penalty: Number
    penalty_alpha: Number
    guidance_scale: Number
    max_time: Positive
    no_repeat_ngram_size: Count
    encoder_no_repeat_ngram_size: Count
    num_beams: AtLeastOne
    prompt_lookup_num_tokens: AtLeastOne
    early_stopping: bool | Literal["never"]
    renormalize_logits: bool
    remove_invalid_values: bool
    use_cache: bool
    token_healing: bool
    low_memory: bool
    num_beam_groups: AtLeastOne
    diversity_penalty: Number
    forced_bos_token_id: Count
    forced_eos_token_id: Count | list[Count]
    begin_suppress_tokens: list[Count]
    exponential_decay_length_penalty: Annotated[list[Number], Field(min_length=2, max_length=2)]
    force_words_ids: list[Any]
    constraints: None
    watermarking_config: dict[str, Any]
