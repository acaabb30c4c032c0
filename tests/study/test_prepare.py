"""What is measured after training is validated before it: hours later would be too late."""

import pytest
from tests.clients.fake_server import fake_server
from tests.study.pieces import runs_of

from phf.errors import PhfError, ServerError
from phf.study.folder import StudyFolder
from phf.study.jobs import jobs_of
from phf.study.plan import TRAIN
from phf.study.prepare import _copy, ask_red_lms, validate

RUN = "pep8-quickstart-mle-seed1"


@pytest.mark.parametrize(
    ("study", "message"),
    [
        (
            {"evaluate": {"only": ["klx"]}},
            f"{RUN}, evaluate: There is no part 'klx' of the evaluation. Did you mean 'kl'",
        ),
        ({"evaluate": {"only": ["kl"]}}, f"{RUN}, evaluate: --only kl: the task configures none"),
        (
            {"redteam": True, "overrides": {"redteam": None}},
            f"{RUN}, redteam: The task 'pep8/quickstart' has no section redteam",
        ),
        ({"redteam": {"overrides": {"redteam.prompts_path": "no.jsonl"}}}, f"{RUN}, redteam: .*no.jsonl"),
        (
            {"redteam": {"overrides": {"redteam.generate_kwargs.do_sample": False}}},
            f"{RUN}, redteam: redteam.generate_kwargs.do_sample is not true",
        ),
        (
            {"redteam": {"overrides": {"redteam.generate_kwargs.top_p": 2}}},
            f"{RUN}, redteam: .*top_p",
        ),
    ],
)
def test_a_measurement_that_would_be_refused_is_refused_first(tmp_path, study, message):
    jobs = [job for job in jobs_of(runs_of(methods=["mle"], seeds=[1], **study)) if job.command != TRAIN]
    with pytest.raises(PhfError, match=message):
        validate(jobs, StudyFolder(tmp_path), lambda warning: None)


def test_measurements_that_a_task_configures_are_not(tmp_path):
    study = {
        "redteam": {"overrides": {"redteam.prompts_path": "phf:pep8"}},
        "evaluate": {"only": ["generation", "held-out"]},
    }
    jobs = [job for job in jobs_of(runs_of(methods=["mle"], seeds=[1], **study)) if job.command != TRAIN]
    validate(jobs, StudyFolder(tmp_path), lambda warning: pytest.fail(warning))


def jobs_with(url):
    red_lm = {"class_name": "ServerRedLM", "base_url": url, "model": "red", "max_retries": 0}
    overrides = {"redteam.prompts_path": "phf:pep8", "redteam.red_lm": red_lm}
    return jobs_of(runs_of(redteam={"overrides": overrides}))


def test_the_server_of_a_red_lm_is_asked_once_before_the_training_of_all_runs():
    with fake_server(lambda path, body: (200, {"choices": [{"message": {"content": "no"}}]})) as server:
        ask_red_lms(jobs_with(server.url))
    assert len(server.asked) == 1
    with pytest.raises(ServerError, match=rf"{RUN}, redteam: .*cannot be reached.*Or leave `redteam` out"):
        ask_red_lms(jobs_with(server.url))


def test_a_run_has_the_tokenizer_of_the_data_of_today_until_it_has_begun(tmp_path):
    old, new, run = (tmp_path / name for name in ("old", "new", "run"))
    for folder in (old, new):
        folder.mkdir()
        (folder / "tokenizer.json").write_text(folder.name)
    _copy(old, run)
    _copy(new, run)  # the corpus was changed before the run began
    assert (run / "tokenizer" / "tokenizer.json").read_text() == "new"
    (run / "config.yaml").write_text("")
    (run / "checkpoint-2").mkdir()
    _copy(old, run)
    assert (run / "tokenizer" / "tokenizer.json").read_text() == "new"
