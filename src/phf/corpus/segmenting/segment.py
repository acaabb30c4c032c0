"""Cutting documents into segments. For every segmenter, `"".join(segments) == text`."""

import re
from collections.abc import Callable, Iterator
from io import StringIO
from itertools import pairwise

from phf.errors import ConfigError
from phf.registry.names import did_you_mean

MAX_CHARS = 100_000
"""Longest line or sentence; anything longer is not a real line and is cut, at white space if possible."""
_OTHER_ENDS = "\v\f\x1c\x1d\x1e\x85\u2028\u2029"
"""Where `str.splitlines` ends a line and a file does not."""
_LAST_SPACE = re.compile(r"\s(?=\S*\Z)")
_SPACE_WINDOW = 1000
"""Characters before the cut that are searched for white space."""


def lines(text: str) -> list[str]:
    """Lines with their ends, as Python reads a file: "\\n", "\\r\\n" and "\\r" end a line, form feeds and "\\u2028" do not."""
    for end in _OTHER_ENDS:
        if end in text:
            return StringIO(text, newline="").readlines()
    return text.splitlines(keepends=True)  # the same then, and faster


def sentences(text: str, language: str = "en") -> list[str]:
    """Sentences as spaCy's blank English pipeline with its `sentencizer` cuts them, each with its trailing space.

    As in spaCy, white space other than that one space begins the next sentence. Unlike in spaCy, marks such as "。" end
    a sentence even between words without spaces. `language`: see `phf.corpus.segmenting.sentences.sentence_starts`.
    """
    from phf.corpus.segmenting.sentences import sentence_starts  # its rules take a moment to compile

    return [text[start:end] for start, end in pairwise([*sentence_starts(text, language), len(text)])]


def document(text: str) -> list[str]:
    """The whole text as one segment."""
    return [text] if text else []


SEGMENTERS: dict[str, Callable[[str], list[str]]] = {"lines": lines, "sentences": sentences, "document": document}


def segmenter(how: str) -> Callable[[str], list[str]]:
    """The segmenter called `how`: lines, sentences, document, or sentences with a language such as `sentences:de`.

    Raises `ConfigError` for another name, before any document is read.
    """
    name, separator, language = how.partition(":")
    if name not in SEGMENTERS or (separator and name != "sentences"):
        raise ConfigError(f"There is no segmenter '{how}'. {did_you_mean(how, SEGMENTERS)}")
    if not separator:
        return SEGMENTERS[name]
    sentences("", language)  # the language is known
    return lambda text: sentences(text, language)


def segment(text: str, how: str, max_chars: int = MAX_CHARS) -> list[str]:
    """Cut `text` with the segmenter called `how`; no segment is empty, no line or sentence longer than `max_chars`.

    Takes time linear in the text. Raises `ConfigError` for an unknown name.
    """
    segments = segmenter(how)(text)
    is_ours = how != "lines"  # Python's own cutting of lines keeps every character
    if how != "document" and len(text) > max_chars and max(map(len, segments)) > max_chars:
        segments = [piece for long in segments for piece in _pieces(long, max_chars)]
        is_ours = True
    if is_ours:
        assert "".join(segments) == text, f"segmenter {how} changed the text"
    return segments


def _pieces(text: str, max_chars: int) -> Iterator[str]:
    start = 0
    while len(text) - start > max_chars:
        end = start + max_chars
        window = max(start, end - _SPACE_WINDOW)
        space = _LAST_SPACE.search(text[window:end])
        if space is not None:
            end = window + space.end()
        yield text[start:end]
        start = end
    yield text[start:]
