"""The data of a round: the samples, and documents of the run's own training data in the share that is left."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from phf.corpus.dataset import write_shard
from phf.corpus.manifest import Manifest
from phf.corpus.sources.documents import AnnotatedDocument
from phf.errors import ConfigError
from phf.refresh.start import Announce, Start
from phf.storage.files import file_sha256
from phf.storage.hashing import hash64, splitmix64
from phf.tokens.encoding import SegmentEncoder, WholeDocumentEncoder
from phf.tokens.pieces import read_sources
from phf.tokens.tokenizer import PlainEncoder
from phf.tokens.views import Blocks

SHARD = "shard-00000.parquet"


@dataclass(frozen=True)
class Taken:
    """Documents of the run's training data for one round."""

    documents: list[AnnotatedDocument]
    num_tokens: int
    """Of their text."""
    next_place: int
    """Where the next round continues in the order of `OwnDocuments`."""


class OwnDocuments:
    """The documents that a run trains on, in an order by hashes, of which each round takes the next ones.

    Args:
        blocks: the view of the run's training split: what it holds out, skips or filters is not in it.
    """

    def __init__(self, blocks: Blocks, start: Start, seed: int) -> None:
        self._blocks, self._start = blocks, start
        numbers = blocks.document_numbers()
        keys = blocks.store.documents["key"][numbers].astype(np.int64).view(np.uint64)
        self._order = numbers[np.argsort(splitmix64(keys ^ hash64("refresh", "own", seed)), kind="stable")]

    def num_tokens(self) -> int:
        """Of the text of all of them: the most that a round can take."""
        return int(self._blocks.store.documents["num_tokens"][self._order].sum(dtype=np.int64))

    def take(self, place: int, num_tokens: int) -> Taken:
        """Documents that together have `num_tokens`, from `place` in the order on and from its beginning again at its end.

        The last one is cut after the segment that has the last of these tokens. Raises `ConfigError` where all of them
        have fewer.
        """
        if not num_tokens:
            return Taken([], 0, place)
        order = np.roll(self._order, -(place % len(self._order)))
        sizes = self._blocks.store.documents["num_tokens"][order].astype(np.int64)
        ends = np.cumsum(sizes)
        if ends[-1] < num_tokens:
            raise ConfigError(
                f"This share of samples needs {num_tokens:,} tokens of the run's own training data in a round, which has "
                f"{ends[-1]:,}. Raise --share, or draw fewer --samples."
            )
        last = int(np.searchsorted(ends, num_tokens))
        chosen = order[: last + 1]
        lengths = self._segment_lengths(int(chosen[-1]))
        before = int(ends[last] - sizes[last])
        num_segments = int(np.searchsorted(np.cumsum(lengths), num_tokens - before)) + 1
        documents = self._read(chosen)
        cut = documents[-1]
        documents[-1] = replace(cut, texts=cut.texts[:num_segments], scores=cut.scores[:num_segments])
        return Taken(documents, before + int(lengths[:num_segments].sum()), (place + last + 1) % len(order))

    def _segment_lengths(self, number: int) -> np.ndarray:
        """Tokens of each segment of a document of the store: int64."""
        store = self._blocks.store
        counts = store.documents["num_segments"]
        first = int(counts[:number].sum(dtype=np.int64))
        return store.lengths[first : first + int(counts[number])].astype(np.int64)

    def _read(self, numbers: np.ndarray) -> list[AnnotatedDocument]:
        """These documents, in the order of `numbers`, from one pass over the corpus up to the last of them."""
        wanted, last = set(numbers.tolist()), int(numbers.max())
        documents: dict[int, AnnotatedDocument] = {}
        for number, document in enumerate(read_sources(self._start.sources, self._start.config.dataset.scores_column)):
            if number in wanted:
                assert self._blocks.store.document_ids([number]) == [document.id], "store and corpus differ"
                documents[number] = document
            if number == last:
                break
        return [documents[number] for number in numbers.tolist()]


def check_share(num_own: int, num_samples: int, longest: int, share: float, announce: Announce) -> None:
    """Raises `ConfigError` for a share that `num_own` tokens of the run's data cannot fill up even beside samples of one token
    each, and announces one that they cannot beside samples of `longest` tokens each."""
    least, most = (own_tokens_for(num_samples * tokens, share) for tokens in (1, longest))
    if least > num_own:
        raise ConfigError(
            f"--share {share:g}: beside {num_samples:,} samples of one token each, a round would already need {least:,} "
            f"tokens of the run's own training data, which has {num_own:,}. Raise --share, or draw fewer --samples."
        )
    if most > num_own:
        announce(
            f"--share {share:g}: a round of {num_samples:,} samples needs up to {most:,} tokens of the run's own training "
            f"data, which has {num_own:,}: it would end where samples have more than "
            f"{num_own / own_tokens_for(num_samples, share):,.0f} tokens on average. Raise --share, or draw fewer --samples"
        )


def num_text_tokens(documents: Sequence[AnnotatedDocument], tokenizer: Any, tokenization: str) -> int:
    """Tokens of the text of documents, encoded as training encodes them."""
    encoder = (SegmentEncoder if tokenization == "segments" else WholeDocumentEncoder)(PlainEncoder(tokenizer))
    ids, _ = encoder.encode([document.texts for document in documents])
    return len(ids)


def own_tokens_for(sample_tokens: int, share: float) -> int:
    """Tokens of the run's own data beside these of samples, whose share is `share`."""
    return round(sample_tokens * (1 - share) / share)


def write_mixture(
    folder: Path,
    samples: Sequence[AnnotatedDocument],
    own: Sequence[AnnotatedDocument],
    like: Manifest,
    start: Start,
    seed: int,
) -> None:
    """Write an annotated dataset of both, shuffled; its manifest last. `like`: the manifest of the scored samples."""
    documents = sorted([*samples, *own], key=lambda document: hash64("refresh", "mixture", seed, document.id))
    write_shard(folder / SHARD, documents)
    scores = [score for document in documents for score in document.scores]
    shard = {
        "name": SHARD,
        "sha256": file_sha256(folder / SHARD),
        "num_documents": len(documents),
        "num_bytes": (folder / SHARD).stat().st_size,
    }
    manifest = replace(
        like,
        sources=[*start.config.dataset.datasets, *like.sources],
        num_documents=len(documents),
        num_segments=len(scores),
        num_unscored=scores.count(None),
        unscored_reasons={},
        shards=[shard],
    )
    manifest.write(folder)
