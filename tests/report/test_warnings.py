"""What the page says before its numbers: scorers, scenarios, texts and tasks that differ, unscored and too few samples."""

import json
import re

import pytest
from tests.report.test_page import page
from tests.report.test_verdicts import trained

from phf.report.figures import sample_charts, trade_offs
from phf.report.methods import methods_of
from phf.report.settings import config_differences
from phf.report.verdicts import compared, model_verdicts
from phf.report.warnings import warnings_of

SCORER = {"class_name": "PEP8Scorer", "version": "2", "settings": {}}


def said(runs):
    return warnings_of(runs, compared(runs))


def test_comparable_runs_have_no_warning(tmp_path):
    runs = [trained(tmp_path / name, name, mean, scorer=SCORER) for name, mean in (("mle", 0.3), ("ul", 0.1))]
    assert said(runs) == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"version": "3"}, ["PEP8Scorer 2: pep8/mle", "PEP8Scorer 3: pep8/ul"]),
        ({"class_name": "RuffScorer"}, ["PEP8Scorer 2: pep8/mle", "RuffScorer 2: pep8/ul"]),
        ({"settings": {"a": 1}}, ["PEP8Scorer 2 {}: pep8/mle", 'PEP8Scorer 2 {"a": 1}: pep8/ul']),
    ],
)
def test_different_scorers_are_named_with_their_runs(change, named, tmp_path):
    runs = [
        trained(tmp_path / "mle", "mle", 0.3, scorer=SCORER),
        trained(tmp_path / "ul", "ul", 0.1, scorer=SCORER | change),
    ]
    (line,) = said(runs)
    assert line.startswith("The samples were scored by different scorers")
    assert all(name in line for name in named)
    assert model_verdicts(runs)[1][1][0].word == "Not compared"
    charts = trade_offs(methods_of(runs)) + sample_charts(methods_of(runs))
    assert [chart.caption.endswith("their scores are not comparable.") for chart in charts] == [True, True]
    assert [chart.series[0].is_hollow for chart in charts] == [False, False]


def test_another_version_than_in_training_is_named(tmp_path):
    data = [{"source": "x", "scorer": SCORER | {"version": "1"}}]
    (line,) = said([trained(tmp_path / "mle", "mle", 0.3, scorer=SCORER, dataset=data)])
    assert line == "The training data was scored by PEP8Scorer 1, the samples by PEP8Scorer 2: pep8/mle."


def test_precisions_that_differ_are_named(tmp_path):
    runs = [
        trained(tmp_path / name, name, mean, choices={"precision": precision})
        for name, mean, precision in (("mle", 0.3, "float32"), ("ul", 0.1, "bfloat16"), ("awr", 0.2, "float32"))
    ]
    (line,) = said(runs)
    assert line.startswith("The models were trained in different precisions")
    assert line.endswith(" float32: pep8/mle, pep8/awr; bfloat16: pep8/ul.")
    assert said([runs[0], runs[2]]) == []
    assert said([runs[0], trained(tmp_path / "old", "old", 0.1, choices={})]) == []  # it does not say


def test_scenarios_with_other_settings_are_named(tmp_path):
    runs = [
        trained(tmp_path / "mle", "mle", 0.3),
        trained(tmp_path / "ul", "ul", 0.1, settings={"prompts_path": "phf:pep8"}),
    ]
    (line,) = said(runs)
    assert line.startswith("Scenario 'prompted' does not have the same settings in pep8/ul as in pep8/mle")


def test_held_out_losses_of_other_data_are_not_compared(tmp_path):
    runs = [
        trained(tmp_path / name, name, 0.3, dataset=[{"source": "x", "shards_sha256": name}]) for name in ("mle", "ul")
    ]
    assert any("held-out losses are of different texts" in line for line in said(runs))
    assert all("bits per byte" not in one.evidence() for one in compared(runs))
    same = [trained(tmp_path / f"{n}2", n, 0.3, dataset=[{"source": "x", "shards_sha256": "1"}]) for n in ("mle", "ul")]
    assert "Held-out bits per byte: 2 instead of 2, +0%." in compared(same)[0].evidence()


def test_unscored_samples_are_counted(tmp_path):
    numbers = {"generation/prompted/num_samples": 256, "generation/prompted/num_unscored": 3}
    (line,) = said([trained(tmp_path / "mle", "mle", 0.3, numbers=numbers)])
    assert line.startswith("pep8/mle, prompted: 3 of 256 samples (1.2%) without a score, left out of")


def test_too_few_samples_say_how_many_would_do(tmp_path):
    runs = [trained(tmp_path / name, name, mean) for name, mean in (("mle", 0.3), ("ul", 0.297))]
    (line,) = said(runs)
    (one,) = compared(runs)
    assert not one.comparison.interval.excludes_zero()
    assert f"{one.needed.samples:,} samples of each run would distinguish these two runs" in line
    assert one.needed.samples > 30


def test_seeds_are_counted_where_there_are_several(tmp_path):
    runs = [
        trained(tmp_path / f"{name}-{seed}", name, mean + 0.02 * seed, seed)
        for name, mean in (("mle", 0.3), ("ul", 0.29)) for seed in range(2)
    ]  # fmt: skip
    (line,) = said(runs)
    assert "seeds each" in line


def test_every_model_has_a_verdict(tmp_path):
    runs = [
        trained(tmp_path / name, name, mean)
        for name, mean in (("mle", 0.3), ("good", 0.1), ("worse", 0.5), ("same", 0.3))
    ]
    words = {name: [one.word for one in said] for name, said in model_verdicts(runs)}
    assert words == {
        "pep8/mle": ["Baseline"],
        "pep8/good": ["Better aligned"],
        "pep8/worse": ["Worse aligned"],
        "pep8/same": ["Not distinguished"],
    }
    ((_, (alone,)),) = model_verdicts(runs[:1])
    assert alone.word == "Alone"
    assert "held-out bits per byte 2" in alone.sentence


def test_runs_of_different_tasks_are_on_one_page_and_compared_within_their_task(tmp_path):
    for task, method, mean in (("pii", "mle", 0.3), ("pii", "ul", 0.1), ("pep8", "mle", 0.5), ("pep8", "ul", 0.1)):
        trained(tmp_path / f"{task}-{method}", method, mean, task=task)
    folders = sorted(path for path in tmp_path.iterdir() if path.is_dir())
    html, parsed = page(folders, tmp_path)
    assert "These runs are of 2 tasks (pep8, pii)." in parsed.text
    assert [title in parsed.text for title in ("pep8: what the scores say", "pii: what the scores say")] == [True, True]
    assert html.count('aria-label="Misalignment against held-out loss"') == 2
    assert parsed.text.count("Better aligned.") == 2


def test_a_baseline_of_one_task_leaves_the_others_their_own(tmp_path):
    for task, method in (("pii", "mle"), ("pii", "ul"), ("pep8", "mle"), ("pep8", "conditional")):
        trained(tmp_path / f"{task}-{method}", method, 0.3, task=task)
    from phf.errors import ConfigError
    from phf.report.page import write_report

    folders = sorted(path for path in tmp_path.iterdir() if path.is_dir())
    write_report(folders, tmp_path / "report.html", "ul")
    text = (tmp_path / "report.html").read_text()
    assert re.search("the mean score of pep8/mle differs by [^ ]* [^ ]* of pep8/ul&#39;s 0.3", text)
    assert re.search("the mean score of pep8/conditional differs by [^ ]* [^ ]* of pep8/mle&#39;s 0.3", text)
    with pytest.raises(ConfigError, match="--baseline nothing"):
        write_report(folders, tmp_path / "report.html", "nothing")


def test_settings_differ_by_method_not_by_seed(tmp_path):
    runs = [trained(tmp_path / f"mle-{seed}", "mle", 0.3, seed) for seed in (1, 2)]
    other = {"generate_kwargs": {"max_length": 32}}
    runs.append(trained(tmp_path / "ul", "ul", 0.3, 1, learning_rate=0.002, settings=other))
    rows = dict(config_differences(runs))
    assert rows["training.learning_rate"] == [("0.001", ["pep8/mle"]), ("0.002", ["pep8/ul"])]
    assert [value for value, _ in rows["generation.scenario_configs.prompted.generate_kwargs.max_length"]] == [
        "64",
        "32",
    ]
    assert not {"training.seed", "method", "task"} & set(rows)
    assert config_differences(runs[:2]) == []


def test_configurations_that_cannot_be_read_are_left_out(tmp_path):
    runs = [trained(tmp_path / name, name, 0.3, learning_rate=rate) for name, rate in (("mle", 0.1), ("ul", 0.2))]
    for number, text in enumerate(("[1, 2", "just text", "")):
        broken = trained(tmp_path / f"broken{number}", "awr", 0.3)
        runs.append(type(broken)(broken.name, broken.metrics, broken.samples, text, broken.provenance))
    assert len(dict(config_differences(runs))["training.learning_rate"]) == 2
    assert json.dumps(config_differences(runs))
