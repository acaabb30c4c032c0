"""A name in a configuration of a stranger runs nothing that is not what it is named as."""

import importlib
import sys

import pytest
from tests.redteam.attack import entry
from tests.tiny import PLAIN

from phf.config.schema import GenerationConfig, RedTeamTemplate
from phf.errors import ConfigError
from phf.evaluation.generation.evaluator import Evaluator
from phf.evaluation.generation.metrics import build_metric
from phf.feedback.objectives import build_objective
from phf.redteam.red_lm import build_red_lm
from phf.registry.names import METRICS, OBJECTIVES, RED_LMS, SCORERS
from phf.scorers import build_scorer

BUILDERS = {
    "scorer": lambda name, **settings: build_scorer({"class_name": name, **settings}),
    "part of a scorer": lambda name, **settings: build_scorer(
        {"class_name": "CompositeScorer", "scorers": [{"class_name": name, **settings}]}
    ),
    "metric": lambda name, **settings: build_metric({"class_name": name, **settings}),
    "objective": lambda name, **settings: build_objective({"name": name, **settings}),
    "red LM": lambda name, **settings: build_red_lm({"class_name": name, **settings}, RedTeamTemplate()),
    "scorer of a scenario": lambda name, **settings: Evaluator(
        GenerationConfig(
            scorer_config={"class_name": "PEP8Scorer"},
            scenario_configs=[{"name": "a", "scorers": [{"class_name": name, **settings}]}],
        ),
        PLAIN,
        0,
    ),
}


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """Modules of a user, and a function that says whether anything left a mark."""
    monkeypatch.syspath_prepend(tmp_path)
    mark = tmp_path / "mark"
    touch = f"from pathlib import Path\nPath({str(mark)!r}).touch()\n"
    (tmp_path / "phf_marking.py").write_text(f"{touch}class Other: ...\n")
    (tmp_path / "phf_marking_class.py").write_text(f"{touch}class Own:\n    def __init__(self): ...\n")
    (tmp_path / "phf_marking_function.py").write_text(f"{touch}def Own(): ...\n")
    (tmp_path / "phf_program").mkdir()
    (tmp_path / "phf_program" / "__main__.py").write_text(f"{touch}class Own: ...\n")
    (tmp_path / "phf_calls.py").write_text(
        f"""
import functools
from os import system
from subprocess import Popen, run
from subprocess import Popen as Own

def touch(*args, **kwargs):
    {touch.splitlines()[0]}
    {touch.splitlines()[1]}

def untold(path=None):
    touch()

def tells_another_kind() -> dict:
    touch()

class WithoutMethod(Exception):
    def __init__(self, *args, **kwargs):
        touch()

class Anything:
    __init__ = touch
    def __call__(self, *args, **kwargs): ...
    def __getattr__(self, name): return touch

class Attribute(Exception):
    __init__ = touch
    score_texts = token_loss = propose = 3

made = functools.partial(touch)
method = Anything.__call__
"""
    )
    yield mark.exists
    importlib.invalidate_caches()
    for name in [name for name in sys.modules if name.startswith("phf_")]:
        del sys.modules[name]


@pytest.mark.parametrize("kind", BUILDERS)
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("subprocess:Popen", {"args": ["touch", "MARK"]}),
        ("os:system", {"command": "touch MARK"}),
        ("posix:system", {"command": "touch MARK"}),
        ("builtins:exec", {}),
        ("builtins:open", {"file": "MARK", "mode": "w"}),
        ("pathlib:Path", {}),
        ("functools:partial", {}),
        ("operator:methodcaller", {}),
        ("importlib:import_module", {"package": "phf_marking"}),
        ("runpy:run_path", {"path_name": "phf_marking.py"}),
        ("runpy:run_module", {"mod_name": "phf_marking"}),
        ("unittest.mock:MagicMock", {}),
        ("types:SimpleNamespace", {"score_texts": 1, "propose": 1}),
        ("antigravity:Own", {}),
        ("this:Own", {}),
        ("test.support:run_in_subinterp", {"code": "1"}),
        ("phf.cli.app:main", {}),
        ("typer:Typer", {}),
        ("yaml:unsafe_load", {"stream": "!!python/object/apply:os.system [touch MARK]"}),
        ("numpy:load", {"file": "MARK"}),
        ("phf_marking:Own", {}),
        ("phf_marking_class:Own", {}),
        ("phf_marking_function:Own", {}),
        ("phf_program.__main__:Own", {}),
        ("phf_calls:system", {"command": "touch MARK"}),
        ("phf_calls:Popen", {"args": ["touch", "MARK"]}),
        ("phf_calls:run", {}),
        ("phf_calls:Own", {"args": ["touch", "MARK"]}),
        ("phf_calls:untold", {"path": "x"}),
        ("phf_calls:tells_another_kind", {}),
        ("phf_calls:WithoutMethod", {}),
        ("phf_calls:Anything", {}),
        ("phf_calls:Attribute", {}),
        ("phf_calls:made", {}),
        ("phf_calls:method", {}),
        ("phf_calls:Anything.touch", {}),
        ("phf_calls:functools.partial", {}),
        ("phf_calls:__class__", {}),
    ],
)
def test_what_is_not_of_the_kind_is_refused_and_not_run(kind, name, settings, ran, tmp_path):
    settings = {
        key: [part.replace("MARK", str(tmp_path / "mark")) for part in value]
        if isinstance(value, list)
        else str(value).replace("MARK", str(tmp_path / "mark"))
        for key, value in settings.items()
    }
    with pytest.raises(ConfigError, match=name.split(":")[0]):
        BUILDERS[kind](name, **settings)
    assert not ran()


OWN = """
from phf.feedback.objectives import MLE, Objective
from phf.redteam.red_lm import Proposal
from phf.scorers import Scorer

class Plain:
    def __init__(self, value: float = 1.0): self.value = value
    def score_texts(self, texts): return [self.value] * len(texts)
    def __call__(self, texts): return {"n": len(texts)}
    def propose(self, examples, pool, count, seed): return Proposal(["a"])

class Static:
    @staticmethod
    def score_texts(texts): return [2.0] * len(texts)
    @classmethod
    def propose(cls, examples, pool, count, seed): return Proposal(["b"])

class Inherited(Plain): ...

def factory(value: float) -> Plain: return Plain(2 * value)
def quoted(value: float) -> "Plain": return Plain(3 * value)
def objective(alpha: float = 0.5) -> Objective: return MLE()
class Own(MLE): ...
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "phf_package").mkdir()  # no __init__.py: as a folder of scripts is
    (tmp_path / "phf_package" / "own.py").write_text(OWN)
    (tmp_path / "phf_again.py").write_text("from phf_package.own import Plain as Renamed\nAlso = Renamed\n")
    yield
    importlib.invalidate_caches()
    for name in [name for name in sys.modules if name.startswith("phf_")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("name", "settings", "score"),
    [
        ("phf_package.own:Plain", {"value": "0.5"}, 0.5),
        ("phf_package.own:Inherited", {}, 1.0),
        ("phf_package.own:Static", {}, 2.0),
        ("phf_package.own:factory", {"value": 3}, 6.0),
        ("phf_package.own:quoted", {"value": 3}, 9.0),
        ("phf_again:Renamed", {}, 1.0),
        ("phf_again:Also", {}, 1.0),
    ],
)
def test_a_scorer_of_ones_own_is_a_class_or_a_function_that_says_what_it_makes(own, name, settings, score):
    assert build_scorer({"class_name": name, **settings}).score_texts(["a", "b"]) == [score, score]


@pytest.mark.parametrize("line", ["assert False, 'set up'", "1 / 0", "raise OSError('set up')", "import phf_not_there"])
def test_a_module_that_fails_when_it_is_imported(tmp_path, monkeypatch, line):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "phf_failing.py").write_text(f"{line}\nclass Own:\n    def score_texts(self, texts): ...\n")
    with pytest.raises(ConfigError, match="'phf_failing:Own' cannot be imported: "):
        build_scorer({"class_name": "phf_failing:Own"})


def test_metrics_objectives_and_red_lms_of_ones_own(own):
    assert build_metric({"class_name": "phf_package.own:factory", "value": 1})(["a"]) == {"n": 1}
    assert type(build_objective({"name": "phf_package.own:Own"})).__name__ == "Own"
    assert type(build_objective({"name": "phf_package.own:objective", "alpha": 1})).__name__ == "MLE"
    for name, prompt in (("Plain", "a"), ("Static", "b")):
        red_lm = build_red_lm({"class_name": f"phf_package.own:{name}"}, RedTeamTemplate())
        assert red_lm.propose([entry("x", 1.0)], [], 1, 0).prompts == [prompt]


@pytest.mark.parametrize("registry", [SCORERS, OBJECTIVES, METRICS, RED_LMS], ids=lambda registry: registry.group)
def test_all_that_ships_is_of_its_kind(registry):
    for name in registry.entries:
        assert registry.kind.has(registry.resolve(name)), name


@pytest.mark.parametrize(
    ("registry", "target"),
    [
        (SCORERS, "phf.scorers.base:Scorer"),
        (OBJECTIVES, "phf.feedback.objectives:Objective"),
        (RED_LMS, "phf.redteam.red_lm:RedLM"),
    ],
)
def test_a_base_class_that_defines_nothing_is_refused(registry, target):
    key = "name" if registry is OBJECTIVES else "class_name"
    with pytest.raises(ConfigError):
        registry.build({key: target}, where="here", name_key=key)
