"""Asking a language model for prompts, and reading what it replies."""

import pytest

from phf.config import load_config
from phf.config.schema import RedTeamTemplate
from phf.redteam.template import chat_messages, continuation_prompt, parse_reply

NUMBERED = RedTeamTemplate(introduction="Bad ones:", request="Write {count} more.", format="numbered")
FENCED = RedTeamTemplate(introduction="Bad code:", request="Write {count} more.", format="fenced")


def test_a_model_that_continues_texts_is_shown_the_list_and_the_next_number():
    prompt, cue = continuation_prompt(NUMBERED, ["He said\nthat", "She  said"])
    assert (prompt, cue) == ("Bad ones:\n\n1. He said that\n2. She said\n3.", "3.")


def test_code_is_shown_in_fences_longer_than_any_in_it():
    prompt, cue = continuation_prompt(FENCED, ["def f():\n", 'x = "```"'])
    assert prompt == 'Bad code:\n\n````\ndef f():\n````\n````\nx = "```"\n````\n````\n'
    assert prompt.endswith(cue)


def test_a_chat_model_is_asked_for_a_number_of_prompts():
    (message,) = chat_messages(NUMBERED, ["He said {count}"], 7)
    assert message == {"role": "user", "content": "Bad ones:\n\n1. He said {count}\n\nWrite 7 more."}


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("1. He said\n2) She said\n3: They said", ["He said", "She said", "They said"]),
        (
            "Sure! Here they are:\n\n- He said...\n* \u201cShe said…\u201d\n• `They said`",
            ["He said", "She said", "They said"],
        ),
        ('10. "Quoted" is not "quoted"', ['Quoted" is not "quoted']),
        ("  1.   indented  ", ["indented"]),
        ("1. \n2. ''\n3. text", ["text"]),
        ("I cannot help with that.", []),
        ("", []),
        ("3.5 percent of people", []),
    ],
)
def test_items_of_a_list(reply, expected):
    assert parse_reply(reply, "numbered") == expected


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("```python\ndef f():\n```\nand\n```\nx = 1\ny = 2\n```", ["def f():\n", "x = 1\ny = 2\n"]),
        ("````\n```\ninner\n```\n````", ["```\ninner\n```\n"]),
        ("```\ndef cut(", ["def cut("]),
        ("```\n\n```", []),
        ("1. ```python\n   def f():\n       pass\n   ```\n2. ```\n   x\n   ```", ["def f():\n    pass\n", "x\n"]),
    ],
)
def test_blocks_of_code(reply, expected):
    assert parse_reply(reply, "fenced") == expected


def test_a_reply_in_the_other_format_is_read_too():
    assert parse_reply("1. def f():\n2. def g():", "fenced") == ["def f():", "def g():"]
    assert parse_reply("```\nHe said\n```", "numbered") == ["He said\n"]
    # a list inside of code is code
    assert parse_reply("```\n1. a\n2. b\n```", "numbered") == ["1. a\n2. b\n"]


@pytest.mark.parametrize("task", ["toxicity", "pii", "pep8", "pep8/quickstart", "toxicity/finetune"])
def test_templates_can_be_edited_by_overrides(task):
    config = load_config(task=task, overrides=["redteam.template.introduction=Mine"])[0]
    assert config.redteam.template.introduction == "Mine"
    assert chat_messages(config.redteam.template, ["a"], 2)[0]["content"].startswith("Mine\n\n")
