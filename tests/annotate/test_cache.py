"""Several jobs on a cold cache: one annotates, the others wait for it."""

import json

import pytest

from phf.annotate.cache import ensure_annotated
from phf.corpus.manifest import read_manifest
from phf.errors import OutputError
from phf.storage import cache
from phf.storage.cache import only_maker

SCORER = {"class_name": "PEP8Scorer"}


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    monkeypatch.setenv("PHF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "LOOK_SECONDS", 0.01)
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps({"text": f"x={n}\n"}) + "\n" for n in range(9)))
    return str(path)


def folder_of(corpus):
    """Where its annotation goes, which is then removed."""
    folder = cache.cache_root() / "annotated"
    ensure_annotated(corpus, SCORER, None)
    (made,) = folder.glob("corpus.jsonl-*")
    cache.set_aside(made)
    return made


def test_a_job_waits_for_the_one_that_annotates_and_uses_what_it_made(corpus):
    folder = folder_of(corpus)
    other = only_maker(folder, print)
    other.__enter__()
    said = []

    def announce(line):
        said.append(line)
        if line.startswith("Waiting"):
            other.__exit__(None, None, None)

    assert ensure_annotated(corpus, SCORER, None, announce=announce) == str(folder)
    assert said[0] == f"Waiting for another process that makes {folder}"
    assert said[1].startswith("Scoring ")  # the other one has ended without making it
    assert read_manifest(folder).num_documents == 9
    said.clear()
    ensure_annotated(corpus, SCORER, None, announce=said.append)
    assert said == []


def test_a_finished_annotation_is_used_while_another_process_makes_it_again(corpus):
    ensure_annotated(corpus, SCORER, None)
    (folder,) = (cache.cache_root() / "annotated").glob("corpus.jsonl-*")
    with only_maker(folder, print):
        assert ensure_annotated(corpus, SCORER, None, announce=pytest.fail) == str(folder)


def test_a_process_that_hangs_is_not_waited_for_forever(corpus, monkeypatch):
    folder = folder_of(corpus)
    monkeypatch.setattr(cache, "STALLED_SECONDS", 0.05)
    said = []
    with (
        only_maker(folder, print),
        pytest.raises(
            OutputError, match=r"is making .*corpus.jsonl-.*, but has written nothing for .*End it, then run again"
        ),
    ):
        ensure_annotated(corpus, SCORER, None, announce=said.append)
    assert said == [f"Waiting for another process that makes {folder}"]
