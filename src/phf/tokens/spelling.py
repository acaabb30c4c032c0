"""How a tokenizer spells text: the space that many put in front of whatever they encode, and what decodes to itself."""

import json
import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_LISTS = ("normalizers", "pretokenizers", "decoders")
_REMOVES_SPACES = ("WhitespaceSplit", "Whitespace", "BertPreTokenizer", "BertNormalizer", "Strip")
_SHOWN_CHARS = 30


def remove_dummy_space(backend: "Tokenizer") -> bool:
    """Change `backend` so that it puts no space in front of what it encodes; returns whether it did before.

    SentencePiece tokenizers do (`Metaspace`, or `Prepend` in older files), and `ByteLevel` with `add_prefix_space`. It
    stays in those that drop white space first: there it is what tells that one word follows another.
    """
    normalizers, pre_tokenizers = _parts(backend.normalizer), _parts(backend.pre_tokenizer)
    removes_spaces = any(
        part["type"] in _REMOVES_SPACES or part.get("behavior") == "Removed" for part in normalizers + pre_tokenizers
    )
    if removes_spaces:
        return False
    has_dummy_space = False
    for part in pre_tokenizers:
        if part["type"] == "Metaspace" and part["prepend_scheme"] != "never":
            part["prepend_scheme"], has_dummy_space = "never", True
        elif part["type"] == "ByteLevel" and part["add_prefix_space"]:
            part["add_prefix_space"], has_dummy_space = False, True
    kept = [part for part in normalizers if part["type"] != "Prepend"]
    if not has_dummy_space and len(kept) == len(normalizers):
        return False
    without_words = {
        "version": "1.0",
        "model": {"type": "BPE", "vocab": {}, "merges": []},
        "normalizer": _sequence("normalizers", kept),
        "pre_tokenizer": _sequence("pretokenizers", pre_tokenizers),
    }
    changed = type(backend).from_str(json.dumps(without_words))
    backend.normalizer, backend.pre_tokenizer = changed.normalizer, changed.pre_tokenizer
    return True


def keeps_every_text(backend: "Tokenizer") -> bool:
    """Whether every text decodes to itself up to Unicode's canonical equivalence, judging by the parts of `backend`.

    True for byte-level BPEs that know all bytes. Others may keep a text too: that is seen by decoding.
    """
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel

    pre_tokenizers, model = _parts(backend.pre_tokenizer), backend.model
    added = [token for token in backend.get_added_tokens_decoder().values() if not token.special]
    return (
        isinstance(model, BPE)
        and not model.continuing_subword_prefix
        and not model.end_of_word_suffix
        and all(part["type"] == "NFC" for part in _parts(backend.normalizer))
        and any(part["type"] == "ByteLevel" for part in pre_tokenizers)
        and all(
            part["type"] in ("ByteLevel", "Digits") or (part["type"] == "Split" and part["behavior"] != "Removed")
            for part in pre_tokenizers
        )
        and [part["type"] for part in _parts(backend.decoder)] == ["ByteLevel"]
        and all(backend.token_to_id(byte) is not None for byte in ByteLevel.alphabet())
        and all(token.content.isascii() and not token.lstrip and not token.rstrip for token in added)
    )


def is_same_text(text: str, decoded: str, shows_dummy: bool) -> bool:
    """Whether `decoded` is `text` for every reader: canonically equivalent, at most the dummy space in front of it."""
    if decoded == text or (shows_dummy and decoded == " " + text):
        return True
    one, other = (unicodedata.normalize("NFC", value) for value in (text, decoded))
    return other == one or (shows_dummy and other == " " + one)


def first_difference(text: str, decoded: str) -> tuple[str, str]:
    """A few characters of both from just before the place where they part."""
    pairs = enumerate(zip(text, decoded, strict=False))
    place = next((i for i, (one, other) in pairs if one != other), min(len(text), len(decoded)))
    start = max(0, place - _SHOWN_CHARS // 3)
    return text[start : start + _SHOWN_CHARS], decoded[start : start + _SHOWN_CHARS]


def _parts(component: Any) -> list[dict[str, Any]]:
    """The settings of a normalizer, pre-tokenizer or decoder, sequences flattened."""
    return [] if component is None else _flat(json.loads(component.__getstate__()))


def _flat(settings: dict[str, Any]) -> list[dict[str, Any]]:
    for key in _LISTS:
        if key in settings:
            return [part for inner in settings[key] for part in _flat(inner)]
    return [settings]


def _sequence(key: str, parts: list[dict[str, Any]]) -> dict[str, Any] | None:
    return {"type": "Sequence", key: parts} if parts else None
