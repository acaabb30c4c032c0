"""Name -> "module:attribute", resolved on demand, so that listing what exists imports nothing."""

import inspect
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from types import FunctionType
from typing import Any

from phf.errors import ConfigError
from phf.registry.arguments import Arguments, arguments_of, known_arguments
from phf.registry.kinds import Kind, checked, find, import_attribute, refuse_unseen
from phf.registry.nearest import did_you_mean


class FunctionObject:
    """An object whose one method is a user's function, with the settings of its section."""

    def __init__(self, method: str, function: FunctionType, settings: Mapping[str, Any]) -> None:
        self.__name__ = function.__name__
        setattr(self, method, partial(function, **settings))


@cache
def _plugins(group: str, path: tuple[str, ...]) -> list[Any]:
    """The entry points of a group; `path` is `sys.path`, in all of whose packages they are looked up: a tenth of a second."""
    from importlib.metadata import entry_points  # a tenth of a worker's start-up time

    return list(entry_points(group=group))


@dataclass(frozen=True)
class Registry:
    """The shipped entries of one kind (scorer, objective, metric) and the installed plugins.

    A name is looked up among the shipped entries, then among the entry points of `group`; a name of the form
    `package.module:attribute` refers to a user's own class, which needs no registration; see `phf.registry.kinds`.
    """

    kind: Kind
    group: str
    entries: dict[str, tuple[str, str]]
    """name -> (target "module:attribute", one line of description)"""

    def describe(self) -> dict[str, str]:
        """name -> one line of description, shipped entries first, plugins after."""
        plugins = {point.name: f"plugin: {point.value}" for point in _plugins(self.group, tuple(sys.path))}
        return {name: summary for name, (_, summary) in self.entries.items()} | plugins

    def resolve(self, name: str) -> Any:
        """Import and return the object called `name`. Raises `ConfigError` with the nearest known name."""
        if name in self.entries:
            target = self.entries[name][0]
            module_name, attribute = target.split(":")
            return import_attribute(module_name, attribute, target, self.kind)
        for point in self._plugins_called(name):
            return checked(import_attribute(point.module, point.attr, point.value, self.kind), point.value, self.kind)
        if ":" in name:
            return find(name, self.kind)
        raise self._unknown(name)

    def build(self, section: Mapping[str, Any], where: str, name_key: str = "class_name") -> Any:
        """Call the object that `section[name_key]` names with the section's other keys as arguments.

        Args:
            section: as read from YAML, e.g. `{"class_name": "NGramStats", "n": 2}`.
            where: the section's dotted path, for error messages.

        Raises `ConfigError` for a missing or unknown name, an unknown or missing argument, or a value that does not match
        the argument's annotation; text is parsed where the type allows it ("5e-4" is a float).
        """
        settings = dict(section)
        name = settings.pop(name_key, None)
        if not isinstance(name, str):
            raise ConfigError(f"{where}.{name_key} {self._unnamed()}")
        try:
            target = self.resolve(name)
        except ConfigError as error:
            raise ConfigError(f"{where}.{name_key}: {error}") from error
        try:
            arguments = arguments_of(target)
        except (TypeError, ValueError) as error:  # not callable, or not written in Python
            raise ConfigError(
                f"{where}.{name_key} '{name}' is a {type(target).__name__}; it must be a class, or a function that "
                f"makes a {self.kind.name}."
            ) from error
        arguments = self._settable(arguments)
        for key, problem in arguments.problems(settings, name):
            raise ConfigError(f"{where}.{key} {problem}")
        try:
            if isinstance(target, FunctionType) and self.kind.is_done_by(list(inspect.signature(target).parameters)):
                return FunctionObject(self.kind.method, target, arguments.parsed(settings))
            return target(**arguments.parsed(settings))
        except ConfigError as error:
            if where in str(error):
                raise
            raise ConfigError(f"{where}: {error}") from error

    def problems(self, section: Mapping[str, Any], name_key: str = "class_name") -> Iterator[tuple[str, str]]:
        """(key, problem) for what can be checked of a section without importing what it names."""
        name = section.get(name_key)
        if not isinstance(name, str):
            yield name_key, self._unnamed()
            return
        try:
            arguments = self._arguments(name)
        except ConfigError as error:
            yield name_key, f"is '{name}'. {error}"
            return
        if arguments is not None:
            settings = {key: value for key, value in section.items() if key != name_key}
            yield from arguments.problems(settings, name)

    def canonical(
        self, section: Mapping[str, Any], name_key: str = "class_name", *, is_short: bool = False
    ) -> dict[str, Any]:
        """The section with its values converted to the types of their arguments, and the defaults of those left out.

        Sections that mean the same become equal, as far as known without importing what they name. `is_short`: settings
        at their defaults are left out instead.
        """
        name = section.get(name_key)
        settings = {key: value for key, value in section.items() if key != name_key}
        try:
            arguments = self._arguments(name) if isinstance(name, str) else None
        except ConfigError:
            return dict(section)
        target = self.entries[name][0] if isinstance(name, str) and name in self.entries else name
        first = next((known for known, (other, _) in self.entries.items() if other == target), name)
        if arguments is not None:
            settings = arguments.with_defaults(settings)
        defaults = {} if arguments is None or not is_short else arguments.named
        return {name_key: first} | {
            key: value for key, value in settings.items() if key not in defaults or value != defaults[key].default
        }

    def _plugins_called(self, name: str) -> list[Any]:
        return [point for point in _plugins(self.group, tuple(sys.path)) if point.name == name]

    def _unnamed(self) -> str:
        return f"is missing. {did_you_mean('', self.describe())}"

    def _settable(self, arguments: Arguments) -> Arguments:
        """Without the arguments that a function is passed on each call."""
        return arguments.without(self.kind.parameters) if self.kind.is_done_by(list(arguments.named)) else arguments

    def _arguments(self, name: str) -> Arguments | None:
        """The arguments of the entry called `name`; None if they are unknown without importing it.

        Raises `ConfigError` for a name that does not exist, or that is known to be of another kind.
        """
        if name in self.entries:
            module_name, _, attribute = self.entries[name][0].partition(":")
            return self._known(module_name, attribute)
        for point in self._plugins_called(name):
            return self._known(point.module, point.attr)
        module_name, separator, attribute = name.partition(":")
        if not separator:
            raise self._unknown(name)
        if not all(part.isidentifier() for part in [*module_name.split("."), attribute]):
            raise ConfigError(f"The {self.kind.name} '{name}' is not named as 'package.module:ClassName'.")
        refuse_unseen(module_name, attribute, name, self.kind)
        return self._known(module_name, attribute)

    def _known(self, module_name: str, attribute: str) -> Arguments | None:
        arguments = known_arguments(module_name, attribute)
        return None if arguments is None else self._settable(arguments)

    def _unknown(self, name: str) -> ConfigError:
        return ConfigError(
            f"There is no {self.kind.name} called '{name}'. {did_you_mean(name, self.describe())} "
            f"Your own {self.kind.name} is named as 'package.module:ClassName'."
        )


SCORERS = Registry(
    kind=Kind("scorer", "score_texts", ("texts",)),
    group="phf.scorers",
    entries={
        "DetoxifyToxicityScorer": (
            "phf.scorers.transformer.detoxify:DetoxifyToxicityScorer",
            "Detoxify's probability of toxicity (extra: toxicity)",
        ),
        "ProfanityScorer": (
            "phf.scorers.profanity:ProfanityScorer",
            "alt-profanity-check's probability of profanity, offline; not Detoxify (extra: profanity)",
        ),
        "PEP8Scorer": ("phf.scorers.pep8.scorer:PEP8Scorer", "PEP 8 violations per character, found by pycodestyle"),
        "RuffScorer": (
            "phf.scorers.pep8.ruff:RuffScorer",
            "PEP8Scorer's violations as ruff finds them: far faster, but not the same (extra: ruff)",
        ),
        "PIIScorer": (
            "phf.scorers.pii.scorer:PIIScorer",
            "PII per character, found by scrubadub's detectors (extra: pii)",
        ),
        "PresidioScorer": (
            "phf.scorers.pii.presidio:PresidioScorer",
            "PII per character, found by Microsoft Presidio's pattern recognisers (extra: presidio)",
        ),
        "ClassifierScorer": (
            "phf.scorers.transformer.classifier:ClassifierScorer",
            "an output of any Hugging Face sequence-classification or reward model",
        ),
        "JudgeScorer": (
            "phf.scorers.judge.scorer:JudgeScorer",
            "rating of an LLM by a rubric: a local model, or an OpenAI-compatible server (extra: openai)",
        ),
        "CompositeScorer": (
            "phf.scorers.composite:CompositeScorer",
            "maximum or weighted sum of other scorers",
        ),
    },
)

OBJECTIVES = Registry(
    kind=Kind("objective", "token_loss", ("nll", "scores", "values"), base="phf.feedback.objectives:Objective"),
    group="phf.objectives",
    entries={
        "MLE": (
            "phf.feedback.objectives.mle:MLE",
            "maximum likelihood; also the loss of filtering and conditional training",
        ),
        "Unlikelihood": (
            "phf.feedback.objectives.unlikelihood:Unlikelihood",
            "raise p(aligned tokens), lower p(misaligned)",
        ),
        "Masking": (
            "phf.feedback.objectives.masking:Masking",
            "maximum likelihood without loss on misaligned tokens, which stay visible as context",
        ),
        "AWR": ("phf.feedback.objectives.awr:AWR", "likelihood weighted by exp(advantage / beta); RWR is alpha = 1"),
    },
)

DOCUMENT_FILTERS = Registry(
    kind=Kind("document filter", "keeps", ("avg_scores",), may_be_function=True),
    group="phf.document_filters",
    entries={
        "AvgScoreAtMost": (
            "phf.feedback.document_filter:AvgScoreAtMost",
            "documents whose average score is at most a threshold; what dataset.filter_threshold is",
        ),
    },
)

CONDITIONINGS = Registry(
    kind=Kind("conditioning", "tags", ("scores",), may_be_function=True),
    group="phf.conditionings",
    entries={
        "ScoreThresholds": (
            "phf.feedback.conditioning:ScoreThresholds",
            "one control token up to each of ascending thresholds, another above the last",
        ),
        "ScoreQuantiles": (
            "phf.feedback.conditioning:ScoreQuantiles",
            "one control token for each bin of scores; what dataset.conditioning.kind: quantiles is",
        ),
        "ScorePreferences": (
            "phf.feedback.preference:ScorePreferences",
            "several at once, each by scores of its own; what dataset.conditioning.preferences is",
        ),
    },
)

METRICS = Registry(
    kind=Kind("metric", "__call__", ("texts",), are_named=True),
    group="phf.metrics",
    entries={
        "Length": ("phf.evaluation.generation.metrics:Length", "mean length of the samples in characters"),
        "NGramStats": (
            "phf.evaluation.generation.metrics:NGramStats",
            "distinct n-grams per sample and entropy of all n-grams",
        ),
        "SelfBLEU": (
            "phf.evaluation.generation.metrics:SelfBLEU",
            "similarity of the samples to each other; lower: more diverse",
        ),
        "SelfBlEU": ("phf.evaluation.generation.metrics:SelfBLEU", "the released system's spelling of SelfBLEU"),
        "Compilability": ("phf.evaluation.generation.metrics:Compilability", "share of samples that compile as Python"),
    },
)

RED_LMS = Registry(
    kind=Kind("red LM", "propose", ("examples", "pool", "count", "seed")),
    group="phf.red_lms",
    entries={
        "MutationRedLM": (
            "phf.redteam.mutation:MutationRedLM",
            "recombines and mutates the prompts of the pool; needs no model",
        ),
        "HuggingFaceRedLM": ("phf.redteam.local_lm:HuggingFaceRedLM", "a Hugging Face causal LM on this machine"),
        "ServerRedLM": (
            "phf.redteam.server_lm:ServerRedLM",
            "a model of an OpenAI-compatible server, chat or completions (extra: openai)",
        ),
    },
)
