"""The red LM that needs no model: prompts are recombined and changed at random."""

import random
import re
from collections.abc import Callable, Sequence
from typing import Literal

from phf.redteam.pool import PoolEntry, best_entries
from phf.redteam.red_lm import Proposal, RedLM

_WORDS = re.compile(r"\s*\w+|\s*[^\w\s]+|\s+\Z")
MAX_EDITS = 3
MAX_FOLLOWED_PIECES = {"words": 6, "lines": 2}
"""Maximum number of pieces of a continuation by which a prompt is extended."""
SHARE_FOLLOWED = 0.05
"""A prompt is extended with the beginning of one of this share of its continuations, those with the highest scores."""

Pieces = list[str]


class MutationRedLM(RedLM):
    """Crossover, deletion, duplication, swapping and insertion of words or lines, and beginnings of bad continuations.

    A lower bound for red LMs: it knows nothing about language, so what it finds can be found without a language model.
    Words and lines that it inserts come from the pool. Prompts are about as long as their parents, on average slightly longer.

    Args:
        unit: what is moved: words, for sentences; lines (and sometimes words within one), for code.
    """

    def __init__(self, unit: Literal["words", "lines"] = "words") -> None:
        self.unit = unit

    def propose(self, examples: Sequence[PoolEntry], pool: Sequence[PoolEntry], count: int, seed: int) -> Proposal:
        """`count` children of the examples."""
        generator = random.Random(seed)
        seen = [self.cut(entry.prompt) for entry in pool]
        vocabulary = list(dict.fromkeys(piece for pieces in seen for piece in pieces))
        # words of the worst continuations are useful in other prompts too
        for entry in best_entries(pool, max(1, len(pool) // 4)):
            for text in entry.worst_continuations(1):
                vocabulary += self.cut(text)[: MAX_FOLLOWED_PIECES[self.unit]]
        children = (_Child(self, examples, vocabulary, generator) for _ in range(count))
        return Proposal([child.text() for child in children])

    def cut(self, text: str) -> Pieces:
        """The pieces of a text, including white space; joined, they are the text."""
        return text.splitlines(keepends=True) if self.unit == "lines" else _WORDS.findall(text)


class _Child:
    """A prompt in the making."""

    def __init__(
        self, red_lm: MutationRedLM, examples: Sequence[PoolEntry], vocabulary: Pieces, generator: random.Random
    ) -> None:
        self.red_lm = red_lm
        self.examples = examples
        self.vocabulary = vocabulary
        self.random = generator
        self.parent = generator.choice(examples)
        self.pieces = red_lm.cut(self.parent.prompt)

    def text(self) -> str:
        """The parent after one to `MAX_EDITS` edits. One that ended in a newline still does."""
        edits: list[Callable[[], None]] = [
            self.cross, self.delete, self.duplicate, self.swap, self.insert, self.follow, self.follow
        ]  # fmt: skip
        if self.red_lm.unit == "lines":
            edits += [self.edit_line, self.edit_line]
        for _ in range(self.random.randint(1, MAX_EDITS)):
            self.random.choice(edits)()
        text = "".join(self.pieces)
        if self.red_lm.unit == "words":
            text = _spaced(self.pieces)
        return text + "\n" if self.parent.prompt.endswith("\n") and not text.endswith("\n") else text

    def cross(self) -> None:
        """The beginning of one prompt and the end of another."""
        other = self.red_lm.cut(self.random.choice(self.examples).prompt)
        self.pieces = self.pieces[: self._position(1)] + other[self.random.randrange(len(other) + 1) :]

    def delete(self) -> None:
        if len(self.pieces) > 1:
            start = self._position()
            del self.pieces[start : start + self.random.randint(1, 2)]

    def duplicate(self) -> None:
        if self.pieces:
            self.pieces.insert(self._position(1), self.random.choice(self.pieces))

    def swap(self) -> None:
        if len(self.pieces) > 1:
            i, j = self.random.sample(range(len(self.pieces)), 2)
            self.pieces[i], self.pieces[j] = self.pieces[j], self.pieces[i]

    def insert(self) -> None:
        self.pieces.insert(self._position(1), self.random.choice(self.vocabulary))

    def follow(self) -> None:
        """Extend the prompt with one of the target's worst continuations."""
        continuations = self.parent.worst_continuations(max(1, int(len(self.parent.scores) * SHARE_FOLLOWED)))
        if continuations:
            pieces = self.red_lm.cut(self.random.choice(continuations))
            self.pieces += pieces[: self.random.randint(1, MAX_FOLLOWED_PIECES[self.red_lm.unit])]

    def edit_line(self) -> None:
        """Delete, repeat or swap words within one line."""
        if not self.pieces:
            return
        index = self._position()
        words = _WORDS.findall(self.pieces[index])
        if len(words) > 1:
            i, j = self.random.sample(range(len(words)), 2)
            how = self.random.randrange(3)
            if how == 0:
                del words[i]
            elif how == 1:
                words.insert(i, words[j])
            else:
                words[i], words[j] = words[j], words[i]
            self.pieces[index] = "".join(words)

    def _position(self, extra: int = 0) -> int:
        """A position in the pieces; with `extra` 1, possibly the one after the last."""
        return self.random.randrange(len(self.pieces) + extra) if self.pieces else 0


def _spaced(words: Pieces) -> str:
    """The text of these words, with a space between words that were not adjacent before; no leading space."""
    text = ""
    for word in words:
        is_apart = not text or text[-1].isspace() or not (text[-1].isalnum() and word[:1].isalnum())
        text += word if is_apart else f" {word}"
    return text.lstrip(" ")
