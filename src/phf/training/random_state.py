"""The random state of each process of a run: what draws the masks of dropout and the noise of NEFTune."""

from pathlib import Path

import numpy as np
from transformers import set_seed


def separate(seed: int, process: int) -> None:
    """At the start of a run: processes after the first get their own state. If all had that of the first, they would drop the
    same positions of every batch, which is less noise than one process with the whole batch has."""
    if process > 0:
        set_seed(_mixed(seed, 0, process))


def is_saved_for(checkpoint: Path, num_processes: int) -> bool:
    """Whether as many processes have written the checkpoint, so that it holds a state for each."""
    names = {path.name for path in checkpoint.glob("rng_state*.pth")}
    own = {"rng_state.pth"} if num_processes == 1 else {f"rng_state_{i}.pth" for i in range(num_processes)}
    return names == own


def start_anew(seed: int, step: int, process: int) -> None:
    """Where another number of processes continues a run: a new state, determined by the step, for every process."""
    set_seed(_mixed(seed, step, process))


def _mixed(seed: int, step: int, process: int) -> int:
    """A seed below 2^32 for `process` from `step` on."""
    return int(np.random.SeedSequence([seed % 2**64, step, process]).generate_state(1)[0])
