"""Answers are appended at once, and what was answered is not asked again."""

import json
import os
import threading
from pathlib import Path

import pytest

from phf.errors import CorpusError, OutputError
from phf.labels.journal import Journal
from phf.labels.read import read_labels


def lines(tmp_path):
    return [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text().splitlines()]


def test_ratings_are_read_by_reward_as_they_were_given(session, tmp_path):
    asked = session()
    first, second = (asked.current, None)
    assert asked.answer(first.key, 5)
    second = asked.current
    assert second is not first
    assert asked.answer(second.key, "skip")
    assert asked.answer(asked.current.key, 1)
    line = lines(tmp_path)[0]
    assert (line["text"], line["rating"], line["annotator"]) == (first.segments[0].text, 5, "ann")
    assert line["time"].endswith("+00:00")
    labels = read_labels([str(tmp_path / "labels.jsonl")])
    assert [label.badness for label in labels.labels] == [1.0, 0.0]
    assert labels.left_out == {"skipped by the annotator": 1}


@pytest.mark.parametrize(("answer", "better"), [("first", 0), ("second", 1)])
def test_the_better_text_of_a_pair_is_the_chosen_one(session, tmp_path, answer, better):
    asked = session(kind="pairs")
    texts = [segment.text for segment in asked.current.segments]
    assert asked.answer(asked.current.key, answer)
    (label,) = read_labels([str(tmp_path / "labels.jsonl")]).labels
    assert (label.chosen, label.rejected) == (texts[better], texts[1 - better])


def test_a_session_resumes_for_its_annotator_and_starts_over_for_another(session):
    asked = session()
    answered = [asked.current.key]
    asked.answer(answered[0], 2)
    again, other = session(), session("bob")
    assert (again.num_done, other.num_done) == (1, 0)
    assert again.current.key != answered[0]
    assert {question.key for question in other.questions} == {question.key for question in asked.questions}
    assert other.current.key == answered[0]


@pytest.mark.parametrize("answer", [0, 6, "5", True, "first", None, 2.0])
def test_what_is_not_an_answer_is_not_saved(session, tmp_path, answer):
    asked = session()
    assert not asked.answer(asked.current.key, answer)
    assert not asked.answer("another question", 3)
    assert not (tmp_path / "labels.jsonl").exists()


def test_an_answer_that_arrives_twice_counts_once(session, tmp_path):
    asked = session()
    key = asked.current.key
    saved = []
    threads = [threading.Thread(target=lambda: saved.append(asked.answer(key, 3))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(saved) == [False, False, False, True]
    assert len(lines(tmp_path)) == 1


def test_what_the_annotator_has_answered_in_another_process_is_not_asked_again(session, tmp_path):
    one, other = session(), session()
    keys = [question.key for question in one.questions]
    assert one.answer(keys[0], 1)
    assert one.answer(keys[1], 2)
    assert not other.answer(keys[0], 5)
    assert other.current.key == keys[2]
    assert other.num_done == 2
    assert other.answer(keys[2], 3)
    assert not one.answer(keys[2], "skip")
    assert [line["rating"] for line in lines(tmp_path)] == [1, 2, 3]


def test_another_annotators_answers_do_not_matter(session, tmp_path):
    one, other = session(), session("bob")
    for asked in (one, other, one):
        assert asked.answer(asked.current.key, 4)
    assert [line["annotator"] for line in lines(tmp_path)] == ["ann", "bob", "ann"]


@pytest.mark.parametrize("how", ["removed", "cut"])
def test_answers_that_disappear_while_others_are_given_end_the_session(session, tmp_path, how):
    asked, path = session(), tmp_path / "labels.jsonl"
    for _ in range(2):
        asked.answer(asked.current.key, 4)
    content = path.read_bytes()
    if how == "cut":
        path.write_bytes(content[: content.index(b"\n") + 1])
    else:
        path.unlink()
    left = path.read_bytes() if path.exists() else None
    with pytest.raises(OutputError, match=r"labels.jsonl: lines that were in it are gone.*run the same command again"):
        asked.answer(asked.current.key, 4)
    assert (path.read_bytes() if path.exists() else None) == left
    assert session().num_done == (1 if how == "cut" else 0)


def test_a_folder_in_place_of_the_file_ends_the_session(session, tmp_path):
    asked, path = session(), tmp_path / "labels.jsonl"
    path.mkdir()
    with pytest.raises(OutputError, match=r"labels.jsonl cannot be written"):
        asked.answer(asked.current.key, 4)
    assert asked.num_done == 0


def test_an_incomplete_last_line_is_replaced(session, tmp_path):
    session().answer(session().current.key, 4)
    path = tmp_path / "labels.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"text": "cut o')
    asked = session()
    assert asked.num_done == 1
    asked.answer(asked.current.key, 2)
    assert path.read_bytes().startswith(whole)
    assert [line["rating"] for line in lines(tmp_path)] == [4, 2]


def test_a_whole_last_line_without_its_newline_is_kept(session, tmp_path):
    session().answer(session().current.key, 4)
    path = tmp_path / "labels.jsonl"
    path.write_bytes(path.read_bytes().removesuffix(b"\n"))  # as some editors write it
    asked = session()
    assert asked.num_done == 1
    asked.answer(asked.current.key, 2)
    assert [line["rating"] for line in lines(tmp_path)] == [4, 2]


@pytest.mark.parametrize("spell", ["{}/", "{}/.", "{}/../{name}"])
def test_labels_are_of_a_dataset_however_its_place_is_written(session, tmp_path, dataset, spell):
    written = spell.format(dataset, name=Path(dataset).name)
    line = {"text": "x", "rating": 1, "annotator": "ann", "dataset": written, "id": "nowhere", "segment": 3}
    (tmp_path / "labels.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(CorpusError, match=r"line 1: labels segment 3 of document 'nowhere'"):
        session()


def test_labels_of_segments_that_the_dataset_lacks_are_refused(session, tmp_path, dataset):
    path = tmp_path / "labels.jsonl"
    line = {"text": "x", "rating": 1, "annotator": "ann", "dataset": dataset, "id": "nowhere", "segment": 3}
    path.write_text(json.dumps(line) + "\n")
    with pytest.raises(CorpusError, match=r"labels.jsonl, line 1: labels segment 3 of document 'nowhere'"):
        session()
    with pytest.raises(CorpusError, match=r"line 1: labels segment 3"):
        session(how="quantiles", columns=("scores",))
    path.write_text(json.dumps({**line, "dataset": "another"}) + "\n")
    assert session().num_done == 0


@pytest.mark.parametrize("line", ['{"a": 1}', "[]", '{"text": 3}', '{"skipped": true}', "{", '{"chosen": "a"}'])
def test_a_file_of_something_else_is_refused(session, tmp_path, line):
    (tmp_path / "labels.jsonl").write_text(line + "\n")
    with pytest.raises(CorpusError, match=r"labels.jsonl, line 1"):
        session()


def test_what_a_dataset_without_text_can_ask(session, tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_text(json.dumps({"text": " "}) + "\n")
    with pytest.raises(CorpusError, match="does not contain a segment with text to ask about"):
        session(source=str(path))
    path.write_text(json.dumps({"text": "One."}) + "\n")
    with pytest.raises(CorpusError, match="does not contain two segments"):
        session(source=str(path), kind="pairs")


def test_a_file_that_is_not_there_has_no_entries(tmp_path):
    assert Journal(tmp_path / "none.jsonl").entries() == []


def test_a_file_that_cannot_be_written_is_refused_before_anybody_is_asked(session, tmp_path):
    (tmp_path / "labels.jsonl").touch()
    (tmp_path / ".labels.jsonl.lock").mkdir()
    with pytest.raises(OutputError, match=r"labels.jsonl cannot be written"):
        session()


def test_a_pipe_in_place_of_the_labels_is_refused(tmp_path):
    os.mkfifo(tmp_path / "labels.jsonl")
    with pytest.raises(CorpusError, match="is a FIFO, not a regular file"):
        Journal(tmp_path / "labels.jsonl").entries()


def test_a_link_to_a_folder_that_is_not_there_is_found_before_anybody_is_asked(tmp_path):
    (tmp_path / "labels.jsonl").symlink_to(tmp_path / "nowhere" / "labels.jsonl")
    with pytest.raises(OutputError, match=r"is a link to .*nowhere/labels\.jsonl, which does not exist"):
        Journal(tmp_path / "labels.jsonl").check_writable()
