"""Experiment trackers get every number of metrics.jsonl, samples as tables, and the configuration without secrets."""

import json
from types import ModuleType

import pytest
from tests.tiny import tiny_config, tiny_corpus
from transformers import TrainerCallback
from transformers.integrations import integration_utils

from phf.training.run import train
from phf.training.settings import keys
from phf.training.trackers import HIDDEN, Trackers, tracker_name, without_secrets


class Table:
    def __init__(self, columns, data):
        self.columns, self.data = columns, data


class Library(ModuleType):
    """As much of wandb as transformers' callback and ours use."""

    def __init__(self):
        super().__init__("wandb")
        self.Table = Table
        self.config = self
        self.logged, self.configured, self.is_closed = [], [], False

    def log(self, numbers):
        assert not self.is_closed
        self.logged.append(numbers)

    def update(self, numbers, allow_val_change=False):
        self.configured.append(numbers)


class FakeTracker(TrainerCallback):
    """Closes at the end of training, as MLflow's does, and opens when training begins, as TensorBoard's does."""

    library = None

    def __init__(self):
        self._wandb = None

    def on_train_begin(self, args, state, control, **kwargs):
        self._wandb = self.library

    def on_log(self, args, state, control, logs=None, **kwargs):
        self._wandb.log({**integration_utils.rewrite_logs(logs), "step": state.global_step})

    def on_train_end(self, args, state, control, **kwargs):
        self._wandb.is_closed = True


@pytest.fixture
def library(monkeypatch):
    FakeTracker.library = Library()
    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "wandb", FakeTracker)
    monkeypatch.setattr(keys, "_is_installed", lambda module: True)
    return FakeTracker.library


def test_a_tracker_gets_all_numbers_the_samples_and_the_configuration(library, tmp_path):
    (tmp_path / "corpus").mkdir()
    changes = {"training.report_to": "wandb", "generation.every_n_steps": 3, "generation.run_on_train_start": True}
    config = tiny_config(tiny_corpus(tmp_path / "corpus"), "awr", **changes)
    train(config, tmp_path / "run")
    sent = {}
    for entry in library.logged:
        for key, value in entry.items():
            sent.setdefault((entry.get("step"), key), []).append(value)
    for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines():
        numbers = json.loads(line)
        step = numbers.pop("step")
        del numbers["tokens_seen"]
        for key, value in numbers.items():
            name = key if key.startswith(("train/", "eval/")) else f"eval/{key}"
            assert value is None or sent[step, name] == [value], key
    tables = [entry["samples/unconditional"] for entry in library.logged if "samples/unconditional" in entry]
    assert [table.data[0][0] for table in tables] == [0, 3, 6]
    assert {len(table.data) for table in tables} == {5}
    assert tables[0].columns == ["step", "prompt", "continuation", "score"]
    (configured,) = library.configured
    assert configured["phf"]["objective"]["name"] == "AWR"
    assert library.is_closed


def test_a_run_without_trackers_sends_nothing(library, tmp_path):
    (tmp_path / "corpus").mkdir()
    changes = {"generation.run_on_train_start": False, "training.num_tokens": 2 * 4 * 64}
    train(tiny_config(tiny_corpus(tmp_path / "corpus"), **changes), tmp_path / "run")
    assert library.logged == library.configured == []


def test_secrets_are_not_sent():
    configuration = {
        "kl": {"reference": {"base_url": "https://me:pass@host/v1", "api_key": "sk-1", "model": "m"}},
        "model": {"model_kwargs": {"token": "hf_x", "num_tokens": 3}},
        "training": {"hub_token": "hf_y", "num_tokens": 1e6, "db_password": "p", "keys": ["k"]},
    }
    sent = without_secrets(configuration)
    text = json.dumps(sent)
    for secret in ("sk-1", "hf_x", "hf_y", "pass", '"p"'):
        assert secret not in text.replace("db_password", "")
    assert sent["kl"]["reference"] == {"base_url": "https://host/v1", "api_key": HIDDEN, "model": "m"}
    assert sent["training"]["num_tokens"] == 1e6
    assert configuration["model"]["model_kwargs"]["token"] == "hf_x"


def test_names_are_those_that_trackers_turn_back():
    for key, shown in {"eval/loss": "eval/loss", "generation/a/score": "eval/generation/a/score"}.items():
        assert list(integration_utils.rewrite_logs({tracker_name(key): 1})) == [shown]


class Recorder:
    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        def call(*args, **kwargs):
            self.calls.append((name, args, kwargs))
            return self

        return call


@pytest.mark.parametrize("attribute", ["tb_writer", "_ml_flow", "_experiment", "_clearml_task"])
def test_every_tracker_with_tables_gets_samples_and_configuration(attribute, library, tmp_path):
    tracker, recorder = FakeTracker(), Recorder()
    setattr(tracker, attribute, recorder)
    sample = {"step": 4, "prompt": "", "continuation": "a`|\n<b>", "score": 0.25, "segments": [], "segment_scores": []}
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "x.jsonl").write_text(json.dumps(sample) + '\n{"step": 40, "x"')

    class Handler:
        callbacks = (tracker,)

    class State:
        is_world_process_zero = True

    class FakeTrainer:
        callback_handler = Handler()

        def log(self, numbers):
            assert numbers == {"eval_generation/x/score": 0.25}

    trackers = Trackers(FakeTrainer(), "objective: {name: MLE}\nmodel: {token: hf_x}\n", tmp_path)
    trackers.on_train_begin(None, State(), None)
    trackers.evaluation(4, {"generation/x/score": 0.25})
    text = repr(recorder.calls)
    assert "MLE" in text
    assert "hf_x" not in text
    assert "0.25" in text
    assert "samples/x" in text
    if attribute == "tb_writer":
        table = recorder.calls[-1][1][1]
        assert table.splitlines()[2] == "| `4` | ` ` | `a'\\|\\n<b>` | `0.25` |"


def test_tensorboard_is_written_into_the_run_folder(tmp_path):
    pytest.importorskip("tensorboard")
    (tmp_path / "corpus").mkdir()
    config = tiny_config(tiny_corpus(tmp_path / "corpus"), **{"training.report_to": "tensorboard"})
    train(config, tmp_path / "run")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = {path.parent for path in (tmp_path / "run").rglob("events.out.*")}
    events = EventAccumulator(str(folder))
    events.Reload()
    assert {"train/loss", "train/lm_loss", "eval/bits_per_byte", "eval/generation/unconditional/score"} <= set(
        events.Tags()["scalars"]
    )
    assert "samples/unconditional/text_summary" in events.Tags()["tensors"]
