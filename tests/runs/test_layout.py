from pathlib import Path

import pytest

from phf.runs.layout import resume_command


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("runs/a", "--config runs/a/config.yaml --run-name a --resume"),
        ("my runs/a", "--config 'my runs/a/config.yaml' --run-name a --output-dir 'my runs' --resume"),
    ],
)
def test_the_command_that_continues_a_run_finds_it_wherever_it_is(folder, words):
    assert resume_command(Path(folder)) == f"phf train {words}"
