"""Which processes encode a corpus for a store: this one, children of it, or actors of a Ray cluster."""

from collections.abc import Generator, Iterator, Sequence
from typing import Literal

from phf.corpus.sources.parts import Part
from phf.tokens.encoding_processes import EncodingProcesses
from phf.tokens.pieces import Corpus, End, Piece, PieceFiles, Share, encode_share, encoder_of, fitting_processes, shares
from phf.workers.garbage import collecting_rarely

Backend = Literal["local", "ray"]


def encode_parts(
    corpus: Corpus,
    parts: Sequence[tuple[str, Part]],
    files: PieceFiles,
    processes: int | None,
    backend: Backend,
    ray_address: str | None,
) -> Generator[Piece | End, None, None]:
    """The pieces of a corpus that are not in `files` yet, once they are, and the ends of shares, in any order.

    `processes`: None: as many as there are CPUs for, on this machine or on the cluster.
    """
    if backend == "ray":
        from phf.tokens.encoding_on_ray import encode_on_ray

        yield from encode_on_ray(corpus, parts, files, processes, ray_address)
        return
    processes = fitting_processes(parts) if processes is None else processes
    if processes <= 1:
        with collecting_rarely():
            yield from _encode_here(corpus, parts, files)
        return
    with EncodingProcesses(corpus, files.folder, processes) as pool:
        yield from pool.all(shares(parts, processes))


def _encode_here(corpus: Corpus, parts: Sequence[tuple[str, Part]], files: PieceFiles) -> Iterator[Piece | End]:
    encoder = encoder_of(corpus)
    for share in map(Share, range(len(parts))):
        stop = 0
        for start, encoded in encode_share(corpus, *parts[share.part], share, encoder, files.numbers(share.part)):
            stop = start.number + 1
            if encoded is not None:
                yield files.write(share.part, start, encoded)
        yield End(share, stop)
