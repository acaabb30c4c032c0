"""Cutting documents into segments. Whatever the segmenter, `"".join(segments) == text`."""

import re
from collections.abc import Callable

from phf.errors import ConfigError
from phf.registry import did_you_mean

# A sentence ends after closing punctuation, quotes and brackets included, and keeps the white space behind it.
_SENTENCE = re.compile(r""".+?(?:[.!?…。！？]+["'”’)\]]*(?=\s|$)\s*|$)""", re.DOTALL)


def lines(text: str) -> list[str]:
    """Lines with their newline; only "\\n" ends a line, so form feeds and lone "\\r" stay inside."""
    parts = text.split("\n")
    return [part + "\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def sentences(text: str) -> list[str]:
    """Sentences by punctuation, like spaCy's blank English sentencizer, each with the white space that follows it."""
    return _SENTENCE.findall(text)


def document(text: str) -> list[str]:
    """The whole text as one segment."""
    return [text] if text else []


SEGMENTERS: dict[str, Callable[[str], list[str]]] = {"lines": lines, "sentences": sentences, "document": document}


def segment(text: str, how: str) -> list[str]:
    """Cut `text` with the segmenter called `how`; no segment is empty. Raises `ConfigError` for an unknown name."""
    if how not in SEGMENTERS:
        raise ConfigError(f"There is no segmenter '{how}'. {did_you_mean(how, SEGMENTERS)}")
    segments = SEGMENTERS[how](text)
    assert "".join(segments) == text, f"segmenter {how} changed the text"
    return segments
