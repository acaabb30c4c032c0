"""Which documents are in given blocks, looked up when needed: only two numbers per block are kept for this."""

from collections.abc import Iterable, Iterator
from typing import Protocol

Spans = Iterable[tuple[int, int]]
"""`document_key` of the first and the last document of each of some blocks."""


class HasDocuments(Protocol):
    """`Blocks`, or `StreamingBlocks`."""

    def packed_documents(self) -> Iterator[tuple[int, str]]: ...


def documents_in(spans: Spans, blocks: HasDocuments) -> list[str]:
    """Ids of the documents in blocks, in the order of the corpus, up to the last one asked for."""
    return documents_in_each([spans], blocks)[0]


def documents_in_each(groups: Iterable[Spans], blocks: HasDocuments) -> list[list[str]]:
    """`documents_in` for several groups of blocks, in one pass over the documents."""
    searches = [_Search(spans) for spans in groups]
    open_searches = [search for search in searches if search.spans]
    for key, document_id in blocks.packed_documents() if open_searches else ():
        for search in open_searches:
            search.see(key, document_id)
        if not all(search.spans for search in open_searches):
            open_searches = [search for search in open_searches if search.spans]
            if not open_searches:
                break
    return [search.ids for search in searches]


class _Search:
    """The documents of one group of blocks, found as the documents of the corpus go by."""

    def __init__(self, spans: Spans) -> None:
        self.spans = set(spans)
        """Those that are still to be found, or to end."""
        self.ids: list[str] = []
        self._firsts = {first for first, _ in self.spans}
        self._begun: set[tuple[int, int]] = set()

    def see(self, key: int, document_id: str) -> None:
        if key in self._firsts:
            self._begun |= {span for span in self.spans if span[0] == key}
        if self._begun:
            self.ids.append(document_id)
            ended = {span for span in self._begun if span[1] == key}
            self.spans -= ended
            self._begun -= ended
