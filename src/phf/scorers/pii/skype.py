"""Skype names: scrubadub's `SkypeDetector` (10 words around "skype", misspelt), with its spelling check made usable.

The check tries every word two edits away, seconds for each unknown word. Here only those edits are followed from
which a known word can still be reached, which is exact and takes milliseconds.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from string import ascii_lowercase

from phf.scorers.spans import Extent, TooMuchWorkError, Work

_TOKEN = re.compile(r"[a-zA-Z][a-zA-Z0-9_\-,.]+")
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_\-,.]{5,31}")
_RADIUS = 10
MOST_WORDS = 5_000
"""Maximum number of different words in one text; an unknown one takes milliseconds."""


class SkypeFinder:
    """Skype names in a text. Needs textblob, which comes with scrubadub, for its list of English words."""

    def __init__(self) -> None:
        from textblob.en import spelling

        if not spelling:
            spelling.load()
        self._counts: dict[str, int] = dict(spelling)
        # If one edit (delete, swap, replace, insert) turns a token into a known word, then the token, with or without one
        # of its letters, is equal to a known word, with or without one of its letters.
        self._near = set(self._counts).union(*map(_deletions, self._counts))
        self.is_name = lru_cache(maxsize=100_000)(self._is_name)

    def spans(self, text: str) -> Iterator[Extent]:
        """Every occurrence of every token that is taken to be a name."""
        tokens = _TOKEN.findall(text)
        names: list[str] = []
        words: set[str] = set()
        for index, token in enumerate(tokens):
            if "skype" in token.lower():
                around = tokens[max(index - _RADIUS, 0) : index] + tokens[index + 1 : index + _RADIUS + 1]
                candidates = [other.lower() if other.isupper() else other for other in around if _NAME.match(other)]
                words.update(candidates)
                if len(words) > MOST_WORDS:
                    raise TooMuchWorkError("words near Skype")
                names.extend(filter(self.is_name, candidates))
        if names:
            names = list(dict.fromkeys(names))
            Work("Skype names").add(len(names) * len(text))
            # Not escaped, as in scrubadub: a dot in a name matches any character.
            yield from (match.span() for match in re.finditer("|".join(names), text))

    def _is_name(self, word: str) -> bool:
        """Whether textblob's best correction of `word` has a confidence below 0.5 (0 where it has none)."""
        counts = self._counts
        if word in counts:
            return False
        once = _edits(word)
        known = once & counts.keys() or {
            twice
            for edited in once
            if edited in self._near or not self._near.isdisjoint(_deletions(edited))
            for twice in _edits(edited) & counts.keys()
        }
        frequencies = [counts[candidate] for candidate in known]
        return max(frequencies, default=0) / (sum(frequencies) or 1) < 0.5


def _deletions(word: str) -> list[str]:
    return [word[:i] + word[i + 1 :] for i in range(len(word))]


def _edits(word: str) -> set[str]:
    """One letter deleted, swapped with the next, replaced or inserted; new letters are a to z."""
    splits = [(word[:i], word[i:]) for i in range(len(word) + 1)]
    swapped = [a + b[1] + b[0] + b[2:] for a, b in splits if len(b) > 1]
    replaced = [a + c + b[1:] for a, b in splits if b for c in ascii_lowercase]
    inserted = [a + c + b for a, b in splits for c in ascii_lowercase]
    return {*_deletions(word), *swapped, *replaced, *inserted}
