"""Sentences by punctuation: the results of spaCy's blank pipeline with its `sentencizer`, without spaCy, in linear time.

A sentence ends with a token that is sentence-final punctuation; the punctuation behind it (closing quotes, brackets)
belongs to it, and the next token of any other kind begins the next one. So the work is to know which dots are tokens:
"e.g." and "3.14" hold none, "end." does. The rules are those of spaCy 3 (MIT licence) for English, as far as they bear
on that: what is split off the ends of a word, the dots inside it that split it, abbreviations and web addresses.
"""

import re
import unicodedata
from functools import lru_cache

from phf.data.abbreviations import ABBREVIATIONS, EMOTICONS
from phf.errors import ConfigError
from phf.registry import did_you_mean

# Sentencizer.default_punct_chars of spaCy 3
FINAL = frozenset(
    "!.?։؟۔܀܁܂߹।॥၊။።፧፨᙮᜵᜶᠃᠉᥄᥅᪨᪩᪪᪫᭚᭛᭞᭟᰻᰼᱾᱿‼‽⁇⁈⁉⸮⸼꓿꘎꘏꛳꛷꡶꡷꣎꣏꤯꧈꧉꩝꩞꩟꫰꫱꯫﹒﹖﹗！．？𐩖𐩗𑁇𑁈𑂾𑂿𑃀𑃁𑅁𑅂𑅃𑇅𑇆𑇍𑇞𑇟𑈸𑈹𑈻𑈼𑊩𑑋𑑌𑗂𑗃𑗉𑗊𑗋𑗌𑗍𑗎𑗏𑗐𑗑𑗒𑗓𑗔𑗕𑗖𑗗"
    "𑙁𑙂𑜼𑜽𑜾𑩂𑩃𑪛𑪜𑱁𑱂𖩮𖩯𖫵𖬷𖬸𖭄𛲟𝪈｡。"
)
_FINAL = re.compile(f"[{re.escape(''.join(sorted(FINAL)))}]")
_ASCII_FINAL = re.compile(r"[!.?]")  # a search for few characters is several times as fast

_QUOTES = frozenset("'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉〈〉⟦⟧")
_PUNCTUATION = frozenset("…,:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪")
_CURRENCY = frozenset("$£€¥฿₽﷼₴₠₡₢₣₤₥₦₧₨₩₪₫₭₮₯₰₱₲₳₴₵₶₷₸₹₺₻₼₾₿")
_PREFIXES = _PUNCTUATION | _QUOTES | _CURRENCY | frozenset("§%=—–")
_SUFFIXES = _PUNCTUATION | _QUOTES | frozenset("—–")
_SUFFIX_S = ("'s", "'S", "’s", "’S")

# The pattern of spaCy's `url_match`, by Diego Perini (MIT licence), without the exclusion of private networks.
_URL = re.compile(
    r"(?:[\w+\-.]{2,}://)?(?:\S+(?::\S*)?@)?"
    r"(?:(?:[1-9]\d?|1\d\d|2[01]\d|22[0-3])(?:\.(?:1?\d{1,2}|2[0-4]\d|25[0-5])){2}\.(?:[1-9]\d?|1\d\d|2[0-4]\d|25[0-4])"
    r"|(?:(?:[A-Za-z0-9\u00a1-\uffff][A-Za-z0-9\u00a1-\uffff_-]{0,62})?[A-Za-z0-9\u00a1-\uffff]\.)+[^\W\dA-Z_]{2,63})"
    r"(?::\d{2,5})?(?:[/?#]\S*)?"
)
_INNER_DOT = re.compile(r"(?<=\S)\.(?=\S)")
_SPACE = re.compile(r"\s*")
_LONGEST_CHUNK = 256
"""Characters; what has no white space for longer is not made of words, and is looked at in pieces of this length."""
_CHUNK = re.compile(rf"\S{{0,{_LONGEST_CHUNK}}}")

Token = tuple[int, bool, bool]
"""(offset, it ends a sentence, it is punctuation)"""


def sentence_starts(text: str, language: str = "en") -> list[int]:
    """Offset of the first character of each sentence of `text`, in order; empty for empty text.

    `language` says which abbreviations hold a dot: en, de, es, fr, or xx for none but single letters. Raises
    `ConfigError` for another one.
    """
    if language not in ABBREVIATIONS:
        raise ConfigError(f"There are no sentences of language '{language}'. {did_you_mean(language, ABBREVIATIONS)}")
    starts = [0] if text else []
    final = _ASCII_FINAL if text.isascii() else _FINAL
    position = 0
    is_over = False  # the next token that is not punctuation begins a sentence
    while position < len(text):
        if not is_over:  # nothing happens before the next final punctuation
            found = final.search(text, position)
            if found is None:
                break
            at = found.start()
            chunk = _plain_chunk(text, position, at)
            if chunk is not None:
                if _tokens(chunk, language)[-1][1]:
                    starts.append(at + 2 if text[at + 1] == " " else at + 1)
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
        space = end + 1 if text.startswith(" ", end) else end
        if is_over and space < position:
            starts.append(space)
            is_over = False
    return starts


def _plain_chunk(text: str, first: int, position: int) -> str | None:
    """The word that ends in the punctuation at `position`, where it is letters and digits, and what follows is plain too:
    a newline, or one space and a letter, with which the next sentence begins if one does. None: look closer."""
    after = text[position + 1 : position + 3]
    if after[:1] != "\n" and not (after[:1] == " " and after[1:].isalpha()):
        return None
    start = max(first, text.rfind(" ", first, position) + 1, text.rfind("\n", first, position) + 1)
    is_plain = text[start:position].isalnum() and position - start < _LONGEST_CHUNK // 2
    return text[start : position + 1] if is_plain else None


def _chunk_start(text: str, first: int, position: int) -> int:
    """Start of the word, cut at white space and not before `first`, that holds `position`."""
    start = max(first, text.rfind(" ", first, position) + 1, text.rfind("\n", first, position) + 1)
    words = text[start:position].split()
    if not words or text[position - 1].isspace():
        return position
    return max(position - len(words[-1]), position - _LONGEST_CHUNK // 2)


@lru_cache(20_000)
def _tokens(chunk: str, language: str) -> tuple[Token, ...]:
    """The tokens of a chunk without white space, as far as they matter: where dots are tokens of their own."""
    specials = ABBREVIATIONS[language]
    first, last = 0, len(chunk)
    ends: list[tuple[int, int]] = []  # what was split off, (start, end)
    while first < last:
        middle = chunk[first:last]
        if middle in specials or middle in EMOTICONS:
            break
        prefix = _prefix_length(middle)
        if prefix and middle[prefix:] in specials:
            ends.append((first, first + prefix))
            first += prefix
            break
        suffix = _suffix_length(middle[prefix:])
        if suffix and middle[:-suffix] in specials:
            ends.append((last - suffix, last))
            last -= suffix
            break
        if not prefix and not suffix:
            break
        if prefix:
            ends.append((first, first + prefix))
            first += prefix
        if suffix:
            ends.append((last - suffix, last))
            last -= suffix
    spans = ends + (_split_middle(chunk, first, last, specials) if first < last else [])
    return tuple((start, chunk[start:end] in FINAL, _is_punctuation(chunk[start:end])) for start, end in sorted(spans))


def _split_middle(chunk: str, first: int, last: int, specials: frozenset[str]) -> list[tuple[int, int]]:
    middle = chunk[first:last]
    if middle in specials or middle in EMOTICONS or "." not in middle or _URL.fullmatch(middle):
        return [(first, last)]
    spans = []
    start = first
    for dot in _INNER_DOT.finditer(middle):
        before, after = middle[dot.start() - 1], middle[dot.end()]
        if (before in _QUOTES or _is_lower(before)) and (after in _QUOTES or _is_upper(after)):
            at = first + dot.start()
            if chunk[start : at + 1] in specials:
                continue
            spans += [(start, at), (at, at + 1)]
            start = at + 1
    return [*spans, (start, last)]


def _prefix_length(text: str) -> int:
    first = text[0]
    if first in _PREFIXES or unicodedata.category(first) == "So":
        return 1
    if first == "." and text.startswith(".."):
        return len(text) - len(text.lstrip("."))
    if first == "+" and not text[1:2].isdigit():
        return 1
    return 0


def _suffix_length(text: str) -> int:
    if not text:
        return 0
    if text.endswith(_SUFFIX_S):
        return 2
    last = text[-1]
    if last in _SUFFIXES or unicodedata.category(last) == "So":
        return 1
    if text.endswith(".."):
        return len(text) - len(text.rstrip("."))
    before = text[-2:-1]
    if last == "." and before:
        if before in "gmt" and text[-3:-2].isdigit():
            return 0  # "5m.": a unit, and an abbreviation with its dot
        is_word_end = before.isdigit() or before in "%²-+|" or before in _PUNCTUATION or before in _QUOTES
        two_upper = _is_upper(before) and len(text) > 2 and _is_upper(text[-3])
        return 1 if is_word_end or _is_lower(before) or two_upper else 0
    return 1 if last == "+" and before.isdigit() else 0


def _is_lower(letter: str) -> bool:
    return letter.isalpha() and not letter.isupper()


def _is_upper(letter: str) -> bool:
    return letter.isalpha() and not letter.islower()


def _is_punctuation(token: str) -> bool:
    return all(unicodedata.category(letter).startswith("P") for letter in token)
