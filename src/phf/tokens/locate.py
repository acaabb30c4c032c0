"""Which documents are in given blocks, looked up when needed: only two numbers per block are kept for this."""

from collections.abc import Iterable, Iterator
from typing import Protocol


class HasDocuments(Protocol):
    """`Blocks`, or `StreamingBlocks`."""

    def packed_documents(self) -> Iterator[tuple[int, str]]: ...


def documents_in(spans: Iterable[tuple[int, int]], blocks: HasDocuments) -> list[str]:
    """Ids of the documents in blocks, in the order of the corpus, up to the last one asked for.

    Args:
        spans: `document_key` of the first and the last document of each block.
    """
    spans = set(spans)
    firsts = {first for first, _ in spans}
    begun: set[tuple[int, int]] = set()
    ids = []
    for key, document_id in blocks.packed_documents():
        if key in firsts:
            begun |= {span for span in spans if span[0] == key}
        if begun:
            ids.append(document_id)
        ended = {span for span in begun if span[1] == key}
        spans -= ended
        begun -= ended
        if not spans:
            break
    return ids
