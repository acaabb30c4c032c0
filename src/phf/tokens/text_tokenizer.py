"""What encoding text needs of a tokenizer, and nothing else: sent to worker processes, and hashed into the name of a store."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from phf.errors import ConfigError
from phf.workers.garbage import collecting_rarely

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class TextTokenizer:
    """The part of a tokenizer that turns text into ids; reading it back loads `tokenizers`, but not transformers."""

    backend: str
    """The content of tokenizer.json."""
    reserved_ids: tuple[int, ...]
    """Ids that no text may be encoded as: EOS, and the special tokens but the unknown word."""

    @classmethod
    def of(cls, tokenizer: "PreTrainedTokenizerBase") -> "TextTokenizer":
        """Raises `ConfigError` for a tokenizer without a fast version."""
        # An unknown word is text, unless its id would also end the document.
        reserved = set(special_ids(tokenizer)) - {tokenizer.unk_token_id} | {tokenizer.eos_token_id}
        return cls(backend_of(tokenizer).to_str(), tuple(sorted(reserved - {None})))

    @cached_property
    def dtype(self) -> np.dtype:
        """uint16 where it holds the id of every token that text can become, else uint32."""
        settings = self._settings
        ids = [i for _, i in _vocabulary(settings["model"])]
        ids += [token["id"] for token in settings["added_tokens"] if not token["special"]]
        return np.dtype(np.uint16 if max(ids, default=0) <= np.iinfo(np.uint16).max else np.uint32)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of everything that decides which ids a text becomes.

        Special tokens that no text becomes, such as control tokens, are not part of it, unless there are ordinary added
        tokens: text that spells both at once is cut at the first of them.
        """
        with collecting_rarely():  # lists of two words, by the ten thousands
            # The last call's padding and truncation; encoding text uses neither.
            settings = {key: value for key, value in self._settings.items() if key not in ("padding", "truncation")}
            settings["post_processor"] = _without_templates(settings["post_processor"])
            added = settings["added_tokens"]
            if all(token["special"] for token in added):
                names = {token["content"] for token in added}
                settings["added_tokens"] = []
                vocabulary = _vocabulary(settings["model"])
                settings["reserved"] = sorted(
                    i for name, i in vocabulary if name not in names and i in self.reserved_ids
                )
            else:
                settings["reserved"] = self.reserved_ids
            return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()

    @cached_property
    def _settings(self) -> dict[str, Any]:
        return json.loads(self.backend)  # type: ignore[no-any-return]


def _without_templates(processor: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The steps of a post-processor that change what a text becomes.

    A template adds special tokens, which text is encoded without: an exported model, whose tokenizer starts from its prefix,
    reads the store that it was trained from. A byte-level step moves the starts of tokens, if it trims them.
    """
    if processor is None:
        return []
    if processor["type"] == "Sequence":
        return [step for inner in processor["processors"] for step in _without_templates(inner)]
    is_idle = processor["type"] == "ByteLevel" and not processor["trim_offsets"]
    return [] if is_idle or processor["type"] == "TemplateProcessing" else [processor]


def _vocabulary(model: dict[str, Any]) -> list[tuple[str, int]]:
    """(token, id) of a model's own vocabulary: a mapping, or for Unigram pairs in the order of their ids."""
    vocabulary = model["vocab"]
    if isinstance(vocabulary, dict):
        return list(vocabulary.items())
    return [(piece, i) for i, (piece, _) in enumerate(vocabulary)]


def backend_of(tokenizer: "PreTrainedTokenizerBase") -> "Tokenizer":
    """The backend that does the work. Raises `ConfigError` for a tokenizer without a fast version."""
    if not tokenizer.is_fast:
        raise ConfigError(
            f"The tokenizer '{tokenizer.name_or_path}' ({type(tokenizer).__name__}) has no fast version (tokenizer.json),"
            " which packing needs. Convert it or choose another one."
        )
    return tokenizer.backend_tokenizer


def special_ids(tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """Ids of the special tokens that were added to the vocabulary."""
    added = backend_of(tokenizer).get_added_tokens_decoder()
    return [token_id for token_id, token in added.items() if token.special]
