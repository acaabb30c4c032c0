"""Weights & Biases (offline) and TensorBoard themselves: what they keep of a run, and that a resumed run continues theirs."""

import json
import shutil

import pytest
from tests.tiny import tiny_config, tiny_corpus

from phf.training.run import train

KEY = "0123456789abcdef" * 2 + "01234567"
pytestmark = pytest.mark.slow


def wandb_records(path):
    """The records of a .wandb file: a log in LevelDB's format (blocks of 32 KiB; checksum, length and kind of each part)."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, parts, at = path.read_bytes(), b"", 7
    while at < len(data):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = Record()
            record.ParseFromString(parts)
            yield record
            parts = b""


def wandb_history(path):
    """The logged rows: name -> value."""
    for record in wandb_records(path):
        if record.WhichOneof("record_type") == "history":
            yield {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}


def metrics(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that was ended after step 4 of 6 and resumed, with both trackers."""
    for library in ("wandb", "tensorboard"):
        pytest.importorskip(library)
    folder = tmp_path_factory.mktemp("trackers")
    (folder / "corpus").mkdir()
    changes = {"training.report_to": ["wandb", "tensorboard"], "generation.every_n_steps": 3}
    config = tiny_config(tiny_corpus(folder / "corpus"), "conditional", **changes)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"WANDB_MODE": "offline", "WANDB_API_KEY": KEY, "WANDB_SILENT": "true"}.items():
            patch.setenv(name, value)
        patch.delenv("WANDB_PROJECT", raising=False)
        train(config, folder / "my-run")
        shutil.rmtree(folder / "my-run" / "checkpoint-6")
        shutil.rmtree(folder / "my-run" / "model")
        train(config, folder / "my-run", resume=True)
    return folder / "my-run"


def test_wandb_has_every_number_under_the_name_and_step_of_metrics_jsonl(run):
    first, second = sorted((run / "wandb").glob("offline-run-*/*.wandb"))
    rows = [*wandb_history(first), *wandb_history(second)]
    for line in metrics(run):
        step = line.pop("step")
        del line["tokens_seen"]
        for key, value in line.items():
            sent = [row[key] for row in rows if row["train/global_step"] == step and key in row]
            assert value is None or sent[-1] == pytest.approx(value), (step, key)


def test_a_resumed_run_is_the_same_run_in_wandb_in_the_group_of_its_seeds(run):
    begun = []
    for path in sorted((run / "wandb").glob("offline-run-*/*.wandb")):
        begun += [record.run for record in wandb_records(path) if record.WhichOneof("record_type") == "run"]
    assert {each.run_id for each in begun} == {json.loads((run / "trackers.json").read_text())["wandb"]}
    first = begun[0]
    assert (first.display_name, first.run_group) == ("my-run", "pep8-quickstart-conditional")
    assert list(first.tags) == ["pep8-quickstart", "conditional"]


def test_samples_are_tables_in_wandb(run):
    tables = sorted((run / "wandb").glob("offline-run-*/files/media/table/samples/*.table.json"))
    rows = [row for path in tables for row in json.loads(path.read_text())["data"]]
    samples = [json.loads(line) for line in (run / "samples" / "unconditional.jsonl").read_text().splitlines()]
    kept = [[sample[key] for key in ("step", "prompt", "continuation", "score")] for sample in samples]
    assert [row[0] for row in kept] == 5 * [3] + 5 * [6]
    assert all(row in rows for row in kept)


def test_tensorboard_has_every_number_once_though_two_steps_were_made_twice(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folders = {path.parent for path in run.rglob("events.out.*")}
    assert folders == {run / "tensorboard"}
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    assert "samples/unconditional/text_summary" in events.Tags()["tensors"]
    for key in ("train/loss", "eval/bits_per_byte", "generation/unconditional/score"):
        logged = [(line["step"], line[key]) for line in metrics(run) if key in line]
        assert [(event.step, pytest.approx(event.value)) for event in events.Scalars(key)] == logged


def test_no_key_is_in_the_run_folder(run):
    for path in run.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


def test_trackio_has_numbers_and_tables_and_a_resumed_run_is_one_run(tmp_path, monkeypatch):
    trackio = pytest.importorskip("trackio")
    for module in ("utils", "sqlite_storage"):
        monkeypatch.setattr(f"trackio.{module}.TRACKIO_DIR", tmp_path / "trackio")
    (tmp_path / "corpus").mkdir()
    config = tiny_config(
        tiny_corpus(tmp_path / "corpus"), **{"training.report_to": "trackio", "training.project": "mine"}
    )
    train(config, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoint-6")
    shutil.rmtree(tmp_path / "run" / "model")
    train(config, tmp_path / "run", resume=True)
    (run,) = trackio.Api().runs("mine")
    assert run.name == json.loads((tmp_path / "run" / "trackers.json").read_text())["trackio"]
    rows = trackio.sqlite_storage.SQLiteStorage.get_logs("mine", run.name)
    for line in metrics(tmp_path / "run"):
        for key in line.keys() & {"train/loss", "eval/loss", "generation/unconditional/score"}:
            sent = [row[key] for row in rows if row["train/global_step"] == line["step"] and key in row]
            assert sent[-1] == pytest.approx(line[key])
    tables = [row["samples/unconditional"] for row in rows if "samples/unconditional" in row]
    assert "`" in json.dumps(tables)
