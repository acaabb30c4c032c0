"""A Ray cluster that does not start."""

import sys
from types import SimpleNamespace

import pytest

from phf.errors import ConfigError
from phf.workers.ray_cluster import ray_cluster


def connect(monkeypatch, error):
    def init(**settings):
        raise error

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False, init=init))
    with ray_cluster(None, "--backend ray", "--ray-address"):
        pass


def test_ray_that_does_not_start_is_an_error_with_what_to_do(monkeypatch):
    error = Exception("The current node timed out during startup.")
    with pytest.raises(ConfigError, match=r"--backend ray: Ray has not started: .* timed out .* Run again when"):
        connect(monkeypatch, error)


def test_another_error_of_ray_stays_what_it_is(monkeypatch):
    with pytest.raises(AttributeError, match="own"):
        connect(monkeypatch, AttributeError("own"))
