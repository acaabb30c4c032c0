"""The section `kl_gpt3_callback`: KL from a reference LM."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from phf.config.levels import request_of
from phf.config.schema.section import Section


class KLReferenceConfig(Section):
    """The reference LM of the KL: a local one by `path_or_name`, or a served one by `base_url` and `model`."""

    path_or_name: str | None = None
    """Folder or Hub name of a causal LM."""
    revision: str | None = None
    """Revision on the Hub."""
    base_url: str | None = None
    """URL of an OpenAI-compatible server that returns log-probabilities of prompts, e.g. `http://localhost:8000/v1`."""
    model: str | None = None
    """The server's name for the model."""
    api_key_env: str = "OPENAI_API_KEY"
    """Name of the environment variable that holds the server's key; a server on this machine needs none."""
    prompt: str | None = None
    """The document start of a served model, as text that the server reads as one token; empty if its tokenizer puts one
    before every prompt by itself. None: the empty prompt or `<|endoftext|>`, whichever works."""


class KLConfig(Section):
    """KL(reference || model), estimated from samples of the reference that are drawn once and kept."""

    reference: KLReferenceConfig | None = None
    """The reference LM. None: KL is not measured, since the models that released files name are no longer served."""
    num_samples: int = Field(default=4096, ge=1)
    """Samples of the reference."""
    max_tokens: int = Field(default=64, ge=1)
    """Length at which a sample is cut off, in tokens of the reference."""
    seed: int = Field(default=0, ge=0)
    """Seed of the samples: the same for every method and training seed."""
    batch_size: int = Field(default=64, ge=1)
    """Samples drawn or scored at once."""
    prefix: Annotated[str, BeforeValidator(request_of)] | None = None
    """Control token that is given before each sample; of several preferences their control tokens, or a level of each. Derived
    for conditional training; "": none."""
    should_insert_prefix: bool | None = None
    """Also give the control token before every line. None: if the model may repeat it while sampling."""
    every_n_steps: int = Field(default=1000, ge=1)
    """Measure at every step that is a multiple of this."""
    force_call_on: list[int] = []
    """Also measure at these steps."""
    run_on_train_start: bool = True
    """Measure before the first step."""
    run_on_train_end: bool = True
    """Measure after the last step."""
