"""Documents as token ids, with everything that a view of them needs: the content of a store, in pieces."""

import io
import json
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from phf.corpus.sources.documents import AnnotatedDocument, mean_score
from phf.errors import CorpusError
from phf.storage.hashing import hash64
from phf.text import visible
from phf.tokens.encoding import DocumentsEncoder, SegmentEncoder, WholeDocumentEncoder
from phf.tokens.spelling import first_difference
from phf.tokens.text_tokenizer import TextTokenizer
from phf.tokens.tokenizer import PlainEncoder

FORMAT = 1
"""Version of the format of stores. Raise it when the encoding of documents, or the layout of the files, changes."""
Tokenization = Literal["segments", "document"]
DOCUMENT = np.dtype(
    [
        ("key", "<i8"),
        ("split_hash", "<u8"),
        ("num_bytes", "<u4"),
        ("num_segments", "<u4"),
        ("num_tokens", "<u4"),
        ("id_bytes", "<u4"),
        ("is_altered", "?"),
    ]
)
"""One document: its `document_key`, the hash that its split depends on, UTF-8 bytes of its text, segments, text tokens,
UTF-8 bytes of its id, and whether its tokens decode to another text."""
MAX_EXAMPLES = 20
"""Altered documents that are kept as examples."""


def document_key(document_id: str) -> int:
    """A number for a document, which fits int64: blocks carry it instead of the id; see `phf.tokens.locate`."""
    return hash64("document", document_id) - 2**63


def split_hash(document_id: str) -> int:
    """What decides whether a document is held out: 64 bits that depend on nothing but its id."""
    return hash64("eval split", document_id)


def split_hash_of(document: AnnotatedDocument, eval_group: str | None) -> int:
    """The `split_hash` of a document or, with `eval_group`, 64 bits that depend on nothing but the value of that key in `meta`.

    Raises `CorpusError` for a document without a value.
    """
    if eval_group is None:
        return split_hash(document.id)
    value = document.meta.get(eval_group)
    if value is None or value == "":
        known = ", ".join(sorted(document.meta)) or "none"
        raise CorpusError(
            f"Document '{visible(document.id, 100)}' has no value of '{visible(eval_group, 100)}' in its meta (keys: "
            f"{visible(known)}), by which dataset.eval_group holds documents out. Choose another key, or set "
            "dataset.eval_group to null."
        )
    return hash64("eval group", json.dumps(value, sort_keys=True))


@dataclass(frozen=True)
class Altered:
    """An example of a document that its tokenizer changes."""

    document: int
    """Its number among the documents that are encoded with it."""
    id: str
    before: str
    after: str
    """A few characters around the first difference."""
    is_kept_whole: bool
    """Whether the text stays as it is where the document is encoded as a whole."""


@dataclass(frozen=True)
class EncodedDocuments:
    """Consecutive documents. Numbers of documents and segments count from 0 here."""

    ids: np.ndarray
    """uint16 or uint32 [tokens], of text only."""
    lengths: np.ndarray
    """uint32 [segments], tokens of each."""
    scores: np.ndarray
    """float32 [segments], NaN where unscored."""
    avg_scores: np.ndarray
    """float32 [documents], mean over the scored segments, NaN without any."""
    documents: np.ndarray
    """`DOCUMENT` [documents]."""
    document_ids: bytes
    """The ids of the documents, one after the other."""
    altered: tuple[Altered, ...] = ()
    """Examples, of the first such documents."""
    more_scores: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Column -> float32 [segments], of the columns besides that of `scores` that were asked for."""
    more_averages: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Column -> float32 [documents], of the same columns."""

    def scores_of(self, column: str, main_column: str) -> np.ndarray:
        """float32 [segments] of a column; `main_column` is that of `scores`."""
        return self.scores if column == main_column else self.more_scores[column]

    def averages_of(self, column: str, main_column: str) -> np.ndarray:
        """float32 [documents] of a column, as `avg_scores` is of `main_column`."""
        return self.avg_scores if column == main_column else self.more_averages[column]

    def to_bytes(self) -> bytes:
        """For a file; see `from_bytes`."""
        file = io.BytesIO()
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        for name, prefix in _MORE.items():
            arrays |= {f"{prefix}{column}": array for column, array in getattr(self, name).items()}
        arrays["document_ids"] = np.frombuffer(self.document_ids, np.uint8)
        arrays["altered"] = np.frombuffer(json.dumps([asdict(example) for example in self.altered]).encode(), np.uint8)
        np.savez(file, **arrays)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "EncodedDocuments":
        """Raises `ValueError` for content that is damaged: it cannot be read, or its parts do not belong together."""
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            if not all(isinstance(array, np.ndarray) for array in arrays.values()):
                raise TypeError
            altered = tuple(Altered(**example) for example in json.loads(arrays["altered"].tobytes()))
            fields: dict[str, Any] = {name: arrays[name] for name in _ARRAYS}
            document_ids = arrays["document_ids"].tobytes()
        except _UNREADABLE as error:
            raise ValueError from error
        for name, prefix in _MORE.items():
            fields[name] = {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}
        encoded = cls(**fields, document_ids=document_ids, altered=altered)
        encoded._check()
        return encoded

    def _check(self) -> None:
        """Raises `ValueError` for arrays of other types than they are described to have, or of lengths that do not fit."""
        per_segment, per_document = [self.scores, *self.more_scores.values()], [self.avg_scores]
        per_document += self.more_averages.values()
        fits = (
            self.ids.ndim == self.lengths.ndim == self.documents.ndim == 1
            and self.ids.dtype in (np.uint16, np.uint32)
            and self.lengths.dtype == np.uint32
            and self.documents.dtype == DOCUMENT
            and all(array.dtype == np.float32 for array in (*per_segment, *per_document))
            and all(array.shape == self.lengths.shape for array in per_segment)
            and all(array.shape == self.documents.shape for array in per_document)
            and self.lengths.sum(dtype=np.int64) == len(self.ids)
            and all([*map(type, vars(example).values())] == [int, str, str, str, bool] for example in self.altered)
        )
        totals = {"num_tokens": self.ids.size, "num_segments": self.lengths.size, "id_bytes": len(self.document_ids)}
        if not fits or any(self.documents[key].sum(dtype=np.int64) != total for key, total in totals.items()):
            raise ValueError

    @classmethod
    def joined(cls, parts: Sequence["EncodedDocuments"]) -> "EncodedDocuments":
        """Several, one after the other; at least one."""
        if len(parts) == 1:
            return parts[0]
        firsts = np.cumsum([0, *(len(part.documents) for part in parts)])
        altered = [
            Altered(**{**asdict(example), "document": example.document + int(first)})
            for part, first in zip(parts, firsts, strict=False)
            for example in part.altered
        ]
        fields: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS}
        for name in _MORE:
            columns = getattr(parts[0], name)
            fields[name] = {
                column: np.concatenate([getattr(part, name)[column] for part in parts]) for column in columns
            }
        return cls(
            **fields,
            document_ids=b"".join(part.document_ids for part in parts),
            altered=tuple(altered[:MAX_EXAMPLES]),
        )


_UNREADABLE = (
    *(OSError, ValueError, LookupError, TypeError, EOFError, MemoryError, OverflowError, RuntimeError),
    *(SyntaxError, tokenize.TokenError, zipfile.BadZipFile, zlib.error),
)
"""Raised by NumPy for a file that is damaged, whose headers it parses as Python and whose sizes it takes as they are."""
_ARRAYS = ("ids", "lengths", "scores", "avg_scores", "documents")
_MORE = {"more_scores": "scores of ", "more_averages": "averages of "}
"""Mapping by column -> what its arrays are called in a file, before the column."""


class Encoder:
    """Annotated documents -> `EncodedDocuments`.

    Args:
        tokenizer: a tokenizer of transformers, or its `TextTokenizer`.
        tokenization: encode each segment separately (the released system), or whole documents (as prompts are encoded later).
        eval_group: see `split_hash_of`.
        more_columns: those of the documents' `more_scores`.
    """

    def __init__(
        self,
        tokenizer: Any,
        tokenization: Tokenization,
        eval_group: str | None = None,
        more_columns: Sequence[str] = (),
    ) -> None:
        self._eval_group = eval_group
        self._more_columns = more_columns
        self._plain = PlainEncoder(tokenizer)
        self._whole = WholeDocumentEncoder(self._plain)
        self._encoder: DocumentsEncoder = SegmentEncoder(self._plain) if tokenization == "segments" else self._whole

    def encode(self, batch: Sequence[AnnotatedDocument]) -> EncodedDocuments:
        """Raises `ConfigError` where text becomes a special token."""
        ids, lengths = self._encoder.encode([document.texts for document in batch])
        num_segments = np.fromiter((len(document.texts) for document in batch), np.int64, len(batch))
        owners = np.repeat(np.arange(len(batch)), num_segments)
        num_tokens = np.bincount(owners, weights=lengths, minlength=len(batch)).astype(np.int64)
        texts = ["".join(document.texts) for document in batch]
        names = [document.id.encode("utf-8", "surrogatepass") for document in batch]
        rows = np.zeros(len(batch), DOCUMENT)
        rows["key"] = [document_key(document.id) for document in batch]
        rows["split_hash"] = [split_hash_of(document, self._eval_group) for document in batch]
        rows["num_bytes"] = [len(text.encode()) for text in texts]
        rows["num_segments"] = num_segments
        rows["num_tokens"] = num_tokens
        rows["id_bytes"] = [len(name) for name in names]
        altered = self._altered(batch, texts, ids, num_tokens)
        rows["is_altered"][[index for index, _ in altered]] = True
        return EncodedDocuments(
            ids,
            lengths.astype(np.uint32),
            score_array(batch),
            avg_score_array(batch),
            rows,
            b"".join(names),
            tuple(self._example(batch, texts, index, decoded) for index, decoded in altered[:MAX_EXAMPLES]),
            {
                column: _scores_of_segments(document.more_scores[number] for document in batch)
                for number, column in enumerate(self._more_columns)
            },
            {
                column: np.array([mean_score(document.more_scores[number]) for document in batch], np.float32)
                for number, column in enumerate(self._more_columns)
            },
        )

    def _altered(
        self, batch: Sequence[AnnotatedDocument], texts: Sequence[str], ids: np.ndarray, num_tokens: np.ndarray
    ) -> list[tuple[int, str]]:
        if self._plain.keeps_every_text or not batch:
            return []
        return self._plain.altered(np.split(ids, np.cumsum(num_tokens)[:-1]), texts)

    def _example(self, batch: Sequence[AnnotatedDocument], texts: Sequence[str], index: int, decoded: str) -> Altered:
        before, after = first_difference(texts[index], decoded)
        whole, _ = self._whole.encode([batch[index].texts])
        is_kept_whole = not self._plain.altered([whole], [texts[index]])
        return Altered(index, batch[index].id, before, after, is_kept_whole)


def score_array(batch: Iterable[AnnotatedDocument]) -> np.ndarray:
    """float32 [segments], NaN where unscored."""
    return _scores_of_segments(document.scores for document in batch)


def _scores_of_segments(documents: Iterable[Sequence[float | None]]) -> np.ndarray:
    return np.array([score for scores in documents for score in scores], np.float32)


def avg_score_array(batch: Iterable[AnnotatedDocument]) -> np.ndarray:
    """float32 [documents], NaN without a scored segment. The mean is rounded once, from the mean of the exact scores."""
    return np.array([document.avg_score for document in batch], np.float32)


def encode_documents(
    documents: Sequence[AnnotatedDocument], tokenizer: Any, tokenization: Tokenization = "segments"
) -> EncodedDocuments:
    """All of a few documents at once."""
    if not isinstance(tokenizer, TextTokenizer):
        tokenizer = TextTokenizer.of(tokenizer)
    return Encoder(tokenizer, tokenization).encode(documents)
