"""What the tokens of a batch may see of one another, as arguments of a model that is checked to take part."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from phf.errors import ConfigError
from phf.models.building.documents import check_document_attention, document_arguments
from phf.models.building.hiding import check_hiding, hiding_arguments, takes_numbers

States = Callable[[Tensor, dict[str, Any]], Tensor]
"""ids [rows, length], arguments of the model -> hidden states or logits [rows, length, width]."""


class Sight:
    """Documents that are kept apart, and hidden segments. Whether a model takes part in either is checked with the first batch
    that has it: where the model is then, in the precision it is run in, on the path it is run."""

    def __init__(self) -> None:
        self._keeps_documents = False
        self._hides = False
        self._by_numbers: bool | None = None
        """Whether it hides segments by their numbers, instead of a mask; None until it was tried."""

    def arguments(
        self, lm: Any, position_ids: Tensor | None, hidden: Tensor | None, states: States, recomputes: bool
    ) -> dict[str, Any]:
        """Arguments of `lm`'s forward; see `phf.models.module.ObjectiveLM.forward`.

        Raises `ConfigError` for a model that does not take part. `recomputes`: whether the backward pass runs layers again.
        """
        if position_ids is not None and not self._keeps_documents:
            check_document_attention(
                lm, position_ids.size(1), lambda ids, positions: states(ids, document_arguments(lm, positions))
            )
            self._keeps_documents = True
        arguments = document_arguments(lm, position_ids)
        if hidden is None:
            return arguments
        by_numbers = (
            not recomputes and takes_numbers(lm, hidden, position_ids) and self._hides_by_numbers(lm, hidden, states)
        )
        if not by_numbers and not self._hides:
            check_hiding(lm, hidden.size(1), lambda ids, numbers: states(ids, hiding_arguments(lm, numbers)))
            self._hides = True
        return arguments | hiding_arguments(lm, hidden, position_ids, by_numbers)

    def _hides_by_numbers(self, lm: Any, hidden: Tensor, states: States) -> bool:
        if self._by_numbers is None:
            try:
                check_hiding(
                    lm, hidden.size(1), lambda ids, numbers: states(ids, hiding_arguments(lm, numbers, by_numbers=True))
                )
                self._by_numbers = True
            except ConfigError:  # it may with a mask
                self._by_numbers = False
        return self._by_numbers
