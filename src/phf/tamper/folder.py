"""The folder of a tamper test: that of a study, whose models are removed as soon as their samples are scored.

plan/, logs/                 as of a study
<model>-<kind>-seed<n>/      the run folder of each finetuning, without model and checkpoints, unless they are to be kept
models.json                  the models that are tested, with the hashes of their files
tamper.json, report.html     the answer, as numbers and as a page
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from phf.errors import OutputError
from phf.runs.layout import MODEL
from phf.runs.writer import write_json
from phf.storage.reading import read_json_as
from phf.study.folder import StudyFolder

REMOVED = "weights-removed.json"
"""In the folder of a finetuning that has finished, once its model is removed."""
MODELS, ANSWER = "models.json", "tamper.json"


@dataclass(frozen=True)
class TamperFolder(StudyFolder):
    """The paths in the folder of a tamper test."""

    def is_finished(self, name: str) -> bool:
        """Whether a finetuning has finished, with its model there or removed."""
        return super().is_finished(name) or (self.run(name) / REMOVED).is_file()

    def remove_weights(self, name: str) -> None:
        """Remove the model of a finished finetuning and its checkpoints; safe to interrupt and to repeat."""
        run_dir = self.run(name)
        if not self.is_finished(name):
            return
        if not (run_dir / REMOVED).is_file():
            write_json(run_dir / REMOVED, {"model": "removed after its samples were scored; --keep-models keeps it"})
        for path in (run_dir / MODEL, *run_dir.glob("checkpoint-*")):
            shutil.rmtree(path, ignore_errors=True)

    def refuse_other_models(self, hashes: Mapping[str, Mapping[str, str]]) -> None:
        """Record the models, by name; raises `OutputError` if one is not the model of its name that was tested before."""
        path = self.path / MODELS
        shape = dict[str, dict[str, str]]
        known = read_json_as(shape, path, OutputError, "Delete it.") if path.is_file() else {}
        other = [name for name, files in hashes.items() if name in known and known[name] != dict(files)]
        if other:
            raise OutputError(
                f"{self.path} has finetunings of other models of these names: {', '.join(other)}. Choose another folder "
                "with --output, or delete theirs in it."
            )
        write_json(path, {**known, **{name: dict(files) for name, files in hashes.items()}})
