"""A run continues from the newest checkpoint that is as it was written, and says what is wrong with newer ones."""

import json
import os
import shutil

import pytest
from tests.tiny import tiny_config, tiny_corpus

from phf.config import dump_config
from phf.errors import CheckpointError, OutputError
from phf.storage.file_list import damaged_files, write_file_list
from phf.training.checkpoints.find import last_checkpoint, refuse_checkpoint_of_another_run, sound_checkpoint
from phf.training.run import train

QUIET = {"generation.run_on_train_start": False, "generation.run_on_train_end": False, "dataset.eval_fraction": 0.0}


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """Four steps, with checkpoints of step 2 and 4."""
    source = tiny_corpus(tmp_path_factory.mktemp("corpus"))
    return tiny_config(source, **QUIET, **{"training.num_tokens": 4 * 4 * 64, "training.logging_steps": 3})


@pytest.fixture
def run_dir(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "model")
    return tmp_path / "run"


def flip(path):
    """Change one byte in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def zero(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))


def cut(path):
    path.write_bytes(path.read_bytes()[:-10])


def empty(path):
    path.write_bytes(b"")


def remove(path):
    path.unlink()


ALL_FILES = ("model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "config.yaml")


def test_a_checkpoint_lists_all_its_files(run_dir):
    listed = json.loads((run_dir / "checkpoint-4" / "files.json").read_text())["files"]
    written = {path.name for path in (run_dir / "checkpoint-4").iterdir()}
    assert set(listed) == written - {"files.json"} >= {*ALL_FILES, "log_window_0.json"}
    assert damaged_files(run_dir / "checkpoint-4") == []


@pytest.mark.parametrize("name", [*ALL_FILES, "log_window_0.json"])
@pytest.mark.parametrize("change", [flip, zero, cut, empty, remove])
def test_damage_is_named_and_the_checkpoint_before_is_used(run_dir, name, change):
    change(run_dir / "checkpoint-4" / name)
    said = []
    assert sound_checkpoint(run_dir, said.append) == run_dir / "checkpoint-2"
    (line,) = said
    assert line.startswith(f"{run_dir / 'checkpoint-4'} is damaged: {name} ")
    assert "The checkpoint before it is used instead" in line


@pytest.mark.parametrize("change", [flip, cut, empty, remove])
def test_a_damaged_list_of_files_is_damage_too(run_dir, change):
    change(run_dir / "checkpoint-4" / "files.json")
    said = []
    assert sound_checkpoint(run_dir, said.append) == run_dir / "checkpoint-2"
    assert "checkpoint-4 is damaged: " in said[0]


def test_without_a_sound_checkpoint_resuming_is_refused_with_what_is_damaged(config, run_dir):
    zero(run_dir / "checkpoint-4" / "model.safetensors")
    remove(run_dir / "checkpoint-2" / "rng_state.pth")
    with pytest.raises(
        CheckpointError,
        match=r"checkpoint-4 is damaged: model\.safetensors does not have .*checkpoint-2 is damaged: rng_state\.pth is "
        r"missing\. No other checkpoint is left",
    ):
        train(config, run_dir, resume=True)


def test_a_run_with_a_damaged_checkpoint_ends_as_one_without(config, whole, run_dir):
    flip(run_dir / "checkpoint-4" / "optimizer.pt")
    said = []
    train(config, run_dir, resume=True, announce=said.append)
    assert any("optimizer.pt does not have the content that was written" in line for line in said)
    assert any(line == f"Resuming {run_dir} from step 2" for line in said)
    assert damaged_files(run_dir / "checkpoint-4") == []
    for name in ("model/model.safetensors", "checkpoint-4/model.safetensors"):
        assert (run_dir / name).read_bytes() == (whole / name).read_bytes()


def test_a_renamed_checkpoint_is_not_one_of_another_step(run_dir):
    shutil.copytree(run_dir / "checkpoint-2", run_dir / "checkpoint-8")
    said = []
    assert sound_checkpoint(run_dir, said.append) == run_dir / "checkpoint-4"
    assert "trainer_state.json is of step 2" in said[0]


def as_earlier_versions_wrote_it(folder):
    for name in ("files.json", "config.yaml"):
        (folder / name).unlink()
    window = json.loads((folder / "log_window_0.json").read_text())
    del window["listed"]
    (folder / "log_window_0.json").write_text(json.dumps(window))


def test_checkpoints_of_earlier_versions_are_read_and_reported_as_unverified(config, whole, run_dir):
    shutil.rmtree(run_dir / "checkpoint-4")
    as_earlier_versions_wrote_it(run_dir / "checkpoint-2")
    said = []
    train(config, run_dir, resume=True, announce=said.append)
    assert any("has no list of its files (files.json), as earlier versions" in line for line in said)
    assert (run_dir / "model/model.safetensors").read_bytes() == (whole / "model/model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("optimizer.pt", empty),
        ("optimizer.pt", flip),
        ("scheduler.pt", cut),
        ("rng_state.pth", empty),
        ("rng_state.pth", remove),
        ("model.safetensors", cut),
        ("model.safetensors", empty),
        ("log_window_0.json", cut),
    ],
)
def test_what_can_be_seen_to_be_damaged_without_a_list_is(run_dir, name, change):
    for step in (2, 4):
        as_earlier_versions_wrote_it(run_dir / f"checkpoint-{step}")
    change(run_dir / "checkpoint-4" / name)
    said = []
    assert sound_checkpoint(run_dir, said.append) == run_dir / "checkpoint-2"
    assert f"checkpoint-4 is damaged: {name}" in said[0]


def test_weights_of_another_model_are_not_read(config, run_dir):
    """Trainer would only warn, and train on with random weights."""
    folder = run_dir / "checkpoint-4"
    other = tiny_config(config.dataset.datasets[0], **QUIET, **{"model.config_kwargs.n_layer": 3})
    train(other, run_dir.parent / "other", resume=False)
    shutil.copy(run_dir.parent / "other" / "checkpoint-4" / "model.safetensors", folder)
    write_file_list(folder)
    with pytest.raises(CheckpointError, match=r"checkpoint-4 cannot be read: .*lm\.transformer\.h\.2"):
        train(config, run_dir, resume=True)


def test_a_checkpoint_of_another_configuration_is_refused_with_the_keys_that_differ(config, run_dir):
    other = config.model_copy(update={"training": config.training.model_copy(update={"seed": 7})})
    (run_dir / "checkpoint-4" / "config.yaml").write_text(dump_config(other))
    write_file_list(run_dir / "checkpoint-4")
    with pytest.raises(CheckpointError, match=r"belongs to another run\. They differ in: training\.seed: 7 -> 42"):
        train(config, run_dir, resume=True)
    refuse_checkpoint_of_another_run(run_dir / "checkpoint-2", config)


def test_folders_that_are_called_like_checkpoints_are_left_alone(tmp_path):
    for name in ("checkpoint-final", "checkpoint-x", "checkpoint-", "checkpoint-best-1a", "checkpoint-1.5"):
        (tmp_path / name).mkdir()
    (tmp_path / "checkpoint-3").write_text("a file")
    assert last_checkpoint(tmp_path) is None
    assert sound_checkpoint(tmp_path, pytest.fail) is None


@pytest.mark.parametrize(
    "name",
    ["scaler.pt", "rng_state_1.pth", "optimizer.bin", "model.safetensors.index.json", "adapter_model.safetensors"],
)
def test_files_that_were_added_are_named_and_the_checkpoint_before_is_used(run_dir, name):
    """Trainer reads whatever it finds: a scaler that is not of this run, the weights of an adapter."""
    shutil.copy(run_dir / "checkpoint-4" / "scheduler.pt", run_dir / "checkpoint-4" / name)
    said = []
    assert sound_checkpoint(run_dir, said.append) == run_dir / "checkpoint-2"
    assert f"checkpoint-4 is damaged: {name} was added to it, or is missing in files.json" in said[0]


def test_a_folder_that_was_added_is_named(run_dir):
    (run_dir / "checkpoint-4" / "pytorch_model_fsdp_0").mkdir()
    said = []
    assert sound_checkpoint(run_dir, said.append) == run_dir / "checkpoint-2"
    assert "pytorch_model_fsdp_0 was added" in said[0]


def test_notes_beside_the_files_of_a_checkpoint_are_not_damage(run_dir):
    for name in ("notes.txt", ".DS_Store", "._model.safetensors", "README.md"):
        (run_dir / "checkpoint-4" / name).write_text("mine")
    assert sound_checkpoint(run_dir, pytest.fail) == run_dir / "checkpoint-4"


def test_weights_that_the_list_does_not_name_are_not_trusted(run_dir):
    path = run_dir / "checkpoint-4" / "files.json"
    listed = json.loads(path.read_text())
    del listed["files"]["model.safetensors"]
    path.write_text(json.dumps(listed))
    said = []
    assert sound_checkpoint(run_dir, said.append) == run_dir / "checkpoint-2"
    assert "model.safetensors was added to it, or is missing in files.json" in said[0]


def test_a_state_without_what_resuming_needs_is_damage(config, run_dir):
    for step in (2, 4):
        state = run_dir / f"checkpoint-{step}" / "trainer_state.json"
        state.write_text(json.dumps({"global_step": step, "log_history": []}))
        write_file_list(state.parent)
    with pytest.raises(CheckpointError, match="files that resuming needs are missing"):
        train(config, run_dir, resume=True)


def test_a_damaged_log_is_reported_when_a_run_resumes(config, run_dir):
    log = run_dir / "metrics.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("{broken\n" + "".join(lines[1:]))
    shutil.rmtree(run_dir / "checkpoint-4")
    said = []
    train(config, run_dir, resume=True, announce=said.append)
    assert f"{log}: 1 damaged line is left out" in said


def test_a_log_that_is_gone_is_reported_when_a_run_resumes(config, run_dir):
    (run_dir / "metrics.jsonl").unlink()
    shutil.rmtree(run_dir / "checkpoint-4")
    said = []
    train(config, run_dir, resume=True, announce=said.append)
    assert f"{run_dir / 'metrics.jsonl'} is missing: the log begins after step 2" in said


@pytest.mark.parametrize("name", ["metrics.jsonl", "spikes.jsonl"])
def test_a_log_that_would_wait_for_a_reader_is_refused(config, run_dir, name):
    (run_dir / name).unlink(missing_ok=True)
    os.mkfifo(run_dir / name)
    with pytest.raises(OutputError, match=f"{name} is not a regular file"):
        train(config, run_dir, resume=True)


@pytest.mark.parametrize("name", ["model", "unfinished"])
def test_a_link_where_a_run_replaces_a_folder_is_refused_before_training(config, run_dir, name):
    (run_dir.parent / "elsewhere").mkdir()
    (run_dir / name).symlink_to(run_dir.parent / "elsewhere")
    with pytest.raises(OutputError, match=f"{name} is not a folder of its own"):
        train(config, run_dir, resume=True)
    assert (run_dir.parent / "elsewhere").is_dir()


def test_a_file_where_a_run_makes_a_folder_is_refused_before_training(config, run_dir):
    (run_dir / "model").write_text("mine")
    with pytest.raises(OutputError, match="model is not a folder of its own"):
        train(config, run_dir, resume=True)
