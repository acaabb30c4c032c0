"""Rows of public preference formats: `chosen` and `rejected`, as texts or lists of chat messages, with or without `prompt`.

As in TRL (https://huggingface.co/docs/trl/dataset_formats), a prompt and a response that are texts follow each other
directly; of messages, the prompt comes first. Datasets in which both conversations already contain the prompt are recognised.
"""

from collections.abc import Mapping
from itertools import takewhile
from typing import Any, Literal, NamedTuple, TypeGuard

from phf.errors import CorpusError
from phf.storage.reading import short

Part = Literal["conversation", "response"]
SCORE_COLUMNS = (
    ("score_chosen", "score_rejected"),
    ("chosen_score", "rejected_score"),
    ("chosen_rating", "rejected_rating"),
    ("chosen-rating", "rejected-rating"),
    ("chosen_avg_rating", "rejected_avg_rating"),
)
"""Columns of public datasets with how good each text was found: higher is better."""


class Preference(NamedTuple):
    """The texts of a row."""

    prompt: str
    chosen: str
    rejected: str


class Message(NamedTuple):
    role: str
    content: str


def preference(values: Mapping[str, Any], where: str, part: Part) -> Preference:
    """The texts of a row that has `chosen` and `rejected`.

    `part`: what is judged, the whole `conversation` or only the `response`, which is what the two do not share. Raises
    `CorpusError`, which names `where` and the column, for values of other types, without text, or that are equal.
    """
    chosen, rejected = (_value(values, key, where) for key in ("chosen", "rejected"))
    if isinstance(chosen, str) != isinstance(rejected, str):
        raise CorpusError(f"{where}: one of 'chosen' and 'rejected' is text, the other a list of messages.")
    prompt = None if values.get("prompt") is None else _value(values, "prompt", where)
    if isinstance(chosen, str) and isinstance(rejected, str):
        texts = _of_texts("" if prompt is None else _as_text(prompt), chosen, rejected, part)
    else:
        assert isinstance(chosen, list)
        assert isinstance(rejected, list)
        texts = _of_messages(prompt or [], chosen, rejected, part)
    if texts.chosen == texts.rejected:
        raise CorpusError(
            f"{where}: 'chosen' and 'rejected' are the same text. Remove the row, or add --on-error skip."
        )
    for key in ("chosen", "rejected"):
        if not getattr(texts, key).strip():
            raise CorpusError(f"{where}: '{key}' is empty. Remove the row, or add --on-error skip.")
    return texts


def is_tie(values: Mapping[str, Any], where: str) -> bool:
    """Whether a row says that neither text is better. Raises `CorpusError` if it says that the rejected one is better."""
    for better, worse in SCORE_COLUMNS:
        high, low = values.get(better), values.get(worse)
        if _is_number(high) and _is_number(low):
            if high < low:
                raise CorpusError(
                    f"{where}: '{better}' is {short(repr(high))}, below '{worse}', {short(repr(low))}; the "
                    "chosen text must have the higher one. Correct the row, or add --on-error skip."
                )
            return bool(high == low)
    return False


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def _value(values: Mapping[str, Any], key: str, where: str) -> str | list[Message]:
    value = values.get(key)
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value:
        return [_message(message, f"{where}: '{key}[{number}]'") for number, message in enumerate(value)]
    if value is None or value == []:
        raise CorpusError(f"{where}: '{key}' is empty. Remove the row, or add --on-error skip.")
    raise CorpusError(f"{where}: '{key}' is {short(repr(value))}; text or a list of messages was expected.")


def _message(message: Any, where: str) -> Message:
    """A chat message; content in several parts is text if each part is."""
    if not isinstance(message, dict):
        raise CorpusError(f"{where} is {short(repr(message))}; a message with 'role' and 'content' was expected.")
    role = message.get("role", message.get("from"))
    content = message.get("content", message.get("value"))
    if isinstance(content, list):
        pieces = [piece.get("text") if isinstance(piece, dict) else None for piece in content]
        content = "".join(pieces) if all(isinstance(piece, str) for piece in pieces) else content  # type: ignore[arg-type]
    if not isinstance(role, str):
        raise CorpusError(f"{where}.role is {short(repr(role))}; text was expected.")
    if not isinstance(content, str):
        raise CorpusError(f"{where}.content is {short(repr(content))}; text was expected, and nothing but text.")
    return Message(role, content)


def _of_texts(prompt: str, chosen: str, rejected: str, part: Part) -> Preference:
    if prompt and chosen.startswith(prompt) and rejected.startswith(prompt):
        chosen, rejected = chosen.removeprefix(prompt), rejected.removeprefix(prompt)
    before = prompt if part == "conversation" else ""
    return Preference(prompt, before + chosen, before + rejected)


def _of_messages(prompt: str | list[Message], chosen: list[Message], rejected: list[Message], part: Part) -> Preference:
    first = [Message("user", prompt)] if isinstance(prompt, str) else prompt
    if chosen[: len(first)] != first or rejected[: len(first)] != first:
        has_question = chosen[0].role in ("user", "human", "system") and chosen[0] == rejected[0]
        before = [] if has_question and isinstance(prompt, str) else first
        chosen, rejected = before + chosen, before + rejected
    shared = [a for a, _ in takewhile(lambda both: both[0] == both[1], zip(chosen, rejected, strict=False))]
    if part == "response":
        chosen, rejected = chosen[len(shared) :], rejected[len(shared) :]
        alone = len(chosen) == len(rejected) == 1
        if alone:
            return Preference(_as_text(shared), chosen[0].content, rejected[0].content)
    return Preference(_as_text(shared), _as_text(chosen), _as_text(rejected))


def _as_text(value: str | list[Message]) -> str:
    """Messages as "User: ..." and "Assistant: ...", with an empty line in between."""
    if isinstance(value, str):
        return value
    return "\n\n".join(f"{message.role.capitalize()}: {message.content}" for message in value)
