"""`phf export`: what it writes and says, and what it refuses."""

import json
from pathlib import Path

import pytest
from tests.released_checkpoints import released_checkpoint
from typer.testing import CliRunner

from phf.cli.app import app
from phf.feedback import Prompting


def export(*arguments):
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint") / "m"
    released_checkpoint(folder)
    return folder


def test_a_released_checkpoint_becomes_a_plain_folder(checkpoint, tmp_path):
    result = export(checkpoint, tmp_path / "out", "--threshold", "0.00056", "--tag-every-segment", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["has_value_head"] is True
    assert "Control tokens: <|aligned|>, <|misaligned|>; value head: yes" in result.output
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"model.safetensors", "value_head.pt", "phf.json", "tokenizer.json"} <= names
    prompting = Prompting.load(tmp_path / "out")
    assert (prompting.threshold, prompting.tags_every_segment) == (0.00056, True)


def test_mistakes_end_with_a_message(checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("there").mkdir()
    for arguments, message in (
        ((checkpoint, "there"), "there exists. Choose another folder"),
        ((checkpoint, "out", "--threshold", "nan"), "must be a finite number"),
        (("nowhere", "out"), "nowhere is not a model folder"),
        (("someone/model@abc", "out"), "no model 'someone/model' at the revision abc"),
    ):
        result = export(*arguments)
        assert result.exit_code == 2
        assert message in " ".join(result.stderr.split())
    assert not Path("out").exists()


def test_an_export_that_is_interrupted_at_its_card_is_not_there(checkpoint, tmp_path, monkeypatch):
    from phf.models.exporting import convert

    def interrupt(*_):
        assert (tmp_path / ".out.partial" / "model.safetensors").is_file()
        raise KeyboardInterrupt

    monkeypatch.setattr(convert, "write_card", interrupt)
    assert export(checkpoint, tmp_path / "out").exit_code == 130
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


def test_an_output_that_cannot_be_made_is_found_before_the_model_is_loaded(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr("phf.models.exporting.convert.pretrained_lm", lambda *_, **__: pytest.fail("was loaded"))
    (tmp_path / "file").write_text("")
    result = export(checkpoint, tmp_path / "file" / "out")
    assert result.exit_code == 2
    assert "file is a file, not a folder" in result.stderr.replace("\n", "")
