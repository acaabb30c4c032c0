"""How the model of a folder begins documents: as its export recorded, or as its tokenizer does by itself."""

from pathlib import Path
from typing import Any

from transformers.utils import cached_file

from phf.errors import ConfigError
from phf.feedback import PROMPTING_FILE, Prompting
from phf.tokens.document_start import open_documents_with


def open_as_exported(tokenizer: Any, name: str, revision: str | None = None) -> Any:
    """`tokenizer`, of the folder or Hub model `name`, changed to begin documents like the model, without the control token.

    Nothing is changed for a model that `phf` did not export: its tokenizer determines what begins a document. An export
    that does not record it was trained on documents after EOS.
    """
    path = _prompting_file(name, revision)
    if path is None:
        return tokenizer
    recorded = list(Prompting.read(path).document_start or [tokenizer.eos_token])
    ids = tokenizer.convert_tokens_to_ids(recorded)
    if None in ids or tokenizer.convert_ids_to_tokens(ids) != recorded:
        raise ConfigError(f"{path}: document_start names {recorded}, which its tokenizer lacks. Export it again.")
    open_documents_with(tokenizer, ids)
    return tokenizer


def _prompting_file(name: str, revision: str | None) -> Path | None:
    if Path(name).is_dir():
        path = Path(name) / PROMPTING_FILE
        return path if path.is_file() else None
    cached = cached_file(
        name,
        PROMPTING_FILE,
        revision=revision,
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return None if cached is None else Path(cached)
