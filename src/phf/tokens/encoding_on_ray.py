"""Encoding a corpus on a Ray cluster: shares of it by actors, whose pieces come to the process that builds the store.

The nodes must see the corpus under the same paths; the folder of the store is written by that process alone. Encoding is a
function of the corpus, so what a node was doing when it died is repeated elsewhere, with the same result.
"""

import os
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from phf.corpus.sources.parts import Part
from phf.tokens.pieces import Corpus, End, Piece, PieceFiles, Share, describe_piece, encode_share, encoder_of, shares
from phf.workers.garbage import collecting_rarely
from phf.workers.ray_cluster import RETRIES, ray_cluster, result_of

PIECES_AHEAD = 2
"""Pieces that an actor may have ready that have not been taken yet."""


def encode_on_ray(
    corpus: Corpus, parts: Sequence[tuple[str, Part]], files: PieceFiles, actors: int | None, address: str | None
) -> Iterator[Piece | End]:
    """Pieces, once they are in their files, and ends of shares, as they come. `actors`: None: one per CPU of the cluster."""
    with ray_cluster(address, "dataset.backend: ray", "dataset.ray_address") as ray:
        num_cpus = max(1, int(ray.cluster_resources().get("CPU", 1)))
        waiting = deque(shares(parts, actors or num_cpus))
        num_actors = min(actors or num_cpus, len(waiting))
        actor_class = ray.remote(_EncodingActor).options(
            num_cpus=min(1, num_cpus / max(num_actors, 1)), max_restarts=RETRIES, max_task_retries=RETRIES
        )
        free = [actor_class.remote(corpus) for _ in range(num_actors)]
        busy: dict[Any, tuple[Any, Share]] = {}
        stops: dict[Share, int] = {}
        while waiting or busy:
            while waiting and free:
                actor, share = free.pop(), waiting.popleft()
                method = actor.encode.options(num_returns="streaming", _generator_backpressure_num_objects=PIECES_AHEAD)
                # what is there already is looked up here, once: an actor that has to begin again must find the same
                busy[method.remote(*parts[share.part], share, files.numbers(share.part))] = actor, share
            ready, _ = ray.wait(list(busy), num_returns=1, fetch_local=False)
            for answers in ready:
                actor, share = busy[answers]
                try:
                    number, piece, content = result_of(ray, next(answers))
                except StopIteration:
                    del busy[answers]
                    free.append(actor)
                    yield End(share, stops.pop(share, 0))
                    continue
                stops[share] = number + 1
                if piece is not None:
                    files.write_bytes(share.part, number, content)
                    yield piece


class _EncodingActor:
    """An encoder that stays loaded, with the words that it has encoded before."""

    def __init__(self, corpus: Corpus) -> None:
        os.environ["TOKENIZERS_PARALLELISM"] = "false"  # there is an actor for each processor
        self._corpus = corpus
        self._encoder = encoder_of(corpus)

    def encode(
        self, source: str, part: Part, share: Share, done: Collection[int]
    ) -> Iterator[tuple[int, Piece | None, bytes]]:
        """(number, piece, content of its file) of each piece of the share; (number, None, nothing) of those that are done."""
        with collecting_rarely():
            for start, encoded in encode_share(self._corpus, source, part, share, self._encoder, done):
                if encoded is None:
                    yield start.number, None, b""
                else:
                    yield start.number, describe_piece(share.part, start, encoded), encoded.to_bytes()
