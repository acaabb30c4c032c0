"""How the model of a folder is prompted: as its export recorded, or as its tokenizer shows."""

from pathlib import Path
from typing import Any

from phf.errors import ConfigError
from phf.feedback import PROMPTING_FILE, RELEASED_TOKENS, Prompting
from phf.storage.hub import stored_file
from phf.tokens.document_start import open_documents_with


def open_as_exported(tokenizer: Any, name: str, revision: str | None = None) -> Any:
    """`tokenizer`, of the folder or Hub model `name`, changed to begin documents like the model, without the control token.

    Nothing is changed for a model that `phf` did not export: its tokenizer determines what begins a document. An export
    that does not record it was trained on documents after EOS.
    """
    path = stored_file(name, PROMPTING_FILE, revision)
    if path is None:
        return tokenizer
    recorded = list(Prompting.read(path).document_start or [tokenizer.eos_token])
    ids = tokenizer.convert_tokens_to_ids(recorded)
    if None in ids or tokenizer.convert_ids_to_tokens(ids) != recorded:
        raise ConfigError(f"{path}: document_start names {recorded}, which its tokenizer lacks. Export it again.")
    open_documents_with(tokenizer, ids)
    return tokenizer


def prompting_of(folder: Path, tokenizer: Any) -> Prompting:
    """How the model in `folder` is prompted: as its export recorded, or with the control tokens of the released system if
    both are special tokens of `tokenizer`. Of those it is not known which scores counted as aligned, nor whether the model
    may repeat its token, so both are banned."""
    if (folder / PROMPTING_FILE).is_file():
        return Prompting.load(folder)
    special = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    return Prompting(control_tokens=RELEASED_TOKENS) if special.issuperset(RELEASED_TOKENS) else Prompting()
