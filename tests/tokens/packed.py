"""Documents packed in memory, for tests of what becomes a token."""

from functools import lru_cache

from phf.feedback.conditioning import ScoreThresholds
from phf.feedback.control_tokens import ControlTokens
from phf.feedback.document_filter import AvgScoreAtMost
from phf.feedback.method import Method
from phf.tokens.cutting import pack
from phf.tokens.encoded import Encoder
from phf.tokens.pieces import Corpus
from phf.tokens.text_tokenizer import TextTokenizer
from phf.tokens.view_settings import ViewCounts, ViewSettings, opening_ids

CONTROL = ("<|aligned|>", "<|misaligned|>")


def conditional(threshold=0.0, drop=0.0, names=CONTROL, **parts):
    """A method with control tokens."""
    thresholds = threshold if isinstance(threshold, list) else [threshold]
    return Method(
        conditioning=ScoreThresholds(thresholds),
        control_tokens=ControlTokens(tuple(names)),
        drop_token_fraction=drop,
        **parts,
    )


def filtering(threshold):
    """A method that leaves documents out."""
    return Method(document_filter=AvgScoreAtMost(threshold))


def settings_for(tokenizer, *, method=None, document_start=(), **settings):
    """Settings of a view with the ids of this tokenizer."""
    method = method or Method()
    opening = opening_ids(tokenizer.eos_token_id, document_start)
    return ViewSettings(
        opening=opening,
        num_closing=len(opening) - len(document_start) if document_start else 0,
        method=method,
        control_ids=tuple(method.control_tokens.ids(tokenizer)),
        **settings,
    )


def corpus_for(tokenizer, source, tokenization="segments", column="scores", **settings):
    """A source to be encoded with this tokenizer."""
    return Corpus((str(source),), column, TextTokenizer.of(tokenizer), tokenization, **settings)


@lru_cache(8)
def _encoder(tokenizer, tokenization):
    return Encoder(tokenizer, tokenization)


def packed(documents, tokenizer, tokenization="segments", **settings):
    """-> (ids, scores, counts) of all documents as one stream."""
    counts = ViewCounts()
    encoded = _encoder(TextTokenizer.of(tokenizer), tokenization).encode(list(documents))
    (chunk,) = pack([encoded], settings_for(tokenizer, **settings), counts)
    return chunk.ids, chunk.scores, counts
