"""What the tokens of a batch may see of one another, as arguments of a model that is checked to take part."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from phf.models.building.documents import check_document_attention, document_arguments
from phf.models.building.hiding import check_hiding, hiding_arguments

States = Callable[[Tensor, dict[str, Any]], Tensor]
"""ids [rows, length], arguments of the model -> hidden states or logits [rows, length, width]."""


class Sight:
    """Documents that are kept apart, and hidden segments. Whether a model takes part in either is checked with the first batch
    that has it: where the model is then, in the precision it is run in, on the path it is run."""

    def __init__(self) -> None:
        self._keeps_documents = self._hides = False

    def arguments(self, lm: Any, position_ids: Tensor | None, hidden: Tensor | None, states: States) -> dict[str, Any]:
        """Arguments of `lm`'s forward; see `phf.models.module.ObjectiveLM.forward`.

        Raises `ConfigError` for a model that does not take part.
        """
        if position_ids is not None and not self._keeps_documents:
            check_document_attention(
                lm, position_ids.size(1), lambda ids, positions: states(ids, document_arguments(lm, positions))
            )
            self._keeps_documents = True
        if hidden is not None and not self._hides:
            check_hiding(lm, hidden.size(1), lambda ids, numbers: states(ids, hiding_arguments(lm, numbers)))
            self._hides = True
        return document_arguments(lm, position_ids) | hiding_arguments(lm, hidden, position_ids)
