"""Study files: what is accepted, and what a mistake in one is reported as."""

from pathlib import Path

import pytest

from phf.errors import ConfigError
from phf.study.plan import expand
from phf.study.schema import parse_study, read_study, shipped_studies

MINIMAL = {"tasks": ["pep8"], "methods": ["mle"]}


def test_defaults():
    study = parse_study(MINIMAL, "s.yml")
    assert study.seeds == [1, 2, 3]
    assert study.training_from == "method"


@pytest.mark.parametrize("name", ["objectives", "thresholds"])
def test_shipped_studies_expand_and_are_described(name):
    called, study = read_study(name)
    assert called == name
    assert shipped_studies()[name].endswith(".")
    runs, _ = expand(study)
    assert len(runs) == {"objectives": 6 * 3, "thresholds": 9 * 3}[name]
    assert len({run.config.training.effective_batch_size for run in runs}) == 1


def test_the_study_of_the_documentation_can_be_run(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "studies.md").read_text(encoding="utf-8")
    (tmp_path / "my-study.yml").write_text(page.split("```yaml\n")[1].split("```")[0])
    name, study = read_study(str(tmp_path / "my-study.yml"))
    assert name == "my-study"
    runs, _ = expand(study)
    assert len({run.arm for run in runs}) == 4
    assert {run.config.training.num_tokens for run in runs} == {2e6}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metods": ["awr"]}, r"s\.yml: unknown key 'metods'\. Did you mean 'methods'"),
        ({"methods": []}, r"s\.yml: 'methods' is \[\]: List should have at least 1 item"),
        ({"methods": "mle"}, r"s\.yml: 'methods' is 'mle'"),
        ({"tasks": None}, r"s\.yml: 'tasks' is None"),
        ({"seeds": [1, True]}, r"number, not yes or no"),
        ({"seeds": [1.5]}, r"'seeds\.0' is 1\.5"),
        ({"num_tokens": -1}, r"'num_tokens' is -1: Input should be greater than 0"),
        ({"training_from": "mine"}, r"'training_from' is 'mine': Input should be 'method' or 'task'"),
        ({"settings": [{"name": "../x"}]}, r"'settings\.0\.name' is '\.\./x': its name becomes a file name"),
        (
            {"settings": [{"name": "a", "override": {}}]},
            r"unknown key 'settings\.0\.override'\. Did you mean 'overrides'",
        ),
    ],
)
def test_mistakes_name_file_and_key(change, message):
    with pytest.raises(ConfigError, match=message):
        parse_study(MINIMAL | change, "s.yml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"evaluate": {"onyl": ["kl"]}}, r"unknown key 'evaluate\.onyl'\. Did you mean 'only'"),
        ({"redteam": {"only": ["kl"]}}, r"unknown key 'redteam\.only'\. Known: overrides"),
        ({"evaluate": {"only": "kl"}}, r"'evaluate\.only' is 'kl'"),
        ({"redteam": 3}, r"'redteam' is 3"),
    ],
)
def test_mistakes_in_what_is_measured_name_their_key(change, message):
    with pytest.raises(ConfigError, match=message):
        parse_study(MINIMAL | change, "s.yml")


def test_true_measures_as_the_task_says_and_false_measures_nothing():
    study = parse_study(MINIMAL | {"redteam": True, "evaluate": False}, "s.yml")
    assert study.redteam.overrides == {}
    assert study.evaluate is None


def test_a_missing_key_is_named():
    with pytest.raises(ConfigError, match=r"s\.yml: 'methods' is missing"):
        parse_study({"tasks": ["pep8"]}, "s.yml")


def test_an_unknown_study_names_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match=r"objective: there is no such study\. Did you mean 'objectives'"):
        read_study("objective")
    with pytest.raises(ConfigError, match=r"there is no such file"):
        read_study(str(tmp_path / "mine.yml"))
    (tmp_path / "mine.yml").write_text("- mle\n")
    with pytest.raises(ConfigError, match=r"mine\.yml: is not a study"):
        read_study(str(tmp_path / "mine.yml"))
    (tmp_path / "mine.yml").write_text("tasks: [a\n")
    with pytest.raises(ConfigError, match=r"mine\.yml: is not valid YAML"):
        read_study(str(tmp_path / "mine.yml"))
