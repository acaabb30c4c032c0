"""A Ray cluster: connecting to one while a block runs, and the errors of its tasks."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from phf.errors import ConfigError, MissingExtraError, PhfError
from phf.workers.interruption import keeping_handlers

RETRIES = -1
"""Work is repeated whenever a node dies; our own errors are not retried."""


@contextmanager
def ray_cluster(address: str | None, feature: str, setting: str) -> Iterator[Any]:
    """The module `ray`, connected to a cluster while the block runs: the one at `address`, or one of this machine.

    A connection that the caller has is used, and kept. `feature` and `setting`, for errors: what needs Ray, and where the
    address is set. Raises `MissingExtraError`, or `ConfigError` where there is no cluster, and none starts.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MissingExtraError(feature, "ray", "ray") from error

    started_here = not ray.is_initialized()
    if started_here:
        _check_address(address, setting)
        try:
            with keeping_handlers():
                ray.init(address=address, log_to_driver=False, include_dashboard=False, configure_logging=False)
        except ConnectionError as error:
            raise _no_cluster(address, setting, error) from error
        except Exception as error:
            if type(error) is not Exception:  # which Ray raises where a process of its cluster has not started in time
                raise
            raise ConfigError(
                f"{feature}: Ray has not started: {error} Run again when the machine is less busy, or do without Ray."
            ) from error
    try:
        yield ray
    finally:
        if started_here:
            ray.shutdown()


def result_of(ray: Any, reference: Any) -> Any:
    """What a task has answered. An error that a user can fix is raised as it was there."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, PhfError):
            raise error.cause from None
        raise


def _check_address(address: str | None, setting: str) -> None:
    """Check immediately whether something listens there; Ray itself tries for minutes."""
    host, separator, port = (address or "").removeprefix("ray://").rpartition(":")
    if separator and port.isdigit():
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except OSError as error:
            raise _no_cluster(address, setting, error) from error


def _no_cluster(address: str | None, setting: str, error: Exception) -> ConfigError:
    return ConfigError(f"There is no Ray cluster at {address!r} ({setting}): {error}.")
