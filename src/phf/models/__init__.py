"""Any Hugging Face causal LM, an optional value head, and what is exported."""

from phf.models.export import export_model, read_prompting
from phf.models.exported_tokenizer import check_exportable
from phf.models.load import load_lm, load_tokenizer, pretrained_lm, pretrained_tokenizer
from phf.models.module import ObjectiveLM
from phf.models.prompting import open_as_exported
from phf.models.value_head import ValueHead, load_value_head

__all__ = [
    "ObjectiveLM",
    "ValueHead",
    "check_exportable",
    "export_model",
    "load_lm",
    "load_tokenizer",
    "load_value_head",
    "open_as_exported",
    "pretrained_lm",
    "pretrained_tokenizer",
    "read_prompting",
]
