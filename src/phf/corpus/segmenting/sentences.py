"""Sentences by punctuation: the results of spaCy's blank pipeline with its `sentencizer`, without spaCy, in linear time.

A sentence ends with a token that is sentence-final punctuation; the punctuation after it (closing quotes, brackets)
belongs to it, and the next token of any other kind begins the next one. So the task is to determine which dots are
tokens: "e.g." and "3.14" contain none, "end." does. `words` has the rules of spaCy 3 (MIT licence) for English, `unspaced` what
is needed for scripts that put no space between words, where English rules would see one long word: there a final mark ends
a sentence wherever it stands, in every language.
"""

import re
import unicodedata
from collections.abc import Iterable

from phf.corpus.segmenting.abbreviations import ABBREVIATIONS
from phf.corpus.segmenting.unspaced import characters, split_at_marks, thai_words
from phf.corpus.segmenting.words import Extent, tokens
from phf.errors import ConfigError
from phf.registry.names import did_you_mean

# Sentencizer.default_punct_chars of spaCy 3
FINAL = frozenset(
    "!.?։؟۔܀܁܂߹।॥၊။።፧፨᙮᜵᜶᠃᠉᥄᥅᪨᪩᪪᪫᭚᭛᭞᭟᰻᰼᱾᱿‼‽⁇⁈⁉⸮⸼꓿꘎꘏꛳꛷꡶꡷꣎꣏꤯꧈꧉꩝꩞꩟꫰꫱꯫﹒﹖﹗！．？𐩖𐩗𑁇𑁈𑂾𑂿𑃀𑃁𑅁𑅂𑅃𑇅𑇆𑇍𑇞𑇟𑈸𑈹𑈻𑈼𑊩𑑋𑑌𑗂𑗃𑗉𑗊𑗋𑗌𑗍𑗎𑗏𑗐𑗑𑗒𑗓𑗔𑗕𑗖𑗗"
    "𑙁𑙂𑜼𑜽𑜾𑩂𑩃𑪛𑪜𑱁𑱂𖩮𖩯𖫵𖬷𖬸𖭄𛲟𝪈｡。"
)
_FINAL = re.compile(f"[{re.escape(''.join(sorted(FINAL)))}]")
_ASCII_FINAL = re.compile(r"[!.?]")  # a search for few characters is several times as fast

_SPACE = re.compile(r"\s*")
_CHUNK = re.compile(r"\S*")
_PLAIN_CHARS = 64
"""Maximum length of a word that is examined on its own."""

LANGUAGES = (*ABBREVIATIONS, "zh", "ja", "th")

Token = tuple[int, bool, bool]
"""(offset, it ends a sentence, it is punctuation)"""


def sentence_starts(text: str, language: str = "en") -> list[int]:
    """Offset of the first character of each sentence of `text`, in order; empty for empty text.

    `language` determines which abbreviations contain a dot: en, de, es, fr, ja (those of English), or xx for none but single
    letters; zh: every character is a token, every dot ends a sentence, as in spaCy's blank Chinese; th: what pythainlp
    treats as words, as far as that is known without its dictionary, and a space begins the next sentence, as in spaCy's
    blank Thai. Raises `ConfigError` for any other language.
    """
    if language not in LANGUAGES:
        raise ConfigError(
            f"There are no sentence rules for the language '{language}'. {did_you_mean(language, LANGUAGES)}"
        )
    spaces_before = 0 if language == "th" else 1  # that belong to the word before them
    starts = [0] if text else []
    final = _ASCII_FINAL if text.isascii() else _FINAL
    position = 0
    is_over = False  # the next token that is not punctuation begins a sentence
    while position < len(text):
        if not is_over:  # nothing happens before the next final punctuation
            mark = final.search(text, position)
            if mark is None:
                break
            at = mark.start()
            chunk = _plain_chunk(text, position, at)
            if chunk is not None:
                if _tokens(chunk, language)[-1][1]:
                    starts.append(at + 1 + spaces_before if text[at + 1] == " " else at + 1)
                position = at + 1
                continue
            position = _chunk_start(text, position, at)
        end = _CHUNK.match(text, position).end()  # type: ignore[union-attr]
        for offset, ends_sentence, is_punctuation in _tokens(text[position:end], language):
            if is_over and not is_punctuation and not ends_sentence:
                starts.append(position + offset)
                is_over = False
            elif ends_sentence:
                is_over = True
        position = _SPACE.match(text, end).end()  # type: ignore[union-attr]
        # One space belongs to the token before it; other white space is a token of its own.
        space = end + spaces_before if text.startswith(" ", end) else end
        if is_over and space < position:
            starts.append(space)
            is_over = False
    return starts


def _plain_chunk(text: str, first: int, position: int) -> str | None:
    """The word that ends in the punctuation at `position`, if it is letters and digits, and what follows is plain too:
    a newline, or one space and a letter, where the next sentence would begin. None: a closer look is needed."""
    after = text[position + 1 : position + 3]
    if after[:1] != "\n" and not (after[:1] == " " and after[1:].isalpha()):
        return None
    start = max(first, text.rfind(" ", first, position) + 1, text.rfind("\n", first, position) + 1)
    is_plain = text[start:position].isalnum() and position - start < _PLAIN_CHARS
    return text[start : position + 1] if is_plain else None


def _chunk_start(text: str, first: int, position: int) -> int:
    """Start of the word, cut at white space and not before `first`, that holds `position`."""
    start = max(first, text.rfind(" ", first, position) + 1, text.rfind("\n", first, position) + 1)
    words = text[start:position].split()
    if not words or text[position - 1].isspace():
        return position
    return position - len(words[-1])


def _tokens(chunk: str, language: str) -> list[Token]:
    """The tokens of a chunk without white space."""
    return [
        (start, chunk[start:end] in FINAL, _is_punctuation(chunk[start:end])) for start, end in _words(chunk, language)
    ]


def _words(chunk: str, language: str) -> Iterable[Extent]:
    if language == "zh":
        return characters(chunk)
    if language == "th":
        return thai_words(chunk)
    words = tokens(chunk, "en" if language == "ja" else language)
    return words if chunk.isascii() else split_at_marks(chunk, words)


def _is_punctuation(token: str) -> bool:
    return all(unicodedata.category(letter).startswith("P") for letter in token)
