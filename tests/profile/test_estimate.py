"""Predictions from a sample: what is counted, what is scaled, and how wide the interval is."""

import gzip
import json
import math
import random
import re
from contextlib import contextmanager

import numpy as np
import pytest
from tests.clients.fake_server import fake_server
from tests.corpus.corpora import put_parquet
from typer.testing import CliRunner

from phf.cli.app import app
from phf.corpus.formats.row_policy import ReadOptions
from phf.errors import CorpusError, ServerError
from phf.profile import estimate as module
from phf.profile.estimate import estimate_corpus, ratio_interval, read_sample
from phf.scorers import Scorer

PEP8 = {"class_name": "PEP8Scorer"}


class Failing(Scorer):
    """Scores one character; raises on a text that starts with "b"."""

    def score_texts(self, texts):
        if texts[0].startswith("b"):
            raise RuntimeError("no")
        return [1.0 for _ in texts]


class WithModel(Scorer):
    """Has a device."""

    device = "cpu"

    def score_texts(self, texts):
        return [1.0 for _ in texts]


def write_lines(path, num, seed=0):
    rng = random.Random(seed)
    with path.open("w") as file:
        for _ in range(num):
            text = "".join(rng.choice("xyz =1\n") for _ in range(rng.randint(50, 150)))
            file.write(json.dumps({"text": text}) + "\n")


def test_a_small_corpus_is_read_as_a_whole(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "x=1\\n"}\n{"text": "y = 1\\n"}\n{"text": ""}\n')
    reading = read_sample(str(tmp_path), 10)
    assert (reading.num_documents, reading.num_chars, reading.share_read) == (3, 10, 1.0)
    assert sorted(document.text for document in reading.sample) == [
        "x=1\n",
        "y = 1\n",
    ]  # nothing to score in an empty one
    estimate = estimate_corpus(str(tmp_path), PEP8)
    assert (estimate.num_sampled, estimate.num_sampled_chars, estimate.num_segments) == (2, 10, 2)
    assert estimate.segmenter == "lines"
    assert 0 <= estimate.process_hours.low <= estimate.process_hours.mean <= estimate.process_hours.high
    assert estimate.output_bytes > 0


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".parquet"])
def test_a_large_corpus_is_scaled_up_from_the_start_of_its_files(tmp_path, suffix):
    for number in range(3):
        path = tmp_path / f"{number}.jsonl"
        write_lines(path, 10_000, number)
        if suffix == ".jsonl.gz":
            (tmp_path / f"{number}.jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
        if suffix == ".parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            rows = [json.loads(line) for line in path.read_text().splitlines()]
            pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"{number}.parquet")
        if suffix != ".jsonl":
            path.unlink()
    reading = read_sample(str(tmp_path), 50, read_chars=900_000)
    assert 0.2 < reading.share_read < 0.5
    assert reading.num_documents == pytest.approx(30_000, rel=0.05)
    assert reading.num_chars == pytest.approx(3_000_000, rel=0.05)
    assert len(reading.sample) == 50
    assert (reading.num_parts, reading.num_parts_read) == (3, 3)


def test_the_sample_is_the_same_every_time_and_not_the_first_documents(tmp_path):
    write_lines(tmp_path / "a.jsonl", 1000)
    one, two = (read_sample(str(tmp_path), 20).sample for _ in range(2))
    assert one == two
    rows = sorted(int(document.id.rpartition(":")[2]) for document in one)
    assert rows[-1] > 500


def test_the_interval_covers_the_ratio_and_narrows_with_the_sample():
    rng = np.random.default_rng(0)
    sizes = rng.integers(100, 1000, 400).astype(float)
    amounts = sizes * rng.uniform(0.5, 1.5, 400)
    wide, narrow = ratio_interval(amounts[:25], sizes[:25]), ratio_interval(amounts, sizes)
    assert narrow.mean == pytest.approx(amounts.sum() / sizes.sum())
    assert narrow.low < narrow.mean < narrow.high
    assert narrow.high - narrow.low < (wide.high - wide.low) / 2
    same = ratio_interval(2 * sizes, sizes)
    assert same.mean == 2
    assert math.isnan(same.low)  # of values all alike nothing is known


def test_time_is_scaled_by_characters(tmp_path, monkeypatch):
    write_lines(tmp_path / "a.jsonl", 1000)
    monkeypatch.setattr(module, "_timed", lambda scorer, segmenter, documents: (*[np.array([10.0])] * 3, []))
    estimate = estimate_corpus(str(tmp_path), PEP8)  # one second a character
    assert estimate.process_hours.mean == pytest.approx(estimate.corpus["num_characters"] / 3600)


def test_a_scorer_that_raises_leaves_segments_unscored(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"text": "bb"}\n')
    estimate = estimate_corpus(str(tmp_path), {"class_name": f"{__name__}:Failing"}, "document")
    assert (estimate.num_segments, estimate.num_unscored_segments) == (2, 1)


def test_what_a_model_without_a_gpu_takes_is_not_divided_by_cores(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n')
    outputs = []
    for name in ("Failing", "WithModel"):
        arguments = ["profile", str(tmp_path), "--estimate", "--scorer", f"{__name__}:{name}"]
        outputs.append(CliRunner().invoke(app, arguments).output)
    assert "n processes take 1/n of it, given n cores" in outputs[0]
    assert "its model uses all cores by itself" in outputs[1]
    for output in outputs:
        assert "on disk, 1 document, 1 character\n" in output  # not 0.0 million
        assert "Sample: 1 document, 1 character, 1 segment, " in output


RATED = {
    "choices": [{"message": {"content": '{"rating": 3}'}}],
    "usage": {"prompt_tokens": 50, "completion_tokens": 5},
}


def judge_section(url, **settings):
    rubric = {"question": "Bad?", "scale": [1, 5], "higher_is_worse": True}
    return {"class_name": "JudgeScorer", "rubric": rubric, "base_url": url, "model": "m", **settings}


def test_what_a_judge_costs_is_measured_without_its_cache_and_scaled_to_the_corpus(tmp_path, monkeypatch):
    monkeypatch.setenv("PHF_CACHE", str(tmp_path / "cache"))
    (tmp_path / "corpus.jsonl").write_text("".join(f'{{"text": "number {i:03}"}}\n' for i in range(100)))
    outputs = []
    with fake_server(lambda path, body: (200, RATED)) as fake:
        section = judge_section(fake.url, price_per_million=[2, 10])
        for _ in range(2):  # the second time all answers are in the cache
            estimate = estimate_corpus(str(tmp_path / "corpus.jsonl"), section, num_sampled=10)
            usage = {key: value.mean for key, value in estimate.usage.items()}
            assert usage == pytest.approx(
                {
                    "num_requests": 100,
                    "prompt_tokens": 5000,
                    "completion_tokens": 500,
                    "cost": (5000 * 2 + 500 * 10) / 1e6,
                }
            )
            assert estimate.num_unscored_segments == 0
        assert len(fake.asked) == 2 * (10 + 1)  # once each, and the document that warms up
        assert json.loads(json.dumps(estimate.to_json()))["usage"]["num_requests"]["estimate"] == 100
        for change in ({"price_per_million": [2, 10]}, {}):
            scorer = json.dumps(judge_section(fake.url, **change))
            arguments = ["profile", str(tmp_path / "corpus.jsonl"), "--estimate", "--scorer", scorer, "--sample", "10"]
            outputs.append(CliRunner().invoke(app, arguments).output)
    assert "about 100 answers; tokens of prompts: about 5,000, of answers: about 500" in outputs[0]
    assert re.search(r"Cost: (about )?0\.015.*, by price_per_million", outputs[0])
    assert "Cost: unknown. Set the scorer's price_per_million" in outputs[1]
    assert "help as far as the server keeps up" in outputs[1]
    assert "Asked of the model" not in CliRunner().invoke(app, [*arguments[:4], "PEP8Scorer"]).output


def test_tokens_that_a_server_does_not_count_are_unknown_and_not_0(tmp_path, monkeypatch):
    monkeypatch.setenv("PHF_CACHE", str(tmp_path / "cache"))
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
    with fake_server(lambda path, body: (200, {"choices": RATED["choices"]})) as fake:
        usage = estimate_corpus(str(tmp_path / "a.jsonl"), judge_section(fake.url, price_per_million=[1, 1])).usage
    assert usage["num_requests"].mean == 2
    assert all(math.isnan(usage[key].mean) for key in ("prompt_tokens", "completion_tokens", "cost"))


def test_what_a_judge_does_not_answer_is_shown_and_not_counted_as_free(tmp_path, monkeypatch):
    """Before it is scored for good, a sample of few texts never fails often enough to end the estimate."""
    monkeypatch.setenv("PHF_CACHE", str(tmp_path / "cache"))
    (tmp_path / "a.jsonl").write_text("".join(f'{{"text": "number {i}"}}\n' for i in range(6)))
    outputs = {}
    for failing in ("number", "number 3"):

        def answer(path, body, failing=failing):
            return (400, "no") if failing in str(body["messages"]) else (200, RATED)

        with fake_server(answer) as fake:
            section = judge_section(fake.url, price_per_million=[2, 10])
            arguments = ["profile", str(tmp_path / "a.jsonl"), "--estimate", "--scorer", json.dumps(section)]
            outputs[failing] = CliRunner().invoke(app, arguments).output
    assert "6 segments, 6 unscored\n  6: the judge's server: status 400" in outputs["number"]
    assert "Asked of the model: unknown answers; tokens of prompts: unknown" in outputs["number"]
    assert "Cost: unknown, as it is not known what is counted" in outputs["number"]
    assert "6 segments, 1 unscored\n  1: the judge's server: status 400" in outputs["number 3"]
    assert re.search(r"tokens of prompts: (about )?250 ", outputs["number 3"])


class SlowToLoad(Scorer):
    """Loads a model when the first text is scored that is not cached; texts that begin with "-" are unscored."""

    def __init__(self):
        super().__init__()
        self.log, self.is_cached = [], True

    def score_texts(self, texts):
        self.log += [(text, self.is_cached) for text in texts]
        return [None if text.startswith("-") else 1.0 for text in texts]

    @contextmanager
    def without_cache(self):
        self.is_cached = False
        yield
        self.is_cached = True


def test_a_model_is_loaded_before_the_clock_runs_whatever_is_cached_or_cannot_be_scored(tmp_path, monkeypatch):
    (tmp_path / "a.jsonl").write_text('{"text": "-"}\n{"text": "--"}\n{"text": "b"}\n')
    scorer, timed = SlowToLoad(), module._timed
    monkeypatch.setattr(module, "build_scorer", lambda *_: scorer)

    def after_warming_up(*arguments):
        warmed.extend(scorer.log)
        return timed(*arguments)

    warmed = []
    monkeypatch.setattr(module, "_timed", after_warming_up)
    assert estimate_corpus(str(tmp_path / "a.jsonl"), PEP8, "document").num_unscored_segments == 2
    assert ("b", False) in warmed
    assert len(warmed) <= 3
    assert not any(is_cached for _, is_cached in warmed)


def test_a_judge_that_cannot_be_reached_ends_the_estimate(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
    with fake_server(lambda path, body: (404, "no model m")) as fake:
        with pytest.raises(ServerError, match="no model m"):
            estimate_corpus(str(tmp_path / "a.jsonl"), judge_section(fake.url))
        assert len(fake.asked) <= 2


def test_unknown_size_and_no_text_are_errors(tmp_path):
    with pytest.raises(CorpusError, match="its size is not known"):
        read_sample("some/hub-dataset", 10)
    (tmp_path / "a.jsonl").write_text('{"text": ""}\n')
    with pytest.raises(CorpusError, match="no text was found"):
        read_sample(str(tmp_path), 10)
    (tmp_path / "a.jsonl").write_bytes(b"")
    with pytest.raises(CorpusError, match="no text was found"):
        read_sample(str(tmp_path / "a.jsonl"), 10)


def test_on_the_command_line(tmp_path):
    write_lines(tmp_path / "a.jsonl", 30)
    arguments = ["profile", str(tmp_path), "--estimate", "--scorer", "PEP8Scorer", "--sample", "10"]
    result = CliRunner().invoke(app, [*arguments, "--output", str(tmp_path / "out")])
    assert result.exception is None
    assert "30 documents" in result.output
    assert "Sample: 10 documents" in result.output
    assert json.loads((tmp_path / "out" / "estimate.json").read_text())["num_sampled"] == 10


def test_the_column_of_the_text_can_be_chosen(tmp_path):
    put_parquet(tmp_path / "a.parquet", body=["x = 1\n"] * 3)
    reading = read_sample(str(tmp_path), 2, options=ReadOptions("body"))
    assert (reading.num_documents, reading.num_chars) == (3, 18)
