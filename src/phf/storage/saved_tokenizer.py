"""Loading saved tokenizers, with vocabularies that can be used."""

import re
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from phf.errors import ConfigError
from phf.storage.pretrained import ADVICE, read_pretrained
from phf.storage.reading import endless, parse_json, read_bytes
from phf.text import visible

PREFIX_KEY = "continuing_subword_prefix"
PREFIX = re.compile(rb'"continuing_subword_prefix"\s*:\s*"[^"]')
MOST_HOLES = 1_000_000
"""Ids without a token that a vocabulary may have: each takes memory, in the tokenizer and as a row of a model."""


def read_tokenizer(name: str, key: str, *, advice: str = ADVICE, **settings: Any) -> Any:
    """The tokenizer in a folder or on the Hub; `settings`: arguments of `from_pretrained`.

    Raises `ConfigError` naming `key` if there is none, or it is damaged, and for a vocabulary in which two tokens have one id,
    or ids are far from each other.
    """
    _check_merges(Path(name, settings.get("subfolder") or "") / "tokenizer.json", key)
    try:
        tokenizer = read_pretrained(_load, name, key, advice=advice, **settings)
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # which a panic in the Rust of the tokenizers library is in Python
            raise
        raise ConfigError(
            f"{key}: the tokenizer in '{name}' is damaged: {visible(str(error), 200)}. Restore its files, or choose another "
            "one."
        ) from None
    vocabulary = tokenizer.get_vocab()
    if set(vocabulary) <= set(tokenizer.all_special_tokens):
        # the class that transformers falls back to for a model folder without tokenizer files
        raise ConfigError(
            f"{key}: '{name}' contains no tokenizer. Save the model's tokenizer there, or choose a folder that has one."
        )
    if problem := _problem(tokenizer, vocabulary):
        raise ConfigError(f"{key}: the tokenizer in '{name}' {problem}. Restore its files, or choose another one.")
    return tokenizer


def _check_merges(path: Path, key: str) -> None:
    """Raises `ConfigError` for merges that contradict the prefix of what continues a word: the tokenizers library cuts it off
    without looking, and ends the process."""
    if endless(path) is not None or not path.is_file():
        return
    content = read_bytes(path, ConfigError)
    if not PREFIX.search(content):
        return
    model = parse_json(content, f"{key}: {path}", ConfigError, "Restore it, or choose another tokenizer.")
    model = model.get("model") if isinstance(model, dict) else None
    merges, prefix = (model.get("merges"), model.get(PREFIX_KEY)) if isinstance(model, dict) else (None, None)
    if (
        not isinstance(prefix, str)
        or not isinstance(merges, list)
        or not all(isinstance(one, str | list) for one in merges)
    ):
        return  # the library refuses it
    for merge in merges:
        second = merge.rpartition(" ")[2] if isinstance(merge, str) else (merge or [None])[-1]
        if not str(second).startswith(prefix):
            raise ConfigError(
                f"{key}: the tokenizer in '{path.parent}' has the {PREFIX_KEY} {visible(prefix, 80)!r}, but merges "
                f"{visible(str(second), 80)!r}. Restore its files, or choose another one."
            )


def _load(name: str, **settings: Any) -> Any:
    tokenizer = AutoTokenizer.from_pretrained(name, **settings)
    tokenizer("")  # what it adds to every text may name tokens that are not there, and its longest text be no number
    return tokenizer


def _problem(tokenizer: Any, vocabulary: dict[str, int]) -> str | None:
    token, last = max(vocabulary.items(), key=lambda item: item[1])
    if last >= len(vocabulary) + MOST_HOLES:
        return f"has {len(vocabulary):,} tokens, but gives {visible(token, 80)!r} the id {last:,}"
    own = tokenizer.backend_tokenizer.get_vocab(with_added_tokens=False) if tokenizer.is_fast else {}
    if len(set(own.values())) < len(own):  # of which the tokenizers library loses one when it copies the tokenizer
        tokens = dict[int, str]()
        first, second = next(
            (tokens[i], token) for token, i in sorted(own.items()) if tokens.setdefault(i, token) != token
        )
        return f"gives {visible(first, 80)!r} and {visible(second, 80)!r} the same id"
    return None
