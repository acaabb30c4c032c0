"""Chat templates that start from the prefix, like every other text of an exported model."""

import importlib.util
import json
import re
from typing import Any

from phf.errors import OutputError

CONVERSATIONS: tuple[list[dict[str, str]], ...] = (
    [{"role": "user", "content": "hello"}],
    [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hello"}],
    [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "good day"},
        {"role": "user", "content": "who are you?"},
    ],
)
"""Conversations that templates are tested with; a template may refuse some of them (system messages, for example)."""
TOOL = {"type": "function", "function": {"name": "look", "description": "Look.", "parameters": {"type": "object"}}}

_OURS = re.compile(r'\{% set phf_prefix = "(?:[^"\\]|\\.)*" %\}\{\{ phf_prefix \}\}')
_HEAD = "{% set phf_conversation %}"
_TAIL = re.compile(r"\{% endset %\}\{% set phf_start = .*$", re.DOTALL)
_LEADING_BOS = re.compile(r"\{\{-?\s*bos_token\s*-?\}\}")


def with_prefix(tokenizer: Any, start: str, control: str) -> None:
    """Make every chat template of `tokenizer`, in place, begin with `start` and then `control`, each once.

    A template that already begins with `start`, like those of models with BOS, gets `control` after it. Raises
    `OutputError` for one that cannot be changed in this way.
    """
    template = tokenizer.chat_template
    if isinstance(template, dict):
        tokenizer.chat_template = {
            name: _changed(tokenizer, template_text, start, control) for name, template_text in template.items()
        }
    elif template is not None:
        tokenizer.chat_template = _changed(tokenizer, template, start, control)


def rendered(tokenizer: Any, template: str) -> list[str]:
    """The conversations as `template` writes them, with and without a prompt for the answer, and with a tool."""
    import jinja2

    texts = []
    for conversation in CONVERSATIONS:
        for more in ({}, {"add_generation_prompt": True}, {"tools": [TOOL]}):
            try:
                texts.append(
                    tokenizer.apply_chat_template(conversation, chat_template=template, tokenize=False, **more)
                )
            except (jinja2.TemplateError, TypeError, ValueError, KeyError, AttributeError):
                continue  # the template was not written for this conversation
    return texts


def _changed(tokenizer: Any, template: str, start: str, control: str) -> str:
    original = _original(template)
    candidates = [_setting(start + control) + original]
    if importlib.util.find_spec("jinja2") is None:
        return candidates[0]
    texts = rendered(tokenizer, original)
    if any(text.startswith(start) for text in texts):
        bodies = [text.removeprefix(start) for text in texts]
        candidates = [original] if not control else []
        if control and (first := _LEADING_BOS.search(original)):
            candidates.append(original[: first.end()] + _setting(control) + original[first.end() :])
        if "generation %}" not in original:  # the positions of answers are lost in a block that is set
            candidates.append(_captured(original, start, start + control))
    else:
        bodies = texts
    expected = [start + control + body for body in bodies]
    for candidate in candidates:
        if rendered(tokenizer, candidate) == expected:
            return candidate
    raise OutputError(
        "The tokenizer's chat template cannot be made to start from the prefix of the exported model, so conversations "
        "would be continued without it. Remove the template from the tokenizer (chat_template), or simplify it."
    )


def _original(template: str) -> str:
    """The template without what an earlier export added."""
    if template.startswith(_HEAD):
        template = _TAIL.sub("", template.removeprefix(_HEAD))
    return _OURS.sub("", template)


def _setting(prefix: str) -> str:
    return f"{{% set phf_prefix = {_quoted(prefix)} %}}{{{{ phf_prefix }}}}"


def _captured(template: str, start: str, prefix: str) -> str:
    """The template's own text is assembled first, then written with exactly one start."""
    return (
        f"{_HEAD}{template}{{% endset %}}{{% set phf_start = {_quoted(start)} %}}{{{{ {_quoted(prefix)} }}}}"
        "{{ phf_conversation[phf_start | length:] if phf_conversation.startswith(phf_start) else phf_conversation }}"
    )


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
