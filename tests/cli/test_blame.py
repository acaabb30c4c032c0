"""An error says which override set the value, and never names one that did not."""

import pytest

from phf.cli.blame import set_by

KEY = "dataset.datasets"


@pytest.mark.parametrize(
    ("message", "arguments", "said"),
    [
        (f"{KEY} is 3: a list was expected.", [f"{KEY}=3"], f" Set by --override {KEY}=3."),
        (f"{KEY}.0 is None.", [f"{KEY}=[a]", f"{KEY}=[null]"], f" Set by --override {KEY}=[null]."),
        (f"{KEY} is not installed: pip install x", [f"{KEY}=x"], f". Set by --override {KEY}=x."),
        (f"{KEY} is 3. Is it?", [f"{KEY}=3"], f" Set by --override {KEY}=3."),
        (f"{KEY} is 3.", ["dataset.seq_length=64"], ""),
        # the schema has named it: neither that one again, nor another of the same key
        (f"--override {KEY}=3: '{KEY}' is 3.", [f"{KEY}=3"], ""),
        (f"--override {KEY}=3: '{KEY}' is 3.", [f"{KEY}=[a]", f"{KEY}=3"], ""),
        (f"--override {KEY}=3: '{KEY}' is 3.", [f"{KEY}=3", f"{KEY}=[a]"], ""),
    ],
)
def test_the_override_that_is_named(message, arguments, said):
    assert set_by(message, arguments) == said
