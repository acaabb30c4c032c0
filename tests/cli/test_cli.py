"""The command line: commands in pipeline order, mistakes in one message, and the pipeline end to end on tiny data."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import warnings

import pytest
import yaml
from tests.report.test_page import make_run
from tests.tiny import tiny_config, tiny_corpus
from typer.testing import CliRunner

from phf.cli import app as cli
from phf.cli import train
from phf.cli.terminal import number
from phf.config import dump_config, load_config
from phf.config.schema import Config
from phf.corpus.dataset import read_annotated
from phf.errors import CorpusError
from phf.runs.reader import read_run
from phf.scorers import pii

HOSTILE = "a [bold] :fire: [/] b\\"


def phf(*arguments):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return tiny_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def config_file(corpus, tmp_path_factory):
    """A resolved configuration of a tiny conditional run."""
    changes = {"training.num_tokens": 2 * 4 * 64, "dataset.eval_fraction": 0.4}
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    path.write_text(dump_config(tiny_config(corpus, "conditional", **changes)))
    return path


@pytest.fixture(scope="module")
def run_dir(config_file, tmp_path_factory):
    """The run folder that `phf train` made of it."""
    folder = tmp_path_factory.mktemp("runs")
    result = phf("train", "--config", config_file, "--run-name", "tiny", "--output-dir", folder, "--json")
    assert result.exit_code == 0, result.output
    assert "generation/unconditional/score" in json.loads(result.stdout)["numbers"]
    return folder / "tiny"


def test_help_lists_the_commands_in_pipeline_order():
    result = phf("--help")
    assert result.exit_code == 0
    commands = [line.split()[1] for line in result.output.splitlines() if line.startswith("│ ") and "--" not in line]
    expected = ["annotate", "train", "evaluate", "redteam", "report", "list", "quickstart", "cache"]
    assert [command for command in commands if command in expected] == expected


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["train", "--help"], ["list", "scorers"], ["list", "tasks"], ["cache"], ["cache", "prune"]],
)
def test_help_and_lists_load_neither_torch_nor_transformers(arguments):
    code = f"""
import sys
from phf.cli.app import main
sys.argv = ["phf", *{arguments!r}]
try:
    main()
except SystemExit as error:
    assert not error.code
print(sorted({{"torch", "transformers", "datasets", "pyarrow", "matplotlib"}} & set(sys.modules)))
"""
    process = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert process.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("scorers", ["PEP8Scorer", "PEP 8 violations per character"]),
        ("objectives", ["MLE", "Unlikelihood", "AWR"]),
        ("metrics", ["Length", "NGramStats", "SelfBLEU", "Compilability"]),
        ("tasks", ["pep8/pretrain", "pep8/finetune", "pep8/quickstart"]),
        ("methods", ["pep8/mle", "pep8/conditional", "pep8/awr", "pep8/rwr", "pep8/ul", "pep8/filtering"]),
    ],
)
def test_list_of_each_kind(what, expected):
    result = phf("list", what)
    assert result.exit_code == 0
    for text in expected:
        assert text in result.output


def test_a_bare_list_has_all_there_is_with_what_it_is():
    result = phf("list")
    assert result.exit_code == 0
    shown = " ".join(result.output.split())
    for name, what in (
        ("PEP8Scorer", "PEP 8 violations"),
        ("AWR", "likelihood weighted"),
        ("NGramStats", "distinct n-grams"),
        ("MutationRedLM", "needs no model"),
        ("pep8/quickstart", "no account, no network"),
        ("generic/ul", "raise the likelihood"),
    ):
        assert name in shown
        assert what in shown


def test_the_version():
    result = phf("--version")
    assert (result.exit_code, result.output) == (0, f"phf {importlib.metadata.version('phf')}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--task", "pep8", "--task", "pii"],
        ["train", "--task", "pep8", "--method", "mle", "--override", "training.seed=1", "--method=awr"],
        ["train", "--config", "a.yml", "--config", "b.yml"],
        ["evaluate", "m", "--task", "pep8", "--output", "a", "--task", "pep8"],
        ["annotate", "c", "--scorer", "PEP8Scorer", "--scorer", "PIIScorer", "--output", "a", "--output", "b"],
        ["report", "r", "--output", "a", "--output", "b"],
    ],
)
def test_an_option_that_would_be_ignored_is_refused(arguments):
    result = phf(*arguments)
    assert result.exit_code == 2
    assert "is given 2 times; it takes one value" in result.stderr


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("objective.betta=1", "objective.betta is not a setting of MLE"),
        ("objective={name: AWL}", "There is no objective called 'AWL'"),
        ("generaton.batch_size=3", "unknown key 'generaton'"),
        ("dataset.conditional_training_config={threshold: 0, alignd_prefix: a}", "config.alignd_prefix'"),
        ("training.lerning_rate=1", "training.lerning_rate"),
        (
            "generation.scenario_configs.0.num_sampels=3",
            "scenario_configs.0.num_sampels'. Did you mean 'num_samples'",
        ),
        ("generation.scenario_configs.0.num_samples=-1", "'generation.scenario_configs.0.num_samples' is -1"),
        ("generation.scenario_configs.0.prompts_path=no/such.jsonl", "no/such.jsonl"),
        ("generation.metrics_configs=[{class_name: NGramStats, n: 0}]", "n is 0; it must be at least 1"),
        ("tokenizer.special_tokens=[a]", "belongs to conditional training"),
        ("dataset.seq_length=long", "Input should be a valid integer"),
        ("dataset.seq_length=[", "is not valid YAML"),
    ],
)
def test_a_mistake_in_an_override_is_the_overrides(override, message):
    others = ["--override", "training.seed=3", "dataset.eval_fraction=0.1"]
    result = phf("train", "--task", "pep8/quickstart", "--method", "mle", *others, "--override", override, "--dry-run")
    assert result.exit_code == 2
    assert message in result.stderr
    assert f"--override {override}" in result.stderr
    assert "training.seed=3" not in result.stderr
    assert "configs/pep8" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list", "scorer"], "There is no list of 'scorer'. Did you mean 'scorers'?"),
        (["train", "--task", "pep9"], "--task pep9: no such task."),
        (["train", "--method", "mle"], "Give either a task"),
        (["train", "--task", "pep8", "--method", "condtional"], "Did you mean 'conditional'?"),
        (["train", "--task", "pep8", "--override", "dataset.seq_len=3"], "Did you mean 'seq_length'?"),
        (
            ["train", "--task", "pep8", "--override", "training.seed=1", "objective.alpha=1"],
            "alpha is not a setting of MLE",
        ),
        (["train", "--config", "no.yaml"], "no.yaml: cannot be read: No such file or directory."),
        (["annotate", "no/such", "--scorer", "PEP8Scorer", "--output", "OUT"], "no/such"),
        (["annotate", "CORPUS", "--scorer", "PEP8", "--output", "OUT"], "Did you mean 'PEP8Scorer'?"),
        (["annotate", "CORPUS", "--scorer", "PEP8Scorer", "--output", "OUT", "--segment", "line"], "'lines'"),
        (["evaluate", "CORPUS", "--task", "pep8"], "is not a model folder: it has no config.json."),
        (["evaluate", "no/such*", "--task", "pep8"], "no/such* is not a model folder: nothing has that name."),
        (["report", "no/such*"], "no/such* is not a run folder: nothing has that name."),
        (["evaluate", "training.seed=1", "--task", "pep8"], "training.seed=1: is not a model folder."),
        (["report", "CORPUS"], "is not a run folder: it has no metrics.jsonl."),
        (
            ["annotate", "CORPUS", "--scorer", "PEP8Scorer", "--output", "OUT", "--time-limit", "inf"],
            "--time-limit inf:",
        ),
        (["profile", "CORPUS", "--threshold", "inf"], "--threshold inf: it must be a finite number."),
        (["profile", "CORPUS", "--threshold", "1e39"], "--threshold 1e+39: no score can be compared with it"),
        (["redteam", "CORPUS", "--replay", "pool.jsonl", "--fail-above", "nan"], "--fail-above nan:"),
        (["profile", "CORPUS", "--sample", "3"], "--sample has an effect only with --estimate."),
        (["profile", "CORPUS", "--estimate", "--by", "x"], "--by has no effect with --estimate. Leave it out."),
        (["quickstart", "--minutes", "inf"], "--minutes inf: it must be a finite number."),
    ],
)
def test_a_mistake_is_one_message_and_status_2(arguments, message, corpus, tmp_path):
    places = {"CORPUS": corpus, "OUT": str(tmp_path / "out")}
    result = phf(*(places.get(argument, argument) for argument in arguments))
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert len(result.stderr.splitlines()) == 1


def test_the_score_of_a_file_s_name_says_how_to_score_the_file(tmp_path):
    file = tmp_path / "a module.py"
    file.write_text("x=1\n")
    result = phf("score", str(file), "--scorer", "PEP8Scorer")
    assert result.exit_code == 0
    assert f"the score of its name; for that of its text: phf score - --scorer ... < '{file}'" in result.output
    assert "is a file" not in phf("score", "x = 1\n" * 1000, "--scorer", "PEP8Scorer").output


def test_a_text_that_looks_like_an_override_is_not_blamed():
    result = phf("score", "class_name=1", "--scorer", "{class_name: [}")
    assert result.exit_code == 2
    assert "class_name" in result.stderr
    assert "--override" not in result.stderr


def test_a_mistake_in_a_process_of_its_own_leaves_no_traceback():
    process = subprocess.run([sys.executable, "-m", "phf", "list", "x"], capture_output=True, text=True, check=False)
    assert (process.returncode, process.stdout) == (2, "")
    assert (
        process.stderr
        == "Error: There is no list of 'x'. Known: conditionings, filters, methods, metrics, objectives, red-lms, "
        "scorers, studies, tasks.\n"
    )


def test_our_own_bugs_are_not_dressed_up_as_mistakes(monkeypatch):
    monkeypatch.setattr(train, "load", lambda *_, **__: 1 / 0)
    assert isinstance(phf("train", "--task", "pep8").exception, ZeroDivisionError)


@pytest.mark.parametrize("escape", ["\x1b[31m", "\x07", "\u202e"])
def test_messages_do_not_steer_the_terminal(monkeypatch, escape):
    def fail(*_, **__):
        raise CorpusError(f"a{escape}b")

    monkeypatch.setattr(train, "load", fail)
    result = phf("train", "--task", "pep8")
    assert result.exit_code == 2
    assert escape not in result.output
    assert f"a{escape.encode('unicode_escape').decode()}b" in result.stderr


def test_dry_run_prints_configuration_and_arithmetic_and_writes_nothing(config_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = phf(
        "train", "--config", config_file, "--dry-run", "--override", "training.seed=7", "dataset.seq_length=32"
    )
    assert result.exit_code == 0, result.output
    (tmp_path / "planned.yml").write_text(result.stdout)  # as > planned.yml does
    assert phf("train", "--config", tmp_path / "planned.yml", "--dry-run").stdout == result.stdout
    (tmp_path / "planned.yml").unlink()
    printed = Config.model_validate(yaml.safe_load(result.stdout))
    lines = result.stderr.splitlines()
    place = next(number for number, line in enumerate(lines) if " steps x " in line)
    arithmetic, (epochs, duration, following) = lines[place], lines[-3:]
    assert following == "Next: the same command without --dry-run  (the training)"
    assert (printed.training.seed, printed.dataset.seq_length) == (7, 32)
    assert (
        printed.training.model_extra
        == Config.model_validate(yaml.safe_load(config_file.read_text())).training.model_extra
    )
    assert arithmetic == (
        "4 steps x 4 blocks x 32 tokens = 512 tokens; 2 blocks per device x 2 accumulation x 1 process; 0 tokens seen before"
    )
    assert re.fullmatch(r"The data has about [\d,]+ tokens .* so 512 tokens are 0\.\d+ epochs", epochs)
    assert re.fullmatch(r"Training [\d,]+ parameters takes about .* (seconds|minutes) here, .*measured.*", duration)
    assert re.search(
        r"^device: .*, 1 process\nprecision: float32 \(.*\)\nloader workers: \d \(", result.stderr, re.MULTILINE
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("task", ["pep8", "pep8/finetune"])
def test_shipped_tasks_pass_a_dry_run_without_network(task, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = phf("train", "--task", task, "--method", "conditional", "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert (answer["config"]["method"], answer["num_tokens"] % 1024) == ("conditional", 0)
    assert "blocks x 1,024 tokens" in result.output
    assert list(tmp_path.iterdir()) == []


def test_annotate_shows_names_and_reasons_as_they_are_and_whole(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n')
    output = tmp_path / "a long name" / HOSTILE
    scorer = "tests.annotate.scorers_for_tests:ReasonScorer"
    result = phf("annotate", tmp_path / "a.jsonl", "--scorer", scorer, "--output", output, "--workers", 1)
    assert result.exit_code == 0
    assert f"Dataset: {output}\n" in result.stdout
    assert "Unscored: 1 segment, too [bold]long[/] \\x1b[31m" in result.stdout
    assert "\x1b" not in result.stdout


def test_annotate_writes_a_dataset_that_report_the_counts(corpus, tmp_path):
    out = tmp_path / HOSTILE
    result = phf("annotate", corpus, "--scorer", "PEP8Scorer", "--output", out, "--workers", 1, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["manifest"]["num_documents"] == 60
    documents = list(read_annotated(str(out)))
    num_segments = sum(len(document.texts) for document in documents)
    assert len(documents) == 60
    printed = " ".join(result.output.split())
    assert f"60 documents, {num_segments:,} segments, unscored: 0 " in printed
    assert HOSTILE in result.output.replace("\n", "")


@pytest.mark.slow
def test_train_evaluate_report_end_to_end(run_dir, corpus, tmp_path):
    assert json.loads((run_dir / "provenance.json").read_text())["method"] == "conditional"
    evaluation = tmp_path / "evaluation"
    task = ["--task", "pep8/quickstart", "--override", "generation.scenario_configs.0.num_samples=3"]
    kwargs = "generation.scenario_configs.0.generate_kwargs.max_length=64"
    chosen = ["--only", "generation", "--output", evaluation]
    result = phf("evaluate", run_dir / "model", *task, kwargs, *chosen)
    assert result.exit_code == 0, result.output
    assert "generation/prompted/score" in result.output
    assert len(read_run(evaluation).samples["prompted"]) == 3
    page = tmp_path / "report.html"
    result = phf("report", run_dir, evaluation, "--output", page, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["output"] == str(page)
    html = page.read_text()
    for text in (
        "conditional, unconditional",
        "tiny (measured in evaluation), prompted",
        "Resolved configuration",
        "Provenance",
    ):
        assert text in html
    again = phf("evaluate", run_dir / "model", *task, kwargs, *chosen, "--json")
    assert again.exit_code == 0
    (numbers,) = json.loads(again.stdout)["models"].values()
    assert "generation/prompted/score" in numbers
    assert "generation was measured before; kept" in again.output
    other = phf("evaluate", run_dir / "model", *task, *chosen)
    assert other.exit_code == 2
    assert "holds results of another model or other settings" in other.stderr


@pytest.mark.slow
def test_training_again_needs_resume_and_resuming_a_finished_run_changes_nothing(run_dir, config_file):
    arguments = ["train", "--config", config_file, "--run-name", run_dir.name, "--output-dir", run_dir.parent]
    refused = phf(*arguments)
    assert refused.exit_code == 2
    assert "Continue it with --resume" in refused.stderr
    before = read_run(run_dir)
    resumed = phf(*arguments, "--resume")
    assert resumed.exit_code == 0, resumed.output
    assert read_run(run_dir).samples == before.samples


def test_hostile_names_are_printed_as_they_are(tmp_path, monkeypatch):
    run = make_run(tmp_path / HOSTILE, method=HOSTILE)
    result = phf("report", run, "--output", tmp_path / f"{HOSTILE}.html")
    assert result.exit_code == 0, result.output
    assert f"Report: {tmp_path / HOSTILE}.html" in result.output
    monkeypatch.setattr("phf.quickstart.run.run_quickstart", lambda *_: [
        {"name": f"{HOSTILE}, {name}", "scenario": name, "score": None, "low": None, "high": None,
         "bits_per_byte": 2.0, "samples_per_second": 3.0, "num_samples": 4}
        for name in ("prompted", "aligned", "misaligned")
    ])  # fmt: skip
    result = phf("quickstart", "--output-dir", tmp_path / HOSTILE)
    assert result.exit_code == 0, result.output
    assert result.output.count("NOT shown by this run") == 2
    assert ":fire:" in result.output
    assert "[bold]" in result.output
    missing = phf("train", "--task", f"{HOSTILE}.yml")
    assert f"--task {HOSTILE}.yml: there is no such file." in missing.stderr


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("pep8/pretrain", "pep8-pretrain"),
        ("my_task.yml", "my_task"),
        ("/elsewhere/configs/my.task.yaml", "my.task"),
        ("../task.yml", "task"),
    ],
)
def test_a_run_is_named_after_its_files_without_folders_and_endings(source, name):
    config = load_config(task="pep8", method="mle")[0].model_copy(update={"task": source, "method": None})
    assert train._run_name(config) == name


@pytest.mark.parametrize("task", ["..", ".", "a\0b", "a\x1b]0;x\x07b"])
def test_a_configuration_of_a_stranger_chooses_no_other_folder(config_file, tmp_path, task):
    config = yaml.safe_load(config_file.read_text())
    (tmp_path / "config.yaml").write_text(json.dumps({**config, "task": task, "method": None}))
    result = phf("train", "--config", tmp_path / "config.yaml", "--output-dir", tmp_path / "runs")
    assert result.exit_code == 2
    assert "Choose a name with --run-name." in result.stderr
    assert task.isprintable() or task not in result.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0.0012345, "0.001234"),
        (64, "64"),
        (984_321.0, "984,321"),
        (float("inf"), "–"),
    ],
)
def test_numbers_at_the_end_of_a_run_are_readable(value, shown):
    assert number(value) == shown


def test_our_warnings_are_shown_without_source_lines_and_others_as_python_does(monkeypatch, capsys):
    def app():
        warnings.simplefilter("always")
        warnings.warn_explicit("a model [bold] is missing", UserWarning, pii.__file__, 1)
        warnings.warn_explicit("of a library", UserWarning, "/elsewhere/library.py", 7)

    before = warnings.showwarning
    monkeypatch.setattr(cli, "app", app)
    cli.main()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "a model [bold] is missing"
    assert warnings.showwarning is before


def test_annotate_names_the_next_commands(corpus, tmp_path):
    output = tmp_path / "a b"
    shown = phf("annotate", corpus, "--scorer", "PEP8Scorer", "--output", output, "--workers", 1).output
    assert f"Next: phf profile '{output}'" in shown


@pytest.mark.parametrize("columns", ["0", "1", "12", "20", "40", "x"])
def test_nothing_of_a_list_is_lost_in_a_narrow_terminal(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    whole = phf("list").output
    monkeypatch.setenv("COLUMNS", columns)
    narrow = phf("list").output
    assert sorted(filter(str.isalnum, narrow)) == sorted(filter(str.isalnum, whole))


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_characters_that_the_output_cannot_show_are_escaped(encoding, tmp_path):
    """`Forked` has the streams of the process that it is forked from, so this is one of its own."""
    result = subprocess.run(
        [sys.executable, "-m", "phf", "score", "x='\u6f22'", "--scorer", "PEP8Scorer"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    assert b"x='\\u6f22'" in result.stdout
