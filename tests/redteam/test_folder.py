"""`phf redteam` and its replay, from a model folder to their files."""

import json
import math
import re
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.clients.fake_server import fake_server
from tests.redteam.attack import attack_config, entry, write_model
from typer.testing import CliRunner

from phf.cli import app as cli
from phf.config import dump_config
from phf.errors import ConfigError, CorpusError, OutputError, ServerError
from phf.redteam import rounds
from phf.redteam.folder import configured, redteam_folder
from phf.redteam.pool import pool_lines, read_pool
from phf.redteam.replay import compare, difference, is_worse, replay_folder
from phf.redteam.rounds import RoundFiles, claimed
from phf.runs.reader import read_run
from phf.storage.files import only_job, write_json_atomic

SHORT = Path(__file__).parent / "short_prompts.jsonl"


def quiet(*_):
    pass


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("runs") / "tiny" / "model")


@pytest.fixture(scope="module")
def output(model, tmp_path_factory):
    """A finished search."""
    folder = tmp_path_factory.mktemp("attack") / "out"
    redteam_folder(model, attack_config(SHORT), folder, quiet)
    return folder


def files_of(folder):
    """Relative path -> content, without the time in provenance.json."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    contents = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
    if "provenance.json" in contents:
        contents["provenance.json"] = re.sub(rb'"started": ".*"', b"", contents["provenance.json"])
    return contents


def served(url):
    return {"class_name": "ServerRedLM", "base_url": url, "model": "red", "max_retries": 0}


def test_a_server_that_cannot_answer_is_known_before_anything_is_sampled(model, tmp_path, monkeypatch):
    monkeypatch.setattr("phf.redteam.target.generate_samples", lambda *_, **__: pytest.fail("was sampled"))
    with fake_server(lambda path, body: (400, "maximum context length")) as server:
        config = attack_config(SHORT, red_lm=served(server.url), num_examples=2)
        with pytest.raises(ServerError, match="answered with status 400: maximum context length"):
            redteam_folder(model, config, tmp_path / "out", quiet)
    with pytest.raises(ServerError, match="cannot be reached"):
        redteam_folder(model, config, tmp_path / "out", quiet)
    assert not (tmp_path / "out" / "job.json").exists()  # with another address, the same folder will do
    ((_, body),) = server.asked
    texts = [json.loads(line)["text"] for line in SHORT.read_text().splitlines()][:4]
    shown = [text for text in texts if " ".join(text.split()) in body["messages"][0]["content"]]
    assert sorted(map(len, shown)) == sorted(map(len, texts))[-2:]
    assert body["n"] == 1


def test_a_search_whose_rounds_are_done_needs_no_server(model, tmp_path, monkeypatch):
    def replies(path, body):
        texts = [f"1. {seed} is\n2. was {seed}\n3. {seed}" for seed in range(body["seed"], body["seed"] + body["n"])]
        return 200, {"choices": [{"message": {"content": text}} for text in texts]}

    with fake_server(replies) as server, monkeypatch.context() as patched:
        config = attack_config(SHORT, red_lm=served(server.url), num_trials=1, num_rounds=1)
        patched.setattr("phf.redteam.search.Search._rescore", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            redteam_folder(model, config, tmp_path / "out", quiet)
    redteam_folder(model, config, tmp_path / "out", quiet)
    assert (tmp_path / "out" / "redteam.json").is_file()


def test_the_folder_holds_pool_numbers_and_what_the_report_reads(output):
    assert set(files_of(output)) == {
        "config.yaml", "job.json", "metrics.jsonl", "pool.jsonl", "provenance.json", "redteam.json", "samples/redteam.jsonl",
    }  # fmt: skip
    pool = read_pool(output / "pool.jsonl")
    assert [(e.trial, e.round) for e in pool] == [(t, r) for t in (0, 1) for r in (0, 0, 0, 0, 1, 1, 1, 2, 2, 2)]
    run = read_run(output)
    assert run.method == "tiny"
    assert run.provenance["versions"]["torch"]
    assert run.provenance["hardware"]["cores"] >= 1
    assert [line["step"] for line in run.metrics] == [0, 1, 2]
    assert run.last("redteam/rescored_gain") is not None
    assert len(run.samples["redteam"]) == 8  # the best prompt of each of two trials, 4 continuations
    results = json.loads((output / "redteam.json").read_text())
    assert len(results["rounds"]) == 3
    assert results["rounds"][2]["best"] >= results["rounds"][0]["best"]
    assert len(results["prompts"]) in range(4, 7)


def test_a_search_killed_anywhere_ends_with_the_same_files(model, output, tmp_path, monkeypatch):
    config = attack_config(SHORT)
    done_or, done = RoundFiles.done_or, []

    def killed_after_three(self, name, work):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(name)
        return done_or(self, name, work)

    with monkeypatch.context() as patch:
        patch.setattr(RoundFiles, "done_or", killed_after_three)
        with pytest.raises(KeyboardInterrupt):
            redteam_folder(model, config, tmp_path / "out", quiet)
    assert not (tmp_path / "out" / "metrics.jsonl").exists()
    redteam_folder(model, config, tmp_path / "out", quiet)
    assert files_of(tmp_path / "out") == files_of(output)


def test_a_search_killed_after_its_last_file_is_finished_by_the_same_command(model, output, tmp_path, monkeypatch):
    def killed(self):
        raise KeyboardInterrupt

    config = attack_config(SHORT)
    with monkeypatch.context() as patch:
        patch.setattr(RoundFiles, "delete", killed)
        with pytest.raises(KeyboardInterrupt):
            redteam_folder(model, config, tmp_path / "out", quiet)
    assert (tmp_path / "out" / "metrics.jsonl").exists()
    redteam_folder(model, config, tmp_path / "out", quiet)
    assert files_of(tmp_path / "out") == files_of(output)
    (tmp_path / "out" / ".rounds.partial").mkdir()  # killed while it deleted them
    said = []
    again = redteam_folder(model, config, tmp_path / "out", pytest.fail, said.append)
    assert again == json.loads((output / "redteam.json").read_text())
    assert said == [f"This was finished before, in {tmp_path / 'out'}: its results are shown again."]
    assert files_of(tmp_path / "out") == files_of(output)
    assert not (tmp_path / "out" / ".rounds.partial").exists()
    damages = ({"rounds": [{}]}, {"rescored": {"best": "x"}}, {"rejected": [1]}, {"prompts": [{"prompt": 1}]})
    for content in ("{", *(json.dumps(again | damage) for damage in damages)):
        (tmp_path / "out" / "redteam.json").write_text(content)
        with pytest.raises(OutputError, match=r"redteam\.json.*Choose another folder with --output to repeat it"):
            redteam_folder(model, config, tmp_path / "out", pytest.fail)
    job = json.loads((tmp_path / "out" / "job.json").read_text())
    job["redteam"]["red_lm"]["class_name"] = [1]
    (tmp_path / "out" / "job.json").write_text(json.dumps(job))
    with pytest.raises(OutputError, match="already contains results"):
        redteam_folder(model, config, tmp_path / "out", pytest.fail)


def test_a_folder_with_other_work_is_refused(model, output, tmp_path, monkeypatch):
    config = attack_config(SHORT)
    with pytest.raises(OutputError, match="already contains results"):
        redteam_folder(model, attack_config(SHORT, seed=7), output, quiet)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="is not empty and was not made by phf redteam"):
        redteam_folder(model, config, tmp_path, quiet)
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / "job.json").write_bytes((output / "job.json").read_bytes())
    other = attack_config(SHORT, seed=7)
    with pytest.raises(OutputError, match=r"redteam.seed: 42 -> 7"):
        redteam_folder(model, other, begun, quiet)


def test_a_job_that_means_the_same_is_resumed_whichever_version_began_it(tmp_path):
    section = {"prompts_path": "a", "red_lm": {"class_name": "MutationRedLM"}, "temperature": 1}
    now = {**section, "prompts_path": "./a", "temperature": 1.0, "num_rescored": 10, "max_attempts": 3}
    now["red_lm"] = {"class_name": "MutationRedLM", "unit": "words"}
    job = {"redteam": section, "replay": {"pool": "1a", "redteam": section}}
    with claimed(tmp_path, job):
        pass
    with claimed(tmp_path, {"redteam": now, "replay": {"pool": "1a", "redteam": now}}):
        pass
    changed = {**now, "red_lm": {"class_name": "MutationRedLM", "unit": "lines"}}
    expected = r"redteam.red_lm.unit: 'words' -> 'lines'; replay.redteam.num_rescored: 10 -> 9 \(that"
    with (
        pytest.raises(OutputError, match=expected),
        claimed(tmp_path, {"redteam": changed, "replay": {"pool": "1a", "redteam": {**now, "num_rescored": 9}}}),
    ):
        pass


def test_what_a_kill_left_of_a_write_does_not_block_the_next_write(tmp_path):
    (tmp_path / ".job.json.x.partial").write_text("{")
    for _ in range(2):
        with claimed(tmp_path, {"seed": 1}):
            assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "job.json"]


def test_a_folder_that_another_search_writes_is_refused(model, tmp_path):
    config = attack_config(SHORT)
    seen = []

    def second(*_):
        with pytest.raises(OutputError, match="is being written by another job"):
            redteam_folder(model, config, tmp_path / "out", quiet)
        seen.append(True)

    redteam_folder(model, config, tmp_path / "out", second)
    assert seen


def test_a_search_that_another_one_overtakes_is_refused(tmp_path, monkeypatch):
    """The other one begins and ends between the first look at the folder and the lock."""

    @contextmanager
    def late(folder):
        with only_job(folder):
            write_json_atomic(folder / "job.json", {"seed": 2})
            (folder / "metrics.jsonl").write_text("")
            yield

    monkeypatch.setattr(rounds, "only_job", late)
    with pytest.raises(OutputError, match="already contains results"), claimed(tmp_path, {"seed": 1}):
        pass
    assert json.loads((tmp_path / "job.json").read_text()) == {"seed": 2}


def test_a_task_without_the_section_says_how_to_add_it():
    config = attack_config(SHORT).model_copy(update={"redteam": None, "task": "mine"})
    with pytest.raises(ConfigError, match=r"The task 'mine' has no section redteam.*redteam.prompts_path=FILE"):
        configured(config)


def test_the_command_says_so_too(model, tmp_path):
    task = tmp_path / "mine.yml"
    task.write_text(dump_config(attack_config(SHORT).model_copy(update={"redteam": None})))
    result = redteam(model, "--task", task)
    assert result.exit_code == 2
    assert "has no section redteam" in result.stderr


def test_difference_of_two_means_by_hand():
    """then 0, 1: mean 0.5, variance 0.5; now 1, 3: mean 2, variance 2: 1.5 +- t sqrt(0.25 + 1), with t of Welch's degrees
    of freedom, 1.25^2 / (0.25^2 + 1^2) = 1.4706."""
    interval = difference([0.0, 1.0], [1.0, 3.0])
    assert interval.mean == 1.5
    assert interval.high - interval.mean == pytest.approx(6.18811 * math.sqrt(1.25))
    assert math.isnan(difference([1.0], [2.0]).low)
    assert math.isnan(difference([], [2.0]).mean)


def test_a_comparison_puts_the_worst_regression_first_and_counts_what_it_leaves_out():
    before = {"a": [0.1, 0.1001], "b": [0.5, 0.5001], "c": [], "d": [0.0, 0.0]}
    now = [entry("a", 0.2, 0.2001), entry("b", 0.9, 0.9001), entry("c", 1.0, 1.0), entry("d", None, None)]
    comparison = compare(before, now)
    assert [row["prompt"] for row in comparison["prompts"]] == ["b", "a"]
    assert comparison["prompts"][0]["difference"] == pytest.approx(0.4)
    assert comparison["overall"] == pytest.approx(0.25)
    assert (comparison["then"], comparison["now"]) == pytest.approx((0.30005, 0.55005))
    assert (
        comparison["num_prompts"],
        comparison["num_left_out"],
        comparison["num_unscored"],
        comparison["num_worse"],
    ) == (2, 2, 2, 2)
    assert not is_worse(comparison, 0.05)  # two prompts that differ by 0.1 and 0.4 tell little of others
    many = {str(i): [0.1, 0.1] for i in range(20)}
    worse = compare(many, [entry(prompt, 0.2, 0.3 + 0.001 * i) for i, prompt in enumerate(many)])
    assert is_worse(worse, 0.1)
    assert not is_worse(worse, 0.16)
    assert is_worse(compare({"c": []}, now[2:3]), 0.0)  # nothing to compare is a failure


def test_replaying_against_the_same_model_finds_no_difference(model, output, tmp_path):
    """As many new continuations of the same model: the paired interval holds 0."""
    config = attack_config(SHORT, num_completions=16)
    comparison = replay_folder(model, config, output / "pool.jsonl", tmp_path / "replay", quiet)
    distinct = {e.prompt for e in read_pool(output / "pool.jsonl")}
    assert comparison["num_prompts"] + comparison["num_left_out"] == len(distinct)
    assert comparison["overall_low"] <= 0 <= comparison["overall_high"]
    assert comparison["notes"] == []
    assert read_run(tmp_path / "replay").last("replay/overall") == pytest.approx(comparison["overall"])
    assert {e.prompt for e in read_pool(tmp_path / "replay" / "pool.jsonl")} == distinct
    assert replay_folder(model, config, output / "pool.jsonl", tmp_path / "replay", pytest.fail) == comparison


def test_a_replay_with_other_settings_says_so(model, output, tmp_path):
    config = attack_config(SHORT, scored_text="with_prompt")
    comparison = replay_folder(model, config, output / "pool.jsonl", tmp_path / "replay", quiet)
    (note,) = comparison["notes"]
    assert "made with scored_text 'continuation', this replay uses 'with_prompt'" in note


def test_a_pool_that_cannot_be_replayed_is_refused(model, tmp_path):
    path = tmp_path / "pool.jsonl"
    path.write_text("".join(pool_lines([entry("a", None)])))
    with pytest.raises(CorpusError, match="none of its prompts has a score"):
        replay_folder(model, attack_config(SHORT), path, tmp_path / "out", quiet)
    path.write_text("".join(pool_lines([entry("a", 0.5), entry("x1" * 60, 0.5)])))
    with pytest.raises(CorpusError, match="prompt 2 is too long for this model, whose prompts may have 57 tokens"):
        replay_folder(model, attack_config(SHORT), path, tmp_path / "out", quiet)


def redteam(*arguments):
    return CliRunner().invoke(cli.app, ["redteam", *map(str, arguments)])


@pytest.mark.slow
def test_the_command_searches_replays_and_fails_by_its_status(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    task = tmp_path / "task.yml"
    task.write_text(dump_config(attack_config(SHORT, num_trials=1, num_rounds=1)))
    result = redteam(model, "--task", task)
    assert result.exit_code == 0, result.output
    assert "Gain of the search" in result.output
    pool = tmp_path / "runs" / "redteam-tiny" / "pool.jsonl"
    assert len(read_pool(pool)) == 7
    # a pool on which any model does worse than then
    clean = [type(e)(**{**vars(e), "scores": [-1.0] * len(e.scores), "prompt": e.prompt}) for e in read_pool(pool)]
    hostile = entry("\x1b[31mred [bold]", -1.0, -1.0)
    pool.write_text("".join(pool_lines([*clean, hostile])))
    result = redteam(model, "--task", task, "--replay", pool, "--fail-above", 0.1, "--output", tmp_path / "worse")
    assert result.exit_code == 1, result.output
    assert "Worse than before by more than 0.1." in result.output
    assert "\x1b" not in result.output
    result = redteam(
        model, "--task", task, "--replay", pool, "--fail-above", 5, "--output", tmp_path / "fine", "--json"
    )
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["is_worse"] is False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--task", "pep8"], "is not a model folder"),
        (["MODEL", "--task", "pep8/quickstart", "--fail-above", "0"], "give one with --replay"),
        (["MODEL", "--task", "pep8/quickstart", "--replay", "no.jsonl"], "--replay no.jsonl: there is no such file"),
        (["MODEL", "--task", "pep8/quickstart", "--override", "redteam.rounds=1"], "unknown key 'redteam.rounds'"),
        (
            ["MODEL", "--task", "pep8/quickstart", "--override", "redteam.red_lm.class_name=Red"],
            "There is no red LM called 'Red'",
        ),
    ],
)
def test_a_mistake_is_one_message_and_status_2(arguments, message, model):
    result = redteam(*(str(model) if argument == "MODEL" else argument for argument in arguments))
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output
