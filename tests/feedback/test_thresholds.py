"""Thresholds written as percentiles: read, resolved from the data, recorded, and the same when a run is resumed."""

import json
from pathlib import Path

import pytest
import torch
from tests.tiny import tiny_config
from typer.testing import CliRunner

from phf.cli.app import app
from phf.config import dump_config, load_config
from phf.corpus.dataset import write_shard
from phf.corpus.sources.documents import AnnotatedDocument
from phf.errors import ConfigError, CorpusError
from phf.feedback import method_of, threshold_of
from phf.feedback.objectives import MLE
from phf.feedback.thresholds import cached_thresholds, percentile_thresholds, resolve_thresholds
from phf.profile.measure import profile_dataset
from phf.storage.cache import cache_root
from phf.training.data import percentile_notes, prepare_data, resolve_percentiles
from phf.training.plan import plan_run
from phf.training.run import train

FILTER, TAG, OBJECTIVE = (
    "dataset.filter_threshold",
    "dataset.conditional_training_config.threshold",
    "objective.score_threshold",
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """20 documents of 20 lines; the average of document i is i/100, its lines score 0 and 2i/100 in turn."""
    folder = tmp_path_factory.mktemp("dataset")
    documents = [
        AnnotatedDocument(str(i), [f"x{j} = {i}\n" for j in range(20)], [0.0, 2 * i / 100] * 10) for i in range(1, 21)
    ]
    write_shard(folder / "shard.parquet", documents)
    return str(folder)


def test_each_key_takes_the_percentile_of_its_own_level(dataset):
    config = tiny_config(dataset, "conditional", **{FILTER: "p50", TAG: "p75"})
    assert percentile_thresholds(config) == {FILTER: "p50", TAG: "p75"}
    resolved, percentiles = resolve_percentiles(config, lambda message: None)
    assert resolved.dataset.filter_threshold == 0.1  # 10 of 20 documents average 0.10 or less
    assert resolved.dataset.conditional_training_config.threshold == 0.2  # 300 of 400 lines
    assert percentiles == {FILTER: "p50 = 0.1", TAG: "p75 = 0.2"}
    config = tiny_config(dataset, "ul", **{OBJECTIVE: "p99.5"})
    resolved, percentiles = resolve_percentiles(config, lambda message: None)
    assert resolved.objective["score_threshold"] == 0.4
    assert percentiles == {OBJECTIVE: "p99.5 = 0.4"}
    assert threshold_of(method_of(resolved)) == 0.4


class Drawn(MLE):
    """A user's own objective that draws a line between aligned and misaligned."""

    alignment_threshold = 0.25


def test_evaluation_asks_the_objective_for_its_threshold(dataset):
    config = tiny_config(dataset)
    assert threshold_of(method_of(config)) == 0
    own = config.model_copy(update={"objective": {"name": f"{__name__}:Drawn"}})
    assert threshold_of(method_of(own)) == 0.25
    soft = config.model_copy(update={"objective": {"name": "Unlikelihood", "score_threshold": None, "alpha": 1.0}})
    assert threshold_of(method_of(soft)) == 0


def test_the_number_is_the_one_that_the_profile_shows(dataset):
    profile = profile_dataset(dataset, percentiles=[35])
    config = tiny_config(dataset, "conditional", **{FILTER: "p35", TAG: "p35"})
    resolved = resolve_thresholds(config, [dataset])
    assert resolved[FILTER].threshold == profile.levels["document"].percentiles[0].threshold
    assert resolved[TAG].threshold == profile.levels["segment"].percentiles[0].threshold


def test_half_of_the_documents_pass_a_filter_at_the_median(dataset):
    config, _ = resolve_percentiles(
        tiny_config(dataset, **{FILTER: "p50", "dataset.eval_fraction": 0.0}), lambda message: None
    )
    counts = prepare_data(config, lambda message: None).train.counts
    assert (counts.num_documents, counts.num_documents_filtered) == (10, 10)


def test_a_decimal_threshold_equals_its_float32_in_the_objective():
    for value in (0.1, 0.00236, 5.6e-4):
        assert bool((torch.tensor([value], dtype=torch.float32) <= value).all())


@pytest.mark.parametrize("wrong", ["p101", "p-1", "5p", "p", "median", "p5%", [1], ".nan", ".inf", "1e999", True])
@pytest.mark.parametrize(("method", "key"), [("mle", FILTER), ("conditional", TAG), ("ul", OBJECTIVE)])
def test_anything_else_is_refused_with_an_example(dataset, method, key, wrong):
    with pytest.raises(ConfigError, match=rf"{key}.*write a number, or a percentile.*such as p5 or p99\.5"):
        tiny_config(dataset, method, **{key: wrong})


@pytest.mark.parametrize("beyond", [1e39, "-1e39"])
@pytest.mark.parametrize(
    ("method", "key"), [("mle", FILTER), ("mle", "dataset.hidden_threshold"), ("conditional", TAG), ("ul", OBJECTIVE)]
)
def test_a_number_that_no_stored_score_can_have_is_refused(dataset, method, key, beyond):
    with pytest.raises(ConfigError, match=rf"{key}.*float32, which ends at 3\.4e38"):
        tiny_config(dataset, method, **{key: beyond})


def test_phases_whose_percentiles_are_one_number_are_named(dataset):
    anneal = {"key": TAG, "from": "p50", "to": "p10", "stages": 3}
    said = []
    config = tiny_config(
        dataset, None, schedule=[{"until": 0.5, "method": "conditional", "anneal": anneal}, {"method": "ul"}]
    )
    resolve_percentiles(config, said.append)
    (sentence,) = [line for line in said if line.startswith("schedule:")]
    assert all(f"'conditional (threshold {name})'" in sentence for name in ("p50", "p30", "p10"))
    assert "'ul'" not in sentence
    moving = {**anneal, "from": "p100"}
    said.clear()
    config = tiny_config(dataset, None, schedule=[{"method": "conditional", "anneal": {**moving, "stages": 2}}])
    resolve_percentiles(config, said.append)
    assert not [line for line in said if line.startswith("schedule:")]


@pytest.mark.parametrize(("given", "read"), [(0, 0.0), ("1e-3", 0.001), (5e-4, 5e-4), ("p0", "p0"), ("p99.5", "p99.5")])
def test_numbers_and_percentiles_are_read(dataset, given, read):
    assert tiny_config(dataset, **{FILTER: given}).dataset.filter_threshold == read
    config = tiny_config(dataset, "conditional", **{TAG: given})
    assert config.dataset.conditional_training_config.threshold == read


def test_planning_needs_no_data_and_still_finds_mistakes(dataset, tmp_path):
    assert plan_run(tiny_config(dataset, "ul", **{OBJECTIVE: "p50"}), tmp_path).method.objective.score_threshold == 0.5
    with pytest.raises(ConfigError, match=r"objective\.score_threshold is not a setting of MLE"):
        plan_run(tiny_config(dataset, **{OBJECTIVE: "p50"}), tmp_path)


def test_a_plan_tells_the_number_once_it_is_known(dataset, tmp_path):
    arguments = ["train", "--task", "pep8/quickstart", "--method", "filtering", "--dry-run"]
    arguments += ["--output-dir", str(tmp_path), "--override", f"dataset.datasets=[{dataset}]", f"{FILTER}=p90"]
    output = CliRunner().invoke(app, arguments).output
    assert "filter_threshold: p90\n" in output
    assert f"{FILTER}: p90 becomes a number when the training data is read" in output
    config = tiny_config(dataset, "filtering", **{FILTER: "p90"})
    assert cached_thresholds(config) == {FILTER: None}
    resolve_thresholds(config, [dataset])
    assert percentile_notes(config) == [f"{FILTER}: p90 = 0.18"]
    assert f"{FILTER}: p90 = 0.18" in CliRunner().invoke(app, arguments).output


def test_a_number_that_was_damaged_in_the_cache_is_computed_again(dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("PHF_CACHE", str(tmp_path))
    config = tiny_config(dataset, "filtering", **{FILTER: "p90"})
    first = resolve_thresholds(config, [dataset])
    (path,) = (cache_root() / "thresholds").iterdir()
    whole = path.read_text()
    assert "0.18" in whole
    path.write_text(whole.replace("0.18", "0.58"))
    assert cached_thresholds(config) == {FILTER: None}
    assert resolve_thresholds(config, [dataset]) == first
    assert path.read_text() == whole


def test_other_data_is_another_number(dataset, tmp_path):
    write_shard(tmp_path / "a.parquet", [AnnotatedDocument("a", ["a"], [0.7])])
    config = tiny_config(str(tmp_path), **{FILTER: "p50"})
    assert resolve_thresholds(config, [str(tmp_path)])[FILTER].threshold == 0.7
    write_shard(tmp_path / "a.parquet", [AnnotatedDocument("a", ["a"], [0.9]), AnnotatedDocument("b", ["a"], [0.95])])
    assert resolve_thresholds(config, [str(tmp_path)])[FILTER].threshold == 0.9


def test_data_without_scores_has_no_percentile(tmp_path):
    write_shard(tmp_path / "a.parquet", [AnnotatedDocument("a", ["a"], [None])])
    with pytest.raises(CorpusError, match=rf"{FILTER} is p50, but no document of the training data has a score"):
        resolve_thresholds(tiny_config(str(tmp_path), **{FILTER: "p50"}), [str(tmp_path)])


@pytest.mark.slow
def test_a_run_records_the_number_and_resumes_with_either_spelling(dataset, tmp_path):
    run_dir = tmp_path / "run"
    said = []
    changes = {FILTER: "p50", TAG: "p75", "generation.run_on_train_end": False}
    config = tiny_config(dataset, "conditional", **changes)
    train(config, run_dir, announce=said.append)
    assert f"{FILTER}: p50 = 0.1, of the training data's 20 document scores" in said
    saved, _ = load_config(config=run_dir / "config.yaml")
    assert (saved.dataset.filter_threshold, saved.dataset.conditional_training_config.threshold) == (0.1, 0.2)
    provenance = json.loads((run_dir / "provenance.json").read_text())
    assert provenance["percentiles"] == {FILTER: "p50 = 0.1", TAG: "p75 = 0.2"}
    written = (run_dir / "config.yaml").read_text()
    for again in (config, saved):
        train(again, run_dir, resume=True)
        assert (run_dir / "config.yaml").read_text() == written
    assert dump_config(load_config(config=Path(run_dir / "config.yaml"))[0]) == written
    other = tiny_config(dataset, "conditional", **{**changes, FILTER: "p60"})
    with pytest.raises(ConfigError, match="would mix two runs"):
        train(other, run_dir, resume=True)
