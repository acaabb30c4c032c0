"""When a method applies: which one is in effect at which share of a run. So far, one method for all of it."""

from dataclasses import dataclass

from phf.config import Config
from phf.feedback.method import Method, method_of


@dataclass(frozen=True)
class Phase:
    """A part of a run that is trained with one method."""

    until: float
    """Share of the run at which the phase ends, in (0, 1]."""
    method: Method


@dataclass(frozen=True)
class Schedule:
    """The phases of a run, in order; the last one ends at 1."""

    phases: tuple[Phase, ...]

    def __post_init__(self) -> None:
        ends = [phase.until for phase in self.phases]
        assert ends
        assert ends[-1] == 1
        assert all(start < end for start, end in zip([0.0, *ends], ends, strict=False))

    def at(self, share: float) -> Method:
        """The method in effect when `share` of the steps, in [0, 1], have been made."""
        return next((phase.method for phase in self.phases if share < phase.until), self.final)

    @property
    def final(self) -> Method:
        """The method of the last phase: the trained model is prompted its way."""
        return self.phases[-1].method


def schedule_of(config: Config) -> Schedule:
    """What the key `schedule` describes: `always`, the configuration's method for the whole run. Raises as `method_of` does."""
    return Schedule((Phase(1.0, method_of(config)),))
