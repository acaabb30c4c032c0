"""What scripts rely on: one JSON object on standard output, silence, exit statuses, and a log without control codes."""

import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from phf.cli import app as cli
from phf.cli import listing
from phf.cli.for_scripts import STATUSES, answer, for_scripts
from phf.cli.group import Commands
from phf.cli.terminal import BARS_OF_LIBRARIES, results, say, say_next, say_result
from phf.errors import DivergedError
from phf.workers.interruption import STOPPED, Terminated

COMMANDS = {**typer.main.get_command(cli.app).commands, **typer.main.get_command(cli.cache).commands}
DOCS = Path(__file__).parents[2] / "docs" / "terminal.md"


def phf(*arguments):
    return CliRunner().invoke(cli.app, list(arguments))


def app_of(command):
    app = typer.Typer(cls=Commands)
    app.command("try")(for_scripts(command))
    app.command("other")(for_scripts(lambda: None))
    return app


def run(command, *options):
    return CliRunner().invoke(app_of(command), ["try", *options])


def test_numbers_that_nothing_can_count_up_to_are_refused():
    def command(num_samples: int = 1, seed: int = 0, share: float = 0.0) -> None:
        pass

    assert run(command, "--num-samples", str(2**32), "--share", "1e300").exit_code == 0
    for value in ("4294967297", "-" + "9" * 30):
        result = run(command, "--num-samples", value, "--json")
        assert result.exit_code == 2
        assert json.loads(result.stdout)["error"] == f"--num-samples {value}: it must be at most 4,294,967,296."


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_silent_or_speaks_json_if_asked(name):
    command = COMMANDS[name]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {"--quiet", "-q", "--json"} <= options
    assert "answer(" in inspect.getsource(inspect.unwrap(command.callback)) + inspect.getsource(
        inspect.getmodule(inspect.unwrap(command.callback))
    )


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        (["list"], "scorers"),
        (["list", "methods"], "methods"),
        (["score", "x=1\n", "--scorer", "PEP8Scorer"], "avg_score"),
        (["cache"], "entries"),
        (["cache", "prune", "--dry-run"], "removed"),
    ],
)
def test_standard_output_is_one_object(arguments, key, tmp_path, monkeypatch):
    monkeypatch.setenv("PHF_CACHE", str(tmp_path))
    result = phf(*arguments, "--json")
    record = json.loads(result.stdout)
    assert key in record
    assert (record["problems"], record["exit_status"], result.exit_code) == ([], 0, 0)


def noisy() -> None:
    print("a library prints")  # noqa: T201
    say("a message")
    say("a [bold]problem", "yellow")
    say_result("a conclusion")
    results.print("a table")
    say_next("It is in x", ("phf report x", "a page"))
    answer({"output": Path("x"), "nan": float("nan"), "text": "\x1b[31m\u202e"})


def test_nothing_else_is_on_standard_output():
    result = run(noisy, "--json")
    assert result.stdout.isascii()
    assert json.loads(result.stdout) == {
        "output": "x",
        "nan": None,
        "text": "\x1b[31m\u202e",
        "problems": ["a [bold]problem"],
        "exit_status": 0,
    }
    lines = ["a library prints", "a message", "a [bold]problem", "It is in x", "Next: phf report x  (a page)"]
    assert result.stderr.splitlines() == lines


def test_quiet_leaves_results_and_problems():
    result = run(noisy, "--quiet")
    assert result.stdout == "a library prints\na conclusion\na table\n"
    assert result.stderr == "a [bold]problem\n"
    assert run(noisy, "--quiet", "--json").stderr == "a library prints\na [bold]problem\n"


def test_without_them_everything_is_on_standard_output_also_after_them():
    run(noisy, "--quiet", "--json")
    result = run(noisy)
    assert result.stderr == ""
    assert result.stdout.splitlines()[1:] == [
        "a message", "a [bold]problem", "a conclusion", "a table", "It is in x", "Next: phf report x  (a page)"
    ]  # fmt: skip


def fails(error):
    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (DivergedError("The loss is NaN."), 3, "The loss is NaN."),
        (KeyboardInterrupt(), 130, "Interrupted. Run the same command again to continue."),
        (Terminated(), 143, "Ended by SIGTERM. Run the same command again to continue."),
    ],
)
def test_what_failed_is_an_object_too(error, status, message):
    result = run(fails(error), "--json")
    assert json.loads(result.stdout) == {"error": message, "problems": [], "exit_status": status}
    assert message in result.stderr
    assert result.exit_code == status
    assert run(fails(error)).stdout == ""


def test_so_is_a_mistake_in_the_command_line():
    result = phf("list", "--json", "--jsn")
    assert "No such option" in json.loads(result.stdout)["error"]
    assert (result.exit_code, phf("list", "--jsn").stdout) == (2, "")
    before_the_command = phf("profile", "data", "--threshold", "nan", "--json")
    assert json.loads(before_the_command.stdout)["error"].startswith("--threshold nan: ")


def test_a_command_that_has_answered_does_not_answer_again():
    def command() -> None:
        answer({"output": "x"}, 4)
        raise typer.Exit(4)

    result = run(command, "--json")
    assert (json.loads(result.stdout)["exit_status"], result.exit_code) == (4, 4)


def test_the_keys_of_every_command_are_documented():
    documented = set(re.findall(r"^\| `phf ([a-z ]+)` \|", DOCS.read_text(encoding="utf-8"), re.MULTILINE))
    assert {name.rpartition(" ")[2] for name in documented} == set(COMMANDS)


def test_the_documented_statuses_are_those_of_the_code():
    documented = {}
    for line in DOCS.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and cells[0].isdecimal():
            documented[int(cells[0])] = cells[1]
    assert documented == STATUSES
    assert STOPPED in STATUSES


def test_a_log_has_no_control_codes_and_no_long_silence(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "x=1\\n"}\n')
    words = ["annotate", "a.jsonl", "--scorer", "PEP8Scorer", "--output", "out", "--workers", "1", "--time-limit", "0"]
    process = subprocess.run(
        [sys.executable, "-m", "phf", *words], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "\x1b" not in process.stdout + process.stderr
    assert "\r" not in process.stdout + process.stderr


def test_libraries_draw_no_bars_into_a_log():
    code = "from phf.cli.terminal import speak; speak(); from tqdm import tqdm; list(tqdm(range(3)))"
    environment = {name: value for name, value in os.environ.items() if name not in BARS_OF_LIBRARIES}
    process = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert process.stderr == ""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("phf annot", ["annotate"]),
        ("phf train --task pep8", ["pep8", "pep8/finetune", "pep8/pretrain", "pep8/quickstart"]),
        ("phf train --method cond", ["conditional"]),
        ("phf score x --scorer PEP", ["PEP8Scorer"]),
        ("phf list met", ["methods", "metrics"]),
        ("phf study obj", ["objectives"]),
        ("phf train --override training.num_t", ["training.num_tokens="]),
    ],
)
def test_the_shell_completes_names(words, expected, monkeypatch):
    names = completed(words)
    assert [name for name in expected if name in names] == expected, names
    assert all(name.startswith(words.split()[-1]) for name in names)


def completed(words):
    """What bash would offer."""
    environment = {"_PHF_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    return CliRunner().invoke(cli.app, [], env=environment, prog_name="phf").stdout.split()


def test_completion_loads_nothing_heavy_and_starts_no_worker():
    code = """
import os, sys
os.environ |= {"_PHF_COMPLETE": "complete_bash", "COMP_WORDS": sys.argv[1], "COMP_CWORD": "5"}
sys.argv = ["phf"]
from phf.cli.app import main
try:
    main()
finally:
    print(sorted({"torch", "transformers", "datasets", "pyarrow"} & set(sys.modules)), file=sys.stderr)
"""
    words = "phf annotate corpus --output out --scorer P"
    arguments = [sys.executable, "-c", code, words.replace("--scorer P", "--scorer")]
    process = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert process.stderr.splitlines() == ["[]"]


def test_names_are_listed_for_a_person_as_before():
    assert listing.list_.__name__ == "list_"
    assert "PEP8Scorer" in phf("list", "scorers").stdout
