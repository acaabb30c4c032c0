"""The tokens of a word as spaCy 3 (MIT licence) makes them of English, without spaCy, in linear time.

A word is text without white space. Prefixes and suffixes are split off its ends, one of each at a time, until what is left
is known (an abbreviation, an emoticon) or has none; then it is split inside, unless it is an address. At the end, tokens
that together are something known become that.
"""

from collections.abc import Callable, Iterator
from functools import cache, lru_cache

from phf.corpus.segmenting.abbreviations import ABBREVIATIONS, CONTRACTIONS, EMOTICONS
from phf.corpus.segmenting.word_rules import (
    DOLLARS,
    DOT_ENDS_WORD,
    ICON,
    INFIX,
    PREFIXES,
    SUFFIX_S,
    SUFFIXES,
    UNIT,
    is_url,
)

_WINDOW = 16
"""Characters that suffice to recognise a suffix other than dots, and what precedes it."""
_DIGITS = frozenset("0123456789")
_SHORT = """
    ' '' 'Cause 'Cos 'Coz 'Cuz 'S 'bout 'cause 'cos 'coz 'cuz 'd 'em 'll 'nuff 're 's ‘S ‘s ’ ’Cause ’Cos ’Coz ’Cuz ’S ’bout
    ’cause ’cos ’coz ’cuz ’d ’em ’ll ’nuff ’re ’s ’’ and/or w/o
"""
_DEGREES = frozenset(f"°{unit}." for unit in "CFKcfk")
"""Known, but consisting of three tokens."""
_OTHERS = (
    frozenset(_SHORT.split()) | EMOTICONS | _DEGREES | {":’(", ":’)", ":’-(", ":’-)", '\\")', "\\n", "\\t", "¯\\(ツ)/¯"}
)

Extent = tuple[int, int]
"""Offsets of the first character and of the one after the last."""


@lru_cache(20_000)
def _short_word(word: str, language: str) -> tuple[Extent, ...]:
    return tuple(_tokens(word, language))


def tokens(word: str, language: str) -> tuple[Extent, ...]:
    """The tokens of a word, in order; together they are the word. `language`: see `phf.corpus.segmenting.abbreviations`."""
    return _short_word(word, language) if len(word) <= 64 else tuple(_tokens(word, language))


def _tokens(word: str, language: str) -> list[Extent]:
    known = _known(language)
    longest = _longest(language)

    def is_known(start: int, end: int) -> bool:
        return 0 < end - start <= longest and word[start:end] in known

    split = list(_split(word, is_known))
    return _joined(word, split, language) if len(split) > 1 else split


@cache
def _known(language: str) -> frozenset[str]:
    return ABBREVIATIONS[language] | _OTHERS | (CONTRACTIONS if language == "en" else frozenset())


@cache
def _longest(language: str) -> int:
    return max(map(len, _known(language)))


def _split(word: str, is_known: Callable[[int, int], bool]) -> Iterator[Extent]:
    first, last = 0, len(word)
    suffixes: list[Extent] = []
    while first < last and not is_known(first, last):
        prefix = _prefix_length(word, first, last)
        if prefix and is_known(first + prefix, last):
            yield first, first + prefix
            first += prefix
            break
        suffix = _suffix_length(word, first + prefix, last)
        if suffix and is_known(first, last - suffix):
            suffixes.append((last - suffix, last))
            last -= suffix
            break
        if not prefix and not suffix:
            break
        if prefix:
            yield first, first + prefix
            first += prefix
        if suffix:
            suffixes.append((last - suffix, last))
            last -= suffix
    if first < last:
        if is_known(first, last):
            yield from _of_known(word, first, last)
        else:
            yield from _split_inside(word, first, last)
    yield from reversed(suffixes)


def _of_known(word: str, first: int, last: int) -> Iterator[Extent]:
    known = word[first:last]
    if known in _DEGREES:
        yield from ((place, place + 1) for place in range(first, last))
    elif known in CONTRACTIONS:
        yield from ((first, last - 1), (last - 1, last))
    else:
        yield first, last


def _split_inside(word: str, first: int, last: int) -> Iterator[Extent]:
    middle = word[first:last]
    infixes = list(INFIX.finditer(middle))
    start = 0
    for infix in [] if infixes and is_url(middle) else infixes:
        if infix.start() == 0:  # so it is in spaCy
            continue
        if infix.start() > start:
            yield first + start, first + infix.start()
        yield first + infix.start(), first + infix.end()
        start = infix.end()
    if start < len(middle):
        yield first + start, last


def _prefix_length(word: str, first: int, last: int) -> int:
    letter = word[first]
    if letter in PREFIXES:
        return 1
    if letter == "+":
        return 0 if first + 1 < last and word[first + 1] in _DIGITS else 1
    if letter == ".":
        return _num_dots(word, first, last, 1)
    if letter in "UCA":
        return next((len(dollars) for dollars in DOLLARS if word.startswith(dollars, first, last)), 0)
    return 1 if ICON.match(letter) else 0


def _suffix_length(word: str, first: int, last: int) -> int:
    if first >= last:
        return 0
    letter = word[last - 1]
    if letter == ".":
        if dots := _num_dots(word, last - 1, first - 1, -1):
            return dots
        return 1 if DOT_ENDS_WORD.search(word, max(first, last - 3), last - 1) else 0
    if letter in SUFFIXES:
        return 2 if letter == "…" and last - 2 >= first and word[last - 2] == "…" else 1
    ending = word[max(first, last - _WINDOW) : last]
    if ending.endswith(SUFFIX_S):
        return 2
    if letter == "+":
        return 1 if ending[-2:-1] in _DIGITS else 0
    if ICON.match(letter):
        return 1
    unit = UNIT.search(ending) if not _DIGITS.isdisjoint(ending) else None
    return len(ending) - unit.start() if unit else 0


def _num_dots(word: str, start: int, stop: int, step: int) -> int:
    """The number of dots from `start` on, if there are several."""
    end = start
    while end != stop and word[end] == ".":
        end += step
    number = abs(end - start)
    return number if number > 1 else 0


@cache
def _patterns(language: str) -> dict[str, list[tuple[str, ...]]]:
    """First token that a known word would have if it were not known -> all its tokens; only for words that would be split."""
    patterns: dict[str, list[tuple[str, ...]]] = {}
    for known in _known(language):
        parts = tuple(known[start:end] for start, end in _split(known, lambda start, end: False))
        if len(parts) > 1:
            patterns.setdefault(parts[0], []).append(parts)
    return patterns


def _joined(word: str, split: list[Extent], language: str) -> list[Extent]:
    """The tokens, with those that together form something known merged into one; the longest first."""
    patterns = _patterns(language)
    texts = [word[start:end] for start, end in split]
    matches = [
        (-len(pattern), index)
        for index, text in enumerate(texts)
        for pattern in patterns.get(text, ())
        if tuple(texts[index : index + len(pattern)]) == pattern
    ]
    if not matches:
        return split
    joined: dict[int, int] = {}  # first token -> how many
    taken: set[int] = set()
    for negative, index in sorted(matches):
        inside = range(index, index - negative)
        if taken.isdisjoint((inside[0], inside[-1])):
            joined[index] = len(inside)
        taken.update(inside)
    result: list[Extent] = []
    index = 0
    while index < len(split):
        number = joined.get(index, 1)
        start, end = split[index][0], split[index + number - 1][1]
        result.extend(_of_known(word, start, end) if number > 1 else [(start, end)])
        index += number
    return result
