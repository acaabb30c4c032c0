"""Documents that do not survive their tokenizer: counted while packing, and refused where they are too many."""

from collections.abc import Sequence

import numpy as np

from phf.corpus.sources.documents import AnnotatedDocument
from phf.errors import ConfigError
from phf.text import visible
from phf.tokens.encoding import WholeDocumentEncoder
from phf.tokens.spelling import first_difference
from phf.tokens.tokenizer import PlainEncoder

_ENOUGH_DOCUMENTS = 1000
"""A share of fewer says little until the whole corpus was seen."""


class AlteredDocuments:
    """Looks at packed documents, batch after batch, and counts those whose tokens decode to another text.

    Args:
        plain: what encoded them.
        max_share: raise `ConfigError` where more than this share of documents, in [0, 1], is altered.
    """

    def __init__(self, plain: PlainEncoder, max_share: float) -> None:
        self._plain = plain
        self._max_share = max_share
        self._example: tuple[AnnotatedDocument, str] | None = None
        self.num_seen = 0
        self.num_altered = 0

    def look(self, batch: Sequence[AnnotatedDocument], ids: np.ndarray, lengths: np.ndarray) -> None:
        """Count the altered ones of `batch`, whose segments have `lengths` tokens of `ids`."""
        if self._plain.keeps_every_text:
            return
        owners = np.repeat(np.arange(len(batch)), [len(document.texts) for document in batch])
        num_tokens = np.bincount(owners, weights=lengths, minlength=len(batch)).astype(np.int64)
        texts = ["".join(document.texts) for document in batch]
        found = self._plain.altered(np.split(ids, np.cumsum(num_tokens)[:-1]), texts)
        if found and self._example is None:
            index, decoded = found[0]
            self._example = batch[index], decoded
        self.num_seen += len(batch)
        self.num_altered += len(found)
        if self.num_seen >= _ENOUGH_DOCUMENTS:
            self.check()

    def check(self) -> None:
        """Raises `ConfigError` where more than the allowed share of the documents seen so far is altered."""
        if self._example is None or self.num_altered <= self._max_share * self.num_seen:
            return
        document, decoded = self._example
        text = "".join(document.texts)
        before, after = first_difference(text, decoded)
        raise ConfigError(
            f"The tokenizer changes the text of {self.num_altered:,} of {self.num_seen:,} documents, so a model would "
            f"learn another text than the corpus's: in document '{visible(document.id, 100)}', '{visible(before)}' "
            f"becomes '{visible(after)}'. {self._advice(document, text)} To train on it nevertheless, raise "
            "dataset.max_altered_documents, the largest share of such documents."
        )

    def _advice(self, document: AnnotatedDocument, text: str) -> str:
        ids, _ = WholeDocumentEncoder(self._plain).encode([document.texts])
        if not self._plain.altered([ids], [text]):
            return "Set dataset.tokenization: document, which keeps it."
        return "Choose a tokenizer that can spell it, such as a byte-level BPE."
