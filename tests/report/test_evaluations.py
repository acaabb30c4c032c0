"""A trained run and `phf evaluate` of its model, on one page."""

import json

import pytest
from tests.report.test_page import make_run, sample

from phf.config import dump_config, load_config
from phf.report.evaluations import with_evaluations
from phf.report.page import write_report
from phf.report.tables import labels, table_rows
from phf.report.verdicts import chosen_baseline, model_verdicts
from phf.runs.reader import read_run, read_runs
from phf.runs.seeds import Training

TOLD = {"class_name": "PEP8Scorer", "version": "1"}


def config_of(method="conditional", *overrides):
    return dump_config(load_config(task="pep8/quickstart", method=method, overrides=overrides)[0])


def change(folder, **facts):
    """Other facts in provenance.json."""
    path = folder / "provenance.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))


def make(folder, method, samples, **numbers):
    """A run whose numbers are those of its samples."""
    scores = [one["score"] for one in samples]
    counts = {"num_samples": len(samples), "num_unscored": 0}
    numbers = {f"generation/unconditional/{key}": count for key, count in counts.items()} | numbers
    return make_run(folder, method, sum(scores) / len(scores), samples=samples, **numbers)


def trained(folder, method="conditional", score=0.3, name=None, **numbers):
    make(folder, name or method, [sample(["x = 1\n"], [score])], **numbers)
    (folder / "config.yaml").write_text(config_of(method))
    change(folder, task="pep8/quickstart", scorer={"class_name": "PEP8Scorer"})
    return folder


def evaluated(run, folder, *overrides, method="conditional", score=0.2, scores=None, started="2026-01-02", **numbers):
    """What `phf evaluate` writes about the model of a run: all at step 0."""
    samples = [sample(["y=2\n"], [each], step=0) for each in scores or [score]]
    make(folder, run.name, samples, **numbers)
    last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    (folder / "metrics.jsonl").write_text(json.dumps(last | {"step": 0, "tokens_seen": 0}) + "\n")
    (folder / "config.yaml").write_text(config_of(method, *overrides))
    training = Training.of_config((run / "config.yaml").read_text()).to_json()
    facts = {"model": f"runs/{run.name}/model", "training": training, "max_steps": None, "started": started}
    change(folder, **facts, task="pep8/quickstart", scorer=TOLD)
    return folder


def shown(*folders):
    return with_evaluations(read_runs(folders), [{} for _ in folders])[0]


def test_a_model_is_on_the_page_once_with_the_numbers_of_its_evaluation(tmp_path):
    run = trained(tmp_path / "a", score=0.3, **{"eval/bits_per_byte": 2.5, "eval/tag_gain": 0.1})
    evaluation = evaluated(run, tmp_path / "evaluate-a", score=0.2, **{"eval/bits_per_byte": 2.25})
    (one,) = shown(run, evaluation)
    assert (one.name, one.method, one.kind) == ("a", "conditional", "model")
    (row,) = table_rows([one])
    assert (row["score"], row["bits_per_byte"]) == (0.2, 2.25)
    assert row["tag_gain"][0] == 0.1, "what the evaluation did not measure is kept"
    assert [each.continuation for each in one.samples["unconditional"]] == ["y=2\n"]
    assert one.series("train/lm_loss") == [(64, 5.0), (128, 4.5)]
    assert one.series("generation/unconditional/score") == [(64, 0.6), (128, 0.2)], "one value at the last step"
    assert one.provenance["scorer"] == {"class_name": "PEP8Scorer"}
    assert one.provenance["evaluation_scorer"] == TOLD
    assert not any("Unfinished" in note for note in one.notes)


def test_the_order_of_the_folders_does_not_matter_and_the_newest_evaluation_counts(tmp_path):
    run = trained(tmp_path / "a", score=0.3)
    new = evaluated(run, tmp_path / "new", score=0.1, started="2026-03-01T00:00:00")
    old = evaluated(run, tmp_path / "old", score=0.2, started="2026-02-01T00:00:00")
    for order in ((new, run, old), (old, new, run)):
        (one,) = shown(*order)
        assert one.last("generation/unconditional/score") == 0.1
        assert one.provenance["evaluated_in"] == ["old", "new"]


def test_more_samples_are_the_same_measurement(tmp_path):
    run = trained(tmp_path / "a")
    scenario = load_config(task="pep8/quickstart", method="conditional")[0].generation.scenario_configs[0]
    assert scenario.num_samples != 999
    evaluation = evaluated(run, tmp_path / "b", "generation.scenario_configs.0.num_samples=999")
    assert [one.name for one in shown(run, evaluation)] == ["a"]


@pytest.mark.parametrize(
    "override",
    [
        "generation.scenario_configs.0.generate_kwargs.temperature=0.9",
        "generation.prefer=worst",
        "dataset.eval_fraction=0.5",
        "generation.scorer_config={class_name: RuffScorer}",
    ],
)
def test_other_settings_stay_beside_the_run_under_a_name_that_says_whose_model_it_is(tmp_path, override):
    run = trained(tmp_path / "a", score=0.3)
    evaluation = evaluated(run, tmp_path / "b", override, score=0.2)
    first, second = runs = shown(run, evaluation)
    assert first.last("generation/unconditional/score") == 0.3
    assert second.last("generation/unconditional/score") == 0.2
    assert labels(runs) == ["conditional", "a (measured in b)"]


@pytest.mark.parametrize(("trained_with", "evaluated_with"), [("mle", "conditional"), ("conditional", "filtering")])
def test_the_method_of_the_configuration_that_it_was_evaluated_with_does_not_matter(
    tmp_path, trained_with, evaluated_with
):
    run = trained(tmp_path / "a", trained_with)  # of several models, phf evaluate takes the configuration of the first
    evaluation = evaluated(run, tmp_path / "b", method=evaluated_with, score=0.1)
    (one,) = shown(run, evaluation)
    assert (one.method, one.last("generation/unconditional/score")) == (trained_with, 0.1)


def test_an_evaluation_of_another_model_is_left_alone(tmp_path):
    run, other = trained(tmp_path / "a"), trained(tmp_path / "c", "mle")
    elsewhere = evaluated(other, tmp_path / "of-c")
    repeated = evaluated(run, tmp_path / "of-a")
    change(repeated, training=None)  # the name of the folder alone does not prove it
    assert [one.name for one in shown(run, elsewhere, repeated)] == ["a", "of-c", "of-a"]
    assert read_run(elsewhere) in shown(run, elsewhere)


def test_an_evaluation_without_usable_numbers_replaces_nothing(tmp_path):
    run = trained(tmp_path / "a", **{"eval/bits_per_byte": 2.5})
    evaluation = evaluated(run, tmp_path / "b", **{"eval/bits_per_byte": None})
    first, _ = shown(run, evaluation)
    assert first.last("eval/bits_per_byte") == 2.5


def test_samples_whose_origins_are_known_are_not_replaced(tmp_path):
    run = trained(tmp_path / "a")
    runs = read_runs([run, evaluated(run, tmp_path / "b")])
    origin = {("unconditional", 0): {}}
    kept, origins = with_evaluations(runs, [origin, {}])
    assert ([one.name for one in kept], origins) == (["a", "b"], [origin, {}])
    kept, origins = with_evaluations(runs, [{}, origin])
    assert ([one.name for one in kept], origins) == (["a"], [origin])


def test_two_methods_are_compared_on_the_samples_of_their_evaluations(tmp_path):
    folders = []
    for method, least in (("mle", 0.5), ("conditional", 0.0)):
        run = trained(tmp_path / method, method)
        scores = [least + i / 1000 for i in range(40)]
        folders += [run, evaluated(run, tmp_path / f"evaluate-{method}", method=method, scores=scores)]
    runs = shown(*folders)
    said = model_verdicts(runs)
    assert [name for name, _ in said] == ["mle", "conditional"]
    assert said[1][1][0].word == "Better aligned"
    assert chosen_baseline(runs, "evaluate-conditional") == "conditional", "either folder names the model"


def test_the_page_says_where_the_numbers_are_from(tmp_path):
    run = trained(tmp_path / "a", score=0.3)
    write_report([run, evaluated(run, tmp_path / "evaluate-a")], tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "1 run: a." in page
    assert "a was measured again by phf evaluate, in evaluate-a: those numbers and samples replace" in page
