"""Any Hugging Face causal LM: loaded, built, wrapped for training with its head and an optional value head, exported.

Takes the `model` and `tokenizer` sections; returns models, and folders that plain `transformers` loads. Must not know how a
model is sampled from or measured.
"""

from phf.models.exporting.export import export_model
from phf.models.exporting.exported_tokenizer import check_exportable
from phf.models.head import chunked_loss, chunked_nll
from phf.models.load import load_lm, load_tokenizer, pretrained_lm, pretrained_tokenizer
from phf.models.module import ObjectiveLM
from phf.models.prompting import open_as_exported, prompting_of
from phf.models.value_head import ValueHead, has_value_head, load_value_head, stored_value_head

__all__ = [
    "ObjectiveLM",
    "ValueHead",
    "check_exportable",
    "chunked_loss",
    "chunked_nll",
    "export_model",
    "has_value_head",
    "load_lm",
    "load_tokenizer",
    "load_value_head",
    "open_as_exported",
    "pretrained_lm",
    "pretrained_tokenizer",
    "prompting_of",
    "stored_value_head",
]
