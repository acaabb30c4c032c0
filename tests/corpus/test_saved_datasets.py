"""Folders that `datasets` saved are read as that library reads them, without it."""

import json

import pyarrow as pa
import pytest
from tests.corpus.corpora import ids, put, read, texts

from phf.errors import CorpusError

datasets = pytest.importorskip("datasets")
COLUMNS = {"text": ["a", "b"], "lang": ["en", "de"], "odd": pa.array([10**18, 1], pa.timestamp("us"))}


@pytest.fixture
def saved(tmp_path):
    """Five rows in three files."""
    rows = datasets.Dataset.from_list([{"text": text, "n": n} for n, text in enumerate("abcde")])
    rows.save_to_disk(str(tmp_path / "saved"), num_shards=3)
    return tmp_path / "saved"


def test_rows_of_several_files_are_numbered_through(saved):
    assert len(list(saved.glob("*.arrow"))) == 3
    assert (ids(saved), texts(saved)) == ([f"saved:{n}" for n in range(5)], list("abcde"))


def test_rows_are_in_the_order_in_which_they_were_saved(tmp_path):
    rows = datasets.Dataset.from_dict({"text": list("abcdef")}).shuffle(seed=1)
    rows.save_to_disk(str(tmp_path / "saved"))
    assert texts(tmp_path / "saved") == rows["text"][:] != list("abcdef")


def test_features_are_read_as_they_are_stored(tmp_path):
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["x", "y"]),
            "v": datasets.Array2D((1, 2), "int32"),
        }
    )
    rows = datasets.Dataset.from_dict({"text": ["a"], "label": [1], "v": [[[1, 2]]]}, features=features)
    rows.save_to_disk(str(tmp_path / "saved"))
    ((document,), _, _) = read(tmp_path / "saved", keep=("label", "v"))
    assert document.meta == {"label": 1, "v": [[1, 2]]}


def test_a_dataset_without_rows_has_no_documents(tmp_path):
    datasets.Dataset.from_dict(
        {"text": []}, features=datasets.Features({"text": datasets.Value("string")})
    ).save_to_disk(str(tmp_path / "saved"))
    assert texts(tmp_path / "saved") == []


def test_columns_that_are_not_asked_for_do_not_matter(tmp_path):
    datasets.Dataset(pa.table(COLUMNS)).save_to_disk(str(tmp_path / "saved"))
    assert texts(tmp_path / "saved") == ["a", "b"]
    with pytest.raises(CorpusError, match=r"saved.*: has no column 'language', which --keep names"):
        read(tmp_path / "saved", keep=("language",))


def test_a_damaged_file_of_it_is_named(saved):
    path = saved / "data-00001-of-00003.arrow"
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(CorpusError, match=r"data-00001-of-00003\.arrow: is not a readable Arrow file after row 0: ."):
        texts(saved)
    path.unlink()
    with pytest.raises(CorpusError, match=r"data-00001-of-00003\.arrow cannot be read: No such file"):
        texts(saved)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({}, r"state\.json: '_data_files' is missing"),
        ({"_data_files": [{"filename": 1}]}, r"state\.json: '_data_files\.0\.filename' is 1"),
        (
            {"_data_files": [{"filename": "../a.arrow"}]},
            r"'\.\./a\.arrow', which is not the name of a file in the folder",
        ),
        ({"_data_files": [{"filename": "\ud800"}]}, "which is not the name of a file in the folder"),
        ({"_data_files": [{"filename": "a\0"}]}, "which is not the name of a file in the folder"),
        ({"_data_files": [], "_indices_data_files": [{}]}, "save it again after flatten_indices"),
    ],
)
def test_what_describes_it_is_typed(tmp_path, state, reason):
    put(tmp_path / "saved" / "state.json", json.dumps(state))
    put(tmp_path / "saved" / "dataset_info.json", "{}")
    with pytest.raises(CorpusError, match=reason):
        texts(tmp_path / "saved")
