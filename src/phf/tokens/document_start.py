"""What begins a document, decided in one place for training, sampling, evaluation, red team and export."""

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from phf.feedback import prefix_token_ids


def own_prefix(tokenizer: Any) -> list[int]:
    """Ids that the tokenizer itself puts in front of a text: those of an exported model its document start and, for a
    conditional one, its best control token; of others a BOS or nothing."""
    encoding = tokenizer("a", return_special_tokens_mask=True)
    pairs = zip(encoding["input_ids"], encoding["special_tokens_mask"], strict=True)
    return [token for token, _ in takewhile(lambda pair: pair[1], pairs)]


def document_start(tokenizer: Any) -> list[int]:
    """Ids that a document begins with: what the tokenizer puts there itself (such as a BOS), or else EOS.

    A BOS that a tokenizer has and does not add is not used: its model has not seen it there either. Tokenizers of models
    that `phf` trains are made to begin documents in the same way, without a control token; see `open_documents_with`.
    """
    return own_prefix(tokenizer) or [tokenizer.eos_token_id]


def prefix_ids(tokenizer: Any, prefix: str | None, where: str = "The control token ") -> list[int]:
    """Ids that every text starts with: what begins a document, then the control tokens of the prefix, if there is one.

    Raises `ConfigError`, which `where` begins, for a token that the tokenizer lacks.
    """
    return document_start(tokenizer) + (prefix_token_ids(tokenizer, prefix, where) if prefix else [])


def open_documents_with(tokenizer: Any, start: Sequence[int]) -> None:
    """Make `tokenizer` put `start` in front of every text, replacing what it does now."""
    from tokenizers.processors import TemplateProcessing

    if own_prefix(tokenizer) == list(start) and len(tokenizer("").input_ids) == len(start):
        return
    tokens = tokenizer.convert_ids_to_tokens(list(start))
    # A template reads "$" and ":" as its own, so such a token goes by another name in it.
    names = [f"start{i}" if set("$:") & set(token) else token for i, token in enumerate(tokens)]
    special = [
        {"id": name, "ids": [id_], "tokens": [token]} for name, id_, token in zip(names, start, tokens, strict=True)
    ]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=[*names, "$A"], pair=[*names, "$A", "$B"], special_tokens=special
    )
