"""Arguments as source tells them are those that Python tells of the object, or nothing is said of them."""

import importlib

import pytest

from phf.registry.arguments import ANY, REQUIRED, UNKNOWN, _arguments_in_source, arguments_of
from phf.registry.names import METRICS, OBJECTIVES, RED_LMS, SCORERS

TARGETS = sorted(
    {target for registry in (METRICS, OBJECTIVES, RED_LMS, SCORERS) for target, _ in registry.entries.values()}
)


def from_source(target):
    return _arguments_in_source(*target.split(":"), max_bases=8)


@pytest.mark.parametrize("target", TARGETS)
def test_of_every_shipped_class_names_defaults_and_plain_types_are_told(target):
    module, name = target.split(":")
    cls = getattr(importlib.import_module(module), name)
    told = from_source(target)
    if cls.__init__ is object.__init__:
        assert told.named == {}
        return
    known = arguments_of(cls)
    assert told.takes_others == known.takes_others
    assert list(told.named) == list(known.named)
    for key, argument in told.named.items():
        assert argument.default in (known.named[key].default, UNKNOWN), key
        assert argument.annotation in (known.named[key].annotation, ANY), key


@pytest.fixture
def module(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(text)

    return write


def test_what_source_cannot_tell_is_not_guessed(module):
    module("phf_bases", "class Base:\n    def __init__(self, a: int, b=len('x'), c: 'int' = 1): ...\n")
    module(
        "phf_classes",
        """
import functools
from dataclasses import dataclass
from phf_bases import Base as Renamed
Level = Literal["a", "b"]

class Inherits(Renamed): ...
class Aliased:
    def __init__(self, level: Level, more: dict[str, list[int]] | None = None, /, *, other: Level = "a", **kwargs): ...
@dataclass
class Decorated: ...
class Called(functools.partial): ...
class Made(metaclass=Renamed): ...
class New:
    def __new__(cls, a): ...
class Circle(Circle): ...
def function(a, b=2): ...
@functools.cache
def wrapped(a): ...
alias = Aliased
""",
    )
    inherited = from_source("phf_classes:Inherits").named
    assert {key: argument.default for key, argument in inherited.items()} == {"a": REQUIRED, "b": UNKNOWN, "c": 1}
    assert (inherited["a"].annotation, inherited["c"].annotation) == (int, ANY)
    aliased = from_source("phf_classes:Aliased")
    assert list(aliased.named) == ["other"]
    assert list(aliased.problems({"other": "c"}, "Aliased")) == [("other", "is 'c': Input should be 'a' or 'b'.")]
    assert aliased.takes_others
    assert list(from_source("phf_classes:function").named) == ["a", "b"]
    for name in ("Decorated", "Called", "Made", "New", "Circle", "wrapped", "alias", "nothing"):
        assert from_source(f"phf_classes:{name}") is None, name
    module("phf_broken", "def (")
    assert from_source("phf_broken:Own") is None
    assert from_source("phf_not_there:Own") is None
    assert from_source("json:JSONEncoder") is None


def test_settings_are_parsed_and_completed_by_defaults(module):
    module("phf_own", "class Own:\n    def __init__(self, a: float, b: int = 2, c=len('x')): ...\n")
    own = from_source("phf_own:Own")
    assert own.with_defaults({"a": "5e-1"}) == {"a": 0.5, "b": 2}
    assert METRICS.canonical({"class_name": "SelfBlEU", "n": 5}) == METRICS.canonical({"class_name": "SelfBLEU"})


@pytest.mark.parametrize("value", [float("nan"), "nan", True])
@pytest.mark.parametrize("annotation", ["float", "float | None"])
def test_what_is_not_a_number_is_none_for_a_setting_either(module, value, annotation):
    module(
        "phf_number", f"class Own:\n    def __init__(self, a: {annotation}, b: bool = True, c: 'int | bool' = 1): ...\n"
    )
    ((key, problem),) = from_source("phf_number:Own").problems({"a": value, "b": True}, "Own")
    assert key == "a"
    assert "Input should be a number, not" in problem


def test_annotations_that_are_texts_are_read_and_not_evaluated(module):
    module(
        "phf_postponed",
        "from __future__ import annotations\nclass Own:\n"
        "    def __init__(self, a: Missing, b: int | None = 1, c: list[exit()] = 2): ...\n"
        "    def __call__(self, texts): return {}\n",
    )
    section = {"class_name": "phf_postponed:Own", "a": 3, "b": "2", "c": 4}
    for _ in range(2):  # unseen, and once it was imported
        assert list(METRICS.problems(section)) == []
        assert [key for key, _ in METRICS.problems({**section, "b": "x"})] == ["b"]
        assert type(METRICS.build(section, "here")).__name__ == "Own"
