"""Datasets on the Hugging Face Hub, read with the `datasets` library."""

import difflib
import glob
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from phf.corpus.formats.kinds import kind_by_name
from phf.corpus.formats.row_policy import Choose, Chosen, OnBad
from phf.corpus.formats.stored import reaching
from phf.corpus.formats.table_layout import validate
from phf.corpus.formats.tables import BATCH_ROWS, batch_rows
from phf.errors import CorpusError
from phf.storage.hub import offline_where_unreachable

_NAME = re.compile(
    r"(?P<name>[\w.-]+(?:/[\w.-]+)?)(?:\[(?P<config>[^\[\]]+)\])?(?::(?P<split>[^:@\s/\\]+))?(?:@(?P<revision>\S+))?"
)


class HubName(NamedTuple):
    """`name[config]:split@revision`, of which all but the name may be omitted."""

    name: str
    config: str | None
    split: str
    revision: str | None


def parse_hub_name(source: str) -> HubName:
    """The parts of the name of a Hub dataset; the split is `train` unless named.

    Raises `CorpusError` for an invalid name, for what is here but neither file nor folder, and for a name that is more likely
    a missing file or folder; the message lists similar names.
    """
    if os.path.lexists(source) and not os.path.isfile(source) and not os.path.isdir(source):
        raise CorpusError(
            f"{source}: is neither a file nor a folder, but a pipe, a socket, a device or a link that leads nowhere. A corpus "
            "is read more than once: write it into a file."
        )
    match = _NAME.fullmatch(source)
    if match is None and glob.has_magic(source):
        raise CorpusError(f"Nothing here matches the glob '{source}'{_nearby(source)}.")
    if match is None:
        raise CorpusError(f"There is no file, folder or glob here called '{source}'{_nearby(source)}.")
    config, split, revision = match["config"], match["split"], match["revision"]
    is_explicit = any(part is not None for part in (config, split, revision))
    if not is_explicit and (hint := _looks_local(match["name"])):
        raise CorpusError(f"There is no file, folder or glob here called '{source}'{hint}.")
    return HubName(match["name"], config, split or "train", revision)


def hub_rows(source: str, choose: Choose, bad: OnBad) -> Iterator[tuple[int, dict[str, Any]]]:
    """(row from 0, column -> value) of one split of a dataset on the Hub, streamed."""
    import datasets

    hub_name = parse_hub_name(source)
    options: dict[str, Any] = {"split": hub_name.split, "streaming": True}
    if hub_name.config is not None:
        options["name"] = hub_name.config
    if hub_name.revision is not None:
        options["revision"] = hub_name.revision
    try:
        with offline_where_unreachable():
            dataset = datasets.load_dataset(hub_name.name, **options)
    except (OSError, ValueError, KeyError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        hint = _nearby(source) or "."
        raise CorpusError(
            f"There is no file, folder or glob here called '{source}', nor could a Hugging Face dataset of that name be loaded "
            f"({type(error).__name__}: {_first_line(error)}){hint.rstrip('.')}. "
            "Check the name and the network, or use a local source such as python-stdlib. A configuration, split and "
            "revision are written NAME[CONFIG]:SPLIT@REVISION."
        ) from error
    with reaching(source):  # rows come over the network
        yield from _rows(dataset, source, choose, bad)


def _rows(dataset: Any, source: str, choose: Choose, bad: OnBad) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows through Arrow, so that columns that are not requested are never converted to Python values."""
    import pyarrow as pa

    if not hasattr(dataset, "with_format"):
        for row, values in enumerate(dataset):
            chosen = _chosen(list(values), choose, source)
            yield row, {name: values[name] for name in (*chosen.strict, *chosen.lenient)}
        return
    names = getattr(dataset, "column_names", None)  # for a stream, they may not be known in advance
    if names:
        chosen = _chosen(names, choose, source)
        dataset = dataset.select_columns([*chosen.strict, *chosen.lenient])
    row = 0
    for batch in dataset.with_format("arrow").iter(batch_size=BATCH_ROWS):
        chosen = _chosen(batch.column_names, choose, source)
        try:
            validate(batch, [*chosen.strict, *chosen.lenient])
        except pa.ArrowInvalid as error:
            raise CorpusError(f"{source}: is damaged after row {row}: {_first_line(error)}") from error
        yield from batch_rows(batch, chosen, source, row, bad)
        row += batch.num_rows


def _chosen(names: list[str], choose: Choose, source: str) -> Chosen:
    try:
        return choose(names)
    except CorpusError as error:
        raise CorpusError(f"{source}: {error}") from None


def _looks_local(name: str) -> str:
    """What to add to "is not here" for a name that is meant as a path; "" for one that may be on the Hub."""
    first = name.partition("/")[0]
    nearby = _nearby(name)
    if kind_by_name(name)[0] is not None or os.path.splitext(name)[1].lower() in (".txt", ".py", ".md", ".gz", ".zst"):
        return nearby or ", which is the name of a file and not of a dataset of the Hub"
    if ("/" in name and os.path.exists(first)) or first in (".", ".."):
        return nearby or f", though {first} is"
    if nearby:
        return f"{nearby}. For a dataset of the Hub write {name}:train"
    return ""


def _nearby(source: str) -> str:
    """ ", but there is ...": names similar to the first missing part of a path."""
    source = os.path.expanduser(source)
    is_absolute = source.startswith("/")
    place = "/" if is_absolute else ""
    parts = source.removeprefix("./").strip("/").split("/")
    for number, part in enumerate(parts):
        here = os.path.join(place, part)
        if glob.has_magic(part):
            return ""
        if not os.path.exists(here):
            with suppress(OSError):
                names = [name for name in sorted(os.listdir(place or ".")) if not name.startswith(".")]
                similar = _similar(part, names)
                if similar:
                    return f", but there is {', '.join(os.path.join(place, name) for name in similar)}"
                if number or is_absolute:
                    return f": there is no {part} in {place}"
            return ""
        place = here
    return ""


def _similar(name: str, names: list[str]) -> list[str]:
    lower = {other.lower(): other for other in names}
    return [lower[match] for match in difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.75)]


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or "no details"
