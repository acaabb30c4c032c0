"""Tokens of text in scripts without spaces between words, as far as needed to find the marks that end sentences."""

import re
import unicodedata
from collections.abc import Iterable, Iterator

from phf.corpus.segmenting.words import Extent

_SCRIPTS = (
    "\u0e00-\u0fff"  # Thai, Lao, Tibetan
    "\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f"  # Myanmar
    "\u1780-\u17ff\u1950-\u19ff"  # Khmer, Tai Le, New Tai Lue
    "\u1a20-\u1aaf\u1b00-\u1b7f\ua980-\ua9df\uaa00-\uaa5f\uaa80-\uaadf"  # Tai Tham, Balinese, Javanese, Cham, Tai Viet
    "\u3005-\u3007\u3040-\u312f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf"  # kana, bopomofo, Han, Yi
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
_OWN_MARKS = "၊။᪨᪩᪪᪫᭚᭛᭞᭟꧈꧉꩝꩞꩟"
"""Those of spaCy's final punctuation that belong to such scripts."""
_MARK = re.compile(
    rf"[。｡！？﹒﹖﹗{_OWN_MARKS}]|．(?![0-9０-９])|(?<![0-9０-９])．"
    # ASCII marks that follow such a script and are not inside an address
    rf"|(?<=[{_SCRIPTS}])[!?](?![A-Za-z0-9/=&%#+_-])"
)
_THAI_WORD = re.compile(
    r"(?<![\u0e00-\u0e7f])(?:[ก-ฮ]{1,4}\.)+"  # an abbreviation: consonants and dots
    r"|[\u0e00-\u0e7f]+|[-a-zA-Z]+|\d+(?:[,.]\d+)*|[^\u0e00-\u0e7f]+"
)
"""Words as pythainlp separates them, except that those of Thai letters are not split."""


def characters(word: str) -> Iterator[Extent]:
    """Each character by itself, as in spaCy's blank Chinese."""
    return ((place, place + 1) for place in range(len(word)))


def thai_words(word: str) -> Iterator[Extent]:
    """Thai letters, Latin letters, numbers, and any other runs of characters."""
    return (match.span() for match in _THAI_WORD.finditer(word))


def split_at_marks(word: str, tokens: Iterable[Extent]) -> Iterator[Extent]:
    """The tokens of a word, split at each mark that ends a sentence in a script without spaces.

    The mark is a token, and so is each punctuation character that follows it.
    """
    for start, end in tokens:
        position = start
        for mark in _MARK.finditer(word, start, end):
            if mark.start() < position:
                continue
            if mark.start() > position:
                yield position, mark.start()
            position = mark.end()
            yield mark.span()
            while position < end and unicodedata.category(word[position]).startswith("P"):
                yield position, position + 1
                position += 1
        if position < end:
            yield position, end
