"""Scores, numbers and files of an evaluation, in a run and of a folder."""

import json
import math

import pytest
import torch
from tests.sampling.test_division import in_processes
from tests.tiny import PLAIN, conditional_prompting, tiny_tokenizer

from phf.config import GenerationConfig
from phf.errors import OutputError, ScorerError
from phf.evaluation.generation.evaluator import Evaluator, sample_lines, scenario_logs, score_samples
from phf.evaluation.generation.metrics import Length
from phf.runs.writer import RunWriter
from phf.sampling.generate import Samples
from phf.sampling.scenarios import GenerationScenario
from phf.scorers import Scorer
from phf.scorers.spans import Span

CONTROL = ("<|aligned|>", "<|misaligned|>")


class Vowels(Scorer):
    """Vowels / 10; text that has an x is unscored."""

    segmenter = "lines"

    def score_texts(self, texts):
        return [None if "x" in text else sum(letter in "aeiou" for letter in text) / 10 for text in texts]


class Broken(Scorer):
    def score_texts(self, texts):
        return [math.nan] * len(texts)


def scored(texts, prompts=None, **settings):
    scenario = GenerationScenario(name="s", **settings)
    samples = Samples(prompts or [""] * len(texts), texts, seconds=2.0)
    return score_samples(samples, Vowels(), scenario), scenario


def test_numbers_of_a_scenario_by_hand():
    """Scores 0.2, 0.1, none, 0: mean 0.1; of three scored samples one is above 0.1."""
    samples, scenario = scored(["ae", "a", "x", ""], num_hits_threshold=0.1)
    logs = scenario_logs(samples, scenario, [Length()])
    assert logs["score"] == pytest.approx(0.1)
    assert logs["score_low"] <= 0.1 <= logs["score_high"]
    assert logs["score_max"] == 0.2
    assert math.isnan(logs["score_max@25"])
    assert logs["num_hits"] == pytest.approx(1 / 3)
    assert (logs["num_samples"], logs["num_unscored"], logs["samples_per_second"]) == (4, 1, 2.0)
    assert logs["length"] == 1.0


def test_samples_that_all_went_unscored_give_nan_not_zero():
    samples, scenario = scored(["x", "x"])
    logs = scenario_logs(samples, scenario, [])
    assert all(math.isnan(logs[key]) for key in ("score", "score_low", "score_high", "score_max", "num_hits"))
    assert logs["num_unscored"] == 2


def test_segments_are_scored_apart_and_the_prompt_where_asked():
    samples, _ = scored(["a\nxe\nbb"], ["ooo"])
    assert samples.scores == [None]
    assert (samples.segments, samples.segment_scores) == ([["a\n", "xe\n", "bb"]], [[0.1, None, 0.0]])
    samples, _ = scored(["a\nb"], ["ooo"], use_prompt_for_scoring=True)
    assert samples.scores == pytest.approx([0.4])
    assert samples.segments == [["oooa\n", "b"]]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_processes_share_the_scoring_and_a_scorer_is_given_the_same_texts_at_once(number, monkeypatch):
    monkeypatch.setattr("phf.evaluation.generation.evaluator.SCORED_AT_ONCE", 2)
    texts = ["ae\nx", "a", "", "eee", "bx"]
    scenario, samples = GenerationScenario(name="s"), Samples([""] * len(texts), texts, seconds=2.0)
    given = []

    class Noted(Vowels):
        def score_texts(self, texts):
            given.append(list(texts))
            return super().score_texts(texts)

        def spans(self, text):
            return [Span(0, 1, "vowel")] if text[:1] in ("a", "e") else []

    alone = score_samples(samples, Noted(), scenario)
    expected, given[:] = sorted(given), []
    assert ["ae\nx", "a"] in expected
    scored_together = in_processes(number, lambda division: score_samples(samples, Noted(), scenario, division))
    assert scored_together == [alone] * number
    assert sorted(given) == expected
    assert alone.scores == [None, 0.1, 0.0, 0.3, None]
    assert alone.segment_scores == [[0.2, None], [0.1], [], [0.3], [None]]
    assert alone.segment_spans[0] == [[Span(0, 1, "vowel")], []]


def test_a_scorer_on_a_gpu_that_was_chosen_by_number_is_used_by_the_main_process_alone(monkeypatch):
    monkeypatch.setattr("phf.evaluation.generation.evaluator.SCORED_AT_ONCE", 1)
    texts, scenario = ["ae", "a", "x"], GenerationScenario(name="s")

    def work(division, device):
        scorer, users = Vowels(), []
        scorer.device = device
        score = scorer.score_texts
        scorer.score_texts = lambda texts: (users.append(division.index), score(texts))[1]
        scores = score_samples(Samples([""] * 3, texts, seconds=2.0), scorer, scenario, division).scores
        return scores, set(users)

    both = in_processes(2, lambda division: work(division, torch.device("cuda")))
    assert both == [([0.2, 0.1, None], {0}), ([0.2, 0.1, None], {1})]
    alone = in_processes(2, lambda division: work(division, torch.device("cuda:1")))
    assert alone == [([0.2, 0.1, None], {0}), ([0.2, 0.1, None], set())]


def test_a_scorer_that_breaks_its_contract_is_an_error():
    with pytest.raises(ScorerError, match="Broken returned nan for text 0 of 1"):
        score_samples(Samples([""], ["a"], 1.0), Broken(), GenerationScenario(name="s"))


def test_samples_are_added_step_by_step_and_replaced_within_a_step(tmp_path):
    path = tmp_path / "samples" / "s.jsonl"
    for step, texts in ((1, ["a"]), (10, ["b", "c"]), (1, ["d\u2028\ud800"])):
        RunWriter(tmp_path).write_samples("s", step, sample_lines(scored(texts)[0]))
    lines = [json.loads(line) for line in path.read_text().split("\n")[:-1]]
    assert [(line["step"], line["continuation"]) for line in lines] == [(10, "b"), (10, "c"), (1, "d\u2028\ud800")]
    assert lines[0] == {
        "step": 10, "prompt": "", "continuation": "b", "score": 0.0, "segments": ["b"], "segment_scores": [0.0],
    }  # fmt: skip


def test_samples_that_cannot_be_written_leave_the_earlier_ones(tmp_path, monkeypatch):
    path = tmp_path / "samples" / "s.jsonl"
    RunWriter(tmp_path).write_samples("s", 1, sample_lines(scored(["a"])[0]))
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("phf.storage.files.os.fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        RunWriter(tmp_path).write_samples("s", 2, sample_lines(scored(["b"])[0]))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("prefix", "may_tag", "banned"),
    [
        ("<|aligned|>", True, ["<|misaligned|>"]),
        ("<|misaligned|>", True, ["<|aligned|>"]),
        ("<|aligned|>", False, list(CONTROL)),
        ("", True, list(CONTROL)),
    ],
)
def test_control_tokens_are_banned_but_the_one_that_may_be_repeated(prefix, may_tag, banned):
    tokenizer = tiny_tokenizer(CONTROL)
    generation = GenerationConfig(
        scorer_config={"class_name": "PEP8Scorer"},
        scenario_configs=[{"name": "s", "prefix": prefix, "generate_kwargs": {"do_sample": True}}],
    )
    evaluator = Evaluator(generation, conditional_prompting(tags_every_segment=may_tag), 0)
    ids = evaluator.banned_ids(tokenizer, evaluator.scenarios[0])
    assert ids == sorted(tokenizer.convert_tokens_to_ids(banned))
    assert Evaluator(generation, PLAIN, 0).banned_ids(tokenizer, evaluator.scenarios[0]) == []
