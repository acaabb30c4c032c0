"""Tokenizers: train one, add control tokens, and encode text so that it can never turn into a special token."""

import json
import re
from collections.abc import Iterable, Sequence
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from phf.errors import ConfigError
from phf.tokens.spelling import is_same_text, keeps_every_text, remove_dummy_space
from phf.tokens.text_tokenizer import TextTokenizer, backend_of, special_ids

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

    from phf.feedback.control_tokens import ControlTokens

EOS_TOKEN = "<|endoftext|>"
_SMALLEST_VOCABULARY = 257
"""The 256 bytes and the EOS token."""
_ASCII_WORD = re.compile(r"'(?:s|t|re|ve|m|ll|d)| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+", re.ASCII)
"""GPT-2's pattern with its Unicode classes narrowed to ASCII."""


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> "PreTrainedTokenizerFast":
    """Train a byte-level BPE in the manner of GPT-2 on `texts`; the EOS token has id 0 and is the padding token too.

    The same texts give the same tokenizer. A small corpus may give fewer than `vocab_size` entries.
    Raises `ConfigError` where `vocab_size` cannot hold all bytes and the EOS token.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    if vocab_size < _SMALLEST_VOCABULARY:
        raise ConfigError(
            f"A vocabulary of {vocab_size} cannot hold the 256 bytes and {EOS_TOKEN}. "
            f"Set tokenizer.train_from_corpus to {_SMALLEST_VOCABULARY} or more."
        )
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[EOS_TOKEN],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token=EOS_TOKEN, pad_token=EOS_TOKEN, clean_up_tokenization_spaces=False
    )


def prepare_tokenizer(
    tokenizer: "PreTrainedTokenizerBase", control_tokens: Iterable[str] | None
) -> "PreTrainedTokenizerBase":
    """Make `tokenizer` fit for training, in place, and return it.

    Adds `control_tokens` as special tokens unless it has them, and makes EOS the padding token unless there is one. Raises
    `ConfigError` where there is no EOS token, or where a control token is an ordinary word of the vocabulary, which text
    could produce.
    """
    backend_of(tokenizer)
    if tokenizer.eos_token_id is None:
        raise ConfigError(
            f"The tokenizer '{tokenizer.name_or_path}' has no EOS token, which separates documents. "
            "Choose another one, or set its eos_token and save it."
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if control_tokens is not None:
        # it loads the configuration, which a process that only encodes does not need
        from phf.feedback.control_tokens import ControlTokens

        _add_control_tokens(tokenizer, ControlTokens(tuple(control_tokens)))
    return tokenizer


def _add_control_tokens(tokenizer: "PreTrainedTokenizerBase", control_tokens: "ControlTokens") -> None:
    vocabulary, known = tokenizer.get_vocab(), set(special_ids(tokenizer))
    for token in control_tokens:
        if token in vocabulary and vocabulary[token] not in known:
            name = f" '{tokenizer.name_or_path}'" if tokenizer.name_or_path else ""  # trained here: it has none
            raise ConfigError(
                f"The control token '{token}' is an ordinary word of the tokenizer{name}: text could produce it. Choose "
                "another name for it."
            )
        if token == tokenizer.eos_token:
            raise ConfigError(f"The control token '{token}' is the EOS token of the tokenizer. Choose another name.")
    tokenizer.add_special_tokens({"extra_special_tokens": list(control_tokens)}, replace_extra_special_tokens=False)
    _keep_ids(tokenizer, control_tokens.names)


def _keep_ids(tokenizer: "PreTrainedTokenizerBase", control_tokens: Sequence[str]) -> None:
    """Let added tokens have the same ids when the tokenizer is saved and read again.

    In a vocabulary with holes `tokenizers` would renumber them, unless the vocabulary itself lists them.
    """
    from tokenizers import Tokenizer

    backend = backend_of(tokenizer)
    ids = {token: backend.token_to_id(token) for token in control_tokens}
    again = Tokenizer.from_str(backend.to_str())
    if all(again.token_to_id(token) == token_id for token, token_id in ids.items()):
        return
    settings = json.loads(backend.to_str())
    if isinstance(settings["model"]["vocab"], dict):
        settings["model"]["vocab"].update(ids)
        tokenizer._tokenizer = Tokenizer.from_str(json.dumps(settings))
    if any(tokenizer.convert_tokens_to_ids(token) != token_id for token, token_id in ids.items()):
        raise ConfigError(
            f"The tokenizer '{tokenizer.name_or_path}' gives new tokens other ids when it is saved. Choose another one."
        )


class PlainEncoder:
    """Encodes text as nothing but text, whatever it contains: special tokens spelled out in it stay plain text.

    Adds no BOS and no EOS. Works on a copy of the tokenizer, so no setting of the original changes or matters
    (padding, truncation), and runs on all cores unless TOKENIZERS_PARALLELISM=false.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase | TextTokenizer") -> None:
        from tokenizers import Tokenizer

        text_tokenizer = tokenizer if isinstance(tokenizer, TextTokenizer) else TextTokenizer.of(tokenizer)
        self._backend = Tokenizer.from_str(text_tokenizer.backend)
        self._backend.no_padding()
        self._backend.no_truncation()
        self._backend.encode_special_tokens = True
        self._reserved_ids = np.array(text_tokenizer.reserved_ids, np.int64)
        self.dtype = text_tokenizer.dtype
        self.splits_like_gpt2 = _splits_like_gpt2(self._backend)
        """Whether encoding a text is encoding its `words_like_gpt2` one after the other."""
        self.keeps_every_text = keeps_every_text(self._backend)
        self.has_dummy_space = remove_dummy_space(self._backend)
        """Whether the tokenizer puts a space in front of a text. Here only the beginning of a document gets it."""
        self._decoder_drops_it = self.has_dummy_space and not self._decode([self._ids_of(" a")])[0].startswith(" ")

    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Texts that documents begin with -> (ids of all one after the other, number of tokens of each text)."""
        return self.encode_inside([self.opening(text) for text in texts])

    def encode_inside(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """The same of texts that follow on other text, whose tokens decode to both texts together."""
        return self._flatten(self._backend.encode_batch_fast(texts, add_special_tokens=False))

    def encode_with_starts(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """-> (ids, number of tokens of each text, position in its text of each token's first character)."""
        opened = [self.opening(text) for text in texts]
        encodings = self._backend.encode_batch(opened, add_special_tokens=False)
        ids, lengths = self._flatten(encodings)
        starts = np.fromiter((start for encoding in encodings for start, _ in encoding.offsets), np.int64, len(ids))
        num_added = [len(opened_text) - len(text) for opened_text, text in zip(opened, texts, strict=True)]
        return ids, lengths, np.maximum(starts - np.repeat(num_added, lengths), 0)

    def opening(self, text: str) -> str:
        """`text` as the tokenizer spells it at the beginning of a document: after its dummy space, if it has one."""
        if not self.has_dummy_space or not text or (text.startswith(" ") and not self._decoder_drops_it):
            return text
        return " " + text

    def altered(self, documents: Sequence[np.ndarray], texts: Sequence[str]) -> list[tuple[int, str]]:
        """(index, what the ids decode to) of the documents whose ids do not decode to their texts."""
        if self.keeps_every_text:
            return []
        decoded = self._decode([ids.tolist() for ids in documents])
        pairs = enumerate(zip(texts, decoded, strict=True))
        shows_dummy = self.has_dummy_space and not self._decoder_drops_it
        return [(i, other) for i, (text, other) in pairs if not is_same_text(text, other, shows_dummy)]

    def decode_pieces(self, ids: np.ndarray, lengths: Sequence[int]) -> list[str]:
        """The texts of consecutive pieces of a document, of so many tokens each; `ids` begin where the document does."""
        ends = np.cumsum(lengths).tolist()
        pieces = self._decode([ids[end - length : end].tolist() for end, length in zip(ends, lengths, strict=True)])
        if "".join(pieces) != self._decode([ids.tolist()])[0]:  # a piece by itself loses a space, for example
            prefixes = ["", *self._decode([ids[:end].tolist() for end in ends])]
            pieces = [longer[len(shorter) :] for shorter, longer in pairwise(prefixes)]
        if self.has_dummy_space and not self._decoder_drops_it and pieces:
            pieces[0] = pieces[0].removeprefix(" ")
        return pieces

    def _decode(self, rows: list[list[int]]) -> list[str]:
        return self._backend.decode_batch(rows, skip_special_tokens=False)

    def _ids_of(self, text: str) -> list[int]:
        return self._backend.encode(text, add_special_tokens=False).ids

    def _flatten(self, encodings: list[Any]) -> tuple[np.ndarray, np.ndarray]:
        lengths = np.fromiter(map(len, encodings), np.int64, len(encodings))
        flat = chain.from_iterable(encoding.ids for encoding in encodings)
        ids = np.fromiter(flat, self.dtype, int(lengths.sum()))
        self._check_no_special_token(ids)
        return ids, lengths

    def _check_no_special_token(self, ids: np.ndarray) -> None:
        # Byte-level BPE cannot get here; a vocabulary that lists its special tokens as ordinary pieces can.
        special = ids[np.isin(ids, self._reserved_ids)]
        if len(special):
            token = self._backend.id_to_token(int(special[0]))
            raise ConfigError(
                f"The tokenizer encodes plain text as its special token '{token}' (id {special[0]}), so text could end a "
                "document or forge a control token. Choose another tokenizer, such as a byte-level BPE."
            )


def words_like_gpt2(text: str) -> list[str]:
    """The words that GPT-2's tokenizer cuts `text` into before looking at its vocabulary; non-ASCII text is not split."""
    return _ASCII_WORD.findall(text) if text.isascii() else [text]


def _splits_like_gpt2(backend: "Tokenizer") -> bool:
    """Whether nothing but GPT-2's pattern comes before the vocabulary, and each word always gets the same tokens."""
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel

    splitter, model = backend.pre_tokenizer, backend.model
    return (
        backend.normalizer is None
        and isinstance(splitter, ByteLevel)
        and splitter.use_regex
        and not splitter.add_prefix_space
        and isinstance(model, BPE)
        and model.dropout is None
        and all(token.special for token in backend.get_added_tokens_decoder().values())
    )


def encode_plain(tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str]) -> list[np.ndarray]:
    """Token ids of each text as text only (see `PlainEncoder`, which serves more than one call)."""
    ids, lengths = PlainEncoder(tokenizer).encode(texts)
    return np.split(ids, np.cumsum(lengths)[:-1]) if len(lengths) else []
