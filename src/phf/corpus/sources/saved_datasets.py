"""Folders that `datasets` saved (`save_to_disk`), read without that library: their Arrow streams are anybody's."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NotRequired

from typing_extensions import TypedDict

from phf.corpus.formats.row_policy import Choose, OnBad, ReadNotes
from phf.corpus.formats.stored import StoredFile, reading
from phf.corpus.formats.tables import batch_rows, isolated_batches
from phf.errors import CorpusError
from phf.storage.reading import read_json_as, without_surrogates

DICT, STATE = "dataset_dict.json", "state.json"


class _Dict(TypedDict):
    splits: list[str]


class _DataFile(TypedDict):
    filename: str


class _State(TypedDict):
    _data_files: list[_DataFile]
    _indices_data_files: NotRequired[list[Any] | None]
    """Old versions wrote the order of the rows of a dataset that was shuffled or filtered into files of its own."""


def saved_rows(source: str, choose: Choose, bad: OnBad, notes: ReadNotes) -> Iterator[tuple[int, dict[str, Any]]]:
    """(row from 0, column -> value) of a folder that `datasets` saved; of several splits, the one called train."""
    import pyarrow as pa

    row = 0
    for path in _data_files(source, notes):
        with reading(path):
            file = StoredFile.local(path)
        before = row
        try:
            with file.open() as content:
                for batch, chosen, _ in isolated_batches("arrow", choose, file, content):
                    yield from batch_rows(batch, chosen, source, row, bad)
                    row += batch.num_rows
        except CorpusError:
            raise
        except (pa.ArrowException, OSError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise CorpusError(f"{path}: is not a readable Arrow file after row {row - before}: {reason}") from error


def _data_files(source: str, notes: ReadNotes) -> list[Path]:
    folder = Path(source)
    if not (folder / STATE).is_file():
        splits = read_json_as(_Dict, folder / DICT, CorpusError)["splits"]
        if "train" not in splits:
            raise CorpusError(
                f"{source}: has the splits {', '.join(splits)}, but no train. Give the folder of one split, e.g. "
                f"{folder / next(iter(splits), 'train')}."
            )
        for split in splits:
            if split != "train":
                notes.leave_out(str(folder / split), "splits other than train of a saved dataset")
        folder /= "train"
    state = read_json_as(_State, folder / STATE, CorpusError)
    if state.get("_indices_data_files"):
        raise CorpusError(
            f"{source}: was saved by an old version of datasets, with its rows in another order than that in its files. Load "
            "it with that version, and save it again after flatten_indices()."
        )
    names = [file["filename"] for file in state["_data_files"]]
    if wrong := [name for name in names if Path(name).name != name or "\0" in name or name != without_surrogates(name)]:
        raise CorpusError(
            f"{folder / STATE}: '_data_files' has {wrong[0]!r}, which is not the name of a file in the folder."
        )
    return [folder / name for name in names]
