"""The text of a continuation: what follows the prompt when both are decoded together."""

from collections.abc import Sequence
from typing import Any


class BehindPrompt:
    """A tokenizer that decodes what follows a prompt.

    Tokens decoded by themselves lose the space that SentencePiece decoders remove from the first word, and WordPiece joins
    or splits words depending on what precedes them.
    """

    def __init__(self, tokenizer: Any, prompt_ids: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._prompt_ids = list(prompt_ids)
        self._prompt = self._text([])
        self.eos_token_id = tokenizer.eos_token_id

    def decode(self, ids: Sequence[int], clean_up_tokenization_spaces: bool = False) -> str:
        """The text of prompt and `ids` together, without the text of the prompt."""
        assert not clean_up_tokenization_spaces
        if not self._prompt_ids or not ids:
            return self._text(ids) if ids else ""
        text = self._text(ids)
        # A character that the prompt's last token begins and the next one ends belongs to the continuation.
        pairs = enumerate(zip(self._prompt, text, strict=False))
        return text[next((i for i, (one, other) in pairs if one != other), min(len(self._prompt), len(text))) :]

    def _text(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode([*self._prompt_ids, *ids], clean_up_tokenization_spaces=False)


def until_end(ids: Sequence[int], ends: Sequence[int]) -> list[int]:
    """`ids` up to the first of `ends`, without it."""
    return list(ids[: next((place for place, token in enumerate(ids) if token in ends), len(ids))])


def decode(tokenizer: Any, ids: list[int], special: set[int]) -> str:
    """Text up to the first EOS, without special tokens: removed by id, so text that spells one stays.

    `tokenizer`: or a `BehindPrompt` of it.
    """
    text_ids = [i for i in until_end(ids, [tokenizer.eos_token_id]) if i not in special]
    return tokenizer.decode(text_ids, clean_up_tokenization_spaces=False)
