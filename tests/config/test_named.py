"""Settings of what a configuration names: mistakes are found when it is loaded, by file and key, and import nothing."""

import subprocess
import sys

import pytest
import yaml

from phf.config import load_config
from phf.errors import ConfigError

OWN = """
raise RuntimeError("this module is not imported to load a configuration")

class Base:
    def __init__(self, size: int, level: "str" = "word", *, share: float | None = None) -> None: ...

class Own(Base):
    def __call__(self, texts: list[str]) -> dict[str, float]: ...

class Open:
    def __init__(self, size, **others): ...
    def __call__(self, texts): ...

class NoMetric:
    def score(self, texts): ...
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "phf_not_imported.py").write_text(OWN)

    def load(task: str):
        base = {
            "dataset": {"datasets": ["a"]},
            "tokenizer": {"train_from_corpus": 300},
            "model": {"model_type": "gpt2"},
            "training": {},
            "generation": {"scorer_config": {"class_name": "PEP8Scorer"}},
        }
        (tmp_path / "base.yml").write_text(yaml.safe_dump(base))
        (tmp_path / "mine.yml").write_text(task)
        return load_config(task=str(tmp_path / "base.yml"), method=str(tmp_path / "mine.yml"))[0]

    return load


SCENARIO = "generation: {{scenario_configs: [{{name: a}}, {{name: b, {}}}]}}"
COMPOSITE = "generation: {{scorer_config: {{class_name: CompositeScorer, scorers: [{}]}}}}"
METRIC = "generation: {{metrics_configs: [{{class_name: Length}}, {{class_name: {}}}]}}"


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (
            SCENARIO.format("num_sampels: 3"),
            "unknown key 'generation.scenario_configs.1.num_sampels'. Did you mean 'num_samples'?",
        ),
        (SCENARIO.format("num_samples: many"), "'generation.scenario_configs.1.num_samples' is 'many': "),
        (SCENARIO.format("best_of: 0"), "'generation.scenario_configs.1.best_of' is 0: "),
        (SCENARIO.format("prompts_where: [1]"), "'generation.scenario_configs.1.prompts_where' is [1]: "),
        ("generation: {scenario_configs: [{num_samples: 3}]}", "'generation.scenario_configs.0.name' is missing."),
        ("generation: {scenario_configs: [{name: a/b}]}", "'generation.scenario_configs.0.name' is 'a/b': its name becomes"),
        (
            SCENARIO.format("scorers: [{class_name: PEP8Scorer, level: 1}]"),
            "generation.scenario_configs.1.scorers.0.level is not a setting of PEP8Scorer. It takes none.",
        ),
        (
            "generation: {scorer_config: {class_name: PEP8Scorr}}",
            "generation.scorer_config.class_name is 'PEP8Scorr'. There is no scorer called 'PEP8Scorr'. "
            "Did you mean 'PEP8Scorer'?",
        ),
        (
            COMPOSITE.format("{class_name: PEP8Scorer}, {class_name: ProfanityScorer, batch: 3}"),
            "generation.scorer_config.scorers.1.batch is not a setting of ProfanityScorer.",
        ),
        (
            COMPOSITE.format("{class_name: CompositeScorer, scorers: [{class_name: PEP8Scorr}]}"),
            "generation.scorer_config.scorers.0.scorers.0.class_name is 'PEP8Scorr'. There is no scorer called 'PEP8Scorr'.",
        ),
        (COMPOSITE.format("PEP8Scorer"), "generation.scorer_config.scorers is ['PEP8Scorer']: "),
        (COMPOSITE.format("{class_name: PEP8Scorer}], wieghts: [1"), "is not a setting of CompositeScorer."),
        (
            METRIC.format("SelfBLEU, levl: char"),
            "generation.metrics_configs.1.levl is not a setting of SelfBLEU. Did you mean 'level'?",
        ),
        (METRIC.format("SelfBLEU, level: line"), "generation.metrics_configs.1.level is 'line': Input should be 'word' or"),
        (METRIC.format("SelfBLEU, max_references: few"), "generation.metrics_configs.1.max_references is 'few': "),
        (METRIC.format("NGramStats"), "generation.metrics_configs.1.n is missing: NGramStats needs it."),
        (METRIC.format("NGramStat, n: 1"), "There is no metric called 'NGramStat'. Did you mean 'NGramStats'?"),
        ("generation: {metrics_configs: [{n: 1}]}", "generation.metrics_configs.0.class_name is missing."),
        ("objective: {name: AWR, alpha: 1, betta: 1}", "objective.betta is not a setting of AWR. Did you mean 'beta'?"),
        ("objective: {name: AWR, alpha: much, beta: 1}", "objective.alpha is 'much': "),
        ("objective: {name: AWL}", "objective.name is 'AWL'. There is no objective called 'AWL'."),
        ("objective: {name: MLE, alpha: 1}", "objective.alpha is not a setting of MLE."),
        ("objective: {alpha: 1}", "objective.name is missing."),
        (
            "redteam: {prompts_path: a, red_lm: {class_name: MutationRedLM, unti: words}}",
            "redteam.red_lm.unti is not a setting of MutationRedLM. Did you mean 'unit'?",
        ),
        (
            "redteam: {prompts_path: a, red_lm: {class_name: ServerRedLM, base_url: u, model: m, is_chat: 7}}",
            "redteam.red_lm.is_chat is 7: ",
        ),
        (
            "redteam: {prompts_path: a, red_lm: {class_name: HuggingFaceRedLM}}",
            "redteam.red_lm.path_or_name is missing: HuggingFaceRedLM needs it.",
        ),
        ("redteam: {prompts_path: a, template: {formt: fenced}}", "key 'redteam.template.formt'. Did you mean 'format'"),
        (
            METRIC.format("'phf_not_imported:Own', size: 1, sizes: 1"),
            "generation.metrics_configs.1.sizes is not a setting of phf_not_imported:Own. Did you mean 'size'?",
        ),
        (METRIC.format("'phf_not_imported:Own', size: big"), "generation.metrics_configs.1.size is 'big': "),
        (METRIC.format("'phf_not_imported:Own', size: 1, share: big"), "generation.metrics_configs.1.share is 'big': "),
        (METRIC.format("'phf_not_imported:Open'"), "generation.metrics_configs.1.size is missing"),
        (METRIC.format("'phf_not_imported:Nothing'"), "module 'phf_not_imported' has no attribute 'Nothing'"),
        (METRIC.format("'phf_not_imported:NoMetric'"), "is not a class with the method __call__(texts)"),
        (METRIC.format("'os:system'"), "is in Python's standard library"),
    ],
)  # fmt: skip
def test_a_mistake_names_file_key_and_nearest_key(load, task, message):
    with pytest.raises(ConfigError) as error:
        load(task)
    assert "mine.yml: " in str(error.value)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "task",
    [
        METRIC.format(
            "'phf_not_imported:Own', size: 1, level: 3, share: '0.5'"
        ),  # of level nothing is known but its name
        METRIC.format("'phf_not_imported:Open', size: 1, more: 2"),
        METRIC.format("'phf_is_not_here:Own', size: 1"),
        "objective: {name: Unlikelihood, score_threshold: p5, alpha: 5e-1}",
        "objective: {name: AWR, alpha: 1, beta: '1e1'}",
    ],
)
def test_what_is_unknown_without_importing_is_left_for_later(load, task):
    load(task)


def test_loading_imports_none_of_what_is_named():
    code = (
        "import sys; from phf.config import load_config\n"
        "load_config(task='toxicity', method='awr', overrides=['redteam.red_lm={class_name: HuggingFaceRedLM, "
        "path_or_name: a}', 'generation.scorer_config={class_name: ClassifierScorer, path_or_name: a, label: 1}'])\n"
        "print(sorted({'torch', 'transformers', 'datasets', 'pyarrow', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_mistake_is_listed_at_once(load):
    with pytest.raises(ConfigError) as error:
        load("objective: {name: AWR, alpah: 1, betta: 2}")
    assert len(str(error.value).splitlines()) == 2


def test_a_section_that_names_another_class_replaces_the_one_below_it(load, tmp_path):
    (tmp_path / "server.yml").write_text(
        "redteam: {prompts_path: a, red_lm: {class_name: ServerRedLM, base_url: u, model: m}}\nobjective: {name: MLE}\n"
    )
    config = load_config(task="pep8", method=str(tmp_path / "server.yml"))[0]
    assert load_config(task="pep8")[0].redteam.red_lm == {"class_name": "MutationRedLM", "unit": "lines"}
    assert config.redteam.red_lm == {"class_name": "ServerRedLM", "base_url": "u", "model": "m"}
    (tmp_path / "same.yml").write_text("redteam: {red_lm: {class_name: MutationRedLM}}\n")
    assert load_config(task="pep8", method=str(tmp_path / "same.yml"))[0].redteam.red_lm["unit"] == "lines"
