"""The commands of README and of the documents run, as they are written, in one small folder; models are tiny."""

import functools
import gzip
import json
import re
import runpy
import shlex
import shutil
import sys
import sysconfig
from glob import glob
from pathlib import Path

import pytest
import torch
from tests.test_docs import ROOT, blocks, write_named_files
from typer.testing import CliRunner

from phf.cli.app import app
from phf.feedback.objectives import build_objective
from phf.registry.names import OBJECTIVES

TINY = {
    "dataset.seq_length": 64,
    "dataset.eval_fraction": 0.2,
    "dataset.max_eval_tokens": 640,
    "tokenizer.train_from_corpus": 300,
    "model.config_kwargs.n_layer": 1,
    "model.config_kwargs.n_embd": 16,
    "model.config_kwargs.n_head": 2,
    "model.config_kwargs.n_positions": 128,
    "training.num_tokens": 1024,
    "training.effective_batch_size": 4,
    "training.per_device_train_batch_size": 4,
    "training.inspect_steps": 2,
    "generation.scenario_configs.0.num_samples": 4,
    "generation.scenario_configs.0.generate_kwargs": "{do_sample: true, max_new_tokens: 8}",
}
SEARCH = {
    "redteam.num_trials": 1,
    "redteam.num_rounds": 1,
    "redteam.num_initial_prompts": 2,
    "redteam.num_new_prompts": 2,
    "redteam.num_completions": 2,
    "redteam.num_rescored": 1,
    "redteam.generate_kwargs": "{do_sample: true, max_new_tokens: 8}",
}
SMALL = {
    "train": TINY,
    "evaluate": {"generation.scenario_configs.0.num_samples": 4},
    "redteam": SEARCH,
    "study": {},
}
"""Command -> overrides that make it fast."""
ON_THE_SHIPPED_TASK = {
    "dataset.datasets": "[my-corpus-pep8]",
    "generation.scenario_configs.0.prompts_path": "null",
    "generation.scenario_configs.0.use_prompt_for_scoring": "false",
}
"""Further overrides where a page trains on the whole standard library."""
NOT_HERE = {
    r"phf quickstart": "takes minutes; tests/quickstart runs it on a tenth of the tokens",
    r"phf train --task (pep8|pii) ": "the paper's tokenizer comes from the Hub; tests/config loads the files",
    r"phf evaluate some/model": "stands for a model of the reader's",
    r"torchrun ": "tests/training starts several processes",
    r"phf .*--size": "e-mails, or hundreds of megabytes of installed packages",
    r"phf study objectives --task pii": "the e-mails are fetched with npm",
    r"phf cache prune --(all|to)": "other tests use the same cache",
    r"(python -m venv|\. \.venv|pip install|make|export) ?": "the environment of the tests stands for it",
}
"""Beginning of a command, as a pattern -> why it is not run here."""


def shell_lines(page: Path) -> list[str]:
    """The lines of the shell blocks, those that go on in the next one joined."""
    return [
        line for code in blocks(page, "sh", "bash") for line in code.replace("\\\n", " ").splitlines() if line.strip()
    ]


def run_line(line: str) -> None:
    """Run one line of a shell block in this process, at a small size."""
    words = shlex.split(line, comments=True)
    while re.match(r"\w+=", words[0]):
        words.pop(0)
    if words[0] == "python":
        runpy.run_path(words[1], run_name="__main__")
        return
    assert words[0] == "phf", f"{line}: run it here, or say in NOT_HERE why not"
    words = [path for word in words[1:] for path in (sorted(glob(word)) if "*" in word else [word])]
    result = CliRunner().invoke(app, [*words, *smaller(words)])
    assert result.exit_code == 0, f"{line}\n{result.output}"


def smaller(words: list[str]) -> list[str]:
    """What is added to a command so that it takes a second."""
    command = words[0]
    if command == "annotate":
        return ["--workers", "1"] if "--workers" not in words else []
    if command == "study":
        return ["--dry-run"] if "--dry-run" not in words else []
    overrides = {} if "--config" in words else dict(SMALL.get(command, {}))
    if command == "train" and "pep8/quickstart" in words:
        overrides |= ON_THE_SHIPPED_TASK
    if "--replay" in words:
        overrides = {"redteam.num_completions": 2, "redteam.generate_kwargs": SEARCH["redteam.generate_kwargs"]}
    if command == "redteam" and "pep8/quickstart" in words:
        overrides["redteam.prompts_path"] = "phf:pep8"
    return [word for key, value in overrides.items() for word in ("--override", f"{key}={value}")]


def runnable(page: Path) -> list[str]:
    return [line for line in shell_lines(page) if not any(re.match(pattern, line) for pattern in NOT_HERE)]


def logged(folder: Path) -> set[str]:
    """The names of all numbers in the run folders below this one."""
    lines = [line for path in folder.rglob("metrics.jsonl") for line in path.read_text().splitlines()]
    return {key for line in lines for key in json.loads(line) if "/" in key}


@functools.cache
def documented() -> re.Pattern[str]:
    """What the first cells of the tables in the pages on metrics and red teams stand for."""
    names = []
    for page, section in (("metrics.md", ""), ("redteam.md", "redteam")):
        for part in re.split(r"^## ", (ROOT / "docs" / page).read_text(encoding="utf-8"), flags=re.MULTILINE):
            prefix = "generation/<scenario>/" if part.startswith("Samples") else ""
            for row in re.findall(r"^\| *(?:`[A-Z]\w+` \| |\| )?(`[^|]*`)[^|]*\|", part, re.MULTILINE):
                first, *others = re.findall(r"`([^`]+)`", row)
                shortened = [first.rpartition("_")[0] + other for other in others if other.startswith("_")]
                names += [prefix + name for name in (first, *shortened, *others)]
            if section:
                names += re.findall(rf"`({section}/\w+)`", part)
    patterns = (re.sub(r"<\w+>", "[^/]+", re.escape(name)).replace("\\-n", r"\-\d+") for name in names)
    return re.compile("|".join(patterns))


def undocumented(keys: set[str]) -> set[str]:
    """The keys that are in no table; an interval is documented with what it is of."""
    bare = {key: re.sub(r"_(low|high)$", "", key) for key in keys}
    return {key for key in keys if not any(documented().fullmatch(name) for name in (key, bare[key]))}


def test_every_number_that_an_objective_logs_is_documented():
    settings = {
        "MLE": {},
        "Masking": {"score_threshold": 0.0},
        "Unlikelihood": {"score_threshold": 0.0, "alpha": 1.0},
        "AWR": {"alpha": 0.5},
    }
    assert settings.keys() == OBJECTIVES.entries.keys()
    nll, scores, values = torch.ones(3), torch.tensor([0.0, 0.5, torch.nan]), torch.full((3,), -0.5)
    for name, others in settings.items():
        objective = build_objective({"name": name, **others})
        _, logs = objective.bind(scores, values)(nll, scores, values, *([-nll] if name == "Unlikelihood" else []))
        shares = {
            f"inspect/{key}_{statistic}"
            for key in objective.distributions(scores, values)
            for statistic in ("avg", "p05")
        }
        assert undocumented({f"train/{key}" for key in logs} | shares) == set()
    assert undocumented({"train/loss", "train/loss_of_nobody", "generation/a/score_max@25_low"}) == {
        "train/loss_of_nobody"
    }


def test_tables_of_numbers_have_formula_unit_and_direction():
    pages = "\n".join((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("metrics.md", "redteam.md"))
    headers = re.findall(r"^\| (?:key|class) \|.*", pages, re.MULTILINE)
    assert len(headers) > 10
    assert [header for header in headers if not re.search(r"formula.*\| unit \| direction \|$", header)] == []


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder that is the current one and on Python's path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in {path.stem for path in tmp_path.glob("*.py")} & (set(sys.modules) - before):
        del sys.modules[name]


@pytest.mark.slow
def test_the_tutorial_runs_as_written(here, monkeypatch):
    library = here / "lib"
    library.mkdir()
    standard = Path(sysconfig.get_path("stdlib"))
    for number in range(110):  # the classifier of the page learns from 100 modules
        shutil.copy(standard / ("bisect.py", "queue.py")[number % 2], library / f"module{number}.py")
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(library))
    page = ROOT / "docs/tutorial.md"
    write_named_files(page)
    for line in runnable(page):
        run_line(line)
    assert "no-prose" in (here / "report.html").read_text(encoding="utf-8")
    assert undocumented(logged(here)) == set()
    scores = {
        name: [json.loads(line) for line in (here / f"runs/{name}/metrics.jsonl").read_text().splitlines()][-1]
        for name in ("mle", "no-prose", "redteam-mle", "redteam-no-prose")
    }
    assert all("generation/headers/score" in scores[name] for name in ("mle", "no-prose"))
    assert all("redteam/rescored_best" in scores[name] for name in ("redteam-mle", "redteam-no-prose"))


def prepare(folder: Path) -> None:
    """What the commands of the pages start from: a corpus in two forms, and the runs of other pages."""
    texts = [f"import os\n\n\ndef size{i}(path):\n    return os.stat(path).st_size\n\n\nx=1\n" * 4 for i in range(40)]
    (folder / "my-corpus").mkdir()
    (folder / "my_corpus").mkdir()
    for i, text in enumerate(texts):
        (folder / f"my-corpus/{i:02d}.py").write_text(text)
    with gzip.open(folder / "my_corpus/part.jsonl.gz", "wt") as file:
        file.writelines(json.dumps({"id": str(i), "text": text}) + "\n" for i, text in enumerate(texts))
    run_line("phf annotate my-corpus --scorer PEP8Scorer --output my-corpus-pep8")
    run_line("phf train --task pep8/quickstart --method mle --run-name other")
    shutil.rmtree(folder / "my-corpus-pep8")  # the guide makes it
    shutil.copytree(folder / "runs/other", folder / "runs/quickstart/mle")
    shutil.copytree(folder / "runs/other", folder / "runs/new")


@pytest.mark.slow
def test_the_commands_of_the_pages_run_as_written(here):
    prepare(here)
    ran = set()
    for name in (
        "docs/guide.md",
        "README.md",
        "docs/index.md",
        "docs/choosing.md",
        "docs/redteam.md",
        "docs/extending.md",
    ):
        write_named_files(ROOT / name)
        if not Path("my_task.yml").exists():
            shutil.copy("my-task.yml", "my_task.yml")
        for line in runnable(ROOT / name):
            if line not in ran:
                run_line(line)
                ran.add(line)
    assert len(ran) > 20
    shutil.copytree("runs/mine", "runs/quickstart/conditional")
    (use_of_the_model,) = blocks(ROOT / "docs/start.md", "py")
    exec(compile(use_of_the_model, "start.md", "exec"), {})
    assert undocumented(logged(here)) == set()
    assert Path("runs/replay/replay.json").is_file()
