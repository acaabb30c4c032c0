"""Small corpora for tests of how they are read."""

from pathlib import Path

from phf.corpus.formats.row_policy import ReadNotes, ReadOptions
from phf.corpus.sources.documents import Document, DocumentReader
from phf.corpus.sources.parts import list_corpus


def put(path: Path, content: bytes | str = '{"text": "x"}\n') -> Path:
    """Write a file, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def put_parquet(path: Path, **columns) -> Path:
    """Write a Parquet file of one document, or of `columns`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns or {"text": ["x"]}), path)
    return path


def read(*sources, is_strict=True, **options) -> tuple[list[Document], ReadNotes, list[str]]:
    """(documents, what was not read, warnings) of a corpus."""
    chosen = ReadOptions(**options)
    corpus = list_corpus([str(source) for source in sources], chosen)
    documents = []
    for part in corpus.parts:
        reader = DocumentReader(part, chosen, is_strict=is_strict)
        documents += reader
        corpus.notes.update(reader.notes)
    return documents, corpus.notes, corpus.warnings


def ids(*sources, **options) -> list[str]:
    """Ids of the documents of a corpus."""
    return [document.id for document in read(*sources, **options)[0]]


def texts(*sources, **options) -> list[str]:
    """Texts of the documents of a corpus."""
    return [document.text for document in read(*sources, **options)[0]]


def left_out(*sources, **options) -> dict[str, list[str]]:
    """Reason -> files that are not read."""
    return {reason: files.names for reason, files in read(*sources, **options)[1].left_out.items()}
