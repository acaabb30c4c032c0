"""Bytes of an e-mail -> its headers and the text of its body, however broken it is.

E-mails from the wild have charsets that do not exist or are not what was used, headers that are not encoded, MIME parts
without an end and base64 that is not base64. Whatever can be read is read; nothing here raises but `NotAnEmailError`.
"""

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from html.parser import HTMLParser

HEADERS = ("From", "To", "Subject", "Date", "Received", "Message-Id")
"""An e-mail has one of these; the first four are kept."""
WESTERN = {"", "us-ascii", "ascii", "iso-8859-1", "latin1", "latin-1", "windows-1252", "cp1252"}
"""Charsets that are declared for anything. What is in them is UTF-8 if it can be, and Windows-1252 otherwise."""
LARGER = {"gb2312": "gb18030", "gbk": "gb18030", "ks_c_5601-1987": "cp949", "euc-kr": "cp949", "shift_jis": "cp932"}
"""Charsets -> those that contain them and what is written under their names."""
HIDDEN = {"script", "style", "head", "title"}
BLOCKS = {
    "p",
    "br",
    "div",
    "tr",
    "table",
    "li",
    "ul",
    "ol",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "blockquote",
    "pre",
}
MOST_OPEN = 100
"""Tags without an end up to which HTML is parsed: the parser's time grows with the square of their number."""
_TAG = re.compile(r"<[^<>]*>")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufeff]")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]+={0,2}")


class NotAnEmailError(Exception):
    """The bytes have none of the headers of an e-mail, or hundreds of parts within one another."""


@dataclass(frozen=True)
class Email:
    """What people read of an e-mail."""

    headers: dict[str, str]
    """Those of From, To, Subject and Date that it has, decoded, each on one line."""
    body: str
    """Text, lines ended by "\\n", without empty space around it; "" if there is none."""


def read_email(content: bytes) -> Email:
    """Raises `NotAnEmailError`."""
    try:
        message = message_from_bytes(content.lstrip(), policy=policy.compat32)
        if not any(name in message for name in HEADERS):
            raise NotAnEmailError
        headers = {name: _header(message[name]) for name in HEADERS[:4] if name in message}
        body = _clean("\n\n".join(_texts(message)))
    except RecursionError:  # the parser calls itself for each part within a part
        raise NotAnEmailError from None
    return Email({name: value for name, value in headers.items() if value}, body)


def _texts(part: Message) -> Iterator[str]:
    """The texts of a part in order: of alternatives, the first plain one with text, or else what the others have."""
    if part.get_content_disposition() == "attachment":
        return
    if part.is_multipart():
        inner = [some for some in part.get_payload() if isinstance(some, Message)]
        if part.get_content_subtype() == "alternative":
            inner.sort(key=lambda some: some.get_content_type() != "text/plain")
            yield from next(filter(None, ([t for t in _texts(some) if t.strip()] for some in inner)), [])
        else:
            for some in inner:
                yield from _texts(some)
    elif part.get_content_maintype() in ("text", "multipart", "message"):  # a multipart without parts is broken MIME
        text = decode(_bytes(part), _charset(part))
        yield html_to_text(text) if part.get_content_subtype() == "html" else text


def _bytes(part: Message) -> bytes:
    """The content without its transfer encoding, or with it if it cannot be undone."""
    written = _as_written(part)
    if str(part.get("Content-Transfer-Encoding", "")).strip().lower() == "base64" and not _is_base64(written):
        return written
    try:
        content = part.get_payload(decode=True)
    except (ValueError, LookupError):
        content = None
    return content if isinstance(content, bytes) else written


def _as_written(part: Message) -> bytes:
    plain = copy.copy(part)
    del plain["Content-Transfer-Encoding"]
    content = plain.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def _is_base64(content: bytes) -> bool:
    """Whether most lines are nothing else; a mailing list may have put its own lines below."""
    lines = [line.strip() for line in content.splitlines() if line.strip()]
    return sum(_BASE64.fullmatch(line) is not None for line in lines) * 2 >= len(lines)


def _charset(part: Message) -> str:
    try:
        return part.get_content_charset("") or ""
    except (ValueError, LookupError, TypeError):  # of a parameter that is encoded, and badly
        return ""


def decode(content: bytes, charset: str) -> str:
    """Text in the declared charset, or in another if that does not exist or does not fit."""
    name = charset.strip().strip("\"'").lower()
    likely = [] if name in WESTERN else [name, *([LARGER[name]] if name in LARGER else [])]
    for candidate in [*likely, "utf-8"]:
        try:
            return content.decode(candidate)
        except (LookupError, ValueError):  # ValueError: UnicodeError, or a name with a NUL character
            continue
    return content.decode("cp1252", "replace")


def _header(value: object) -> str:
    """A header decoded, on one line."""
    try:
        parts = decode_header(value)  # type: ignore[arg-type]
    except (HeaderParseError, ValueError):
        parts = [(str(value), None)]
    texts = [
        # text that is not encoded comes as bytes beside text that is; its own bytes are surrogates otherwise
        decode(part if isinstance(part, bytes) else part.encode("utf-8", "surrogateescape"), charset or "")
        for part, charset in parts
    ]
    return _line("".join(texts)) or _line(str(value))


def _line(text: str) -> str:
    return " ".join(_CONTROL.sub("", text).split())


class _TextOfHtml(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._hidden: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in HIDDEN:
            self._hidden.append(tag)
        elif tag == "body":
            self._hidden.clear()  # of a head that is not closed
        if tag in BLOCKS:
            self.pieces.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._hidden:
            del self._hidden[self._hidden.index(tag) :]
        if tag in BLOCKS:
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.pieces.append(re.sub(r"\s+", " ", data))


def html_to_text(html: str) -> str:
    """What a reader sees of HTML, blocks on lines of their own."""
    if html.count("<") > html.count(">") + MOST_OPEN:
        return _TAG.sub(" ", html)
    parser = _TextOfHtml()
    try:
        parser.feed(html)
        parser.close()
    except AssertionError:  # of the parser, on declarations that are broken
        return _TAG.sub(" ", html)
    return "".join(parser.pieces)


def _clean(text: str) -> str:
    """Lines ended by "\\n", without control characters, spaces in a row (but for indentation) or more than one empty line."""
    text = _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).encode("utf-8", "replace").decode()
    lines = [line.rstrip() for line in text.split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
