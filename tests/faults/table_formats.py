"""Corpora in columnar files: most of the damage is where a file describes itself."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import feather, orc
from tests.faults.formats import Format, read_corpus
from tests.faults.mutation import damaged, mutated_json

NUM_ROWS = 50


def table() -> pa.Table:
    rows = range(NUM_ROWS)
    return pa.table(
        {
            "text": [f"x = {i}\n" for i in rows],
            "score": np.arange(NUM_ROWS) / NUM_ROWS,
            "id": [str(i) for i in rows],
            "tags": [["a", "b"][: i % 3] for i in rows],
            "meta": [{"a": i, "b": str(i)} for i in rows],
        }
    )


def parquet(path: Path) -> None:
    pq.write_table(table(), path, row_group_size=20)


def paged(path: Path) -> None:
    pq.write_table(table(), path, row_group_size=20, compression="zstd", data_page_version="2.0", write_page_index=True)


def arrow(path: Path) -> None:
    with pa.ipc.new_file(str(path), table().schema) as writer:
        writer.write_table(table(), max_chunksize=20)


def stream(path: Path) -> None:
    with pa.ipc.new_stream(str(path), table().schema) as writer:
        writer.write_table(table(), max_chunksize=20)


def compressed(path: Path) -> None:
    feather.write_feather(table(), str(path), compression="zstd")


def of_orc(path: Path) -> None:
    orc.write_table(table(), str(path))


def flipped(content: bytes, rng: random.Random) -> bytes:
    """A few changed bytes, most of them near the end, where such files describe themselves."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        first = 0 if rng.random() < 0.5 else max(0, len(changed) - 1500)
        place = rng.randrange(first, len(changed))
        bit = changed[place] ^ 1 << rng.randrange(8)
        changed[place] = rng.choice((bit, bit, 0, 255, 127, 128, rng.randrange(256)))
    return bytes(changed)


def one_table(name: str, write: Callable[[Path], None]) -> dict[str, Any]:
    """`prepare` and `write` of a corpus of one such file."""

    def write_damaged(folder: Path, rng: random.Random) -> None:
        intact = folder.with_name(f"{folder.name}.intact")
        if not intact.is_file():
            intact.write_bytes((folder / name).read_bytes())
        change = damaged if rng.random() < 0.4 else flipped
        (folder / name).write_bytes(change(intact.read_bytes(), rng))

    return {"prepare": lambda folder: write(folder / name), "write": write_damaged}


STATE = {"_data_files": [{"filename": "a.arrow"}], "_fingerprint": "0a", "_format_columns": None, "_split": "train"}
INFO = {
    "description": "",
    "features": {"text": {"dtype": "string", "_type": "Value"}},
    "splits": {"train": {"num_bytes": 1}},
}
SPLITS = {"splits": ["train", "test"]}


def saved(folder: Path) -> None:
    """What `datasets.save_to_disk` writes of a dataset with splits."""
    (folder / "train").mkdir(exist_ok=True)
    (folder / "dataset_dict.json").write_text(json.dumps(SPLITS))
    stream(folder / "train" / "a.arrow")
    (folder / "train" / "state.json").write_text(json.dumps(STATE))
    (folder / "train" / "dataset_info.json").write_text(json.dumps(INFO))


def damage_saved(folder: Path, rng: random.Random) -> None:
    saved(folder)
    chosen = rng.random()
    if chosen < 0.5:
        content = (folder / "train" / "a.arrow").read_bytes()
        (folder / "train" / "a.arrow").write_bytes(rng.choice((damaged, flipped))(content, rng))
        return
    name, values = (
        ("train/state.json", STATE)
        if chosen < 0.8
        else ("dataset_dict.json", SPLITS)
        if chosen < 0.9
        else ("train/dataset_info.json", INFO)
    )
    (folder / name).write_bytes(mutated_json(values, rng))


TABLE_FORMATS = (
    Format("a corpus of Parquet with lists and structures", **one_table("a.parquet", parquet), read=read_corpus),
    Format("a corpus of Parquet with an index of pages", **one_table("a.parquet", paged), read=read_corpus),
    Format("a corpus of an Arrow file", **one_table("a.arrow", arrow), read=read_corpus),
    Format("a corpus of an Arrow stream", **one_table("a.arrow", stream), read=read_corpus),
    Format("a corpus of Feather", **one_table("a.feather", compressed), read=read_corpus),
    Format("a saved dataset", saved, damage_saved, read=read_corpus),
    Format("a corpus of ORC", **one_table("a.orc", of_orc), read=read_corpus),
)
