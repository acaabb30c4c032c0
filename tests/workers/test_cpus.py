"""How many workers there are by default is what this process may use, not what the machine has."""

import os

import pytest

from phf.workers.cpus import available_cpus

needs_affinity = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes cannot be bound here")


@pytest.fixture
def four_cpus(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {1, 3, 5, 7}, raising=False)


@pytest.mark.parametrize(
    ("quota", "cpus"),
    [
        ("max 100000\n", 4),
        ("200000 100000\n", 2),
        ("150000 100000\n", 1),
        ("50000 100000\n", 1),
        ("900000 100000\n", 4),
    ],
)
def test_the_quota_of_a_container_counts(quota, cpus, four_cpus, tmp_path):
    (tmp_path / "cpu.max").write_text(quota)
    assert available_cpus(tmp_path) == cpus


@pytest.mark.parametrize(("quota", "cpus"), [("-1", 4), ("300000", 3)])
def test_the_quota_of_an_older_kernel_counts(quota, cpus, four_cpus, tmp_path):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota + "\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert available_cpus(tmp_path) == cpus


def test_without_a_control_group_it_is_what_the_process_is_bound_to(four_cpus, tmp_path):
    assert available_cpus(tmp_path) == 4
    (tmp_path / "cpu.max").write_text("nonsense\n")
    assert available_cpus(tmp_path) == 4


@needs_affinity
def test_a_process_that_is_bound_to_one_cpu_has_one(tmp_path):
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert available_cpus(tmp_path) == 1
    finally:
        os.sched_setaffinity(0, before)
