"""The random state of a process is its own, and continues, or starts again where another number of processes resumes."""

import torch
from transformers import set_seed

from phf.training.random_state import is_saved_for, separate, start_anew


def drawn(prepare):
    set_seed(7)
    prepare()
    return torch.rand(3).tolist()


def test_processes_draw_different_masks_and_the_first_those_of_one_alone():
    first, second, third = (drawn(lambda process=process: separate(7, process)) for process in range(3))
    assert first == drawn(lambda: None)
    assert len({tuple(first), tuple(second), tuple(third)}) == 3
    assert second == drawn(lambda: separate(7, 1))


def test_a_run_that_another_number_of_processes_continues_draws_what_the_step_determines():
    states = [
        drawn(lambda step=step, process=process: start_anew(7, step, process)) for step in (2, 4) for process in (0, 1)
    ]
    assert len({*map(tuple, states)}) == 4
    assert states[3] == drawn(lambda: start_anew(7, 4, 1))


def test_a_state_is_continued_only_by_as_many_processes(tmp_path):
    for name in ("rng_state_0.pth", "rng_state_1.pth"):
        (tmp_path / name).touch()
    assert [number for number in range(1, 5) if is_saved_for(tmp_path, number)] == [2]
    for path in tmp_path.iterdir():
        path.unlink()
    (tmp_path / "rng_state.pth").touch()
    assert [number for number in range(1, 5) if is_saved_for(tmp_path, number)] == [1]
