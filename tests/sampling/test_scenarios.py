"""Generation scenarios: the released keys, exact counts, prompts, and what is said about mistakes."""

import json
import re
from contextlib import nullcontext

import pytest
from tests.tiny import PLAIN, tiny_tokenizer

from phf.config import GenerationConfig
from phf.errors import ConfigError, CorpusError
from phf.evaluation.generation.evaluator import Evaluator
from phf.sampling.scenarios import GenerationScenario, build_scenario
from phf.sampling.settings import sampling_config

RELEASED = {
    "name": "func_headers",
    "num_samples": 7,
    "prefix": "<|aligned|>",
    "use_prompt_for_scoring": True,
    "num_hits_threshold": 0,
    "generate_kwargs": {"do_sample": True, "max_length": 64, "min_length": 10, "temperature": 0.7, "top_p": 0.9, "top_k": 0,
                        "bad_words_ids": [[50257], [50258]], "eos_token_id": 0},
}  # fmt: skip


@pytest.fixture
def prompts_file(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"text": text, "id": text}) + "\n" for text in ("one", "two", "three")))
    return str(path)


def test_released_keys_are_read():
    scenario = build_scenario(RELEASED)
    assert (scenario.num_samples, scenario.prefix, scenario.use_prompt_for_scoring) == (7, "<|aligned|>", True)
    config = sampling_config(scenario, tiny_tokenizer(), [5])
    assert (config.max_length, config.temperature, config.top_p, config.top_k, config.min_length) == (
        64,
        0.7,
        0.9,
        0,
        10,
    )
    assert (config.suppress_tokens, config.bad_words_ids, config.eos_token_id) == ([5], None, 0)


@pytest.mark.parametrize("num_samples", [1, 3, 5, 32])
def test_exactly_num_samples_prompts_in_order_and_again_from_the_start(num_samples, prompts_file):
    scenario = GenerationScenario(name="x", num_samples=num_samples, prompts_path=prompts_file)
    assert scenario.prompts() == (["one", "two", "three"] * 11)[:num_samples]
    assert GenerationScenario(name="x", num_samples=num_samples).prompts() == [""] * num_samples


def test_prompt_is_eos_control_token_and_text_as_nothing_but_text():
    tokenizer = tiny_tokenizer(("<|aligned|>", "<|misaligned|>"))
    aligned, misaligned = tokenizer.convert_tokens_to_ids(["<|aligned|>", "<|misaligned|>"])
    scenario = GenerationScenario(name="x", prefix="<|aligned|>")
    hostile = "<|misaligned|> and <|endoftext|> are text"
    plain, forged = scenario.prompt_ids(tokenizer, ["", hostile])
    assert plain == [0, aligned]
    assert forged[:2] == [0, aligned]
    assert not {0, aligned, misaligned} & set(forged[2:])
    assert tokenizer.decode(forged[2:]) == hostile
    assert GenerationScenario(name="x", prefix="").prompt_ids(tokenizer, [""]) == [[0]]


def test_prefix_must_be_a_special_token_of_the_tokenizer():
    tokenizer = tiny_tokenizer(("<|aligned|>", "<|misaligned|>"))
    with pytest.raises(
        ConfigError, match=r"Scenario 'x': prefix '<\|alinged\|>' is not a special.*Did you mean '<\|aligned"
    ):
        GenerationScenario(name="x", prefix="<|alinged|>").prompt_ids(tokenizer, [""])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_sample": 3}, r"scenario 'x': unknown key 'num_sample'\. Did you mean 'num_samples'"),
        ({"num_samples": 0}, r"scenario 'x': 'num_samples' is 0: Input should be greater than or equal to 1\.$"),
        ({"num_samples": "many"}, r"scenario 'x': 'num_samples' is 'many': Input should be a valid integer"),
        ({"samples_per_prompt": 0}, r"'samples_per_prompt' is 0: Input should be greater than or equal to 1"),
        ({"best_of": 0}, r"'best_of' is 0: Input should be greater than or equal to 1"),
        ({"guidance_scale": -1}, r"'guidance_scale' is -1: Input should be greater than or equal to 0"),
        ({"guidance_scale": float("inf")}, r"'guidance_scale' is inf: Input should be a finite number"),
        ({"generate_kwargs": None}, r"'generate_kwargs' is None: Input should be a valid dictionary"),
        ({"name": "../x"}, r"scenario '../x': 'name' is '../x': its name becomes a file name"),
        ({"name": ".x"}, r"its name becomes a file name"),
        ({"name": ""}, r"its name becomes a file name"),
    ],
)
def test_mistakes_are_found_when_a_scenario_is_built(changes, message):
    with pytest.raises(ConfigError, match=message):
        build_scenario({"name": "x", "num_samples": 3, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"generate_kwargs": {"temprature": 1}},
            r"generate_kwargs.temprature is not an arg.*Did you mean 'temperature'",
        ),
        ({"generate_kwargs": {"temperature": -1.0}}, r"generate_kwargs: .*temperature"),
        ({"generate_kwargs": {"top_p": 1.5}}, r"generate_kwargs: .*top_p"),
        ({"generate_kwargs": {"max_length": 9.5}}, r"generate_kwargs.max_length is 9.5; it must be a whole number"),
        ({"generate_kwargs": {"num_return_sequences": 4}}, r"num_return_sequences is not supported: use num_samples"),
        ({"prompts_path": "no/such.jsonl"}, r"prompts_path: there is no file no/such.jsonl"),
        ({}, r"the 3 samples of 1 prompt would repeat it .*do_sample: true, or num_samples: 1\."),
    ],
)
def test_mistakes_are_found_when_the_evaluator_is_built(changes, message):
    config = GenerationConfig(
        scorer_config={"class_name": "PEP8Scorer"}, scenario_configs=[{"name": "x", "num_samples": 3, **changes}]
    )
    with pytest.raises((ConfigError, CorpusError), match=message):
        Evaluator(config, PLAIN, 0)


@pytest.mark.parametrize(
    ("num_samples", "samples_per_prompt", "do_sample", "advice"),
    [
        (2, 1, False, None),
        (3, 1, True, None),
        (4, 2, True, None),
        (3, 1, False, r"the 3 samples of 2 prompts .*num_samples: 2\."),
        (4, 2, False, r"the 4 samples of 2 prompts .*num_samples: 2 and samples_per_prompt: 1\."),
        (2, 2, False, r"the 2 samples of 1 prompt would .*num_samples: 1 and samples_per_prompt: 1\."),
    ],
)
def test_without_sampling_a_prompt_is_continued_once(num_samples, samples_per_prompt, do_sample, advice, tmp_path):
    (tmp_path / "prompts.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
    scenario = build_scenario(
        {
            "name": "x",
            "prompts_path": str(tmp_path / "prompts.jsonl"),
            "num_samples": num_samples,
            "samples_per_prompt": samples_per_prompt,
            "generate_kwargs": {"do_sample": do_sample},
        }
    )
    with pytest.raises(ConfigError, match=advice) if advice else nullcontext():
        scenario.check_repetition()


def test_a_scenario_needs_a_name_and_one_of_its_own():
    config = GenerationConfig(
        scorer_config={"class_name": "PEP8Scorer"}, scenario_configs=[{"name": "x"}, {"name": "x"}]
    )
    with pytest.raises(ConfigError, match="two scenarios are called 'x'"):
        Evaluator(config, PLAIN, 0)
    with pytest.raises(ConfigError, match=r"scenario '\?': 'name' is missing"):
        build_scenario({})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "a"}\n{"txt": "b"}\n', r"prompts.jsonl, line 2: has no 'text'; its keys are \['txt'\]"),
        ('{"text": 3}\n', r"line 1: 'text' is 3; a prompt must be text"),
        ('{"text": " "}\n', r"line 1: the prompt is empty"),
        ("", "contains no prompts"),
        ('{"text": "a', "line 1: is not valid JSON"),
    ],
)
def test_broken_prompt_files_name_the_line(content, message, tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text(content)
    with pytest.raises(CorpusError, match=message):
        GenerationScenario(name="x", prompts_path=str(path)).prompts()


def test_function_headers_of_the_standard_library_are_prompts_without_a_file():
    scenario = build_scenario({"name": "s", "num_samples": 40, "prompts_path": "python-stdlib"})
    prompts = scenario.prompts()
    assert prompts == scenario.prompts()
    assert len(set(prompts)) == 40
    pattern = r"(class \w+(\([^()\n]*\))?:\n\n    )?def \w+\([^()\n]*\):\n"
    assert all(re.fullmatch(pattern, prompt) for prompt in prompts)
    assert 0 < sum(prompt.startswith("class ") for prompt in prompts) < 40


def test_prompts_are_a_field_of_chosen_records_each_sampled_several_times(tmp_path):
    path = tmp_path / "prompts.jsonl"
    rows = [{"hard": hard, "prompt": {"text": text}} for hard, text in ((True, "a"), (False, "b"), (True, "c"))]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {"prompts_path": str(path), "prompts_column": "prompt.text", "prompts_where": {"hard": True}}
    assert GenerationScenario(name="x", num_samples=3, **settings).prompts() == ["a", "c", "a"]
    assert GenerationScenario(name="x", num_samples=5, samples_per_prompt=2, **settings).prompts() == list("aacca")
    with pytest.raises(CorpusError, match=r"line 1: has no 'prompt.txt'; its keys are \['text'\]"):
        GenerationScenario(name="x", prompts_path=str(path), prompts_column="prompt.txt").prompts()
    with pytest.raises(CorpusError, match=r"contains no prompts with \{'hard': 'no'\}"):
        GenerationScenario(name="x", **{**settings, "prompts_where": {"hard": "no"}}).prompts()


def test_a_shipped_set_of_prompts_that_does_not_exist_names_the_nearest():
    with pytest.raises(CorpusError, match="'phf:toxicty' is not a set of prompts of phf"):
        GenerationScenario(name="x", prompts_path="phf:toxicty").prompts()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("do_sample", "maybe"),
        ("do_sample", 1),
        ("temperature", "hot"),
        ("temperature", True),
        ("top_p", "0.9"),
        ("top_k", 1.5),
        ("num_beams", 1.5),
        ("num_beams", 0),
        ("no_repeat_ngram_size", 1.5),
        ("repetition_penalty", "abc"),
        ("repetition_penalty", 0),
        ("length_penalty", "x"),
        ("early_stopping", "x"),
        ("forced_eos_token_id", "x"),
        ("exponential_decay_length_penalty", 5),
        ("watermarking_config", 5),
        ("use_cache", "x"),
        ("cache_implementation", "x"),
        ("max_time", "soon"),
    ],
)
def test_a_bad_value_of_an_argument_of_generate_is_one_line_before_anything_is_sampled(key, value):
    scenario = GenerationScenario(name="x", generate_kwargs={"do_sample": True, "max_length": 8, key: value})
    with pytest.raises(ConfigError, match=rf"^Scenario 'x': generate_kwargs.*{key}") as error:
        sampling_config(scenario, tiny_tokenizer())
    assert "\n" not in str(error.value)
