"""A corpus of one or several sources as parts that are read one by one, with names that are unique in the corpus."""

import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from phf.corpus.formats.parquet_rows import RowSpan
from phf.corpus.formats.row_policy import ReadNotes, ReadOptions
from phf.corpus.formats.stored import is_url
from phf.corpus.sources import python_code
from phf.corpus.sources.hub_datasets import parse_hub_name
from phf.corpus.sources.listing import ListedFile, Listing, is_saved_dataset, list_source
from phf.corpus.sources.python_code import PythonKind, is_python_source
from phf.errors import CorpusError
from phf.storage.hashing import hash64
from phf.storage.reading import without_surrogates
from phf.text import visible_text

GROUPED_ABOVE = 16
"""Maximum number of files of records in a source that have shards of their own; if there are more, small ones are grouped."""
GROUP_BYTES = 128_000_000
GROUP_FILES = 100_000
"""Approximate size of a group."""
COMPRESSED_FACTOR = 4
"""Approximate compression ratio of compressed files."""

_logged: set[str] = set()
"""Notes on corpora already read in this process: each is logged once, however often a corpus is read."""
logger = logging.getLogger(__name__)

Kind = Literal["records", "text", "saved", "hub"] | PythonKind


@dataclass(frozen=True, slots=True)
class Part:
    """What is read from its start to its end by one reader: files of a source, or a source of another kind."""

    source: str
    kind: Kind
    name: str = ""
    """Prefix of the ids of its documents, if it has no files."""
    files: tuple[ListedFile, ...] = ()
    """With names that are unique in the corpus."""
    num_bytes: int | None = None
    """Size on disk; None if it cannot be known."""
    rows: RowSpan | None = None
    """Of its one Parquet file, the rows that are of the part; None: all."""

    @property
    def label(self) -> str:
        """Its name: the file, or the source."""
        return self.files[0].stored.location if self.kind == "records" and len(self.files) == 1 else self.source


@dataclass
class Corpus:
    """All parts of some sources, in their order."""

    parts: list[Part] = field(default_factory=list)
    listings: list[Listing | None] = field(default_factory=list)
    """Of each source, as `list_source` gave it."""
    notes: ReadNotes = field(default_factory=ReadNotes)
    """Files that are not read."""
    warnings: list[str] = field(default_factory=list)


def list_corpus(
    sources: Sequence[str], options: ReadOptions | None = None, prefix: str = "", group_bytes: int | None = None
) -> Corpus:
    """The parts of `sources`, named below the deepest folder that holds all of them.

    `prefix`: put before every generated name. `group_bytes`: approximate size of a group of small files; None:
    `GROUP_BYTES`. A file or source that is named twice is read once.

    Raises `CorpusError` for a source that does not exist and cannot be the name of a Hub dataset.
    """
    if not all(sources):
        raise CorpusError("The name of a source is empty. Give a file, folder, glob or dataset.")
    listings = [_listed(source, options) for source in sources]
    prefixes = _prefixes(sources, listings)
    corpus = Corpus(listings=list(listings))
    seen: set[str] = set()
    for source, listing, before in zip(sources, listings, prefixes, strict=True):
        before = "/".join(filter(None, (prefix, before)))
        if listing is None:
            place = _named_place(source)
            if place in seen:
                corpus.warnings.append(f"{source} is given twice; it is read once.")
            else:
                corpus.parts.append(_special(source, before))
            seen.add(place)
            continue
        places = [_place(file) for file in listing.files]
        again = [file for file, place in zip(listing.files, places, strict=True) if place in seen]
        if again:
            files = [file for file, place in zip(listing.files, places, strict=True) if place not in seen]
            listing = replace(listing, files=files)
            corpus.warnings.append(
                f"{source}: files that another source also contains are read once, such as {again[0].stored.location}."
            )
        seen.update(places)
        corpus.notes.update(listing.notes)
        corpus.warnings += listing.warnings
        if listing.files or not again:
            corpus.parts += _parts(listing, before, group_bytes or GROUP_BYTES)
    return corpus


def names_clash(corpora: Sequence[Corpus]) -> bool:
    """Whether two of some corpora would give their documents the same names."""
    names = [_made_names(corpus) for corpus in corpora]
    count = Counter(name for of_corpus in names for name in of_corpus)
    return any(number > 1 for number in count.values())


def _made_names(corpus: Corpus) -> set[str]:
    return {name for part in corpus.parts for name in ([file.name for file in part.files] or [part.name])}


def common_prefixes(sources: Sequence[str]) -> list[str]:
    """For each of several sources, what distinguishes its names from the same names in the others."""
    return _prefixes(sources, [_listed(source, None) for source in sources])


def distinct_parts(sources: Sequence[str]) -> list[list[Part]]:
    """The parts of each of several sources; if two would give their documents the same names, a prefix distinguishes them.

    Files that are not read are logged, once.
    """
    corpora = [list_corpus([source]) for source in sources]
    if names_clash(corpora):
        corpora = [
            list_corpus([source], prefix=before)
            for source, before in zip(sources, common_prefixes(sources), strict=True)
        ]
    for corpus in corpora:
        for line in [*corpus.warnings, *corpus.notes.describe_left_out()]:
            if line not in _logged:
                _logged.add(line)
                logger.warning("%s", visible_text(line))
    return [corpus.parts for corpus in corpora]


def _listed(source: str, options: ReadOptions | None) -> Listing | None:
    if is_python_source(source) or (not is_url(source) and is_saved_dataset(source)):
        return None
    listing = list_source(source, options)
    if listing is None:
        if is_url(source):
            raise CorpusError(f"{source}: there is no such file or folder.")
        parse_hub_name(source)
    return listing


def _prefixes(sources: Sequence[str], listings: Sequence[Listing | None]) -> list[str]:
    """Nothing for one source. For several, the way from the folder that holds all of them, or their names."""
    if len(sources) == 1:
        return [""]
    roots = [_root(source, listing) for source, listing in zip(sources, listings, strict=True)]
    local = [root for root in roots if root is not None]
    common = os.path.commonpath(local) if local else ""
    prefixes = []
    for source, listing, root in zip(sources, listings, roots, strict=True):
        if root is None:
            prefixes.append(source if listing is None else listing.root)
        else:
            way = os.path.relpath(root, common).replace(os.sep, "/")
            prefixes.append("" if way == "." else way)
    return prefixes


def _root(source: str, listing: Listing | None) -> str | None:
    """The local folder that the names of a source are relative to; None if it has none."""
    if listing is not None:
        return None if is_url(source) else os.path.abspath(listing.root)
    return os.path.dirname(os.path.abspath(source)) if is_saved_dataset(source) else None


def _place(file: ListedFile) -> str:
    place = file.stored.location
    return place if is_url(place) else os.path.abspath(place)


def _named_place(source: str) -> str:
    """What is read of a source without files: of a saved dataset with several splits, the folder of the one called train."""
    if is_python_source(source):
        return python_code.name_of(source)
    if not is_saved_dataset(source):
        return source
    has_splits = os.path.isfile(os.path.join(source, "dataset_dict.json"))
    return os.path.join(os.path.abspath(source), *(["train"] if has_splits else []))


def _special(source: str, prefix: str) -> Part:
    """The part that is all of a source without files."""
    if is_python_source(source):
        return Part(source, python_code.kind_of(source), prefix, num_bytes=python_code.num_bytes(source))
    if is_saved_dataset(source):
        name = os.path.basename(os.path.abspath(source))
        return Part(source, "saved", without_surrogates("/".join(filter(None, (prefix, name)))))
    return Part(source, "hub", prefix or parse_hub_name(source).name.rpartition("/")[2])


def _parts(listing: Listing, prefix: str, group_bytes: int) -> list[Part]:
    before = f"{prefix}/" if prefix else ""
    names = _printable([file.name for file in listing.files])
    files = [replace(file, name=before + name) for file, name in zip(listing.files, names, strict=True)]
    if listing.kind == "text":
        return [Part(listing.source, "text", files=tuple(files), num_bytes=_num_bytes(files) or None)]
    is_many = len(files) > GROUPED_ABOVE
    groups = _groups(files, listing.files, group_bytes) if is_many else [[file] for file in files]
    return [Part(listing.source, "records", files=tuple(group), num_bytes=_num_bytes(group)) for group in groups]


def _groups(
    files: Sequence[ListedFile], as_listed: Sequence[ListedFile], group_bytes: int
) -> Iterator[list[ListedFile]]:
    """Consecutive small files together.

    Whether a group ends after a file depends only on the name and the size of that file, so that changing or adding one
    does not change the groups of the others.
    """
    group: list[ListedFile] = []
    for file, listed in zip(files, as_listed, strict=True):
        share = content_bytes(file) / group_bytes
        if share >= 0.5:  # a large one is a part of its own
            if group:
                yield group
            yield [file]
            group = []
            continue
        group.append(file)
        if hash64("end of group", listed.name) < (share + 1 / GROUP_FILES) * 2**64:
            yield group
            group = []
    if group:
        yield group


def content_bytes(file: ListedFile) -> int:
    """Approximate size of the content of a file, by its size and name."""
    is_compressed = file.stored.name.endswith((".gz", ".zst", ".xz", ".bz2"))
    return file.stored.num_bytes * (COMPRESSED_FACTOR if is_compressed else 1)


def _num_bytes(files: Sequence[ListedFile]) -> int:
    return sum(file.stored.num_bytes for file in files)


def _printable(names: Sequence[str]) -> list[str]:
    r"""Names of files as text that UTF-8 can hold: U+FFFD for what it cannot, spelled "\x80" where two would be equal."""
    plain = [without_surrogates(name) for name in names]
    times = Counter(plain)
    return [
        printable
        if name == printable or times[printable] == 1
        else os.fsencode(name).decode("utf-8", "backslashreplace")
        for name, printable in zip(names, plain, strict=True)
    ]
