"""Whether the runs of a study were trained on the same data: only then are their numbers compared and averaged.

Configurations name a corpus by its path. The file may have changed between two runs, or before the runs of another study are
used (`--runs-from`).
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from phf.config import Config
from phf.errors import CorpusError, OutputError
from phf.runs.data import describe_data, is_same_data
from phf.runs.reader import read_provenance
from phf.study.folder import StudyFolder
from phf.study.jobs import is_trained_in
from phf.study.plan import StudyRun


def runs_of_other_data(
    runs: Sequence[StudyRun], provenance: Mapping[str, Mapping[str, Any]], folder: StudyFolder
) -> dict[str, str]:
    """Name of each run that was trained on other data than most runs whose configurations name the same -> what differs.

    With them, the runs that continue their models. If as many have one as the other, it is the data of the first run. Runs that
    have not recorded their data are taken as they are.

    Args:
        provenance: by name of the run, of those that have finished.
    """
    others: dict[str, str] = {}
    for members in _by_named_data(runs, provenance):
        groups: list[list[str]] = []
        for name in members:
            data = _data(provenance[name])
            group = next((group for group in groups if is_same_data(_data(provenance[group[0]]), data)), None)
            if group is None:
                groups.append([name])
            else:
                group.append(name)
        kept = max(groups, key=len)
        for name in (name for group in groups if group is not kept for name in group):
            others[name] = (
                f"it was trained on {describe_data(_data(provenance[name]))}, but {len(kept)} of {len(members)} runs, "
                f"{kept[0]} among them, on {describe_data(_data(provenance[kept[0]]))}: the data has changed between "
                f"them. Delete {folder.run(name)} to train it again, or those of the others"
            )
    for run in runs:
        if run.starts_from in others and run.name in provenance:
            others.setdefault(
                run.name,
                f"{run.starts_from}, whose model it continues, was trained on other data. Delete {folder.run(run.name)}, too",
            )
    return others


def refuse_changed_data(
    runs: Sequence[StudyRun], folder: StudyFolder, now: Mapping[str, Sequence[Mapping[str, Any]]]
) -> None:
    """Raises `OutputError` if runs were trained, or have begun, on other data than those that are to be trained now.

    Args:
        now: the data that is there, by the name of a run that reads it; see `phf.study.prepare.prepare`.
    """
    today = {named_data(run.config): now[run.name] for run in runs if run.name in now}
    changed: dict[str, list[str]] = {}
    for run in runs:
        path = folder.run(run.name)
        if named_data(run.config) not in today or not is_trained_in(path):
            continue
        before, after = _recorded(path), today[named_data(run.config)]
        if before is not None and not is_same_data(before, after):
            changed.setdefault(f"{describe_data(before)} -> {describe_data(after)}", []).append(str(path))
    if changed:
        lines = [f"{difference}: {', '.join(paths)}" for difference, paths in changed.items()]
        raise OutputError(
            "The training data has changed since these runs were trained, so the others would not be comparable with them "
            "(theirs -> today's):\n  "
            + "\n  ".join(lines)
            + "\nRestore the data, choose another folder with --output-dir (and leave out --runs-from), or delete these "
            "folders to train them again."
        )


def _by_named_data(runs: Sequence[StudyRun], finished: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """The finished runs, those whose configurations name the same data together."""
    by_data: dict[str, list[str]] = {}
    for run in runs:
        if run.name in finished and _data(finished[run.name]):
            by_data.setdefault(named_data(run.config), []).append(run.name)
    return list(by_data.values())


def named_data(config: Config) -> str:
    """Equal for configurations that name the same corpus, scored alike."""
    dataset = config.dataset
    return json.dumps([dataset.datasets, dataset.segment, config.generation.scorer_config], sort_keys=True, default=str)


def _recorded(run_dir: Path) -> Sequence[Mapping[str, Any]] | None:
    """The data that a run has recorded; None where that cannot be read, which the run itself reports."""
    try:
        return read_provenance(run_dir).get("dataset")
    except CorpusError:
        return None


def _data(provenance: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    recorded: Sequence[Mapping[str, Any]] = provenance.get("dataset") or []
    return recorded
