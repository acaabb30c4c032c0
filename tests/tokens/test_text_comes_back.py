"""Packed documents decode to their text with every kind of tokenizer that can spell it; the others are refused by name.

Random documents, cut at random places: the decoded text has at most the one dummy space at its start.
"""

import json
import unicodedata
from dataclasses import replace

import numpy as np
import pytest
from tests.tokenizer_classes import BYTES, CORPUS, byte_level
from tests.tokens.packed import CONTROL, conditional, corpus_for, settings_for
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from phf.errors import ConfigError
from phf.tokens.building import build_store
from phf.tokens.tokenizer import prepare_tokenizer
from phf.tokens.views import Blocks

SPECIAL = ["<unk>", "</s>"]
ALPHABET = sorted({character for text in CORPUS for character in text})


def trained(model, trainer, pre_tokenizer, decoder, normalizer=None, texts=CORPUS, **settings):
    backend = Tokenizer(model)
    backend.pre_tokenizer, backend.decoder = pre_tokenizer, decoder
    if normalizer is not None:
        backend.normalizer = normalizer
    settings = {"vocab_size": 420, "show_progress": False, **settings}
    backend.train_from_iterator(texts * 3, trainer(**settings))
    written = json.loads(backend.to_str())
    written["added_tokens"] = [token for token in written["added_tokens"] if token["content"] in SPECIAL]
    return Tokenizer.from_str(json.dumps(written))  # in which tokens for bytes are ordinary ones


def sentencepiece(kind, dummy, fallback):
    """BPE or Unigram over pieces in which a space is spelled as U+2581."""
    scheme = "first" if dummy else "never"
    byte_steps = [decoders.ByteFallback(), decoders.Fuse()] if fallback else [decoders.Fuse()]
    strips = [decoders.Strip(" ", 1, 0)] if dummy else []
    decoder = decoders.Sequence([decoders.Replace("▁", " "), *byte_steps, *strips])
    special = SPECIAL + (BYTES if fallback else [])
    pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=True)
    if kind == "bpe":
        model = models.BPE(byte_fallback=fallback, fuse_unk=True, unk_token="<unk>")
        return trained(
            model,
            trainers.BpeTrainer,
            pre_tokenizer,
            decoder,
            special_tokens=special,
            initial_alphabet=["▁", *ALPHABET],
        )
    backend = trained(
        models.Unigram(), trainers.UnigramTrainer, pre_tokenizer, decoder, special_tokens=special, unk_token="<unk>"
    )
    pieces = [tuple(piece) for piece in json.loads(backend.to_str())["model"]["vocab"]]
    known = {piece for piece, _ in pieces}
    pieces += [(character, -12.0) for character in ["▁", *ALPHABET] if character not in known]
    backend.model = models.Unigram(pieces, unk_id=0, byte_fallback=fallback)
    return backend


def wordpiece():
    """Every white space is a word of its own, so that it is kept."""
    splitter = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(" ", "isolated"), pre_tokenizers.Split("\n", "isolated"), pre_tokenizers.Punctuation()]
    )
    decoder = decoders.Sequence([decoders.Replace("##", ""), decoders.Fuse()])
    return trained(
        models.WordPiece(unk_token="<unk>"),
        trainers.WordPieceTrainer,
        splitter,
        decoder,
        special_tokens=SPECIAL,
        initial_alphabet=ALPHABET,
        texts=[*CORPUS, *ALPHABET, *(f"x{character}" for character in ALPHABET)],
    )


def old_style(fallback=True):
    """The dummy space comes from a normalizer, as in files before `Metaspace`."""
    backend = sentencepiece("bpe", True, fallback)
    backend.pre_tokenizer = pre_tokenizers.Split("never matches", "isolated")
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return backend


def with_normalizer(normalizer):
    backend = byte_level(SPECIAL)
    backend.normalizer = normalizer
    return backend


KINDS = {
    "byte-level BPE": lambda: byte_level(SPECIAL),
    "byte-level BPE, add_prefix_space": lambda: byte_level(SPECIAL, prefix_space=True),
    "byte-level BPE, NFC": lambda: with_normalizer(normalizers.NFC()),
    "SentencePiece BPE, dummy prefix, byte fallback": lambda: sentencepiece("bpe", True, True),
    "SentencePiece BPE, dummy prefix": lambda: sentencepiece("bpe", True, False),
    "SentencePiece BPE, byte fallback": lambda: sentencepiece("bpe", False, True),
    "SentencePiece BPE": lambda: sentencepiece("bpe", False, False),
    "SentencePiece BPE, dummy prefix of a normalizer": old_style,
    "SentencePiece Unigram, dummy prefix, byte fallback": lambda: sentencepiece("unigram", True, True),
    "SentencePiece Unigram, dummy prefix": lambda: sentencepiece("unigram", True, False),
    "SentencePiece Unigram": lambda: sentencepiece("unigram", False, False),
    "WordPiece, white space kept": wordpiece,
}
SPELL_EVERYTHING = [name for name in KINDS if "byte" in name or "of a normalizer" in name]
"""Kinds that have a token for each byte."""
CHANGE_TEXT = {
    "byte-level BPE, lower-casing": lambda: with_normalizer(normalizers.Lowercase()),
    "byte-level BPE, NFKC": lambda: with_normalizer(normalizers.NFKC()),
    "byte-level BPE, white space dropped": lambda: with_normalizer(normalizers.Strip()),
}


def loaded(backend):
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", eos_token="</s>")
    return prepare_tokenizer(tokenizer, CONTROL)


def random_documents(characters, seed, number=40):
    """Texts of these characters, and of words of the corpus, cut anywhere."""
    rng = np.random.default_rng(seed)
    words = [*characters, *(word for text in CORPUS for word in text.split(" ")), " ", "\n", "    "]
    for _ in range(number):
        text = "".join(rng.choice(words, rng.integers(1, 40)))
        cuts = sorted(rng.integers(0, len(text) + 1, rng.integers(0, 6)).tolist())
        yield [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def packed_texts(tokenizer, documents, tokenization, folder):
    """The text of each document, decoded from the blocks of a store."""
    rows = [{"id": f"d{i}", "texts": texts, "scores": [i % 2] * len(texts)} for i, texts in enumerate(documents)]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    store = build_store(corpus_for(tokenizer, folder / "corpus.jsonl", tokenization), folder / "stores", processes=1)
    settings = settings_for(tokenizer, method=conditional(0.5), seq_length=1, max_altered_documents=0.0)
    view = Blocks(store.folder, settings)
    blocks = Blocks(store.folder, replace(settings, seq_length=view.counts.num_tokens))
    ids = blocks.block(0)[0]
    starts = np.flatnonzero(ids == tokenizer.eos_token_id)
    assert len(starts) == sum(any(texts) for texts in documents)
    texts = np.split(ids, starts)[1:]
    special = [tokenizer.eos_token_id, *settings.control_ids]
    return [tokenizer.backend_tokenizer.decode(part[~np.isin(part, special)].tolist()) for part in texts]


@pytest.mark.parametrize("tokenization", ["segments", "document"])
@pytest.mark.parametrize("name", KINDS)
def test_packed_documents_decode_to_their_text(name, tokenization, tmp_path):
    tokenizer = loaded(KINDS[name]())
    characters = ALPHABET + (list("éß日本\u00a0\t\U0001f600") if name in SPELL_EVERYTHING else [])
    documents = list(random_documents(characters, seed=len(name)))
    decoded = packed_texts(tokenizer, documents, tokenization, tmp_path)
    for texts, decoded_text in zip(documents, decoded, strict=True):
        text = unicodedata.normalize("NFC", "".join(texts))
        assert decoded_text in (text, " " + text) if "prefix" in name else decoded_text == text


@pytest.mark.parametrize("name", CHANGE_TEXT)
def test_tokenizers_that_change_text_are_refused_with_an_example(name, tmp_path):
    documents = [["\ufb01 A ", "b\n"], ["C d "]]
    with pytest.raises(ConfigError, match=r"The tokenizer changes the text of \d of 2 documents.*in document 'd\d', '"):
        packed_texts(loaded(CHANGE_TEXT[name]()), documents, "segments", tmp_path)


@pytest.mark.parametrize("name", [name for name in KINDS if name not in SPELL_EVERYTHING])
def test_characters_that_a_tokenizer_lacks_are_refused_too(name, tmp_path):
    with pytest.raises(ConfigError, match=r"changes the text of 1 of 2 documents.*'d1', 'a日b' becomes"):
        packed_texts(loaded(KINDS[name]()), [["the cat"], ["a日b"]], "segments", tmp_path)
