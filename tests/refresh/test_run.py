"""`phf refresh`, from a run folder to its files."""

import json
import shutil
from dataclasses import replace

import pytest
from tests.refresh.conftest import QUIET, SETTINGS, quiet
from tests.refresh.letters import Letters
from typer.testing import CliRunner

from phf.cli import app as cli
from phf.config import load_config
from phf.corpus.dataset import read_annotated
from phf.errors import ConfigError, CorpusError, OutputError
from phf.models.model_folder import load_folder_tokenizer, model_hashes
from phf.refresh import rounds
from phf.refresh.run import refresh_run
from phf.refresh.show import notes_of
from phf.runs.reader import read_run
from phf.tokens.prepare import annotated_sources, held_out_blocks, training_blocks

KL = "kl/nats_per_sequence"


def records(folder):
    return json.loads((folder / "refresh.json").read_text())["rounds"]


def data(folder, number):
    return list(read_annotated(str(folder / f"rounds/{number:02d}/data")))


def is_sample(document):
    return document.id.startswith("refresh-")


def num_tokens(tokenizer, documents):
    texts = [text for document in documents for text in document.texts]
    return sum(len(ids) for ids in tokenizer(texts, add_special_tokens=False).input_ids)


def test_every_round_is_measured_like_the_start(refreshed):
    folder, answer = refreshed
    start, *later = records(folder)
    assert [start["round"], *(record["round"] for record in later)] == [0, 1, 2]
    assert [start["numbers"][f"{KL}{end}"] for end in ("", "_low", "_high")] == [0, 0, 0]
    assert (start["samples"], start["training"]) == (None, None)
    for record in later:
        assert record["numbers"].keys() == start["numbers"].keys()
        assert record["numbers"]["eval/num_tokens"] == start["numbers"]["eval/num_tokens"]
        assert record["numbers"]["eval/loss_low"] < record["numbers"]["eval/loss"] < record["numbers"]["eval/loss_high"]
        assert record["numbers"][f"{KL}_low"] < record["numbers"][KL] < record["numbers"][f"{KL}_high"]
    assert answer.verdict == "All 2 rounds were made (no bound on KL was set). The result is the model of round 2."
    assert any("--max-kl" in note for note in notes_of(answer))


def test_the_data_of_a_round_is_its_scored_samples_and_own_documents_in_the_share_asked_for(refreshed):
    folder, _ = refreshed
    tokenizer = load_folder_tokenizer(folder / "model")
    for number, record in enumerate(records(folder)[1:], start=1):
        documents = data(folder, number)
        samples = [document for document in documents if is_sample(document)]
        drawn = [json.loads(line) for line in (folder / f"rounds/{number:02d}/samples.jsonl").read_text().splitlines()]
        usable = {line["id"]: line["text"] for line in drawn if line["text"].strip() and "0" not in line["text"]}
        assert {document.id: "".join(document.texts) for document in samples} == usable
        assert all(document.scores == pytest.approx(Letters().score_texts(document.texts)) for document in samples)
        counts = record["samples"]
        assert counts["used"] == len(samples)
        assert counts["drawn"] == len(drawn) == counts["used"] + sum(counts["left_out"].values())
        assert counts["cut_off"] == sum(not line["is_ended"] for line in drawn)
        own = [document for document in documents if not is_sample(document)]
        training = record["training"]
        assert num_tokens(tokenizer, samples) == training["sample_tokens"]
        assert num_tokens(tokenizer, own) == training["own_tokens"]
        assert training["share"] == pytest.approx(0.5, abs=0.02)
        assert training["tokens"] == training["steps"] * 4 * 64


def test_own_documents_are_of_the_training_split_and_new_in_each_round(refreshed, run):
    folder, _ = refreshed
    config, _ = load_config(config=run / "config.yaml")
    tokenizer = load_folder_tokenizer(run / "model")
    sources = annotated_sources(config, config.dataset.datasets, quiet)
    training = {name for _, name in training_blocks(config, tokenizer, sources, quiet).packed_documents()}
    held_out = {name for _, name in held_out_blocks(config, tokenizer, sources, quiet).packed_documents()}
    first, second = ([d.id for d in data(folder, number) if not is_sample(d)] for number in (1, 2))
    assert held_out
    assert not held_out & training
    assert {*first, *second} <= training
    assert len({*first, *second}) == len(first) + len(second)


def test_a_segment_gets_the_control_token_of_its_own_score(refreshed):
    """The threshold of the run, a percentile of its data, is the one of every round."""
    folder, _ = refreshed
    original = load_config(config=folder / "config.yaml")[0]
    config = load_config(config=folder / "rounds/01/run/config.yaml")[0]
    section = config.dataset.conditional_training_config
    assert section == original.dataset.conditional_training_config
    tokenizer = load_folder_tokenizer(folder / "model")
    blocks = training_blocks(config, tokenizer, config.dataset.datasets, quiet)
    tags = set(blocks.settings.control_ids)
    seen = {}
    for index in range(len(blocks)):
        ids, scores = blocks.block(index)
        for place in range(len(ids) - 1):
            if ids[place] in tags and ids[place + 1] not in tags:
                seen.setdefault(int(ids[place]), []).append(float(scores[place + 1]))
    aligned, misaligned = (seen[i] for i in blocks.settings.control_ids)
    assert max(aligned) <= section.threshold < min(misaligned)


def test_the_folder_is_a_run_folder_with_the_last_model(refreshed, run):
    folder, answer = refreshed
    assert model_hashes(folder / "model") == model_hashes(folder / "rounds/02/run/model") != model_hashes(run / "model")
    read = read_run(folder)
    assert [line["step"] for line in read.metrics] == [0, 1, 2]
    assert read.method == "conditional, refreshed: 2 x 24 samples, share 0.5"
    assert len(read.samples["unconditional"]) == 8
    assert not list(folder.rglob("checkpoint-*"))
    page = (folder / "report.html").read_text()
    assert answer.verdict in page
    assert page.count("<svg") == 3
    assert "log p under that model - log p under the start" in page


STAGES = ("draw", "score", "write_mixture", "train", "task_numbers", "kl_from_start", "write_record")


@pytest.mark.slow
def test_killed_in_every_stage_and_started_again_it_is_as_if_never_stopped(refreshed, run, tmp_path, monkeypatch):
    folder, _ = refreshed
    for stage in STAGES:
        with monkeypatch.context() as patch:
            patch.setattr(rounds, stage, _interrupted(getattr(rounds, stage), after=stage == "write_mixture"))
            with pytest.raises(KeyboardInterrupt):
                refresh_run(run, tmp_path / "out", SETTINGS, QUIET)
    steps = []

    def in_the_middle(name, step, max_steps, numbers):
        steps.append(step)
        if name == "round 2" and step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        refresh_run(run, tmp_path / "out", SETTINGS, replace(QUIET, show=in_the_middle))
    assert list((tmp_path / "out/rounds/02/run").glob("checkpoint-*"))
    refresh_run(run, tmp_path / "out", SETTINGS, QUIET)
    assert records(tmp_path / "out") == records(folder)
    assert model_hashes(tmp_path / "out/model") == model_hashes(folder / "model")


def _interrupted(work, *, after):
    def stage(*arguments, **named):
        if after:
            work(*arguments, **named)
        raise KeyboardInterrupt

    return stage


def test_a_finished_refresh_is_shown_again_without_work(refreshed, run, monkeypatch):
    folder, answer = refreshed
    for stage in STAGES:
        monkeypatch.setattr(rounds, stage, None)
    before = (folder / "refresh.json").read_bytes(), model_hashes(folder / "model")
    assert refresh_run(run, folder, SETTINGS, QUIET).records == answer.records
    assert ((folder / "refresh.json").read_bytes(), model_hashes(folder / "model")) == before


@pytest.mark.parametrize(("kls", "result"), [((1.0, 2.5), 1), ((2.5, 0.0), 0), ((1.0, 2.0), 2), ((1.0, None), 1)])
def test_a_model_beyond_the_bound_ends_it_and_the_last_one_within_is_the_result(refreshed, run, tmp_path, kls, result):
    """The rounds are those of the fixture, with other numbers: only the decision is new."""
    folder, settings = tmp_path / "out", replace(SETTINGS, max_kl=2.0)
    shutil.copytree(refreshed[0], folder)
    job = json.loads((folder / "job.json").read_text())
    (folder / "job.json").write_text(json.dumps({**job, "settings": settings.to_json()}))
    for number, kl in enumerate(kls, start=1):
        path = folder / f"rounds/{number:02d}/round.json"
        record = json.loads(path.read_text())
        record["numbers"][KL] = kl
        path.write_text(json.dumps(record))
    answer = refresh_run(run, folder, settings, QUIET)
    written = json.loads((folder / "refresh.json").read_text())
    assert answer.result == written["result"]["round"] == result
    assert len(written["rounds"]) == (2 if result == 0 else 3), "no round comes after the one that is beyond"
    kept = run / "model" if result == 0 else folder / f"rounds/{result:02d}/run/model"
    assert model_hashes(folder / "model") == model_hashes(kept)
    assert [line["step"] for line in read_run(folder).metrics] == list(range(result + 1))
    if result < 2:
        assert f"Stopped after round {result + 1}" in answer.verdict
        assert ("could not be measured" if kls[result] is None else "above the bound of 2 (--max-kl)") in answer.verdict
        assert "(beyond the bound)" in (folder / "report.html").read_text()
    else:
        assert answer.stopped is None


def test_samples_that_cannot_be_scored_end_a_round_that_has_no_others(run, tmp_path, monkeypatch):
    monkeypatch.setattr(rounds, "draw", _drawn(["0", "x0\ny", " \n"]))
    with pytest.raises(CorpusError, match=r"not scored 2, empty 1.*gave no reason"):
        refresh_run(run, tmp_path / "out", SETTINGS, QUIET)


def _drawn(texts):
    def draw(model, scenario, seed, prefix, path):
        lines = [{"id": f"{prefix}-{i}", "text": text, "prompt": "", "is_ended": True} for i, text in enumerate(texts)]
        path.parent.mkdir(parents=True)
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    return draw


def test_too_few_samples_for_a_step_are_refused_before_and_after_sampling(run, tmp_path, monkeypatch):
    with pytest.raises(
        ConfigError, match=r"1 sample of at most 24 tokens with a share of 0.5.*a step of training has 256"
    ):
        refresh_run(run, tmp_path / "few", replace(SETTINGS, samples=1), QUIET)
    assert not (tmp_path / "few/rounds").exists()
    monkeypatch.setattr(rounds, "draw", _drawn(["one", "two"]))
    with pytest.raises(ConfigError, match=r"Round 1 has \d+ tokens, .* from 2 samples, but a step of training has 256"):
        refresh_run(run, tmp_path / "short", SETTINGS, QUIET)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.model_kwargs.attn_implementation=nothing", "attn_implementation"),
        ("generation.scenario_configs.0.generate_kwargs={do_sample: true, max_new_tokens: 64}", "context of 64"),
    ],
)
def test_settings_that_would_end_the_first_round_are_refused_before_the_start_is_measured(
    run, tmp_path, monkeypatch, override, message
):
    monkeypatch.setattr(rounds, "task_numbers", None)
    with pytest.raises(ConfigError, match=message):
        refresh_run(run, tmp_path / "out", SETTINGS, QUIET, [override])


def test_a_share_that_the_run_s_data_cannot_fill_up_is_refused_before_the_start_is_measured(run, tmp_path, monkeypatch):
    monkeypatch.setattr(rounds, "task_numbers", None)
    with pytest.raises(ConfigError, match=r"--share 0.0001: beside 24 samples of one token each"):
        refresh_run(run, tmp_path / "out", replace(SETTINGS, share=0.0001), QUIET)


def test_other_folders_and_other_settings_are_refused(refreshed, run, tmp_path):
    folder, _ = refreshed
    with pytest.raises(OutputError, match=r"settings.rounds: 2 -> 3"):
        refresh_run(run, folder, replace(SETTINGS, rounds=3), QUIET)
    with pytest.raises(OutputError, match=r"training.weight_decay"):
        refresh_run(run, folder, SETTINGS, QUIET, ["training.weight_decay=0.3"])
    with pytest.raises(OutputError, match=r"was not made by phf refresh"):
        refresh_run(run, run, SETTINGS, QUIET)
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "job.json").write_text('{"sources": ["an annotation"]}')
    with pytest.raises(OutputError, match=r"was not made by phf refresh"):
        refresh_run(run, tmp_path / "dataset", SETTINGS, QUIET)
    (folder / "rounds/01/round.json").rename(tmp_path / "round.json")
    (folder / "rounds/01/round.json").write_text('{"round": 1}')
    try:
        with pytest.raises(OutputError, match=r"rounds/01/round.json.*Delete it to repeat the round"):
            refresh_run(run, folder, SETTINGS, QUIET)
    finally:
        (tmp_path / "round.json").rename(folder / "rounds/01/round.json")


def test_the_command_shows_one_table(refreshed, run):
    folder, answer = refreshed
    options = ["--rounds", "2", "--samples", "24", "--share", "0.5", "--kl-samples", "8", "--kl-tokens", "8"]
    result = CliRunner().invoke(cli.app, ["refresh", str(run), "--output", str(folder), *options])
    assert result.exit_code == 0, result.output
    shown = " ".join(result.output.split())
    assert "(result)" in shown
    assert answer.verdict in shown
    for_scripts = CliRunner().invoke(cli.app, ["refresh", str(run), "--output", str(folder), *options, "--json"])
    assert json.loads(for_scripts.stdout)["refresh"]["verdict"] == answer.verdict
    refused = CliRunner().invoke(cli.app, ["refresh", str(run), "--share", "1.5"])
    assert refused.exit_code == 2
    assert "--share 1.5: must be above 0 and at most 1" in refused.output


def test_a_run_whose_data_has_changed_is_refused(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    provenance = json.loads((copy / "provenance.json").read_text())
    provenance["dataset"][0]["shards_sha256"] = "0" * 64
    (copy / "provenance.json").write_text(json.dumps(provenance))
    with pytest.raises(CorpusError, match=r"training data of .* has changed: .*\(annotation 00000000\)"):
        refresh_run(copy, tmp_path / "out", SETTINGS, QUIET)
    with pytest.raises(ConfigError, match=r"is not a run of phf train"):
        refresh_run(_alone(run, tmp_path / "alone"), tmp_path / "out", SETTINGS, QUIET)
    assert not (tmp_path / "out").exists()


def _alone(run, folder):
    shutil.copytree(run / "model", folder)
    return folder
