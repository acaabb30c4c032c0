"""The columns while they are written and when they are finished."""

import json
import shutil
from itertools import pairwise

import pytest
from tests.playground.conftest import site_of, values

from phf.config import dump_config, load_config
from phf.errors import ScorerError
from phf.evaluation.run import evaluate_folders
from phf.playground.answers import answers
from phf.playground.request import read_request
from phf.runs.reader import read_run
from phf.scorers import Scorer


def states_of(site, max_seconds=60, **changes):
    return list(answers(site, read_request(site, values(**changes)), max_seconds=max_seconds))


class Clock:
    """A clock that moves a second each time that it is read."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        self.seconds += 1
        return self.seconds


def test_columns_are_written_in_turn_and_end_with_scores(site):
    request = read_request(site, values(columns=["0:0", "0:1", "0:2"]))
    states = list(answers(site, request, max_seconds=1e9, now=Clock()))
    first, last = states[0], states[-1]
    assert all(len(state) == 3 for state in states)
    assert not any(answer.is_finished for answer in first)
    assert last[0].text != last[1].text, "guidance has an effect"
    for answer in last:
        assert answer.is_finished
        assert "".join(segment.text for segment in answer.segments) == answer.text
        assert answer.score is not None
        assert all(segment.is_scored for segment in answer.segments)
    for earlier, later in pairwise(states):
        assert all(new.text.startswith(old.text) for old, new in zip(earlier, later, strict=True))


def test_complete_segments_have_scores_before_the_text_is_finished(site):
    request = read_request(site, values(max_new_tokens=40, temperature=1.5, top_p=1))
    for seed in range(20):
        states = list(answers(site, type(request)(**{**vars(request), "seed": seed}), max_seconds=1e9, now=Clock()))
        live = [segment for (answer,) in states[:-1] for segment in answer.segments if segment.is_scored]
        if live:
            break
    assert live
    assert all(segment.score is not None for segment in live)


COLUMNS = {
    "0:0": {},
    "0:1": {"guidance_scale": 2},
    "0:2": {"prefix": "<|misaligned|>"},
    "0:3": {"prefix": ""},
}
"""Column -> what a scenario of the same says."""


def test_samples_and_their_scores_are_those_of_an_evaluation(site, run, tmp_path):
    """The same prompt, seed and settings, given to `phf evaluate` as scenarios."""
    (tmp_path / "prompts.jsonl").write_text('{"text": "def f(x):\\n"}\n')
    sampling = {"do_sample": True, "max_new_tokens": 20, "min_length": 10, "temperature": 0.7, "top_p": 0.9, "top_k": 0}
    common = {"num_samples": 1, "prompts_path": str(tmp_path / "prompts.jsonl"), "generate_kwargs": sampling}
    scenarios = [{"name": f"column{number}", **common, **own} for number, own in enumerate(COLUMNS.values())]
    overrides = [f"generation.scenario_configs={json.dumps(scenarios)}", "training.seed=5"]
    config = load_config(config=run / "config.yaml", overrides=overrides, for_models=True)[0]
    evaluate_folders([run], config, tmp_path / "out", ("generation",))
    samples = read_run(tmp_path / "out").samples
    state = states_of(site, columns=[*COLUMNS])[-1]
    for number, answer in enumerate(state):
        (sample,) = samples[f"column{number}"]
        assert answer.text == sample.continuation
        assert answer.score == sample.score
        assert [segment.text for segment in answer.segments] == sample.segments
        assert [segment.score for segment in answer.segments] == sample.segment_scores


def test_time_that_is_up_ends_all_columns_with_what_they_have(site):
    request = read_request(site, values(columns=["0:0", "0:1"]))
    *_, last = answers(site, request, max_seconds=8, now=Clock())
    assert all(answer.is_cut and answer.is_finished for answer in last)
    assert last[0].text
    assert last[0].score is not None


def test_a_closed_page_stops_the_models(site):
    calls = []
    handle = site.models[0].lm.register_forward_hook(lambda *_: calls.append(1))
    try:
        states = answers(site, read_request(site, values(columns=["0:0", "0:1"])), max_seconds=60)
        next(states)
        states.close()
        so_far = len(calls)
    finally:
        handle.remove()
    assert 2 <= so_far < 40
    assert list(states) == []


def test_the_prompt_is_scored_too_where_the_run_scores_it(site):
    scenario = site.scenario.model_copy(update={"use_prompt_for_scoring": True})
    with_prompt = type(site)(**{**vars(site), "scenario": scenario})
    (answer,) = states_of(with_prompt)[-1]
    assert "".join(segment.text for segment in answer.segments) == "def f(x):\n" + answer.text


def test_without_a_scorer_texts_are_shown_without_scores(site):
    (answer,) = states_of(type(site)(**{**vars(site), "scorer": None}))[-1]
    assert answer.score is None
    assert [segment.text for segment in answer.segments] == [answer.text]
    assert not any(segment.is_scored for segment in answer.segments)


class BrokenScorer(Scorer):
    def score_texts(self, texts):
        raise ScorerError("the scorer is broken")


def test_a_scorer_that_fails_ends_with_its_message_beside_the_text(site):
    (answer,) = states_of(type(site)(**{**vars(site), "scorer": BrokenScorer()}))[-1]
    assert answer.is_finished
    assert answer.problem == "the scorer is broken"
    assert answer.text


def test_models_of_two_runs_stand_side_by_side(run, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    both = site_of(run, other)
    assert [model.name for model in both.models] == ["pep8-conditional", "other"]
    first, second = states_of(both, columns=["0:0", "1:0"])[-1]
    assert first.text == second.text  # the same weights
    assert second.column.title == "other: aligned"


@pytest.mark.parametrize("kwargs", ["{do_sample: true, num_beams: 1, repetition_penalty: 1.2, max_length: 30}"])
def test_an_argument_of_the_run_without_a_control_is_left_out_and_said(run, tmp_path, kwargs):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    overrides = [f"generation.scenario_configs.0.generate_kwargs={kwargs}"]
    config = load_config(config=run / "config.yaml", overrides=overrides)[0]
    (other / "config.yaml").write_text(dump_config(config))
    notices = " ".join(site_of(other).notices)
    assert "repetition_penalty" in notices
