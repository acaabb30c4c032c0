"""What the processes of a job must have in common: the command, the version, and the folder that they write."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import phf
from phf.config.differences import differences
from phf.errors import ConfigError, OutputError
from phf.sampling.division import Division

SECONDS_UNTIL_SEEN = 60.0
"""How long a network file system may take to show what another machine has written."""


def check_same_start(division: Division, facts: Mapping[str, Any]) -> None:
    """Raises `ConfigError`, in every process, unless all were started with the same facts, plain values, and version."""
    own = {"phf": phf.__version__, **facts}
    first, *others = division.gather(lambda: own)
    for process, other in enumerate(others, start=1):
        if differing := differences(first, other):
            raise ConfigError(
                f"Process {process} was not started like process 0: {differing} (process 0's -> its). Start all of them "
                "with the same command, the same files and the same version of phf."
            )


def check_same_folder(division: Division, path: Path) -> None:
    """Raises `OutputError`, in every process, unless all see `path`, which the main process has written or found."""
    with division.together():
        deadline = time.monotonic() + SECONDS_UNTIL_SEEN
        while not path.exists():
            if time.monotonic() > deadline:
                raise OutputError(
                    f"Process {division.index} does not see {path}, which process 0 does. Choose an output folder on a "
                    "file system that all machines of the job share."
                )
            time.sleep(0.5)
