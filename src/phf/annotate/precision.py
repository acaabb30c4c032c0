"""The precision of neural scores: the same for a whole dataset, and recorded in its manifest."""

from typing import Any

from phf.errors import ScorerError

OF_CLUSTER = "that of the cluster"
"""Placeholder of a job on Ray until a worker has answered: the machine that starts it may differ from those that score."""


def with_precision(description: Any, precision: str) -> Any:
    """A scorer's description, with the `precision` of each part that has one replaced."""
    if isinstance(description, dict):
        return {
            key: precision if key == "precision" else with_precision(value, precision)
            for key, value in description.items()
        }
    if isinstance(description, list):
        return [with_precision(value, precision) for value in description]
    return description


def check_precision(first: str, other: str) -> None:
    """Raises `ScorerError` if two shards of a job were scored in different precisions."""
    if first != other:
        raise ScorerError(
            f"Some workers score in {first or 'none'}, others in {other or 'none'}: their scores differ by rounding errors and "
            "must not be in one dataset. Give the scorer a device that all workers have, such as {device: cpu}. "
            "Shards that were scored in another precision are scored again."
        )
