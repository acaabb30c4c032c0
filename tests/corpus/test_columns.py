"""Arrow columns: the same as pyarrow makes of the same values, and without pandas."""

import subprocess
import sys

import pyarrow as pa
import pytest

from phf.corpus import columns
from phf.corpus.columns import floats, integers, lists, strings
from phf.errors import CorpusError, ScorerError


@pytest.mark.parametrize("values", [[], [""], ["a", "", "bc\0"], ["é", "文", "", "😀\u2028"]])
def test_strings(values):
    column = strings(values)
    column.validate(full=True)
    assert column.equals(pa.array(values, pa.string()))


@pytest.mark.parametrize("values", [[], [None], [0.5, None, 0.1], [0.0] * 9, [None] * 8 + [1 / 3]])
def test_floats(values):
    column = floats(values)
    column.validate(full=True)
    assert column.equals(pa.array(values, pa.float32()))
    assert column.null_count == values.count(None)


def test_integers_and_lists():
    assert integers([3, 0, 2]).equals(pa.array([3, 0, 2], pa.int32()))
    column = lists(strings(["a", "b", "c"]), [2, 0, 1])
    column.validate(full=True)
    assert column.equals(pa.array([["a", "b"], [], ["c"]], pa.list_(pa.string())))


def test_more_text_than_offsets_can_count_is_an_error(monkeypatch):
    monkeypatch.setattr(columns, "MAX_BYTES", 5)
    assert len(strings(["ab", "cde"])) == 2
    with pytest.raises(CorpusError, match="would contain 6 bytes of text"):
        strings(["abc", "cdé"[:2], "x"])


def test_a_shard_is_written_and_read_without_pandas(tmp_path):
    code = (
        "import sys; from pathlib import Path; from phf.corpus.dataset import read_annotated, write_shard\n"
        "from phf.corpus.sources.documents import AnnotatedDocument\n"
        "write_shard(Path(sys.argv[1]), [AnnotatedDocument('a', ['b'], [0.5])], {'x_scores': [[None]]})\n"
        "assert [d.texts for d in read_annotated(sys.argv[1])] == [['b']]\n"
        "assert 'pyarrow' in sys.modules and 'pandas' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.parquet")], check=True)


def test_a_score_beyond_float32_is_an_error():
    assert floats([3e38, -3e38]).null_count == 0
    with pytest.raises(ScorerError, match="beyond the range of float32"):
        floats([0.5, 1e39])
