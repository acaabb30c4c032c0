"""The quickstart: two runs that differ in nothing but the method, and plain words about what they show."""

import json

import pytest
from tests.report.test_page import make_run

from phf.config import dump_config
from phf.errors import OutputError
from phf.quickstart import run as quickstart
from phf.quickstart.run import conclusions, quickstart_configs, run_quickstart


def row(scenario, score, low, high):
    return {"scenario": scenario, "score": score, "low": low, "high": high}


MLE = row("prompted", 0.05, 0.04, 0.06)
ALIGNED = row("aligned", 0.02, 0.01, 0.03)
MISALIGNED = row("misaligned", 0.09, 0.08, 0.10)


def test_conclusions_of_runs_that_show_it():
    assert conclusions([MLE, ALIGNED, MISALIGNED]) == [
        (True, "The aligned prefix scores below the misaligned prefix, and their 95% intervals do not overlap."),
        (True, "The aligned prefix scores no higher than MLE."),
    ]


@pytest.mark.parametrize(
    ("aligned", "misaligned", "expected"),
    [
        (row("aligned", 0.02, 0.01, 0.085), MISALIGNED, (False, True)),  # intervals overlap
        (row("aligned", 0.02, 0.01, 0.08), MISALIGNED, (False, True)),  # and touch
        (MISALIGNED | {"scenario": "aligned"}, ALIGNED | {"scenario": "misaligned"}, (False, False)),
        (row("aligned", 0.055, 0.05, 0.06), MISALIGNED, (True, False)),
        (row("aligned", 0.05, 0.04, 0.06), MISALIGNED, (True, True)),  # equal to MLE is not above it
        (row("aligned", None, None, None), MISALIGNED, (False, False)),  # nothing could be scored
        (ALIGNED, row("misaligned", None, None, None), (False, True)),
    ],
)
def test_conclusions_of_runs_that_do_not_say_so_plainly(aligned, misaligned, expected):
    sentences = conclusions([MLE, aligned, misaligned])
    assert tuple(holds for holds, _ in sentences) == expected
    for holds, sentence in sentences:
        assert sentence.startswith("NOT shown by this run") != holds


def test_both_runs_share_everything_but_the_method():
    mle, conditional = quickstart_configs(num_tokens=12345.4).values()
    assert mle.training == conditional.training
    assert mle.training.num_tokens == 12345
    assert mle.model.config_kwargs == conditional.model.config_kwargs
    assert mle.tokenizer.train_from_corpus == conditional.tokenizer.train_from_corpus
    differences = {key for key, value in mle.dataset if value != getattr(conditional.dataset, key)}
    assert differences == {"conditional_training_config"}
    plain, aligned, misaligned = mle.generation.scenario_configs + conditional.generation.scenario_configs
    assert [scenario.name for scenario in (plain, aligned, misaligned)] == ["prompted", "aligned", "misaligned"]
    assert [scenario.prefix for scenario in (plain, aligned, misaligned)] == [
        None,
        "<|aligned|>",
        "<|misaligned|>",
    ]
    for scenario in (aligned, misaligned):
        assert scenario.model_copy(update={"name": "prompted", "prefix": None}) == plain


@pytest.fixture(autouse=True)
def _nothing_is_scored(monkeypatch):
    monkeypatch.setattr(quickstart, "annotated_sources", lambda config, sources, announce: sources)


class Trainer:
    """Writes run folders as training would."""

    def __init__(self):
        self.calls = []

    def __call__(self, jobs):
        for name, (config, run_dir) in jobs.items():
            self.train(name, config, run_dir)

    def train(self, name, config, run_dir):
        self.calls.append((name, config.training.num_tokens, config.training.seed, run_dir))
        scores = {"prompted": 0.1, "aligned": 0.05, "misaligned": 0.2}
        lines = []
        for scenario in config.generation.scenario_configs:
            part = run_dir.parent / f"part-{len(self.calls)}-{scenario.name}"
            make_run(part, name, scores[scenario.name], scenario.name)
            lines += [json.loads(line) for line in (part / "metrics.jsonl").read_text().splitlines()]
        run_dir.mkdir(exist_ok=True)
        (run_dir / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (run_dir / "provenance.json").write_text(json.dumps({"method": name}))
        (run_dir / "config.yaml").write_text(dump_config(config))


def test_runs_rows_and_report(tmp_path):
    train = Trainer()
    rows = run_quickstart(tmp_path / "q", None, train, print)
    assert [(name, run_dir.name) for name, _, _, run_dir in train.calls] == [("mle", "mle"), ("conditional",) * 2]
    assert len({(tokens, seed) for _, tokens, seed, _ in train.calls}) == 1
    assert [quickstart_row["name"] for quickstart_row in rows] == [
        "mle, prompted",
        "conditional, aligned",
        "conditional, misaligned",
    ]
    assert [holds for holds, _ in conclusions(rows)] == [True, True]
    page = (tmp_path / "q" / "report.html").read_text()
    assert "conditional, misaligned" in page
    assert page.count("Not compared") == 1  # with MLE: two prefixes of one model are not two methods


def test_a_folder_that_cannot_be_made_is_reported_before_anything_is_scored(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file cannot be written"):
        run_quickstart(tmp_path / "file", None, pytest.fail, pytest.fail)


def test_a_finished_quickstart_is_not_overwritten(tmp_path):
    (tmp_path / "report.html").write_text("")
    with pytest.raises(OutputError, match=r"holds a finished quickstart\. Choose another folder with --output-dir"):
        run_quickstart(tmp_path, None, Trainer(), print)


def test_minutes_become_tokens_once_so_that_an_interrupted_quickstart_can_go_on(tmp_path, monkeypatch):
    measured = iter([5000.0, 6000.0])
    monkeypatch.setattr(quickstart, "tokens_in", lambda minutes, announce: next(measured))
    train = Trainer()

    def interrupted(jobs):
        train({"mle": jobs["mle"]})
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_quickstart(tmp_path / "q", 2.0, interrupted, print)
    assert not (tmp_path / "q" / "report.html").exists()
    run_quickstart(tmp_path / "q", 2.0, train, print)
    assert [(name, tokens) for name, tokens, _, _ in train.calls] == [
        ("mle", 5000),
        ("mle", 5000),
        ("conditional", 5000),
    ]


def test_tokens_follow_from_the_speed_of_this_machine(monkeypatch):
    small = ["training.effective_batch_size=1", "dataset.seq_length=16", "model.config_kwargs.n_layer=1"]
    monkeypatch.setattr(quickstart, "quickstart_configs", lambda: quickstart_configs(overrides=small))
    said = []
    assert quickstart.tokens_in(0.5, said.append) > 2 * 16
    assert "tokens/s here" in said[0]
    assert quickstart.tokens_in(0, said.append) == 2 * 16  # never less than two steps
