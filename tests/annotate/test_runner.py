"""Annotation: whole shards or none, the same bytes whatever happened on the way."""

import gzip
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from phf.annotate import folder, pieces, scoring
from phf.annotate.runner import annotate, column_prefix, score_columns
from phf.corpus.dataset import read_annotated
from phf.corpus.manifest import read_manifest
from phf.corpus.sources.documents import fingerprint, read_documents, read_records
from phf.corpus.sources.parts import list_corpus
from phf.errors import ConfigError, CorpusError, OutputError, ScorerError
from phf.storage import files

SCORER = {"class_name": "PEP8Scorer"}
OWN = "tests.annotate.scorers_for_tests"


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    for i in range(40):
        (folder / f"{i:02d}.py").write_text(f"x{i}={i}\n" * 20 + f"y = {i}\n" * 20)
    (folder / "empty.py").write_text("")
    return str(folder)


def write_lines(path, texts):
    path.write_text("".join(json.dumps({"id": str(i), "text": text}) + "\n" for i, text in enumerate(texts)))
    return str(path)


def content(output):
    return {p.name: p.read_bytes() for p in sorted(output.iterdir()) if p.name[0] != "."}


@pytest.fixture
def line_by_line(monkeypatch):
    """A piece is a document, and a shard two of about ten characters."""
    monkeypatch.setattr(pieces, "PIECE_SIZE", 1)
    monkeypatch.setattr(pieces, "LEAST_PIECE_SIZE", 1)


def test_dataset_and_manifest(corpus, tmp_path):
    manifest = annotate([corpus], SCORER, None, tmp_path / "out")
    documents = list(read_annotated(str(tmp_path / "out")))
    assert [document.id for document in documents[:2]] == ["00.py", "01.py"]
    assert documents[0].scores[0] == pytest.approx(1 / 5)  # E225 in "x0=0\n"
    assert documents[0].scores[-1] == 0.0
    assert documents[-1].texts == []  # the empty document is kept, with nothing in it
    assert (manifest.num_documents, manifest.num_segments, manifest.num_unscored) == (41, 40 * 40, 0)
    assert manifest.segmenter == "lines"
    assert read_manifest(tmp_path / "out") == manifest


def test_workers_and_interruption_do_not_change_a_byte(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "PIECE_FILES", 5)
    annotate([corpus], SCORER, None, tmp_path / "one", shard_bytes=2000)
    annotate([corpus], SCORER, None, tmp_path / "two", workers=2, shard_bytes=2000)
    assert content(tmp_path / "one") == content(tmp_path / "two")

    def interrupt(progress):
        if progress.num_documents >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        annotate([corpus], SCORER, None, tmp_path / "three", progress=interrupt, shard_bytes=2000)
    assert read_manifest(tmp_path / "three") is None
    kept = {*content(tmp_path / "three"), *os.listdir(tmp_path / "three" / ".pieces")}
    assert 2 <= sum(name.endswith(".parquet") for name in kept) < 8
    annotate([corpus], SCORER, None, tmp_path / "three", shard_bytes=2000)
    assert content(tmp_path / "three") == content(tmp_path / "one")
    assert not (tmp_path / "three" / ".pieces").exists()


@pytest.mark.parametrize("rows_of_group", [3, 1000])
def test_a_table_that_two_workers_share_by_rows_gives_the_same_bytes_as_one_worker(
    rows_of_group, tmp_path, line_by_line
):
    columns = {"text": [f"x{i}={i}\n" * (i % 4) for i in range(25)], "meta": [f'{{"n": {i}}}' for i in range(25)]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet", row_group_size=rows_of_group)
    source = str(tmp_path / "a.parquet")
    annotate([source], SCORER, None, tmp_path / "one", shard_bytes=40)
    annotate([source], SCORER, None, tmp_path / "two", workers=2, shard_bytes=40)
    assert content(tmp_path / "one") == content(tmp_path / "two")
    annotated = list(read_annotated(str(tmp_path / "two")))
    assert [(d.id, "".join(d.texts), d.meta) for d in annotated] == [
        (d.id, d.text, d.meta) for d in read_documents(source)
    ]

    def interrupt(progress):
        if progress.num_documents == 13:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        annotate([source], SCORER, None, tmp_path / "three", progress=interrupt, shard_bytes=40)
    assert list((tmp_path / "three").glob("shard-*.parquet"))
    annotate([source], SCORER, None, tmp_path / "three", workers=2, shard_bytes=40)
    assert content(tmp_path / "three") == content(tmp_path / "one")


def test_a_broken_row_group_of_a_table_is_skipped_and_the_others_are_kept(tmp_path, line_by_line):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [f"x{i}={i}\n" for i in range(9)]}), path, row_group_size=3, use_dictionary=False)
    place = pq.read_metadata(path).row_group(1).column(0).data_page_offset
    with path.open("r+b") as file:
        file.seek(place)
        file.write(b"\xff" * 30)
    with pytest.raises(CorpusError, match=r"a\.parquet.*not a readable Parquet file after row 3.*--on-error skip"):
        annotate([str(path)], SCORER, None, tmp_path / "out")
    manifest = annotate([str(path)], SCORER, None, tmp_path / "out", on_error="skip")
    assert [d.id for d in read_annotated(str(tmp_path / "out"))] == [f"a.parquet:{i}" for i in (0, 1, 2, 6, 7, 8)]
    assert manifest.skipped["count"] == 3


def test_finished_shards_are_not_scored_again(corpus, tmp_path, monkeypatch):
    annotate([corpus], SCORER, None, tmp_path / "out")
    (tmp_path / "out" / "manifest.json").unlink()
    monkeypatch.setattr(scoring, "write_columns", None)  # writing would raise
    assert annotate([corpus], SCORER, None, tmp_path / "out").num_documents == 41


@pytest.mark.parametrize("workers", [1, 2])
def test_a_corpus_that_is_repaired_on_the_way_keeps_the_shards_of_the_same_documents(
    workers, tmp_path, caplog, line_by_line
):
    for number in range(3):
        write_lines(tmp_path / f"{number}.jsonl", [f"x{number}={i}\n" for i in range(7)])
    middle = tmp_path / "1.jsonl"
    lines = middle.read_text().splitlines(keepends=True)
    middle.write_text("".join([*lines[:5], "{broken\n", *lines[5:]]))
    sources, out = [str(tmp_path / "*.jsonl")], tmp_path / "out"
    with pytest.raises(CorpusError, match=r"1\.jsonl, line 6"):
        annotate(sources, SCORER, None, out, workers, shard_bytes=10)
    counted = [path.with_suffix("") for path in out.glob("shard-*.parquet.json")]  # what comes last of a shard
    kept = {path.name: path.stat().st_mtime_ns for path in counted}
    if workers == 1:  # of two, one may still be busy with the first documents
        assert kept.keys() == {f"shard-00000-00000{i}.parquet" for i in range(4)} | {
            f"shard-00001-00000{i}.parquet" for i in range(2)
        }
    middle.write_text("".join([*lines[:3], *lines[4:]]))
    annotate(sources, SCORER, None, out, workers, shard_bytes=10)
    assert "has changed since this annotation began" in caplog.text
    again = {name for name, then in kept.items() if (out / name).stat().st_mtime_ns != then}
    assert again == {"shard-00001-000001.parquet"} & kept.keys()
    annotate(sources, SCORER, None, tmp_path / "whole", shard_bytes=10)
    assert content(out) == content(tmp_path / "whole")


def test_what_is_finished_of_a_corpus_is_not_read_again(tmp_path, monkeypatch, line_by_line):
    source = write_lines(tmp_path / "a.jsonl", [f"x={i}\n" for i in range(9)])
    annotate([source], SCORER, None, tmp_path / "out", shard_bytes=8)
    whole = content(tmp_path / "out")
    assert sum(name.endswith(".parquet") for name in whole) == 5
    (tmp_path / "out" / "shard-00000-000002.parquet").unlink()
    read = []
    real = scoring.read_piece
    monkeypatch.setattr(scoring, "read_piece", lambda piece, *how: read.append(piece.start.line) or real(piece, *how))
    opened = []
    spans = pieces.line_spans
    monkeypatch.setattr(
        pieces, "line_spans", lambda file, start, *how: opened.append(start > 0) or spans(file, start, *how)
    )
    annotate([source], SCORER, None, tmp_path / "out", shard_bytes=8)
    assert (read, opened) == ([5, 6], [True])
    assert content(tmp_path / "out") == whole


def test_a_piece_of_a_file_that_became_shorter_is_refused(tmp_path, monkeypatch, line_by_line):
    source = Path(write_lines(tmp_path / "a.jsonl", [f"x={i}\n" for i in range(9)]))

    def shorten(progress):
        source.write_text(source.read_text()[:80])

    with pytest.raises(CorpusError, match=r"a\.jsonl has become shorter while it was read"):
        annotate([str(source)], SCORER, None, tmp_path / "out", progress=shorten)


def test_the_fingerprint_is_that_of_the_sources_also_where_they_share_files(corpus, tmp_path):
    sources = [corpus, f"{corpus}/0*.py", "python-stdlib"]
    manifest = annotate(sources[:2], SCORER, None, tmp_path / "out")
    assert manifest.num_documents == 41
    assert manifest.fingerprint == "+".join(map(fingerprint, sources[:2]))
    listings = list_corpus(sources).listings
    assert [fingerprint(*pair) for pair in zip(sources, [None] * 3, listings, strict=True)] == [
        fingerprint(source) for source in sources
    ]
    assert len(listings[1].files) == 10


def test_the_same_name_in_another_directory_is_another_corpus(tmp_path, monkeypatch):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        write_lines(tmp_path / name / "a.jsonl", [f"{name} = 1\n"])
    monkeypatch.chdir(tmp_path / "one")
    annotate(["a.jsonl"], SCORER, None, tmp_path / "out")
    (tmp_path / "out" / "manifest.json").unlink()
    shards = content(tmp_path / "out")
    monkeypatch.chdir(tmp_path / "other")
    with pytest.raises(OutputError, match=r"contains another annotation\. They differ in: fingerprint"):
        annotate(["a.jsonl"], SCORER, None, tmp_path / "out")
    assert content(tmp_path / "out") == shards


def test_shards_of_documents_that_are_gone_do_not_stay(tmp_path, caplog, line_by_line):
    source = write_lines(tmp_path / "a\x1b[2J.jsonl", [f"x={i}\n" for i in range(9)])
    annotate([source], SCORER, None, tmp_path / "out", shard_bytes=8)
    (tmp_path / "out" / "manifest.json").unlink()
    write_lines(Path(source), [f"x={i}\n" for i in range(3)])
    annotate([source], SCORER, None, tmp_path / "out", shard_bytes=8)
    assert r"a\x1b[2J.jsonl has changed" in caplog.text
    annotate([source], SCORER, None, tmp_path / "whole", shard_bytes=8)
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_parts_of_a_corpus_are_shards_of_their_own_in_order(tmp_path):
    for name in "ab":
        write_lines(tmp_path / f"{name}.jsonl", [f"{name}{i}\n" for i in range(3)])
    fractions = []
    annotate(
        [str(tmp_path / "*.jsonl")], SCORER, None, tmp_path / "out", progress=lambda now: fractions.append(now.fraction)
    )
    assert [name for name in content(tmp_path / "out") if name.endswith("parquet")] == [
        "shard-00000-000000.parquet",
        "shard-00001-000000.parquet",
    ]
    assert [d.texts[0] for d in read_annotated(str(tmp_path / "out"))] == [
        "a0\n",
        "a1\n",
        "a2\n",
        "b0\n",
        "b1\n",
        "b2\n",
    ]
    assert fractions == [0.5, 1.0]


def test_several_scorers_fill_columns_of_their_own(tmp_path):
    source = write_lines(tmp_path / "a.jsonl", ["x=1\nab\n"])
    sections = [SCORER, {"class_name": f"{OWN}:LengthScorer"}, {"class_name": "PEP8Scorer", "column": "again"}]
    manifest = annotate([source], sections, None, tmp_path / "out")
    (row,) = (record.values for record in read_records(str(tmp_path / "out")))
    assert row["scores"] == row["again_scores"] == [0.25, 0.0]
    assert row["length_scores"] == pytest.approx([1 / 4, 1 / 3])
    assert row["length_avg_score"] == pytest.approx(7 / 24)
    assert list(manifest.scorers) == ["scores", "length_scores", "again_scores"]
    assert [d.scores for d in read_annotated(str(tmp_path / "out"), "again_scores")] == [[0.25, 0.0]]
    with pytest.raises(ConfigError, match="Two scorers need the column 'pep8_scores'"):
        score_columns([SCORER, SCORER, SCORER])
    assert column_prefix("DetoxifyToxicityScorer") == "detoxify_toxicity"
    assert column_prefix("my.module:PIIScorer") == "pii"


@pytest.mark.parametrize("name", ["RaisingScorer", "BatchRaisingScorer"])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_scorer_that_raises_leaves_that_document_unscored_and_counted(name, workers, tmp_path):
    source = write_lines(tmp_path / "a.jsonl", ["good\n", "raise\nme\n", "fine\n"])
    manifest = annotate([source], {"class_name": f"{OWN}:{name}"}, None, tmp_path / "out", workers)
    scores = [d.scores for d in read_annotated(str(tmp_path / "out"))]
    assert scores == [[pytest.approx(0.2)], [None, None], [pytest.approx(0.2)]]
    assert manifest.unscored_reasons == {f"{OWN}:{name} raised RuntimeError": 2}


def test_a_scorer_that_hangs_leaves_that_document_unscored_and_counted(tmp_path):
    source = write_lines(tmp_path / "a.jsonl", ["good\n", "hang\n", "fine\n"])
    scorer = {"class_name": f"{OWN}:HangingScorer"}
    manifest = annotate([source], scorer, None, tmp_path / "out", time_limit=0.5)
    assert [d.scores[0] is None for d in read_annotated(str(tmp_path / "out"))] == [False, True, False]
    assert manifest.unscored_reasons == {"took longer than 0.5 s": 1}


def test_a_document_that_kills_its_worker_is_found_out(tmp_path):
    source = write_lines(tmp_path / "a.jsonl", ["good\n", "kill\n", "fine\n"])
    manifest = annotate([source], {"class_name": f"{OWN}:KillingScorer"}, None, tmp_path / "out", workers=2)
    assert [d.scores[0] is None for d in read_annotated(str(tmp_path / "out"))] == [False, True, False]
    assert manifest.unscored_reasons == {"worker died (exit status 3)": 1}


def test_a_scorer_that_reads_standard_input_finds_it_empty(tmp_path):
    source = write_lines(tmp_path / "a.jsonl", ["good\n", "fine\n"])
    manifest = annotate([source], {"class_name": f"{OWN}:ReadingScorer"}, None, tmp_path / "out", time_limit=5)
    assert manifest.num_unscored == 0


def test_a_worker_whose_own_child_outlives_it_is_known_to_be_dead(tmp_path):
    source = write_lines(tmp_path / "a.jsonl", ["good\n", "kill\n", "fine\n"])
    start = time.monotonic()
    manifest = annotate([source], {"class_name": f"{OWN}:ForkingScorer"}, None, tmp_path / "out", workers=2)
    assert manifest.unscored_reasons == {"worker died (exit status 3)": 1}
    assert time.monotonic() - start < 20  # as long as the child lives


def test_a_worker_that_cannot_even_start_ends_the_job(tmp_path):
    source = write_lines(tmp_path / "a.jsonl", ["one\n"])
    with pytest.raises(ScorerError, match=r"has died 5 times, last time: worker died \(exit status 4\)"):
        annotate([source], {"class_name": f"{OWN}:NoWorkerScorer"}, None, tmp_path / "out", workers=2)


@pytest.mark.parametrize(("name", "message"), [("ShortScorer", "0 scores for 1"), ("NanScorer", "returned nan")])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_scorer_that_breaks_its_contract_ends_the_job(name, message, workers, tmp_path):
    source = write_lines(tmp_path / "a.jsonl", ["one\n"])
    with pytest.raises(ScorerError, match=message):
        annotate([source], {"class_name": f"{OWN}:{name}"}, None, tmp_path / "out", workers)
    assert not list((tmp_path / "out").glob("*.parquet"))


def test_hostile_and_extreme_documents_pass(tmp_path):
    texts = ["", "\0\n", "\ud800 lone\n", "שלום\n", "😀\n", "a\n" * 100_000, "b" * 1_000_000, "x\r\ny\x0c\n\u2028z"]
    source = write_lines(tmp_path / "a.jsonl", texts)
    annotate([source], {"class_name": f"{OWN}:LengthScorer"}, None, tmp_path / "out", workers=2)
    annotated = [("".join(d.texts), len(d.texts)) for d in read_annotated(str(tmp_path / "out"))]
    assert [text for text, _ in annotated] == [text.replace("\ud800", "\ufffd") for text in texts]
    assert annotated[5][1] == 100_000


@pytest.mark.slow
def test_a_document_of_50_megabytes_passes(tmp_path):
    source = write_lines(tmp_path / "a.jsonl", ["x" * 50_000_000 + "\n", "y\n" * 25_000_000])
    scorer = {"class_name": f"{OWN}:LengthScorer"}
    manifest = annotate([source], scorer, "document", tmp_path / "out", workers=2)
    assert [sum(map(len, d.texts)) for d in read_annotated(str(tmp_path / "out"))] == [50_000_001, 50_000_000]
    assert manifest.num_unscored == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "pattern", "segments_in_it"), [("sentences", "Yes. No it is not!\nWhy so? ", 3), ("lines", "a\n\n", 2)]
)
def test_a_document_of_very_many_short_segments_passes(how, pattern, segments_in_it, tmp_path):
    text = pattern * 200_000
    source = write_lines(tmp_path / "a.jsonl", [text])
    manifest = annotate([source], {"class_name": f"{OWN}:LengthScorer"}, how, tmp_path / "out", workers=2)
    (document,) = read_annotated(str(tmp_path / "out"))
    assert "".join(document.texts) == text
    assert manifest.num_segments == len(document.texts) == segments_in_it * 200_000


def test_a_compressed_file_is_read_once_for_all_its_shards(tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "PIECE_SIZE", 7 * 5)
    monkeypatch.setattr(pieces, "LEAST_PIECE_SIZE", 7 * 5)
    rows = "".join(json.dumps({"text": f"x = {i:02}\n"}) + "\n" for i in range(20))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(rows.encode()))
    opened = []
    real = gzip.GzipFile
    monkeypatch.setattr(gzip, "GzipFile", lambda **settings: opened.append(settings) or real(**settings))
    manifest = annotate([str(tmp_path / "a.jsonl.gz")], SCORER, None, tmp_path / "out", workers=2, shard_bytes=30)
    assert [len(opened), len(manifest.shards)] == [1, 4]


def run_killed(code, out, kills, name):
    """Run `code`, killing it or its workers at random moments, until it ends by itself `kills` kills later."""
    rng = random.Random(0)
    for kill in range(kills + 1):
        process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PHF_TEST": name})
        if kill == kills:
            assert process.wait() == 0
            return
        deadline = time.monotonic() + rng.uniform(0.5, 2.5)
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        workers = [p for p in Path("/proc").glob("[0-9]*") if is_worker_of(p, name)]
        if kill % 2 and workers:
            os.kill(int(rng.choice(workers).name), signal.SIGKILL)
            time.sleep(rng.uniform(0.5, 1.5))
        process.kill()
        process.wait()


def is_worker_of(process, name):
    try:
        is_worker = b"phf.annotate.backends.worker" in (process / "cmdline").read_bytes()
        return is_worker and f"PHF_TEST={name}".encode() in (process / "environ").read_bytes()
    except OSError:
        return False


@pytest.mark.slow
def test_ten_kills_of_workers_and_of_the_job_do_not_change_a_byte(corpus, tmp_path):
    code = (
        "from phf.annotate import pieces, runner; from pathlib import Path; pieces.PIECE_FILES = 2\n"
        f"scorer = {{'class_name': '{OWN}:LengthScorer', 'seconds': 0.05}}\n"
        f"runner.annotate([{corpus!r}], scorer, None, Path('OUT'), workers=WORKERS, shard_bytes=4000)"
    )
    killed = code.replace("OUT", str(tmp_path / "killed")).replace("WORKERS", "2")
    run_killed(killed, tmp_path / "killed", 10, tmp_path.name)
    whole = code.replace("OUT", str(tmp_path / "whole")).replace("WORKERS", "1")
    subprocess.run([sys.executable, "-c", whole], check=True)
    assert content(tmp_path / "killed") == content(tmp_path / "whole")


def test_two_jobs_on_one_folder(corpus, tmp_path):
    def second(progress):
        with pytest.raises(OutputError, match="is being written by another job"):
            annotate([corpus], SCORER, None, tmp_path / "out")
        seen.append(progress)

    seen = []
    annotate([corpus], SCORER, None, tmp_path / "out", progress=second)
    assert seen


def test_a_finished_folder_needs_no_leave_to_write(corpus, tmp_path, monkeypatch):
    made = annotate([corpus], SCORER, None, tmp_path / "out")
    monkeypatch.setattr(folder, "only_job", None)  # nor anything else that writes
    monkeypatch.setattr(folder, "write_json_atomic", None)
    assert annotate([corpus], SCORER, None, tmp_path / "out") == made


def test_another_job_on_the_folder_is_refused(corpus, tmp_path):
    annotate([corpus], SCORER, None, tmp_path / "out")
    with pytest.raises(OutputError, match="segmenter: 'lines' -> 'document'"):
        annotate([corpus], SCORER, "document", tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("do not touch")
    with pytest.raises(OutputError, match="was not made by phf annotate"):
        annotate([corpus], SCORER, None, tmp_path / "mine")
    (tmp_path / "mine" / "job.json").write_text('{"model": "of phf refresh or phf redteam"}')
    with pytest.raises(OutputError, match="was not made by phf annotate"):
        annotate([corpus], SCORER, None, tmp_path / "mine")
    assert "of phf refresh" in (tmp_path / "mine" / "job.json").read_text()


def test_an_unfinished_dataset_is_not_taken_for_a_whole_one(corpus, tmp_path):
    annotate([corpus], SCORER, None, tmp_path / "out")
    (tmp_path / "out" / "manifest.json").unlink()
    for read in (read_annotated, read_documents, fingerprint):
        with pytest.raises(CorpusError, match="its annotation is unfinished"):
            list(read(str(tmp_path / "out")))
    assert len(list(read_annotated(str(tmp_path / "out" / "*.parquet")))) == 41


def test_a_job_that_finished_nothing_gives_way_to_a_corrected_one(tmp_path):
    source = write_lines(tmp_path / "a.jsonl", ["one\n"])
    whole = Path(source).read_text()
    Path(source).write_text(whole + '{"text": "cut o')
    with pytest.raises(CorpusError, match="line 2: is not valid JSON"):
        annotate([source], SCORER, None, tmp_path / "out")
    Path(source).write_text(whole)
    with pytest.raises(ConfigError, match="no segmenter 'linse'"):
        annotate([source], SCORER, "linse", tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert annotate([source], SCORER, "document", tmp_path / "out").segmenter == "document"
    assert json.loads((tmp_path / "out" / "job.json").read_text())["segmenter"] == "document"


def test_a_shard_that_was_deleted_is_made_again(corpus, tmp_path):
    annotate([corpus], SCORER, None, tmp_path / "out")
    whole = content(tmp_path / "out")
    (tmp_path / "out" / "shard-00000-000000.parquet").unlink()
    annotate([corpus], SCORER, None, tmp_path / "out")
    assert content(tmp_path / "out") == whole


@pytest.mark.parametrize("broken", ["{", "[]", "\udc80"])
def test_a_job_file_that_cannot_be_read_is_an_error(corpus, tmp_path, broken):
    annotate([corpus], SCORER, None, tmp_path / "out")
    (tmp_path / "out" / "job.json").write_bytes(os.fsencode(broken))
    with pytest.raises(OutputError, match=r"job\.json: is .*Choose another folder"):
        annotate([corpus], SCORER, None, tmp_path / "out")


def test_output_inside_a_corpus_of_text_is_refused(corpus, tmp_path):
    with pytest.raises(OutputError, match="is inside the corpus"):
        annotate([corpus], SCORER, None, Path(corpus) / "annotated")
    assert not (Path(corpus) / "annotated").exists()
    assert annotate([corpus], SCORER, None, Path(corpus) / ".annotated").num_documents == 41  # hidden: never read
    records = tmp_path / "records"
    records.mkdir()
    write_lines(records / "a.jsonl", ["one\n"])
    assert annotate([str(records)], SCORER, None, records / "annotated").num_documents == 1  # only what is beside it is


def test_a_corpus_whose_name_is_not_utf8(tmp_path):
    source = write_lines(tmp_path / os.fsdecode(b"\x80.jsonl"), ["one\n"])
    assert annotate([source], SCORER, None, tmp_path / "out").sources == [str(tmp_path / "\ufffd.jsonl")]


def test_empty_corpus_says_so(tmp_path):
    (tmp_path / "a.jsonl").write_text("")
    with pytest.raises(CorpusError, match="contains no documents"):
        annotate([str(tmp_path / "a.jsonl")], SCORER, None, tmp_path / "out")


def test_full_disk_loses_nothing_that_is_finished(tmp_path, line_by_line):
    noise = "".join(random.Random(0).choices("abcdefghijklmnop", k=1_000_000))  # half a megabyte, however compressed
    source = write_lines(tmp_path / "a.jsonl", ["x" * 1_000_000, noise])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"piece-00000-0000001\.parquet cannot be written: .*File too large"):
            annotate([source], SCORER, "document", tmp_path / "out", shard_bytes=1_000_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(content(tmp_path / "out")) == [
        "job.json",
        "shard-00000-000000.parquet",
        "shard-00000-000000.parquet.json",
    ]


def test_a_disk_that_is_full_for_a_shard_keeps_its_pieces(tmp_path, line_by_line):
    rng = random.Random(0)
    texts = ["".join(rng.choices("abcdefghijklmnop", k=300_000)) for _ in range(2)]
    source = write_lines(tmp_path / "a.jsonl", texts)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"shard-00000-000000\.parquet cannot be written: .*File too large"):
            annotate([source], SCORER, "document", tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in sorted((tmp_path / "out" / ".pieces").glob("*.parquet"))] == [
        "piece-00000-0000000.parquet",
        "piece-00000-0000001.parquet",
    ]
    with pytest.raises(CorpusError, match="its annotation is unfinished"):
        fingerprint(str(tmp_path / "out"))
    assert annotate([source], SCORER, "document", tmp_path / "out").num_documents == 2


def test_no_manifest_before_every_shard_is_on_disk(corpus, tmp_path, monkeypatch):
    real, calls = os.fsync, []

    def fsync(descriptor):
        calls.append(descriptor)
        if len(calls) == 2:  # job.json, then the shard
            raise OSError(5, "Input/output error")
        real(descriptor)

    monkeypatch.setattr(files.os, "fsync", fsync)
    with pytest.raises(OutputError, match=r"shard-00000-000000\.parquet cannot be written: Input/output error"):
        annotate([corpus], SCORER, None, tmp_path / "out")
    assert read_manifest(tmp_path / "out") is None


def test_a_shard_that_was_cut_off_is_scored_again(corpus, tmp_path):
    annotate([corpus], SCORER, None, tmp_path / "out")
    whole = content(tmp_path / "out")
    for name in ("shard-00000-000000.parquet", "shard-00000-000000.parquet.json"):
        (tmp_path / "out" / "manifest.json").unlink()
        (tmp_path / "out" / name).write_bytes(whole[name][:100])
        annotate([corpus], SCORER, None, tmp_path / "out")
        assert content(tmp_path / "out") == whole


def test_output_that_cannot_be_a_folder_says_so(corpus, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        annotate([corpus], SCORER, None, tmp_path / "file" / "out")


def test_a_refused_annotation_names_the_settings_that_differ(corpus, tmp_path):
    scorer = {"class_name": "CompositeScorer", "scorers": [{"class_name": "PEP8Scorer"}], "weights": [1.0]}
    annotate([str(corpus)], scorer, "lines", tmp_path / "out")
    with pytest.raises(OutputError) as error:
        annotate([str(corpus)], {**scorer, "weights": [2.0]}, "document", tmp_path / "out")
    for difference in ("scorers.scores.settings.weights.0: 1.0 -> 2.0", "segmenter: 'lines' -> 'document'"):
        assert difference in str(error.value)


def test_progress_counts_what_is_scored_and_not_what_is_read(tmp_path, line_by_line):
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"text": f"line {i:02}\n"}) + "\n" for i in range(20)))
    seen = []
    annotate([str(corpus)], SCORER, None, tmp_path / "out", progress=seen.append)
    assert [now.fraction for now in seen] == pytest.approx([(i + 1) / 20 for i in range(20)])
    assert [now.num_documents for now in seen] == list(range(1, 21))
    assert seen[-1].fraction == 1.0


def test_progress_begins_with_what_was_finished_before(tmp_path, line_by_line):
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"text": f"line {i:02}\n"}) + "\n" for i in range(20)))
    annotate([str(corpus)], SCORER, None, tmp_path / "out", shard_bytes=40)
    (tmp_path / "out" / "shard-00000-000003.parquet").unlink()
    seen = []
    annotate([str(corpus)], SCORER, None, tmp_path / "out", shard_bytes=40, progress=seen.append)
    assert [now.num_documents for now in seen] == [16, 17, 18, 19, 20]
    assert seen[0].fraction == pytest.approx(16 / 20)


def test_unfinished_files_of_workers_that_died_go_when_the_job_ends(tmp_path):
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"text": "a"}\n')

    def leave_one(progress):
        (tmp_path / "out" / ".shard-00000-000000.parquet.1234.partial").write_bytes(b"half")

    annotate([str(corpus)], {"class_name": "PEP8Scorer"}, None, tmp_path / "out", progress=leave_one)
    assert not list((tmp_path / "out").glob(".*.partial"))
