"""What a label is: a rating of one text, or a choice between two."""

import os
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Rating:
    """How bad a person found a text."""

    text: str
    badness: float
    """In [0, 1]: 0 is the good end of the scale, 1 the bad end."""
    annotator: str | None
    document: str | None
    """Id of the document that the text is a segment of; None if it is not known."""

    @property
    def texts(self) -> tuple[str, ...]:
        return (self.text,)

    @property
    def origins(self) -> tuple[Hashable, ...]:
        """What the texts of two labels may have in common so that they are not independent."""
        return (("text", self.text), *([] if self.document is None else [("document", self.document)]))


@dataclass(frozen=True, slots=True)
class Pair:
    """Which of two texts a person found better."""

    chosen: str
    rejected: str
    prompt: str
    """What both continue or answer; "" if there is nothing. It is part of neither if `texts` are responses only."""
    annotator: str | None

    @property
    def texts(self) -> tuple[str, ...]:
        return (self.chosen, self.rejected)

    @property
    def origins(self) -> tuple[Hashable, ...]:
        """As for a rating. The documents of the texts do not count: choices between any two would connect all of them."""
        prompt = [("prompt", self.prompt)] if self.prompt.strip() else []
        return (("text", self.chosen), ("text", self.rejected), *prompt)


Label = Rating | Pair


@dataclass
class Labels:
    """The labels of some files, of one kind."""

    labels: list[Rating] | list[Pair]
    kind: str
    """`ratings` or `pairs`."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Reason -> rows that are not labels, such as ties."""
    contradictory: int = 0
    """Choices of which the opposite was made too, or texts that were rated on both sides of the middle."""
    repeated: int = 0
    """Labels that say the same of the same texts as an earlier one."""

    @property
    def annotators(self) -> list[str]:
        """Those who are known, sorted."""
        return sorted({label.annotator for label in self.labels if label.annotator is not None})


def place_of(dataset: Any) -> str:
    """What a dataset is compared by: `corpus`, `corpus/`, `./corpus` and its absolute path are one; "" where none is named."""
    return os.path.abspath(str(dataset)) if dataset not in (None, "") else ""
