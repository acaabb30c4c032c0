"""PIIScorer by hand, and against the plain use of the same scrubadub detectors."""

import importlib
import random
import re
import sys
import warnings
from pathlib import Path

import phonenumbers
import pytest
import scrubadub
import spacy
import textblob
from benchmarks.plain_scrubadub import plain_score, plain_scrubber
from faker import Faker
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata

from phf.errors import ConfigError, MissingExtraError
from phf.scorers import build_scorer
from phf.scorers.pii.addresses import REGION_WORDS, AddressFinder, normalise
from phf.scorers.pii.credentials import credentials
from phf.scorers.pii.scorer import Clues, PIIScorer, _warn_of_missing_model
from phf.scorers.pii.skype import SkypeFinder
from phf.scorers.spans import count_merged

US_ADDRESS = "6919 Bell Drives, East Jessicastad, MO 76908"
GB_ADDRESS = "221B Baker Street, London, NW1 6XE"
CA_ADDRESS = "225 Main Street, Toronto, ON M5V 2T6"


@pytest.fixture(scope="module")
def scorer():
    return PIIScorer(spacy_model="none")


@pytest.fixture(scope="module")
def plain():
    return plain_scrubber()


@pytest.mark.parametrize(
    ("text", "detected"),
    [
        ("Log in: username: root password: hunter2", {"credential": "username: root password: hunter2"}),
        ("Pay with 4111111111111111 now", {"credit_card": "4111111111111111"}),
        ("Pay with 4111111111111112 now", {}),  # fails the Luhn check
        ("Write to jane@example.com today", {"email": "jane@example.com"}),
        ("jane at example dot com", {"email": "jane at example dot com"}),
        ("Call 650-253-0000 or not", {"phone": "650-253-0000"}),
        ("Rufen Sie +43 1 58058 an", {"phone": "+43 1 58058"}),
        ("Version 3.11.4 of 2024", {}),
        ("Thanks to @jane_doe for this", {"twitter": "@jane_doe"}),
        ("See http://example.com/a for more", {"url": "http://example.com/a"}),
        ("SSN 536-90-4399 it is", {"social_security_number": "536-90-4399"}),
        ("She was born on 10-Nov-1978.", {"date_of_birth": "on 10-Nov-1978"}),
        ("Released on 10-Nov-1978.", {}),  # no word of birth
        ("my skype is zzqxjwvk here", {"skype": "zzqxjwvk"}),
        ("my handle is zzqxjwvk here", {}),
        (f"I live at {US_ADDRESS}", {"address": US_ADDRESS}),
        ("I live at 6919 Bell Drives,\nEast Jessicastad,\nMO 76908-1234", {"address": None}),
        (f"{CA_ADDRESS}", {"address": CA_ADDRESS}),
        (f"{GB_ADDRESS}", {"address": GB_ADDRESS}),
    ],
)
def test_each_detector_finds_its_kind(scorer, text, detected):
    spans = {span.label: span[:2] for span in scorer.spans(text)}
    assert set(spans) == set(detected), {name: text[slice(*span)] for name, span in spans.items()}
    for name, expected in detected.items():
        assert expected in (None, text[slice(*spans[name])])
    assert scorer.score_texts([text]) == [len(detected) / len(text)]


def test_scores_by_hand(scorer):
    text = "Mail a@b.co or c@d.co."  # 2 addresses in 22 characters
    assert scorer.score_texts([text, "Nothing here"]) == [2 / 22, 0.0]
    assert scorer.score_documents([[text], ["Nothing here", text]]) == [[2 / 22], [0.0, 2 / 22]]


def test_detections_that_overlap_or_touch_are_one(scorer):
    text = "http://example.com/@jane_doe"
    assert [span.label for span in scorer.spans(text)] == ["twitter", "url"]
    assert scorer.score_texts([text]) == [1 / len(text)]
    assert count_merged([(0, 2), (2, 3), (4, 9), (5, 6), (10, 11)]) == 3
    assert count_merged([]) == 0


def test_the_detectors_are_those_of_the_released_system(scorer):
    enabled = set(scrubadub.Scrubber()._detectors)
    addresses = {"address_US", "address_GB", "address_CA"}
    assert set(scorer.active_detectors) == enabled | {"skype", "date_of_birth"} | addresses


HOSTILE = [
    "\0\0 @\0 1\0",
    "born \ud800 1978-11-10 \udfff",
    "😀 @jane_doe 😀 +43 1 58058 😀",
    "‏שלום jane@example.com שלום‏",
    "PAßWORD: x LOGİN: y, logın: z paſſword: w uſername: v",
    "٠١٢٣٤٥٦٧٨٩ ٠١٢٣٤٥٦٧٨٩",
    "+1 extension 5 ext 55555 12 int 34 1xx2",
    "\r\n\r\r\n,,, , \t\x0b\x0c\u2028 and and and",
    "x" * 20_000,
    "1234567890 " * 50,
    "@" * 2000,
    "-- ---- " * 200,
    " " * 3000,
    "((((((((((1)))))))))) [1] (2) [3] {4}",
    "AL AK IN OR ME AND TO ONE TWO THREE",
    "＋４３ １ ５８０５８",
    "0118 999 881 999 119 725 3",
    "001 650 253 0000 / 011 43 1 58058",
    "dob: adobe stubborn 12/03/1980 +12/03/1980",
    "coverage 12 Main Street, New York, NY 10001",
    "12 Main Street, Boston, MA 02101 and 12 Main Street,\n Boston, MA 02101",
    "M1 1AE gir 0aa BFPO 1 e1 2ab",
]


@pytest.mark.parametrize("index", range(len(HOSTILE)))
def test_hostile_text_scores_as_plain_scrubadub_does(scorer, plain, index):
    text = HOSTILE[index]
    assert scorer.score_texts([text]) == [plain_score(plain, text)]


def varied_lines(number: int) -> list[str]:
    """Lines of the licences of installed libraries and of docstrings, two in three with made-up PII in them."""
    fakers = [Faker(locale) for locale in ("en_US", "en_GB", "en_CA", "de_DE")]
    Faker.seed(0)
    prose = [line for module in (re, textblob, spacy, importlib) for line in (module.__doc__ or "").splitlines()]
    prose += [
        "Born in the USA",
        "THE SOFTWARE IS PROVIDED AS IS, WITHOUT WARRANTY OF ANY KIND",
        "and one or two of them",
    ]
    kinds = (
        lambda fake: f"born on {fake.date_of_birth()}",
        lambda fake: f"DOB: {fake.date_of_birth():%B %d, %Y}",
        lambda fake: f"login {fake.user_name()} password {fake.password()}",
        lambda fake: fake.address(),
        lambda fake: fake.address().replace("\n", ", "),
        lambda fake: fake.phone_number(),
        lambda fake: f" {fake.credit_card_number()} {fake.ssn()}",
        lambda fake: f"{fake.email()} @{fake.user_name()}",
        lambda fake: fake.url(),
        lambda fake: f"{fake.date_time()} {fake.ipv4()} {fake.sha1()}",
    )
    lines = []
    for index in range(number):
        fake = fakers[index % len(fakers)]
        line = prose[index % len(prose)] + " "
        lines.append(f"{line}{kinds[index % len(kinds)](fake)} {fake.sentence()}" if index % 3 else line)
    return lines


@pytest.mark.slow
def test_varied_lines_score_as_plain_scrubadub_does(scorer, plain):
    lines = varied_lines(300)
    assert scorer.score_texts(lines) == [plain_score(plain, line) for line in lines]
    assert sum(score > 0 for score in scorer.score_texts(lines)) > 100
    assert not scorer.unscored


def test_no_valid_phone_number_is_shorter_than_the_condition_says():
    shortest = []
    for country_code, regions in COUNTRY_CODE_TO_REGION_CODE.items():
        if regions[0] == "001":
            metadata = PhoneMetadata.metadata_for_nongeo_region(country_code)
        else:
            metadata = PhoneMetadata.metadata_for_region(regions[0])
        lengths = [length for length in metadata.general_desc.possible_length if length > 0]
        # a national prefix may be replaced by digits that nobody wrote
        added = re.sub(r"\\\d|\$\d", "", metadata.national_prefix_transform_rule or "")
        shortest.append(len(str(country_code)) + min(lengths) - len(re.findall(r"\d", added)))
    assert min(shortest) >= 6
    united_states = PhoneMetadata.metadata_for_region("US")
    assert set(united_states.general_desc.possible_length) == {10}
    assert united_states.international_prefix == "011"


def test_letters_cannot_stand_in_a_phone_number_except_before_an_extension():
    assert not re.search("[a-wyzA-WYZ]", phonenumbers.phonenumberutil._VALID_PUNCTUATION)


@pytest.mark.parametrize("country", ["US", "CA"])
def test_every_region_name_of_pyap_has_one_of_the_region_words(country):
    source = importlib.import_module(f"pyap.source_{country}.data").region1
    source = re.sub(r"(?<!\\)\s", "", re.sub(r"#[^\n]*", "", source)).replace("(?P<region1>", "")
    names = [name.strip("(?:)") for name in source.split("|")]
    spelled_out = [name for name in names if "[" in name]
    assert len(spelled_out) > 15
    for name in spelled_out:
        letters = [set(match[1].casefold()) if match[1] else {"?"} for match in re.finditer(r"\[([^]]+)\]|.", name)]
        assert any(
            all(letters[start + i] == {letter} for i, letter in enumerate(word))
            for word in REGION_WORDS[country]
            for start in range(len(letters) - len(word) + 1)
        ), name
    capitals = [name for name in names if "[" not in name]
    hint = AddressFinder([country])._rules[0]._hint
    assert all(hint.search(name.replace("\\.?", dot)) for name in capitals for dot in ("", "."))


@pytest.mark.parametrize("text", ["a\r\n\r\rb", " , ,b", "a \t\n ,\n b", "\n\n", "a–b—c", ",", "a\r b", "", *HOSTILE])
def test_text_is_normalised_as_pyap_does(text):
    from pyap.parser import AddressParser

    assert normalise(text) == AddressParser._normalize_string(text)


@pytest.mark.parametrize("word", ["wrods", "frend", "hello_5", "zzzzzz", "Monday", "jdoeee", "computter", "ab.c-d"])
def test_spelling_is_judged_as_textblob_does(word):
    assert SkypeFinder().is_name(word) == (textblob.Word(word).spellcheck()[0][1] < 0.5)


def test_conditions_hold_in_any_case():
    assert "skype" in Clues.of("SKYPE").folded
    assert Clues.of("١٢٣ 4").num_digits == 4


def test_empty_text_is_unscored(scorer):
    scorer.unscored.clear()
    assert scorer.score_texts(["", "x"]) == [None, 0.0]
    assert scorer.unscored == {"empty text": 1}
    scorer.unscored.clear()


def test_where_a_detector_raises_the_text_is_unscored_and_counted(scorer, monkeypatch):
    def raises(*arguments, **settings):
        raise RecursionError

    monkeypatch.setattr("scrubadub.detectors.date_of_birth.search_dates", raises)
    assert scorer.score_texts(["born 1.1.1980", "nothing"]) == [None, 0.0]
    assert scorer.unscored == {"scrubadub raised RecursionError": 1}
    scorer.unscored.clear()


def test_a_date_that_is_written_often_is_judged_once(scorer, monkeypatch):
    parsed = []
    parse = scrubadub.filth.date_of_birth.dateparser.parse
    monkeypatch.setattr("dateparser.parse", lambda text: parsed.append(text) or parse(text))
    text = "born 1.1.1980 or 1.1.1980 or 1.1.1980"
    assert scorer.score_texts([text]) == [3 / len(text)]
    assert len(parsed) == len(set(parsed))


@pytest.mark.parametrize("package", ["scrubadub.detectors", "pyap.source_US.data"])
def test_a_missing_extra_prints_the_command(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'phf\[pii\]'"):
        PIIScorer()


def test_a_missing_spacy_model_is_an_error_that_says_where_to_get_it(monkeypatch):
    with pytest.raises(ConfigError, match=r"spacy download no_such_model.*persons and organisations are not detected"):
        PIIScorer(spacy_model="no_such_model")
    with pytest.raises(ConfigError, match="neither installed nor the folder"):
        PIIScorer(spacy_model="numpy")  # installed, and spaCy would import it
    for name in ("", str(Path(__file__).parent)):  # folders, but not of a model
        with pytest.raises(ConfigError, match="is neither installed nor the folder of a model"):
            PIIScorer(spacy_model=name)
    monkeypatch.setattr("phf.scorers.pii.scorer.find_spec", lambda name: None)
    _warn_of_missing_model.cache_clear()
    with pytest.warns(UserWarning, match=r"spacy download en_core_web_sm.*spacy_model: none"):
        scorer = PIIScorer()
    assert not any("spacy" in detector for detector in scorer.active_detectors)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PIIScorer(spacy_model="none")


@pytest.mark.slow
def test_entities_of_a_spacy_model_are_counted(tmp_path):
    model = spacy.blank("en")
    ruler = model.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "PERSON", "pattern": "Jane Doe"}, {"label": "GPE", "pattern": "Paris"}])
    model.to_disk(tmp_path / "model")
    scorer = build_scorer({"class_name": "PIIScorer", "spacy_model": str(tmp_path / "model")})
    assert scorer.score_texts(["Jane Doe in Paris"]) == [1 / 17]  # a place is not PII
    assert scorer.describe()["active_detectors"][-1].startswith("spacy (en_pipeline")


def test_settings_and_active_detectors_are_described():
    scorer = build_scorer({"class_name": "PIIScorer", "address_countries": ["US"], "spacy_model": "none"})
    described = scorer.describe()
    assert described["settings"] == {"address_countries": ["US"], "spacy_model": "none"}
    assert [name for name in described["active_detectors"] if name.startswith("address")] == ["address_US"]
    assert "scrubadub-2.0.1" in described["version"]
    assert scorer.score_texts([GB_ADDRESS]) == [0.0]
    with pytest.raises(ConfigError, match="address_countries"):
        build_scorer({"class_name": "PIIScorer", "address_countries": ["FR"]})


def test_credentials_are_those_of_scrubadub_on_soup():
    from scrubadub.detectors.credential import CredentialDetector

    rng = random.Random(0)
    pieces = [
        "username",
        "login",
        "u:",
        "U:",
        "password",
        "pw",
        "p:",
        "P:",
        ":",
        " ",
        "  ",
        "\n",
        "\t",
        "root",
        ".",
        "@",
        "é-",
    ]
    for _ in range(5000):
        text = "".join(rng.choices(pieces, k=rng.randrange(1, 14)))
        assert list(credentials(text)) == [match.span() for match in CredentialDetector.regex.finditer(text)], text


@pytest.mark.parametrize(
    "text",
    [
        "u:" + " " * 100_000 + "x password",  # the detector's own pattern takes time cubic in the white space
        "username" * 10_000 + " x password",
        "SW1A 1AA " * 10_000,
        "1 Main St, New York, NY 10001 " * 3_000,
        "born 1/1/1980 " * 150,
        "skype jdoeee_77 " * 5_000,
        "(020) 7946 0958" * 500,
    ],
)
def test_long_text_of_any_kind_is_scored(scorer, text):
    (score,) = scorer.score_texts([text])  # never ends where the time is quadratic
    assert score is not None


def test_what_would_take_too_long_is_unscored_with_a_reason(scorer, monkeypatch):
    scorer.unscored.clear()
    monkeypatch.setattr("phf.scorers.spans.Work.MOST", 100)
    monkeypatch.setattr("phf.scorers.pii.birth_dates.MOST_NUMBERS", 5)
    monkeypatch.setattr("phf.scorers.pii.skype.MOST_WORDS", 1)
    texts = [US_ADDRESS + ".\n" + "x" * 100, "born 1/1/1980 and 2/2/1981", "skype jdoeee and computter", "nothing"]
    texts.append("born " + "Monday, May\n" * 3)
    assert scorer.score_texts(texts) == [None, None, None, 0.0, None]
    assert scorer.unscored == {
        "too many different addresses in too long a text": 1,
        "too many different dates in too long a text": 2,
        "too many different words near Skype in too long a text": 1,
    }
    scorer.unscored.clear()
