"""Options that several commands have."""

import pytest
from typer.testing import CliRunner

from phf.cli import app as cli


@pytest.mark.parametrize("command", ["evaluate", "redteam", "audit", "export"])
@pytest.mark.parametrize("value", ["", " "])
def test_a_blank_preference_is_refused(command, value, tmp_path):
    more = {"audit": ["--dataset", "a"], "export": [str(tmp_path / "out")]}.get(command, [])
    result = CliRunner().invoke(cli.app, [command, str(tmp_path), *more, "--prefer", value])
    assert result.exit_code == 2
    assert "--prefer is empty. Say what is wanted, or leave it out." in " ".join(result.output.split())
