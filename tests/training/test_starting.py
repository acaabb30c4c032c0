"""A start that failed does not block its name; a refused resume says what differs."""

import json
import os

import pytest
import yaml
from tests.tiny import tiny_config, tiny_corpus
from typer.testing import CliRunner

from phf.cli.app import app
from phf.config import dump_config
from phf.errors import ConfigError, CorpusError, OutputError
from phf.runs.folder import clear_failed_start, has_steps, refuse_other_configuration
from phf.tokens.prepare import annotated_sources
from phf.training import run as training
from phf.training.checkpoints.find import last_checkpoint
from phf.training.run import train
from phf.training.settings.arguments import work_out
from phf.training.start import refuse_other_batch, refuse_other_data, refuse_unknown

STEP_0 = '{"step": 0, "tokens_seen": 0, "eval/loss": 1.0}\n'
STEP_1 = '{"step": 1, "tokens_seen": 8, "train/loss": 1.0}\n'


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return tiny_config(tiny_corpus(tmp_path_factory.mktemp("corpus")))


def folder_of(tmp_path, **files):
    for name, text in files.items():
        path = tmp_path / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, False),
        ({"config_yaml": "a: 1"}, False),
        ({"metrics_jsonl": STEP_0, "samples__a_jsonl": "{}"}, False),
        ({"metrics_jsonl": STEP_0 + STEP_0[:30]}, False),
        ({"metrics_jsonl": ""}, False),
        ({"metrics_jsonl": STEP_0 + STEP_1}, True),
        ({"metrics_jsonl": STEP_0 + STEP_1[:20]}, True),
        ({"metrics_jsonl": "not ours\n"}, True),
        ({"checkpoint-1__optimizer_pt": ""}, True),
        ({"model__config_json": ""}, True),
    ],
)
def test_what_counts_as_a_step(files, expected, tmp_path):
    assert has_steps(folder_of(tmp_path, **files)) == expected


def test_a_start_that_failed_is_taken_over_by_another_configuration(config, tmp_path, monkeypatch):
    run_dir = tmp_path / "run"
    with monkeypatch.context() as patch:

        def fail(*_, **__):
            raise CorpusError("no corpus")

        patch.setattr(training, "prepare_data", fail)
        with pytest.raises(CorpusError, match="no corpus"):
            train(config, run_dir)
    assert (run_dir / "config.yaml").is_file()
    (run_dir / "metrics.jsonl").write_text(STEP_0)
    (run_dir / "samples").mkdir()
    (run_dir / "samples" / "old.jsonl").write_text("{}\n")
    changed = config.model_copy(update={"training": config.training.model_copy(update={"seed": 7})})
    said = []
    train(changed, run_dir, announce=said.append)
    assert any("ended before its first step" in text for text in said)
    assert (run_dir / "config.yaml").read_text() == dump_config(changed)
    assert not (run_dir / "samples" / "old.jsonl").exists()
    steps = [json.loads(line)["step"] for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)
    assert json.loads((run_dir / "provenance.json").read_text())["seeds"] == {"training": 7}
    with pytest.raises(OutputError, match="holds a run already"):
        train(changed, run_dir)


@pytest.mark.parametrize("name", ["evaluation.json", "replay.json", "pool.jsonl", "manifest.json", "study.json"])
def test_the_folder_of_another_command_is_not_taken_over(config, name, tmp_path):
    folder_of(tmp_path, metrics_jsonl=STEP_0)
    (tmp_path / name).write_text("{}")
    with pytest.raises(OutputError, match=f"was not written by phf train: it has {name}"):
        clear_failed_start(tmp_path)
    with pytest.raises(OutputError, match="was not written by phf train"):
        train(config, tmp_path)
    assert (tmp_path / "metrics.jsonl").read_text() == STEP_0
    (tmp_path / "metrics.jsonl").unlink()  # of a dataset or a study, in which nothing looks like a run
    with pytest.raises(OutputError, match=f"was not written by phf train: it has {name}"):
        train(config, tmp_path)
    assert not (tmp_path / "config.yaml").exists()


def test_a_refused_resume_names_the_keys_that_differ(config, tmp_path):
    folder_of(tmp_path, config_yaml=dump_config(config), metrics_jsonl=STEP_1)
    dataset = config.dataset.model_copy(update={"seq_length": 32})
    changed = config.model_copy(update={"dataset": dataset, "training": config.training.model_copy(update={"seed": 7})})
    seq_length, seed = config.dataset.seq_length, config.training.seed
    with pytest.raises(
        ConfigError, match=rf"dataset.seq_length: {seq_length} -> 32; training.seed: {seed} -> 7 \(the run's"
    ):
        train(changed, tmp_path, resume=True)


def test_a_run_is_not_resumed_on_data_that_has_changed(tmp_path):
    (tmp_path / "corpus").mkdir()
    source = tiny_corpus(tmp_path / "corpus")
    shorter = tiny_config(source, **{"training.num_tokens": 2 * 4 * 64, "generation.run_on_train_end": False})
    train(shorter, tmp_path / "run")
    provenance = json.loads((tmp_path / "run" / "provenance.json").read_text())
    for path in (tmp_path / "corpus").iterdir():
        os.utime(path, (1, 1))  # annotated again, and the same data
    refuse_other_data(tmp_path / "run", annotated_sources(shorter, [source], lambda message: None))
    (tmp_path / "corpus" / "00.py").write_text("y = 2\n" * 40)
    with pytest.raises(OutputError, match=r"has changed since the run in .* began") as raised:
        train(shorter, tmp_path / "run", resume=True)
    before = provenance["dataset"][0]["shards_sha256"][:8]
    assert f"it was 60 documents of {source} (annotation {before})" in str(raised.value)
    assert json.loads((tmp_path / "run" / "provenance.json").read_text()) == provenance


def test_a_configuration_that_means_the_same_is_the_same(config, tmp_path):
    older = yaml.safe_load(dump_config(config))
    del older["dataset"]["tokenization"], older["glue"]
    folder_of(tmp_path, config_yaml=yaml.safe_dump(older))
    refuse_other_configuration(tmp_path, config)


@pytest.mark.parametrize("text", ["[1]", "a: [", "dataset: 3", "\x00", "a: &a [*a]"])
def test_a_damaged_configuration_is_an_error_of_ours(config, text, tmp_path):
    folder_of(tmp_path, config_yaml=text, metrics_jsonl=STEP_1)
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        train(config, tmp_path, resume=True)


def test_folders_that_are_called_like_checkpoints_are_left_alone(tmp_path):
    for name in ("checkpoint-x", "checkpoint-", "checkpoint-best-1a"):
        (tmp_path / name).mkdir()
    assert last_checkpoint(tmp_path) is None


def test_a_run_that_does_not_exist_is_not_resumed_and_the_nearest_names_are_given(tmp_path):
    with pytest.raises(OutputError, match=r"no run called 'pep8-mle' in .*\. There are no runs there\. Choose one"):
        refuse_unknown(tmp_path / "none" / "pep8-mle")
    for name in ("pep8-ul", "pep8-mle-2", "toxicity", "not-a-run"):
        (tmp_path / name).mkdir()
        if name != "not-a-run":
            (tmp_path / name / "config.yaml").write_text("")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(OutputError, match=r"'pep8-mle' in .*\. Runs there: pep8-mle-2, pep8-ul\. Choose one"):
        refuse_unknown(tmp_path / "pep8-mle")
    with pytest.raises(OutputError, match=r"Runs there: (toxicity|pep8-ul|pep8-mle-2), .*"):
        refuse_unknown(tmp_path / "zzz")
    refuse_unknown(tmp_path / "toxicity")


def test_the_command_says_that_a_run_to_resume_does_not_exist(tmp_path):
    arguments = ["train", "--task", "pep8/quickstart", "--method", "mle", "--run-name", "gone", "--resume"]
    result = CliRunner().invoke(app, [*arguments, "--output-dir", str(tmp_path)])
    assert result.exit_code == 2
    assert "--resume: there is no run called 'gone'" in result.stderr


def test_a_run_whose_batch_follows_from_the_number_of_processes_is_not_continued_with_another(config, tmp_path):
    """It would continue with other steps, over other blocks."""
    changed = config.model_copy(
        update={"training": config.training.model_copy(update={"effective_batch_size": None, "num_tokens": 1e6})}
    )
    one, two = (work_out(changed.training, 64, size) for size in (1, 2))
    assert (one.effective_batch_size, two.effective_batch_size) == (2, 4)
    refuse_other_batch(tmp_path, one)  # a new run
    folder = folder_of(tmp_path, metrics_jsonl=STEP_1, provenance_json='{"effective_batch_size": 4}')
    refuse_other_batch(folder, two)
    with pytest.raises(ConfigError, match=r"makes steps of 4 blocks; with 1 x 2 .* would make steps of 2\."):
        refuse_other_batch(folder, one)
