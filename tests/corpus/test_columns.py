"""Arrow columns: the same as pyarrow makes of the same values, and without pandas."""

import random
import subprocess
import sys

import pyarrow as pa
import pytest

from phf.corpus import columns
from phf.corpus.columns import floats, integers, line_lists, lists, string_lists, strings
from phf.corpus.segmenting.segment import segment
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


def test_lines_read_off_the_text_are_those_that_it_was_cut_into(monkeypatch):
    rng = random.Random(0)
    looked_at, by_line = [], columns.string_lists
    monkeypatch.setattr(columns, "string_lists", lambda *given: looked_at.append(given) or by_line(*given))
    for alphabet in ("ab\n", "a\n", "é文😀\n", "a\r\n", "a\x0c\u2028\x85\n", "\n", "a"):
        for _ in range(50):
            texts = ["".join(rng.choices(alphabet, k=rng.choice([0, 1, 2, 9, 40]))) for _ in range(rng.randrange(6))]
            for max_chars in (100_000, 3):
                segments = [segment(text, "lines", max_chars) for text in texts]
                looked_at.clear()
                column = line_lists(segments, [text.encode() for text in texts])
                column.validate(full=True)
                assert column.equals(pa.array(segments, pa.list_(pa.string())))
                is_plain = "\r" not in alphabet and max_chars > 40
                assert not (looked_at and is_plain)


def test_segments_that_are_not_the_text_are_noticed():
    for segments, contents in (([["a", "b"]], [b"abc"]), ([[], ["b"]], [b"a", b"b"]), ([["a"], []], [b"", b"a"])):
        for make in (line_lists, string_lists):
            with pytest.raises(AssertionError, match="not the text"):
                make(segments, contents)


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
