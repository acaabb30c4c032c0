"""Where a profile is written."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from phf.corpus.sources.listing import is_saved_dataset
from phf.errors import MissingExtraError
from phf.profile.chart import write_chart
from phf.profile.estimate import Estimate
from phf.profile.measure import Profile
from phf.runs.writer import write_json
from phf.storage.files import claimed_folder

PROFILE, CHART, ESTIMATE = "profile.json", "profile.png", "estimate.json"


@contextmanager
def claimed(output: Path | None, source: str | None = None) -> Iterator[None]:
    """Hold the folder, if there is one, while the block runs. Raises `OutputError` where it cannot be written, or holds
    something other than a profile or an estimate, unless it is the dataset's own, which is where the profile of `source` goes
    by default."""
    own = None if source is None else _own_folder(source)
    is_own = output is not None and own is not None and os.path.realpath(output) == os.path.realpath(own)
    with nullcontext() if is_own else claimed_folder(output, [PROFILE, ESTIMATE], "phf profile"):
        yield


def write_profile(profile: Profile, output: Path | None) -> tuple[Path | None, str | None]:
    """Write `profile.json` and `profile.png` into `output`, by default next to the shards of a folder that is writable.

    Returns the folder, None if nothing was written, and a message about what is missing.
    """
    folder = output or _own_folder(profile.source)
    if folder is None:
        return None, "The dataset is not a folder that the profile can be written to; use --output to keep it."
    write_json(folder / PROFILE, profile.to_json())
    try:
        write_chart(profile, folder / CHART)
    except MissingExtraError as error:
        return folder, str(error)
    return folder, None


def write_estimate(estimate: Estimate, output: Path) -> Path:
    """Write `estimate.json` into the folder `output`."""
    write_json(output / ESTIMATE, estimate.to_json())
    return output / ESTIMATE


def _own_folder(source: str) -> Path | None:
    # A saved `datasets` folder is identified by all its files, so nothing is added to it.
    folder = Path(source)
    return folder if folder.is_dir() and not is_saved_dataset(source) and os.access(folder, os.W_OK) else None
