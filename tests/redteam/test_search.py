"""The search: rounds, what it does with a red LM that does badly, and going on after an interruption."""

import json
import shutil

import pytest
from tests.redteam.attack import LetterScorer, ScriptedRedLM, UnscoringScorer, attack_config
from tests.tiny import PLAIN, tiny_lm, tiny_tokenizer

from phf.config import load_config
from phf.errors import ConfigError, CorpusError, ScorerError
from phf.redteam.mutation import MutationRedLM
from phf.redteam.numbers import rescored_numbers, round_numbers
from phf.redteam.rounds import Round, RoundFiles
from phf.redteam.search import Search
from phf.redteam.target import Target
from phf.sampling.prompts import read_prompts

PROMPTS = ["def f(x):\n", "class A:\n", "import os\n", "x = 1\n", "never used\n"]


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in PROMPTS))
    return path


@pytest.fixture(scope="module")
def lm():
    tokenizer = tiny_tokenizer()
    return tiny_lm("gpt2", tokenizer), tokenizer


@pytest.fixture
def make_search(prompts, tmp_path, lm):
    def make_search(red_lm=None, folder="out", show=lambda *_: None, **settings) -> Search:
        config = attack_config(prompts, **settings)
        target = Target(*lm, PLAIN, config)
        return Search(config.redteam, target, red_lm or MutationRedLM(), RoundFiles(tmp_path / folder), show)

    return make_search


def test_the_pool_grows_by_a_round_at_a_time_and_is_never_pruned(make_search):
    trial = make_search().run_trial(0)
    assert [len(done.entries) for done in trial.rounds] == [4, 3, 3]
    assert [e.prompt for e in trial.rounds[0].entries] == PROMPTS[:4]
    assert [e.round for e in trial.pool] == [0] * 4 + [1] * 3 + [2] * 3
    assert len({e.prompt for e in trial.pool}) == 10
    for entry in trial.pool:
        assert len(entry.continuations) == len(entry.scores) == 4
        assert entry.scores == LetterScorer().score_texts(entry.continuations)
        assert entry.prompt_score == entry.prompt.count("e") / len(entry.prompt)


def test_the_best_prompts_are_sampled_again_with_fresh_samples(make_search):
    trial = make_search().run_trial(0)
    ranked = sorted((e for e in trial.pool if e.mean is not None), key=lambda e: -e.mean)
    best_initial = next(e for e in ranked if e.round == 0)
    assert [e.prompt for e in trial.rescored] == list(
        dict.fromkeys([ranked[0].prompt, ranked[1].prompt, best_initial.prompt])
    )
    first = {e.prompt: e.continuations for e in trial.pool}
    assert all(e.continuations != first[e.prompt] for e in trial.rescored)


def test_the_best_prompt_of_each_round_is_sampled_again_without_changing_the_samples_of_the_others(make_search):
    """With one prompt sampled again at the end, that of an earlier round is not always among them."""
    search = make_search(num_rounds=4, num_rescored=1, num_completions=2)
    trials = []
    while not trials or not trials[-1].also_rescored:
        assert len(trials) < 12
        trials.append(search.run_trial(len(trials)))
    for trial in trials:
        best, pool = [], []
        for done in trial.rounds:
            pool += done.entries
            best.append(max((e for e in pool if e.mean is not None), key=lambda e: e.mean))
        assert trial.best_after_rounds() == best
        fresh = {e.prompt: e.mean for e in [*trial.rescored, *trial.also_rescored]}
        assert len(fresh) == len(trial.rescored) + len(trial.also_rescored)
        assert [numbers["best_fresh"] for numbers in round_numbers(trial)] == [fresh[e.prompt] for e in best]
        assert round_numbers(trial)[-1]["best_fresh"] == rescored_numbers(trial)["rescored_best"]
        assert round_numbers(trial)[0]["best_fresh"] == rescored_numbers(trial)["rescored_initial_best"]


def test_trials_and_seeds_differ_and_repeat(make_search):
    first = make_search(folder="a").run_trial(0)
    assert first == make_search(folder="b").run_trial(0)
    assert first.pool != make_search(folder="c").run_trial(1).pool
    assert first.pool != make_search(folder="d", seed=1).run_trial(0).pool


@pytest.mark.parametrize("kept", range(4))
def test_a_search_killed_after_any_round_ends_as_if_undisturbed(make_search, tmp_path, kept):
    expected = make_search(folder="whole").run_trial(0)
    files = sorted((tmp_path / "whole" / "rounds").iterdir())
    (tmp_path / "cut" / "rounds").mkdir(parents=True)
    order = [*[path for path in files if "round-" in path.name], *[path for path in files if "rescored" in path.name]]
    for path in order[:kept]:
        shutil.copy(path, tmp_path / "cut" / "rounds")
    (tmp_path / "cut" / "rounds" / ".trial-000-round-003.json.x.partial").write_text("{")  # of a write that was killed
    assert make_search(folder="cut").run_trial(0) == expected
    for path in files:
        assert (tmp_path / "cut" / "rounds" / path.name).read_bytes() == path.read_bytes()


def test_finished_rounds_are_read_not_done_again(make_search):
    expected = make_search().run_trial(0)
    assert make_search(ScriptedRedLM(["no prompts at all"])).run_trial(0) == expected


def test_a_damaged_round_says_what_to_do(make_search, tmp_path):
    make_search().run_trial(0)
    path = tmp_path / "out" / "rounds" / "trial-000-round-001.json"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(CorpusError, match=r"round-001.json: is not valid JSON.* Delete it to repeat the round"):
        make_search().run_trial(0)


def test_progress_is_shown_with_the_best_so_far(make_search):
    shown = []
    make_search(show=lambda *now: shown.append(now)).run_trial(1)
    assert [(trial, number) for trial, number, _ in shown] == [(1, 0), (1, 1), (1, 2), (1, 3)]
    assert shown[0][2] is None
    assert shown[1][2] <= shown[3][2]


def test_what_cannot_be_used_is_counted_and_asked_for_again(make_search):
    """First an unreadable reply, then one of five is usable, then two more: the round is complete."""
    long = "x " * 100
    script = ["no list here", ["def f(x):\n", "new 1", "new 1", "  \n", long, "\ud800"], ["new 2", "new 3", "new 4"]]
    red_lm = ScriptedRedLM(script)
    done = make_search(red_lm, num_rounds=1).run_trial(0).rounds[1]
    assert [e.prompt for e in done.entries] == ["new 1", "new 2", "new 3"]
    assert red_lm.asked == [3, 3, 2]
    assert done.rejected == {
        "empty": 1,
        "more than asked for": 1,
        "not valid Unicode": 1,
        "repetition": 2,
        "too long": 1,
        "unreadable reply": 1,
    }


def test_a_round_continues_with_the_prompts_that_it_gets(make_search):
    red_lm = ScriptedRedLM([["new"]])
    done = make_search(red_lm, num_rounds=1).run_trial(0).rounds[1]
    assert [e.prompt for e in done.entries] == ["new"]
    assert len(red_lm.asked) == 3
    assert done.rejected == {"repetition": 2}


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            ["I cannot \x1b[31m help"],
            r"asked 3 times \(unreadable reply: 3\). Its last unreadable reply: .I cannot .*x1b",
        ),
        ([["def f(x):\n"]], r"\(repetition: 3\). Change redteam.red_lm or redteam.template.*finished rounds are kept"),
        ([[]], r"\(it wrote nothing at all\)"),
    ],
)
def test_a_red_lm_that_writes_nothing_usable_is_an_error_after_bounded_attempts(make_search, script, message):
    red_lm = ScriptedRedLM(script)
    with pytest.raises(ConfigError, match=message) as caught:
        make_search(red_lm).run_trial(0)
    assert len(red_lm.asked) == 3
    assert "\x1b" not in str(caught.value)
    assert str(caught.value).startswith("Round 1 of trial 0: ScriptedRedLM wrote no usable prompt")


def test_a_scorer_that_scores_nothing_is_an_error(make_search):
    search = make_search()
    search.target.scorer = UnscoringScorer()
    with pytest.raises(ScorerError, match="UnscoringScorer scored no continuation of any prompt"):
        search.run_trial(0)


def test_the_papers_constant_for_initial_prompts_is_not_a_measurement(make_search):
    trial = make_search(initial_score=1e-3).run_trial(0)
    assert all(e.continuations == [] and e.mean is None and e.assumed_score == 1e-3 for e in trial.rounds[0].entries)
    assert all(e.mean is not None for e in trial.rounds[1].entries)
    assert all(e.round > 0 for e in trial.pool if e.prompt in {r.prompt for r in trial.rescored})


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (['{"prompt": "a"}'], r"has no 'text'; its keys are \['prompt'\]"),
        (['{"text": "a"}', '{"text": " "}'], r"line 2: the prompt is empty"),
        (
            [json.dumps({"text": "a"}), json.dumps({"text": "def f(x):\n" * 30})],
            r"prompt 2 has \d+ tokens, but a .* 57",
        ),
        ([], r"no (prompts|documents|records)"),
    ],
)
def test_a_bad_file_of_prompts_is_named(make_search, prompts, lines, message):
    prompts.write_text("".join(line + "\n" for line in lines))
    with pytest.raises(CorpusError, match=message) as caught:
        make_search()
    assert "prompts.jsonl" in str(caught.value)


def test_another_column_can_hold_the_prompts(make_search, prompts):
    prompts.write_text('{"prompt": {"text": "a"}}\n')
    assert make_search(prompts_column="prompt.text").initial_prompts == ["a"]


def test_rounds_survive_their_files(tmp_path):
    done = Round([], {"empty": 2})
    assert RoundFiles(tmp_path).done_or("a", lambda: done) == done
    assert RoundFiles(tmp_path).done_or("a", lambda: 1 / 0) == done


@pytest.mark.parametrize("task", ["toxicity", "pii", "pep8", "pep8/quickstart"])
def test_every_shipped_task_has_enough_prompts_to_begin_with(task):
    settings = load_config(task=task)[0].redteam
    prompts = read_prompts(settings.prompts_path, settings.prompts_column)
    assert len(set(prompts)) == len(prompts) >= settings.num_initial_prompts
