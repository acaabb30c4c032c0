"""What the page says of methods: one sentence per scenario, against a baseline, over seeds where there are several."""

import json
import math

import numpy as np
import pytest
import yaml
from tests.report.test_page import page, sample

from phf.errors import ConfigError
from phf.report.tables import over_seeds, seed_groups, table_rows
from phf.report.verdicts import Verdict, model_verdicts, verdicts
from phf.runs.reader import read_run

PROMPTS = [f"def f{i}(x):" for i in range(30)]
SCENARIO = {"prompts_path": "python-stdlib", "generate_kwargs": {"do_sample": True, "max_length": 64}}


def trained(
    folder, method, mean, seed=0, scenarios=("prompted",), prompts=PROMPTS, spread=0.02, settings=None, **facts
):
    """A run that `phf train` might have left: its samples have this mean score, give or take that of each prompt."""
    (folder / "samples").mkdir(parents=True)
    generator = np.random.default_rng([len(folder.name), seed, 3])
    prefix = facts.pop("prefix", None)
    config = {
        "dataset": {"conditional_training_config": {"aligned_prefix": "<|a|>"} if prefix else None},
        "training": {"seed": seed, "learning_rate": facts.pop("learning_rate", 0.001)},
        "generation": {
            "scenario_configs": [{"name": n, "prefix": prefix, **SCENARIO, **(settings or {})} for n in scenarios]
        },
        "method": f"pep8/{method}",
        "task": "pep8/quickstart",
    }
    line = {"step": 2, "tokens_seen": 128, "eval/bits_per_byte": 2.0, "train/loss": 1.0, **facts.pop("numbers", {})}
    for scenario in scenarios:
        scores = mean + np.arange(len(prompts)) / 1000 + generator.normal(0, spread, len(prompts))
        line |= {f"generation/{scenario}/score": float(scores.mean()), f"generation/{scenario}/score_low": None}
        rows = [sample(["x"], [float(score)], prompt=prompt) for prompt, score in zip(prompts, scores, strict=True)]
        (folder / "samples" / f"{scenario}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    scorer = facts.pop("scorer", {"class_name": "PEP8Scorer"})
    provenance = {"method": f"pep8/{method}", "task": "pep8/quickstart", "evaluation_scorer": scorer, **facts}
    (folder / "provenance.json").write_text(json.dumps(provenance))
    return read_run(folder)


def test_two_seeds_of_one_method_get_no_verdict_but_their_spread(tmp_path):
    """Means as far apart as .0089 and .0044 say nothing of a method that has both."""
    runs = [
        trained(tmp_path / f"mle-{seed}", "mle", mean, seed, spread=1e-4) for seed, mean in enumerate((0.0089, 0.0044))
    ]
    assert verdicts(runs) == []
    (row,) = over_seeds(runs)
    assert (row["name"], row["num_seeds"]) == ("pep8/mle, prompted", 2)
    assert row["largest"] - row["least"] == pytest.approx(0.0045, abs=1e-4)
    assert row["deviation"] == pytest.approx(0.0045 / math.sqrt(2), abs=1e-4)
    parsed = page([tmp_path / "mle-0", tmp_path / "mle-1"], tmp_path)[1]
    assert "Over seeds" in parsed.text
    assert "etter aligned" not in parsed.text


def test_a_run_is_not_compared_with_its_own_evaluation(tmp_path):
    runs = [trained(tmp_path / name, "mle", 0.3) for name in ("evaluate-mle", "mle")]
    (_, (first,)), (_, (second,)) = model_verdicts(runs)
    assert (first.word, second.word) == ("Baseline", "Same method")
    assert second.sentence.startswith("Prompted: mean score 0.3")
    assert second.sentence.endswith("It was trained like evaluate-mle, so the two are not compared.")


def test_one_sentence_a_method_and_scenario(tmp_path):
    runs = [
        trained(tmp_path / method, method, mean, scenarios=("prompted", "other"))
        for method, mean in (("conditional", 0.1), ("mle", 0.3), ("ul", 0.3))
    ]
    sentences = verdicts(runs)
    starts = [
        f"{scenario}: pep8/{method} {said}"
        for scenario in ("other", "prompted")
        for method, said in (
            ("conditional", "is better aligned than pep8/mle"),
            ("ul", "and pep8/mle cannot be distinguished"),
        )
    ]
    assert [line.startswith(start) for line, start in zip(sentences, starts, strict=True)] == [True] * 4
    assert all(
        line.endswith("One seed each: differences between seeds are not in this interval.") for line in sentences
    )
    assert "% of pep8/mle's 0.3" in sentences[0]
    assert "-6" in sentences[0]  # 0.1 is about 64% below 0.3 + 0.0145
    other = verdicts(runs, "ul")
    assert [": pep8/mle and pep8/ul cannot" in line for line in other] == [False, True, False, True]
    with pytest.raises(ConfigError, match="--baseline mel: no run or method here has this name"):
        verdicts(runs, "mel")


def test_the_baseline_may_be_named_by_its_folder_or_its_method(tmp_path):
    runs = [trained(tmp_path / name, method, 0.3) for name, method in (("first", "conditional"), ("second", "mle"))]
    assert verdicts(runs, "first") == verdicts(runs, "conditional")
    assert "pep8/mle and pep8/conditional cannot" in verdicts(runs, "first")[0]


def test_seeds_are_in_the_interval_where_there_are_several(tmp_path):
    runs = [
        trained(tmp_path / f"{method}-{seed}", method, mean + 0.02 * seed, seed)
        for method, mean in (("mle", 0.3), ("conditional", 0.1))
        for seed in range(3)
    ]
    (line,) = verdicts(runs)
    assert line.startswith("prompted: pep8/conditional is better aligned than pep8/mle: ")
    assert line.endswith("Seeds: 3 of pep8/conditional, 3 of pep8/mle; differences between seeds are in this interval.")
    assert [group.name for group in seed_groups(runs)] == ["pep8/mle", "pep8/conditional"]


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": {"generate_kwargs": {"do_sample": True, "max_length": 32}}},
        {"settings": {"prompts_path": "phf:pep8"}},
        {"settings": {"use_prompt_for_scoring": True}},
        {"scorer": {"class_name": "ProfanityScorer"}},
        {"scenarios": ("another",), "settings": {"use_prompt_for_scoring": True}},
    ],
    ids=["lengths", "prompts", "scored text", "scorer", "another scenario"],
)
def test_only_the_same_scenario_is_compared(changes, tmp_path):
    runs = [trained(tmp_path / "mle", "mle", 0.3), trained(tmp_path / "ul", "ul", 0.1, **changes)]
    assert verdicts(runs) == []


def test_a_scenario_that_differs_in_name_and_own_prefix_alone_is_the_same(tmp_path):
    mle = trained(tmp_path / "mle", "mle", 0.3)
    aligned = trained(tmp_path / "c", "conditional", 0.1, scenarios=("aligned",), prefix="<|a|>")
    misaligned = trained(tmp_path / "m", "conditional", 0.1, scenarios=("misaligned",), prefix="<|m|>")
    assert [line.split(":")[0] for line in verdicts([mle, aligned, misaligned])] == ["prompted"]


def test_settings_that_differ_in_more_than_the_seed_are_another_method(tmp_path):
    runs = [trained(tmp_path / f"mle-{rate}", "mle", 0.3, i, learning_rate=rate) for i, rate in enumerate((0.1, 0.2))]
    assert [group.name for group in seed_groups(runs)] == ["mle-0.1", "mle-0.2"]
    twice = [trained(tmp_path / f"copy-{i}", "mle", 0.3, seed=5) for i in range(2)]  # one seed is not two
    assert [len(group.members) for group in seed_groups(twice)] == [1, 1]
    assert verdicts(twice) == []


@pytest.mark.parametrize(
    "numbers", [{"train/loss": None}, {"train/lm_loss": None}, {"train/grad_norm": None}, {"eval/bits_per_byte": None}]
)
def test_a_run_that_diverged_is_never_better(numbers, tmp_path):
    runs = [
        trained(tmp_path / "good", "mle", 0.3),
        trained(tmp_path / "bad", "ul", 0.0, numbers={"train/loss": 1.0, **numbers}),
    ]
    assert verdicts(runs) == []
    parsed = page([tmp_path / "good", tmp_path / "bad"], tmp_path)[1]
    assert "It is not compared with others." in parsed.text
    if "eval/bits_per_byte" not in numbers:  # what was measured before it diverged is not its result
        bad = next(row for row in table_rows(runs) if row["run"] == "bad")
        assert [bad[key] for key in ("score", "low", "bits_per_byte")] == [None] * 3
        assert "diverged: no result" in parsed.text
        assert runs[1].series("eval/bits_per_byte") == [(128, 2.0)]
    assert model_verdicts(runs)[1] == ("pep8/ul", [Verdict("No result", "undecided", f"It {runs[1].problem}.")])


def test_the_numbers_are_those_of_the_last_evaluation_also_where_they_are_null(tmp_path):
    run = trained(tmp_path / "run", "mle", 0.3)
    assert run.last("eval/bits_per_byte") == 2.0
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 3, "tokens_seen": 192, "eval/bits_per_byte": None}) + "\n")
        file.write(json.dumps({"step": 4, "tokens_seen": 256, "train/loss": 1.0}) + "\n")
    run = read_run(tmp_path / "run")
    assert run.last("eval/bits_per_byte") is None
    assert run.series("eval/bits_per_byte") == [(128, 2.0)]
    assert run.last("train/loss") == 1.0
    assert run.last_values("eval/") == {}


def test_samples_of_few_prompts_say_little(tmp_path):
    """Means that differ on two prompts only: many samples, two prompts."""
    prompts = ["a"] * 50 + ["b"] * 50
    runs = [
        trained(tmp_path / name, name, mean, prompts=prompts, spread=0.001)
        for name, mean in (("mle", 0.3), ("ul", 0.25))
    ]
    for run, low in zip(runs, (0.0, 0.04), strict=True):
        run.samples["prompted"][:] = [
            type(s)(s.prompt, s.continuation, s.score - low * (s.prompt == "a"), s.segments, s.segment_scores)
            for s in run.samples["prompted"]
        ]
    (line,) = verdicts(runs)
    assert "cannot be distinguished" in line


def test_a_scenario_as_an_older_version_saved_it_is_the_same_scenario(tmp_path):
    older = {"display_as_html": True, "generate_kwargs": {**SCENARIO["generate_kwargs"], "bad_words_ids": [[7]]}}
    newer = {"samples_per_prompt": 1, "prompts_column": "text", "best_of": 1}
    runs = [
        trained(tmp_path / "mle", "mle", 0.5, settings=older),
        trained(tmp_path / "ul", "ul", 0.1, settings=newer),
    ]
    (said,) = verdicts(runs)
    assert "pep8/ul is better aligned than pep8/mle" in said
