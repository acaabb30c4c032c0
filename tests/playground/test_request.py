"""What is sampled of what a browser sends, and what is refused."""

import math
from dataclasses import replace

import pytest
from tests.playground.conftest import values

from phf.errors import ConfigError
from phf.playground.request import default_new_tokens, most_new_tokens, read_request


def test_a_request_is_a_scenario_with_the_settings_of_the_page_and_the_shortest_length_of_the_run(site):
    request = read_request(site, values(columns=["0:0", "0:1", "0:3"]))
    plain, guided, untagged = (request.scenario(column) for column in request.columns)
    assert plain.prompts() == ["def f(x):\n"]
    assert plain.generate_kwargs == {
        "do_sample": True,
        "max_new_tokens": 20,
        "min_length": 10,
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 0,
    }
    assert (plain.prefix, plain.guidance_scale) == ("<|aligned|>", None)
    assert (guided.prefix, guided.guidance_scale) == ("<|aligned|>", 2)
    assert untagged.prefix == ""


def test_temperature_zero_takes_the_likeliest_token(site):
    kwargs = read_request(site, values(temperature=0)).generate_kwargs()
    assert kwargs == {"do_sample": False, "max_new_tokens": 20, "min_length": 10}


def test_the_page_begins_with_the_length_of_the_run_or_half_of_the_context(site):
    assert most_new_tokens(site) == 126
    assert default_new_tokens(site) == 40
    longer = site.scenario.model_copy(update={"generate_kwargs": {"max_length": 100}})
    assert default_new_tokens(replace(site, scenario=longer)) == 63


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": None}, "must be text"),
        ({"prompt": "x" * 20_001}, "20,001 characters; 20,000 are possible"),
        ({"prompt": "\ud800"}, "lone surrogate"),
        ({"prompt": "x " * 115}, "context of 128 tokens: the prompt is 116 tokens, and up to 20"),
        ({"columns": []}, "No column is chosen"),
        ({"columns": ["7:0"]}, "does not exist"),
        ({"columns": "0:0"}, "must be a list"),
        ({"columns": [["0:0"]]}, "must be a list"),
        ({"columns": [None]}, "must be a list"),
        ({"temperature": 2.5}, "temperature is 2.5; it must be from 0 to 2"),
        ({"temperature": math.nan}, "temperature is not a number"),
        ({"temperature": "1"}, "temperature is not a number"),
        ({"temperature": True}, "temperature is not a number"),
        ({"top_p": 0}, "top p is 0; it must be from 0.01 to 1"),
        ({"top_k": -1}, "top k is -1; it must be a whole number from 0 to 1,000"),
        ({"top_k": 1.5}, "top k is 1.5; it must be a whole number"),
        ({"max_new_tokens": 127}, "max new tokens is 127; it must be a whole number from 1 to 126"),
        ({"max_new_tokens": None}, "max new tokens is not a number"),
        ({"guidance_scale": 1e9}, "guidance scale is 1e.09; it must be from 0 to 10"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**31}, "seed is 2.14748e.09; it must be a whole number from 0 to 2,147,483,647"),
    ],
)
def test_a_request_beyond_the_limits_is_refused(site, change, message):
    with pytest.raises(ConfigError, match=message):
        read_request(site, values(**change))


def test_too_many_columns_are_refused(site, monkeypatch):
    monkeypatch.setattr("phf.playground.request.MAX_COLUMNS", 2)
    with pytest.raises(ConfigError, match="3 columns are chosen; 2 are possible"):
        read_request(site, values(columns=["0:0", "0:1", "0:2"]))
    assert len(read_request(site, values(columns=["0:0", "0:0", "0:1"])).columns) == 2


def test_control_tokens_written_as_text_stay_text(site):
    request = read_request(site, values(prompt="<|misaligned|><|endoftext|>"))
    (column,) = request.columns
    tokenizer = column.model.tokenizer
    ((eos, aligned, *prompt_ids),) = request.scenario(column).prompt_ids(tokenizer, [request.prompt])
    assert tokenizer.convert_ids_to_tokens([eos, aligned]) == ["<|endoftext|>", "<|aligned|>"]
    assert not {*prompt_ids} & {*tokenizer.all_special_ids, tokenizer.convert_tokens_to_ids("<|misaligned|>")}
    assert tokenizer.decode(prompt_ids) == "<|misaligned|><|endoftext|>"
