"""The folder of an annotated dataset: its job, whether it is finished, and what a killed job left in it."""

import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from phf.corpus.manifest import Manifest, read_manifest
from phf.corpus.shards import whole_shard
from phf.corpus.sources.listing import JOB, MANIFEST, list_source
from phf.corpus.sources.tree import PIECES
from phf.errors import OutputError
from phf.storage.files import is_unused, only_job, write_json_atomic
from phf.storage.reading import read_json_as, without_surrogates
from phf.text import visible_text

SHARD_SETTINGS = "shard"
"""Key of a job under which it says how shards are cut."""
logger = logging.getLogger(__name__)


def check_apart(sources: Sequence[str], output: Path) -> None:
    """Output must not be inside a folder of text: it would be read as part of it, and change the job."""
    for folder in map(Path, sources):
        within, place = Path(os.path.realpath(folder)), Path(os.path.realpath(output))  # of links in a circle, too
        if not folder.is_dir() or not place.is_relative_to(within):
            continue
        is_hidden = any(name[0] == "." for name in place.relative_to(within).parts)
        if not is_hidden and (listing := list_source(str(folder))) is not None and listing.is_deep:
            raise OutputError(
                f"{output} is inside the corpus {folder}, so it would be read as part of it. Choose another folder."
            )


@contextmanager
def claimed(output: Path, settings: dict[str, Any]) -> Iterator[None]:
    """The folder belongs to one job, and to one process of it at a time."""
    path = output / JOB
    job = {**settings, "directory": without_surrogates(os.getcwd())}
    has_begun = any(output.glob("shard-*.parquet")) or any(output.glob(f"{PIECES}/*.json"))
    # other commands have a job.json, too
    if not has_begun and not is_unused(output) and not (path.is_file() and _is_only_begun(output)):
        raise OutputError(f"{output} is not empty and was not made by phf annotate. Choose another folder.")
    with only_job(output):
        if not has_begun:  # a job that has finished nothing loses nothing
            write_json_atomic(path, job)
        of_folder = _read_job(path)
        changed = _differences(of_folder, settings)
        # a relative name means another corpus in another directory
        is_same_place = of_folder.get("directory") == job["directory"] or all(map(os.path.isabs, settings["sources"]))
        if changed == ["fingerprint"] and is_same_place and not (output / MANIFEST).is_file():
            logger.warning(
                "%s has changed since this annotation began: only shards with unchanged documents are kept.",
                visible_text(", ".join(settings["sources"])),
            )
            write_json_atomic(path, job)
            changed = []
        if changed:
            raise _another_job(output, of_folder, settings, changed)
        _delete_partial(output)  # of a job that was killed
        try:
            yield
        finally:
            _delete_partial(output)  # of workers that died


def _is_only_begun(output: Path) -> bool:
    """Whether a folder without finished work holds nothing but what an annotation writes before that."""
    names = [path.name for path in output.iterdir()]
    return all(name in (JOB, MANIFEST, PIECES) or name.startswith((".", "shard-")) for name in names)


def finished(output: Path, settings: dict[str, Any], *, check_content: bool = False) -> Manifest | None:
    """The manifest, if exactly this job is done and no shards have been deleted since, or damaged, if that is to be checked.

    A dataset that an older version finished, in smaller shards, counts as the same.
    """
    if not (output / JOB).is_file() or (manifest := read_manifest(output)) is None:
        return None
    of_folder = _read_job(output / JOB)
    changed = _differences(of_folder, settings)
    is_same = not changed or (changed == [SHARD_SETTINGS] and _is_older(of_folder))
    is_whole = is_same and all(whole_shard(output, shard, check_content=check_content) for shard in manifest.shards)
    return manifest if is_whole else None


def forget_manifest(output: Path) -> None:
    """Begin to rebuild the lost shards of a finished dataset; a warning names them."""
    if (manifest := read_manifest(output)) is None:
        return
    lost = [shard["name"] for shard in manifest.shards if not whole_shard(output, shard, check_content=True)]
    if lost:
        logger.warning(
            "%s: missing or damaged, and rebuilt: %s.",
            visible_text(str(output)),
            ", ".join(lost[:3]) + (f" and {len(lost) - 3:,} more" if len(lost) > 3 else ""),
        )
    (output / MANIFEST).unlink()


def clear_pieces(output: Path) -> None:
    """Delete pieces that are already in a shard, or belong to none."""
    shutil.rmtree(output / PIECES, ignore_errors=True)


def _another_job(output: Path, of_folder: dict[str, Any], settings: dict[str, Any], changed: list[str]) -> OutputError:
    if changed == [SHARD_SETTINGS] and _is_older(of_folder):
        return OutputError(
            f"{output} contains an unfinished annotation by an older version of phf; this version cuts shards "
            "differently. Finish it with that version, choose another folder, or delete it to start over."
        )
    from phf.config.differences import differences  # loads all of the configuration: a tenth of the start-up time

    now = json.loads(json.dumps(settings))
    what = differences({key: of_folder.get(key) for key in changed}, {key: now[key] for key in changed})
    return OutputError(
        f"{output} contains another annotation. They differ in: {what} (that annotation's -> this one's). "
        "Choose another folder, or delete that one to start over."
    )


def _is_older(job: dict[str, Any]) -> bool:
    """Whether a job is of a version in which a shard was what a worker scored at a time."""
    return isinstance(job.get(SHARD_SETTINGS), list)


def _delete_partial(output: Path) -> None:
    for folder in (output, output / PIECES):
        for partial in folder.glob(".*.partial"):
            partial.unlink(missing_ok=True)


def _differences(of_folder: dict[str, Any], settings: dict[str, Any]) -> list[str]:
    """Keys of the settings that differ from those of the folder's job."""
    return [key for key, value in json.loads(json.dumps(settings)).items() if of_folder.get(key) != value]


def _read_job(path: Path) -> dict[str, Any]:
    return read_json_as(dict[str, Any], path, OutputError, "Choose another folder, or delete that one.")
