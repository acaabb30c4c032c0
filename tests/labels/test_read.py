"""Labels from files: their sign and range, what is counted, and errors that name file, line and key."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from phf.errors import ConfigError, CorpusError
from phf.labels.label import Pair, Rating, place_of
from phf.labels.read import read_labels
from phf.labels.scale import Scale
from phf.labels.split import connected

RATED = {"text": "t", "rating": 2, "scale": [1, 5], "higher_is_worse": True}


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [str(path)]


def test_ratings_become_shares_of_the_scale_of_which_one_is_the_worst(tmp_path):
    better = {**RATED, "higher_is_worse": False, "annotator": "ann", "id": "d1", "dataset": "data"}
    read = read_labels(write(tmp_path / "l.jsonl", RATED, better))
    assert read.kind == "ratings"
    assert read.labels == [Rating("t", 0.25, None, None), Rating("t", 0.75, "ann", f"{place_of('data')}\nd1")]
    assert read.annotators == ["ann"]


def test_scale_and_sign_of_foreign_ratings_are_asked_for(tmp_path):
    source = write(tmp_path / "l.jsonl", {"text": "t", "rating": 8})
    with pytest.raises(ConfigError, match=r"l.jsonl, line 1: the rating has no 'scale'"):
        read_labels(source, higher_is_worse=True)
    with pytest.raises(ConfigError, match=r"l.jsonl, line 1: .* no 'higher_is_worse'. .*--higher-is better"):
        read_labels(source, scale=Scale(0, 10))
    (label,) = read_labels(source, scale=Scale(0, 10), higher_is_worse=False).labels
    assert label.badness == pytest.approx(0.2)
    empty = write(tmp_path / "empty.jsonl", {"text": "t", "rating": 8, "scale": None, "higher_is_worse": None})
    assert read_labels(empty, scale=Scale(0, 10), higher_is_worse=False).labels == [label], "as in a column of Parquet"


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "json"])
def test_pairs_are_read_in_any_format(tmp_path, kind):
    rows = [
        {"chosen": [{"role": "user", "content": c}], "rejected": [{"role": "user", "content": "r"}], "more": 1}
        for c in "ab"
    ]
    path = tmp_path / f"p.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text(json.dumps(rows) if kind == "json" else "\n".join(map(json.dumps, rows)))
    assert read_labels([str(path)]).labels == [
        Pair("User: a", "User: r", "", None),
        Pair("User: b", "User: r", "", None),
    ]


def test_ratings_are_read_from_a_table_of_text_as_from_json(tmp_path):
    path = tmp_path / "l.csv"
    path.write_text(
        "text,rating,scale,higher_is_worse,annotator,id,skipped\n"
        'a,2,"[1, 5]",TRUE,7,x,\n'
        "b,4.5,1-5,false,8,,false\n"
        "c,,,,8,,True\n"
    )
    read = read_labels([str(path)])
    assert [(label.badness, label.annotator) for label in read.labels] == [(0.25, "7"), (0.125, "8")]
    assert read.labels[1].document is None, "the cell is empty"
    assert read.left_out == {"skipped by the annotator": 1}


def test_ties_and_reversed_scores_in_a_table_of_text_are_noticed(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("chosen,rejected,score_chosen,score_rejected\na,b,9,10\nc,d,5,5.0\ne,f,10,9\ng,h,,\n")
    with pytest.raises(CorpusError, match="'score_chosen' is 9, below 'score_rejected', 10"):
        read_labels([str(path)])
    read = read_labels([str(path)], on_error="skip")
    assert [label.chosen for label in read.labels] == ["e", "g"]
    assert read.left_out == {"not a usable label": 1, "tie": 1}


def test_a_dataset_is_one_however_its_place_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["corpus", "corpus/", "./corpus", str(tmp_path / "corpus"), "other"]
    lines = [{**RATED, "text": name, "dataset": name, "id": "d"} for name in names]
    labels = read_labels(write(tmp_path / "l.jsonl", *lines)).labels
    assert connected(labels).tolist() == [0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"chosen": "a"}, "'rejected' is missing"),
        ({"rejected": "a"}, "'chosen' is missing"),
        ({"better": "a", "worse": "b"}, r"'chosen' is missing.*the keys are \['better', 'worse'\]"),
        ({"text": "a"}, "'rating' is missing"),
        ({"rating": 1}, "'text' is missing"),
        ({**RATED, "text": " "}, "'text' is ' '; it must be text, and not empty"),
        ({**RATED, "rating": 6}, "'rating' is 6; a number from 1 to 5"),
        ({**RATED, "rating": "two"}, "'rating' is 'two'; a number from 1 to 5"),
        ({**RATED, "rating": "2/5"}, "'rating' is '2/5'; a number from 1 to 5"),
        ({**RATED, "rating": "6"}, "'rating' is 6; a number from 1 to 5"),
        ({**RATED, "rating": True}, "'rating' is True"),
        ({**RATED, "rating": float("nan")}, "'rating' is nan"),
        ({**RATED, "rating": None}, "'rating' is None"),
        ({**RATED, "scale": [5, 1]}, r"'scale' is \[5, 1\]"),
        ({**RATED, "rating": 1.5, "scale": [0, 10**400]}, r"'scale' is \[0, 1000.*with at most 1,000,000,000"),
        ({**RATED, "scale": [-(10**400), 5]}, r"'scale' is \[-1000"),
        (
            {"chosen": "a", "rejected": "b", "score_chosen": 10**399, "score_rejected": 10**400},
            "'score_chosen' is 1000",
        ),
        ({**RATED, "higher_is_worse": "no"}, "'higher_is_worse' is 'no'; true or false"),
        ({**RATED, "annotator": [7]}, r"'annotator' is \[7\]; text was expected"),
    ],
)
def test_a_bad_label_is_refused_with_its_line_or_left_out_and_counted(tmp_path, row, message):
    good = {"chosen": "a", "rejected": "b"} if "chosen" in row or "rejected" in row else RATED
    source = write(tmp_path / "l.jsonl", good, row)
    with pytest.raises(CorpusError, match=f"l.jsonl, line 2: {message}"):
        read_labels(source)
    read = read_labels(source, on_error="skip")
    assert len(read.labels) == 1
    assert read.left_out == {"not a usable label": 1}


def test_broken_json_is_refused_or_counted(tmp_path):
    path = tmp_path / "l.jsonl"
    path.write_text(json.dumps(RATED) + '\n{"text": \n')
    with pytest.raises(CorpusError, match=r"l.jsonl, line 2"):
        read_labels([str(path)])
    assert read_labels([str(path)], on_error="skip").left_out == {"not a usable label": 1}


def test_both_kinds_and_no_labels_are_refused(tmp_path):
    with pytest.raises(CorpusError, match=r"line 1 is a rating, .*line 2 a pair: train on one kind"):
        read_labels(write(tmp_path / "l.jsonl", RATED, {"chosen": "a", "rejected": "b"}))
    with pytest.raises(CorpusError, match=r"contain no labels \(skipped by the annotator: 1\)"):
        read_labels(write(tmp_path / "s.jsonl", {"skipped": True}))
    with pytest.raises(CorpusError, match=r"none.jsonl"):
        read_labels([str(tmp_path / "none.jsonl")])


def test_ties_contradictions_and_repetitions_are_counted(tmp_path):
    tie = {"chosen": "a", "rejected": "b", "score_chosen": 1, "score_rejected": 1}
    pairs = [{"chosen": c, "rejected": r} for c, r in ("ab", "ba", "ac", "ac")]
    read = read_labels(write(tmp_path / "p.jsonl", tie, *pairs))
    assert (read.left_out, read.contradictory, read.repeated) == ({"tie": 1}, 2, 1)
    ratings = [{**RATED, "rating": rating} for rating in (1, 2, 3, 5)]  # 3 is in the middle
    read = read_labels(write(tmp_path / "r.jsonl", *ratings))
    assert (read.contradictory, read.repeated) == (3, 1)


@pytest.mark.parametrize("text", ["5", "5-1", "a-b", "1-1", "1-500", "1.5-3"])
def test_a_scale_that_is_not_one_is_refused(text):
    with pytest.raises(ConfigError, match=f"--scale {text}"):
        Scale.parse(text)


def test_scale_is_two_integers():
    assert Scale.parse("1-5") == (1, 5)
    assert Scale.parse("-2 - 2") == (-2, 2)
    assert Scale(-2, 2).share(-1, "x") == 0.25
