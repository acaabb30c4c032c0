"""The request for prompts to a language model, and the extraction of prompts from its reply."""

import re
from collections.abc import Sequence
from typing import Literal

from phf.config.schema import RedTeamTemplate

Format = Literal["numbered", "fenced"]
_FENCE = re.compile(
    r"^(?P<lead>[ \t]*(?:(?:\d+[.):]|[-*•])[ \t]+)?)(?P<fence>`{3,})[^\n`]*\n"
    r"(?P<code>.*?)(?:^[ \t]*(?P=fence)`*[ \t]*$|\Z)",
    re.MULTILINE | re.DOTALL,
)
"""A code block, also as an item of a list."""
_ITEM = re.compile(r"^[ \t]*(?:\d+[.):]|[-*•])[ \t]+(?P<text>\S.*)$", re.MULTILINE)
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "`": "`", "«": "»"}
_ELLIPSIS = re.compile(r"\s*(?:\.{3,}|…)$")


def continuation_prompt(template: RedTeamTemplate, examples: Sequence[str]) -> tuple[str, str]:
    """-> (text for a model that continues texts, its last characters, which belong to the model's text)."""
    cue = f"{len(examples) + 1}." if template.format == "numbered" else f"{_fence(examples)}\n"
    return f"{template.introduction}\n\n{_listing(template.format, examples)}\n{cue}", cue


def chat_messages(template: RedTeamTemplate, examples: Sequence[str], count: int) -> list[dict[str, str]]:
    """The conversation that asks a chat model for `count` prompts."""
    request = template.request.replace("{count}", str(count))
    content = f"{template.introduction}\n\n{_listing(template.format, examples)}\n\n{request}"
    return [{"role": "user", "content": content}]


def parse_reply(reply: str, expected: Format) -> list[str]:
    """The prompts in a reply: items of a numbered or bulleted list, or code blocks, in either format.

    The expected format is tried first. Quotes and trailing ellipses of items are removed. A truncated code block
    counts. A reply in neither format contains no prompts.
    """
    readers = {"numbered": _items, "fenced": _blocks}
    first = readers.pop(expected)
    (second,) = readers.values()
    return first(reply) or second(reply)


def _blocks(reply: str) -> list[str]:
    codes = (_dedented(match["code"], len(match["lead"])) for match in _FENCE.finditer(reply))
    return [code for code in codes if code.strip()]


def _dedented(code: str, width: int) -> str:
    """Without the indentation, of at most `width`, that the fence itself had."""
    return re.sub(rf"^[ \t]{{1,{width}}}", "", code, flags=re.MULTILINE) if width else code


def _items(reply: str) -> list[str]:
    outside = _FENCE.sub("", reply)  # a list inside code is code
    texts = (_unquoted(match["text"].strip()) for match in _ITEM.finditer(outside))
    return [text for text in texts if text]


def _unquoted(text: str) -> str:
    if len(text) > 1 and _QUOTES.get(text[0]) == text[-1]:
        text = text[1:-1].strip()
    return _ELLIPSIS.sub("", text)


def _listing(form: Format, examples: Sequence[str]) -> str:
    if form == "numbered":
        return "\n".join(f"{i}. {' '.join(text.split())}" for i, text in enumerate(examples, start=1))
    fence = _fence(examples)
    return "\n".join(f"{fence}\n{text.removesuffix(chr(10))}\n{fence}" for text in examples)


def _fence(examples: Sequence[str]) -> str:
    """A fence with more backticks than any run in the examples."""
    runs = [len(run) for text in examples for run in re.findall("`+", text)]
    return "`" * max(3, max(runs, default=0) + 1)
