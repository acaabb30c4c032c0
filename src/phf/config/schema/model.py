"""The sections `tokenizer` and `model`."""

from typing import Any, Literal

from pydantic import Field

from phf.config.schema.section import Section


class TokenizerConfig(Section):
    """The tokenizer: a pretrained one, or one trained on the corpus."""

    path_or_name: str | None = None
    """Folder or Hub name."""
    train_from_corpus: int | None = Field(default=None, ge=300, le=4_000_000)
    """Train a byte-level BPE of this vocabulary size on the corpus instead: memory is taken for the whole size at once."""
    max_train_chars: int | None = Field(default=50_000_000, ge=1)
    """Train it on about this many characters, of documents chosen by the hashes of their ids; on all of a smaller corpus.
    None: on all of any corpus."""


class ModelConfig(Section):
    """The causal language model."""

    path_or_name: str | None = None
    """Folder or Hub name of a model, or with `from_scratch` of its configuration."""
    model_type: str | None = None
    """Architecture of a from-scratch model when no configuration is named, e.g. `gpt2`, `llama`."""
    from_scratch: bool = True
    """Initialise at random from the configuration, or start from the pretrained weights."""
    config_kwargs: dict[str, Any] = {}
    """Changes to the model's configuration, e.g. `{n_layer: 4}`; an unknown key is an error."""
    model_kwargs: dict[str, Any] = {}
    """`value_head_config: {is_detached: bool}`, and arguments of `from_pretrained` such as `revision`."""
    head: Literal["auto", "chunked", "dense"] = "auto"
    """How loss and gradient are computed; `auto` is chunked if the model's head is a plain matrix product."""
    compile: bool | Literal["auto"] = "auto"
    """Whether the layers before the head are compiled for training (`torch.compile`); `auto` on a GPU, in runs that are long
    enough for it to pay."""
