"""What a judge is asked: a question, a scale and what its numbers mean, in a YAML file or in the scorer's own section."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phf.errors import ConfigError
from phf.labels.scale import LARGEST, MAX_STEPS, Scale
from phf.registry.nearest import did_you_mean
from phf.storage.plain_yaml import read_yaml
from phf.storage.reading import short

KEYS = ("question", "scale", "higher_is_worse", "levels", "examples")
ADVICE = (
    "A rubric has question, scale (such as [1, 5]) and higher_is_worse, and may have levels (a number: what it means) and "
    "examples (a list of text and rating)."
)


@dataclass(frozen=True)
class Rubric:
    """A question about a text whose answer is a whole number on a scale."""

    question: str
    scale: Scale
    higher_is_worse: bool
    levels: dict[int, str]
    """Rating -> what it means; need not be complete."""
    examples: list[tuple[str, int]]
    """Texts and their ratings."""

    @property
    def ratings(self) -> range:
        """All numbers of the scale."""
        return range(self.scale.low, self.scale.high + 1)

    def badness(self, rating: float) -> float:
        """Misalignment score of a rating on the scale: 0 is its good end, 1 its bad end."""
        share = (rating - self.scale.low) / (self.scale.high - self.scale.low)
        return share if self.higher_is_worse else 1 - share

    def as_dict(self) -> dict[str, Any]:
        """The rubric in JSON's types; `read_rubric` takes it."""
        return {
            "question": self.question,
            "scale": list(self.scale),
            "higher_is_worse": self.higher_is_worse,
            "levels": {str(rating): meaning for rating, meaning in self.levels.items()},
            "examples": [{"text": text, "rating": rating} for text, rating in self.examples],
        }


def read_rubric(source: str | Mapping[str, Any]) -> Rubric:
    """The rubric in a YAML file, or one written in the configuration.

    Raises `ConfigError`, naming the file and the key, for one that is not complete, or not consistent.
    """
    if isinstance(source, str):
        return _checked(read_yaml(Path(source), ConfigError, ADVICE), source)
    return _checked(source, "rubric")


def _checked(values: Any, where: str) -> Rubric:
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: is {short(repr(values))}, which is not a rubric. {ADVICE}")
    for key in values:
        if key not in KEYS:
            raise ConfigError(f"{where}: '{short(str(key))}' is not a key of a rubric. {did_you_mean(str(key), KEYS)}")
    for key in ("question", "scale", "higher_is_worse"):
        if values.get(key) is None:
            raise ConfigError(f"{where}: '{key}' is missing. {ADVICE}")
    question = _text(values["question"], f"{where}: question")
    scale = _scale(values["scale"], f"{where}: scale")
    if not isinstance(values["higher_is_worse"], bool):
        raise ConfigError(
            f"{where}: higher_is_worse is {short(repr(values['higher_is_worse']))}; true or false was expected: whether "
            f"{scale.high} is the worst rating."
        )
    levels = _mapping(values.get("levels"), f"{where}: levels")
    examples = values.get("examples") or []
    if not isinstance(examples, list):
        raise ConfigError(f"{where}: examples is {short(repr(examples))}; a list of text and rating was expected.")
    return Rubric(
        question,
        scale,
        values["higher_is_worse"],
        {
            _rating(rating, scale, f"{where}: levels"): _text(text, f"{where}: levels.{rating}")
            for rating, text in levels.items()
        },
        [_example(example, scale, f"{where}: examples.{number}") for number, example in enumerate(examples)],
    )


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{where} is {short(repr(value))}; text was expected, and not empty.")
    return value.strip()


def _scale(value: Any, where: str) -> Scale:
    match value:
        case [int(low), int(high)] if 0 < high - low <= MAX_STEPS and not {bool} & {type(low), type(high)}:
            if max(abs(low), abs(high)) <= LARGEST:
                return Scale(low, high)
    raise ConfigError(
        f"{where} is {short(repr(value))}; the lowest and the highest rating were expected, two whole numbers at most "
        f"{MAX_STEPS} apart, such as [1, 5]."
    )


def _mapping(value: Any, where: str) -> Mapping[Any, Any]:
    if value is None or isinstance(value, Mapping):
        return value or {}
    raise ConfigError(f"{where} is {short(repr(value))}; a mapping from ratings to what they mean was expected.")


def _rating(value: Any, scale: Scale, where: str) -> int:
    """A whole number on the scale; as text too, as keys are in JSON."""
    digits = value.removeprefix("-") if isinstance(value, str) else ""
    number = int(value) if digits.isascii() and digits.isdigit() and len(digits) < 7 else value
    if type(number) is not int or not scale.low <= number <= scale.high:
        raise ConfigError(
            f"{where} has the rating {short(repr(value))}; a whole number from {scale.low} to {scale.high} was expected."
        )
    return number


def _example(value: Any, scale: Scale, where: str) -> tuple[str, int]:
    if not isinstance(value, Mapping) or set(value) != {"text", "rating"}:
        raise ConfigError(f"{where} is {short(repr(value))}; text and rating were expected.")
    if not isinstance(value["text"], str):
        raise ConfigError(f"{where}.text is {short(repr(value['text']))}; text was expected.")
    return value["text"], _rating(value["rating"], scale, where)
