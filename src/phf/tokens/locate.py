"""Which documents blocks hold, found again in the corpus: nothing but two numbers a block is kept for it."""

from collections.abc import Iterable, Sequence

from phf.tokens.blocks import read_sources
from phf.tokens.packing import PackingConfig, document_key, is_in_split, passes_filter


def documents_in(spans: Iterable[tuple[int, int]], sources: Sequence[str], config: PackingConfig) -> list[str]:
    """Ids of the documents in blocks, in the order of the corpus.

    Args:
        spans: `document_key` of the first and the last document of each block.
        sources, config: what the blocks were packed from, and how.

    Reads the corpus without encoding it, up to the last document asked for. Documents left out of the training split by
    their scores are left out here too.
    """
    spans = set(spans)
    firsts = {first for first, _ in spans}
    begun: set[tuple[int, int]] = set()
    found = []
    for document in read_sources(sources, config.scores_column):
        if not is_in_split(document, config) or not any(document.texts):
            continue
        if config.split == "train" and not passes_filter(document, config):
            continue
        key = document_key(document.id)
        if key in firsts:
            begun |= {span for span in spans if span[0] == key}
        if begun:
            found.append(document.id)
        ended = {span for span in begun if span[1] == key}
        spans -= ended
        begun -= ended
        if not spans:
            break
    return found
