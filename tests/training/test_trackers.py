"""Experiment trackers get every number of metrics.jsonl, samples as tables, and the configuration without secrets."""

import json
from types import ModuleType, SimpleNamespace

import pytest
from tests.tiny import tiny_config, tiny_corpus
from transformers import TrainerCallback
from transformers.integrations import integration_utils

from phf.errors import ConfigError, OutputError
from phf.training.run import train
from phf.training.settings import keys
from phf.training.trackers.callback import Trackers
from phf.training.trackers.opening import OF_ENVIRONMENT, open_runs
from phf.training.trackers.sending import HIDDEN, tracker_name, without_secrets


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
        self._wandb.log({**integration_utils.rewrite_logs(logs), "train/global_step": state.global_step})

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
            sent.setdefault((entry["train/global_step"], key), []).append(value)
    for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines():
        numbers = json.loads(line)
        step = numbers.pop("step")
        del numbers["tokens_seen"]
        for key, value in numbers.items():
            assert value is None or sent[step, key] == [value], key
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


def test_names_for_other_trackers_are_those_that_they_turn_back():
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
def test_every_tracker_with_tables_gets_samples_and_configuration(attribute, monkeypatch, tmp_path):
    recorder = Recorder()

    class Tracker(TrainerCallback):
        def on_log(self, args, state, control, logs=None):
            recorder.calls.append(("on_log", (), logs))

    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "wandb", Tracker)
    tracker = Tracker()
    setattr(tracker, attribute, recorder)
    sample = {"step": 4, "prompt": "", "continuation": "a`|\n<b>", "score": 0.25, "segments": [], "segment_scores": []}
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "x.jsonl").write_text(json.dumps(sample) + '\n{"step": 40, "x"')

    class State:
        is_world_process_zero = True

    class FakeTrainer:
        args, state, control = None, State(), None

        class callback_handler:
            callbacks = (tracker,)

    config = tiny_config("corpus", **{"model.config_kwargs.token": "hf_x"})
    trackers = Trackers(FakeTrainer(), config, tmp_path, print)
    trackers.on_train_begin(None, State(), None)
    trackers.evaluation(4, {"generation/x/score": 0.25})
    text = repr(recorder.calls)
    assert "MLE" in text
    assert "hf_x" not in text
    assert "0.25" in text
    assert "samples/x" in text
    numbers = [call for call in recorder.calls if call[0] in ("on_log", "add_scalar")]
    if attribute != "tb_writer":
        assert numbers == [("on_log", (), {"eval_generation/x/score": 0.25})]
    else:
        assert numbers == [("add_scalar", ("generation/x/score", 0.25, 4), {})]
        table = recorder.calls[-1][1][1]
        assert table.splitlines()[2] == "| `4` | ` ` | `a'\\|\\n<b>` | `0.25` |"


class Wandb:
    """As much of wandb as opens a run; `problem`: what an online run ends with."""

    class errors:
        class Error(Exception):
            pass

    def __init__(self, problem=None):
        self.run, self.problem, self.opened, self.closed = None, problem, [], []

    def init(self, **settings):
        self.opened.append(settings)
        if self.problem and settings.get("mode") != "offline":
            raise self.errors.Error(self.problem)
        return SimpleNamespace(id=settings.get("id") or "new")

    def finish(self, exit_code):
        self.closed.append(exit_code)


def opened(library, run_dir, say=print, fails=False, **changes):
    """Open and close the run of a tracker; what Weights & Biases was asked for last."""
    config = tiny_config("corpus", **changes)
    arguments = SimpleNamespace(project="huggingface", run_name=run_dir.name)
    with open_runs([SimpleNamespace(_wandb=library)], arguments, config, run_dir, None, say):
        if fails:
            raise RuntimeError
    return library.opened[-1]


@pytest.fixture
def run_dir(tmp_path, monkeypatch):
    for name in ("WANDB_RUN_ID", "WANDB_SWEEP_ID", *OF_ENVIRONMENT.values()):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def test_group_and_tags_are_those_of_the_configuration_and_the_environment_comes_first(run_dir, monkeypatch):
    changes = {"training.tracker_group": "seeds", "training.tracker_tags": ["a", "b"]}
    given = opened(Wandb(), run_dir, **changes)
    assert (given["group"], given["tags"], given["name"]) == ("seeds", ["a", "b"], "run")
    monkeypatch.setenv("WANDB_RUN_GROUP", "of the environment")
    monkeypatch.setenv("WANDB_RUN_ID", "of-a-sweep")
    given = opened(Wandb(), run_dir, **changes)
    assert "group" not in given  # wandb reads it itself
    assert given["id"] == "of-a-sweep"
    monkeypatch.setenv("WANDB_SWEEP_ID", "s")
    assert not {"id", "project"} & opened(Wandb(), run_dir, **changes).keys()  # wandb warns of both


def test_a_run_is_continued_under_its_id_and_another_folder_begins_its_own(run_dir, tmp_path):
    assert opened(Wandb(), run_dir)["id"] is None
    assert opened(Wandb(), run_dir)["id"] == "new"
    (tmp_path / "other").mkdir()
    assert opened(Wandb(), tmp_path / "other")["id"] is None


def test_where_wandb_cannot_be_used_online_the_run_is_logged_offline_and_a_line_says_so(run_dir):
    said = []
    given = opened(Wandb("No API key configured. Use `wandb login` to log in."), run_dir, said.append)
    assert given["mode"] == "offline"
    assert said == [
        "training.report_to: wandb cannot be used online (No API key configured. Use `wandb login` to log in): this run is "
        f"logged offline. Upload it later: wandb sync {run_dir}/wandb/offline-run-*"
    ]


def test_a_run_that_fails_is_marked_as_failed(run_dir):
    library = Wandb()
    with pytest.raises(RuntimeError):
        opened(library, run_dir, fails=True)
    opened(library, run_dir)
    assert library.closed == [1, 0]


def test_a_run_that_a_program_opened_itself_is_left_open(run_dir):
    library = Wandb()
    library.run = SimpleNamespace(id="theirs")
    with open_runs([SimpleNamespace(_wandb=library)], None, tiny_config("corpus"), run_dir, None, print):
        pass
    assert library.opened == library.closed == []
    assert not (run_dir / "trackers.json").exists()


def test_only_the_main_process_opens_a_run(run_dir):
    library = Wandb()
    trainer = SimpleNamespace(callback_handler=SimpleNamespace(callbacks=[]))
    trackers = Trackers(trainer, tiny_config("corpus"), run_dir, print)
    trackers._callbacks = [SimpleNamespace(_wandb=library)]
    with trackers.open(is_main=False, step=None):
        pass
    assert library.opened == []


@pytest.mark.parametrize("content", ["{", "[]", '{"wandb": 3}'])
def test_a_damaged_file_of_names_is_an_error_that_says_what_to_do(content, run_dir):
    (run_dir / "trackers.json").write_text(content)
    with pytest.raises(OutputError, match=r"trackers\.json.*Delete it"):
        opened(Wandb(), run_dir)


@pytest.mark.parametrize("change", [{"training.tracker_tags": ["x" * 65]}, {"training.tracker_group": ""}])
def test_a_group_or_tag_that_wandb_would_refuse_is_an_error_of_the_configuration(change):
    with pytest.raises(ConfigError, match=next(iter(change))):
        tiny_config("corpus", **change)
