"""Files of every format that `phf` reads, damaged or made up: each is read, or refused with a reason, at little cost."""

import random
import resource
import time

import pytest
from tests.faults.counts import num_cases
from tests.faults.formats import FORMATS
from tests.faults.kept_formats import KEPT_FORMATS
from tests.faults.model_formats import MODEL_FORMATS
from tests.faults.result_formats import RESULT_FORMATS
from tests.faults.table_formats import TABLE_FORMATS

from phf.errors import PhfError

SLOWEST = 60.0
"""Seconds that a case may take."""
MOST_MEMORY = 2**20
"""KiB by which the cases of a format may raise the peak of the process."""
LONG = {
    "config.json of a model": 5_000,
    "generation_config.json of a model": 3_000,
    "the folder of a reward model": 3_000,
}
"""Format -> number of cases of the full form, where each loads a model; 10,000 of the others."""
SHORT = {
    "a configuration": 6,
    "an override": 10,
    "a run folder, read for a report": 6,
    "evaluation.json": 8,
    "config.json of a model": 10,
    "generation_config.json of a model": 10,
    "two run folders, made into a page": 10,
    "the folder of a reward model": 10,
    "tokenizer.json of a model": 10,
    "tokenizer_config.json of a model": 10,
    "the record of an audit, made into a page": 10,
    "GLUE, tasks and KL of an evaluation, made into a page": 6,
    "the index of a stream": 10,
}
"""Format -> number of cases of the short form, where one takes longer; 40 of the others."""
ALL = (*FORMATS, *MODEL_FORMATS, *RESULT_FORMATS, *TABLE_FORMATS, *KEPT_FORMATS)


@pytest.mark.parametrize("form", ALL, ids=lambda form: form.name.replace(" ", "-"))
def test_a_damaged_file_is_an_error_with_its_reason(form, tmp_path, counts):
    folder = tmp_path / "it"
    folder.mkdir()
    form.prepare(folder)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    number = num_cases(LONG.get(form.name, 10_000), SHORT.get(form.name, 40))
    refused = 0
    for seed in range(number):
        form.write(folder, random.Random(f"{form.name} {seed}"))
        start = time.monotonic()
        try:
            form.read(folder)
        except PhfError:
            refused += 1
        except Exception as error:
            raise AssertionError(f"case {seed} of {form.name} ends in {error!r}") from error
        assert time.monotonic() - start < SLOWEST, f"seed {seed}"
    assert refused, "no case was refused, so the format is not read"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_MEMORY
    counts[f"hostile files: {form.name}"] = (number, f"0 tracebacks, {refused:,} refused, none over 60 s or 1 GiB")


def test_what_is_intact_is_read(tmp_path):
    for number, form in enumerate(ALL):
        folder = tmp_path / str(number)
        folder.mkdir()
        form.prepare(folder)
        if any(folder.iterdir()) and form.name != "evaluation.json":
            form.read(folder)
