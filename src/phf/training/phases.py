"""The phases of a run while it trains: which objective a step has, and what it is trained on."""

from collections.abc import Callable, Sequence
from typing import Any

from phf.feedback import Method
from phf.feedback.objectives import Objective
from phf.feedback.schedule import Schedule, Timetable, steps_between
from phf.models import ObjectiveLM
from phf.tokens.streaming import StreamingBlocks
from phf.tokens.views import Blocks
from phf.training.settings.arguments import Arithmetic


class Phases:
    """The phases of a run, by steps. Of a run without a schedule there is one.

    Args:
        views: what each phase trains on.
    """

    def __init__(self, schedule: Schedule, timetable: Timetable, views: Sequence[Blocks | StreamingBlocks]) -> None:
        self._schedule, self._timetable, self.views = schedule, timetable, list(views)
        self._begun: int | None = None

    @property
    def objectives(self) -> list[Objective]:
        """Of each phase."""
        return [phase.method.objective for phase in self._schedule.phases]

    def ignored_ids(self, control_ids: Sequence[int]) -> list[Sequence[int]]:
        """Tokens that are not targets in each phase."""
        return [() if phase.method.loss_on_control_tokens else control_ids for phase in self._schedule.phases]

    @property
    def hides(self) -> bool:
        """Whether any phase hides segments from what follows them."""
        return any(phase.method.hidden_threshold is not None for phase in self._schedule.phases)

    def method_of(self, step: int) -> Method:
        """The method of a step, counted from 1."""
        return self._schedule.phases[self._number_of(step)].method

    def blocks_of(self, step: int) -> Blocks | StreamingBlocks:
        """What a step, counted from 1, is trained on."""
        return self.views[self._number_of(step)]

    def begin_step(self, step: int, module: ObjectiveLM, announce: Callable[[str], None]) -> None:
        """Give the model the objective of a step, counted from 1, which is about to be made."""
        number = self._number_of(step)
        if number == self._begun:
            return
        self._begun = number
        module.objective = self.objectives[number]
        if len(self.views) > 1:
            phase, end = self._schedule.phases[number], self._timetable.ends[number]
            announce(f"{steps_between(step, end)}: '{phase.name}' (phase {number + 1} of {len(self.views)})")

    def record(self, arithmetic: Arithmetic) -> dict[str, Any]:
        """For provenance.json: what the run trains on, and, with a schedule, when."""
        described = [view.describe() if isinstance(view, Blocks) else None for view in self.views]
        if len(described) == 1:
            return {"blocks": described[0]}
        ends = self._timetable.ends
        return {
            "schedule": [
                {
                    "name": phase.name,
                    "until": phase.until,
                    "first_step": start + 1,
                    "last_step": end,
                    "from_tokens": arithmetic.tokens_seen(start),
                    "until_tokens": arithmetic.tokens_seen(end),
                    "blocks": blocks,
                }
                for phase, start, end, blocks in zip(
                    self._schedule.phases, (0, *ends[:-1]), ends, described, strict=True
                )
            ]
        }

    def _number_of(self, step: int) -> int:
        return self._timetable.phase_at(max(step - 1, 0))
