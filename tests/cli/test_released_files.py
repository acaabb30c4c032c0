"""The files of the released system, untouched: every pair of them can be planned without a GPU and without a network."""

import pytest
import torch
from tests.released_files import write_released_files
from typer.testing import CliRunner

from phf.cli.app import app
from phf.scorers import build_scorer

HEADERS = "resources/functions_csnet.jsonl"


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A copy of the repository's configs folder, and its pairs of files."""
    root = tmp_path_factory.mktemp("released")
    return root, write_released_files(root)


@pytest.fixture(scope="module")
def build_once():
    """`build_scorer` that builds each scorer once: PIIScorer takes most of a second."""
    built = {}

    def build(section, *where):
        key = repr(sorted(section.items()))
        if key not in built:
            built[key] = build_scorer(section, *where)
        return built[key]

    return build


@pytest.fixture
def dry_run(monkeypatch, tmp_path, build_once):
    """Plan a pair as on a machine without GPU, network and Detoxify's weights."""
    monkeypatch.setattr("phf.evaluation.generation.evaluator.build_scorer", build_once)
    monkeypatch.setattr("phf.training.settings.reach.build_scorer", build_once)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)

    def run(task, method):
        result = CliRunner().invoke(app, ["train", "--task", str(task), "--method", str(method), "--dry-run"])
        assert result.exit_code == 0, result.output
        return result.output

    return run


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The scorer's device", "ignore:PIIScorer")
def test_every_pair_can_be_planned(released, dry_run, tmp_path):
    _, pairs = released
    assert len(pairs) == 34
    for task, method in pairs:
        output = dry_run(task, method)
        assert "blocks x 1,024 tokens = " in output
        seen = "1,6" if task.stem == "finetune" else "0"
        assert f"; {seen}" in output
    assert [path for path in tmp_path.iterdir() if path.name != "hub"] == []


def test_a_plan_says_what_the_run_would_do_without(released, dry_run):
    root, _ = released
    with pytest.warns(UserWarning, match="The scorer's device is 'cuda:0', but there is no cuda device here"):
        output = dry_run(root / "configs/toxicity/pretrain.yml", root / "configs/toxicity/conditional.yml")
    assert "50,354 steps x 64 blocks x 1,024 tokens = 3,299,999,744 tokens" in output
    unchecked = [line for line in output.splitlines() if line.startswith("Not checked, the run would stop here: ")]
    assert ["Detoxify's weights" in line for line in unchecked].count(True) == 1
    assert ["38 more sources cannot be read either" in line for line in unchecked].count(True) == 1


def test_prompts_of_the_released_code_are_found_next_to_its_files_and_otherwise_reported(released, dry_run):
    root, _ = released
    pair = (root / "configs/pep8/pretrain.yml", root / "configs/pep8/conditional.yml")
    assert f"scenario 'functions': there is no file {HEADERS}. It belongs to the released code" in dry_run(*pair)
    (root / "resources").mkdir()
    (root / HEADERS).write_text('{"text": "def f():\\n"}\n')
    output = dry_run(*pair)
    assert "scenario 'functions'" not in output
    assert f"prompts_path: {root / HEADERS}" in output
