"""Personally identifiable information per character, found by scrubadub's detectors."""

import math
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from phf.errors import ConfigError, MissingExtraError
from phf.scorers.base import SegmentScorer
from phf.scorers.pii.addresses import COUNTRIES, AddressFinder, Country
from phf.scorers.pii.birth_dates import BirthDateFinder
from phf.scorers.pii.credentials import credentials
from phf.scorers.pii.skype import SkypeFinder
from phf.scorers.pii.spacy_models import is_spacy_model
from phf.scorers.spans import Extent, Span, TooMuchWorkError, count_merged

SPACY_MODEL = "en_core_web_sm"
ENTITIES = frozenset({"PERSON", "PER", "ORG"})
"""The labels that scrubadub's spaCy detector counts."""


class PIIScorer(SegmentScorer):
    """Detections / characters, in [0, 1], 0 for text without PII (the PII task of arXiv 2302.08582).

    The detectors are those of the released system: what scrubadub enables for en_US (credentials, credit cards, e-mail,
    phone, social security numbers, Twitter, URLs), Skype names, dates of birth in context, addresses, and persons and
    organisations if a spaCy model is installed. Detections that overlap or touch count as one. The result is that of
    `scrubadub.Scrubber.iter_filth` with the same detectors, but a detector that cannot fire on a text is not run.
    A date of birth is 18 to 100 years before the current year, so a score can change with the year.

    Unscored: empty text, and text on which a detector that ran raises. The released system scores those 0.

    Args:
        address_countries: the released system looked for US addresses only; pyap also knows GB and CA.
        spacy_model: name or folder of a spaCy model with entities; "auto" is en_core_web_sm if it is installed,
            otherwise none; "none" is none. `describe()` lists the active detectors.
    """

    segmenter = "sentences"
    score_bounds = (0.0, math.inf)

    def __init__(self, address_countries: list[Country] | None = None, spacy_model: str = "auto") -> None:
        super().__init__()
        countries = list(COUNTRIES) if address_countries is None else address_countries
        self._detectors = _scrubadub_detectors()
        self.active_detectors = [detector.name for detector in self._detectors]
        if countries:
            self._detectors.append(_Detector("address", _always, _address_finder(countries).spans))
            self.active_detectors += [f"address_{country}" for country in countries]
        entities, model = _entity_finder(spacy_model)
        if entities is not None:
            self._detectors.append(_Detector("spacy", _always, entities))
            self.active_detectors.append(f"spacy ({model})")
        libraries = ("scrubadub", "dateparser", "phonenumbers", "pyap")
        self.version = "+".join(["1", *(f"{library}-{version(library)}" for library in libraries)])

    def describe(self) -> dict[str, Any]:
        """class_name, version and settings, and the active detectors."""
        return super().describe() | {"active_detectors": self.active_detectors}

    def score_texts(self, texts: list[str]) -> list[float | None]:
        """Score of each text."""
        return [self._score(text) for text in texts]

    def spans(self, text: str) -> list[Span]:
        """Everything that was found, with the detector, before overlapping detections are merged; none if unscored."""
        try:
            return self._find(text)
        except Exception:  # noqa: BLE001 - as below; what is unscored has nothing to show
            return []

    def _find(self, text: str) -> list[Span]:
        clues = Clues.of(text)
        return [
            Span(*interval, detector.name)
            for detector in self._detectors
            if detector.can_fire(clues)
            for interval in detector.find(text)
        ]

    def _score(self, text: str) -> float | None:
        if not text:
            self.unscored["empty text"] += 1
            return None
        try:
            return count_merged(span[:2] for span in self._find(text)) / len(text)
        except TooMuchWorkError as error:
            self.unscored[f"too many different {error} in too long a text"] += 1
            return None
        except Exception as error:  # noqa: BLE001 - whatever a detector of hostile text raises means "no answer"
            self.unscored[f"scrubadub raised {type(error).__name__}"] += 1
            return None


@dataclass(frozen=True)
class Clues:
    """What the conditions below examine: computed once per text."""

    text: str
    folded: str
    """Case folded: contains every ASCII word that lower() reveals, and every one that re.IGNORECASE finds, unless it has an
    i, which re.IGNORECASE also matches with the Turkish ones."""
    num_digits: int
    """Of any script, as \\d matches."""

    @classmethod
    def of(cls, text: str) -> "Clues":
        return cls(text, text.casefold(), len(_DIGIT.findall(text)))


_DIGIT = re.compile(r"\d")
_AT = re.compile(r"@|\sat\s", re.IGNORECASE)
_LETTERED_EXTENSION = re.compile(r"\d[ \u00A0\t,;]*(?:e?xt|anexo|int)", re.IGNORECASE)
_NO_PHONE = re.compile(r"[a-wyzA-WYZ]+")
_CONTEXT_OF_BIRTH = ("birth", "born", "dob", "d.o.b.")

# Each condition is necessary for its detector of scrubadub 2.0.1 to fire, according to its source code.


def _may_hold_credential(clues: Clues) -> bool:
    """(username|login|u:) ... (password|pw|p:), ignoring case; "log" stands for "login" because of its i."""
    folded = clues.folded
    return ("password" in folded or "pw" in folded or "p:" in folded) and (
        "username" in folded or "log" in folded or "u:" in folded
    )


def _may_hold_credit_card(clues: Clues) -> bool:
    """Every alternative has at least 13 digits: 4[0-9]{12}."""
    return clues.num_digits >= 13


def _may_hold_email(clues: Clues) -> bool:
    """(?:@|\\sat\\s)"""
    return _AT.search(clues.text) is not None


def _may_hold_phone(clues: Clues) -> bool:
    """No valid number is shorter than 6 digits with its country code (Austria, Germany, Iran; a test asks phonenumbers).

    Read as dialled from the US, a number without "+" has 10 digits, or begins with 011 and a country code, and no
    letter except x is between them. Letters count as digits where there are three, which a candidate can only have in
    its extension: 12 ext 3.
    """
    if clues.num_digits >= 6:
        for run in _NO_PHONE.split(clues.text):
            num_digits = len(_DIGIT.findall(run))
            if num_digits >= 9 or (num_digits >= 6 and ("+" in run or "＋" in run)):
                return True
    return clues.num_digits >= 2 and _LETTERED_EXTENSION.search(clues.text) is not None


def _may_hold_social_security_number(clues: Clues) -> bool:
    """3 + 2 + 4 digits"""
    return clues.num_digits >= 9


def _may_hold_twitter(clues: Clues) -> bool:
    """(?<!\\w)@"""
    return "@" in clues.text


def _may_hold_url(clues: Clues) -> bool:
    """https?:// or www\\., in lower case"""
    return "http" in clues.text or "www." in clues.text


def _may_hold_skype(clues: Clues) -> bool:
    """A token that, in lower case, contains skype."""
    return "skype" in clues.folded


def _may_hold_date_of_birth(clues: Clues) -> bool:
    """One of the context words, in lower case, on a line near a date; without one every date is dropped."""
    return any(word in clues.folded for word in _CONTEXT_OF_BIRTH)


def _always(clues: Clues) -> bool:
    """For detectors without a condition here: `AddressFinder` has its own, a model has none."""
    return True


@dataclass(frozen=True)
class _Detector:
    name: str
    can_fire: Callable[[Clues], bool]
    find: Callable[[str], Iterator[Extent]]


_CONDITIONS: dict[str, Callable[[Clues], bool]] = {
    "credit_card": _may_hold_credit_card,
    "email": _may_hold_email,
    "phone": _may_hold_phone,
    "twitter": _may_hold_twitter,
    "url": _may_hold_url,
    "social_security_number": _may_hold_social_security_number,
}
"""scrubadub's name of a detector -> the condition; those of `Scrubber()` for en_US that are run unchanged."""


def _scrubadub_detectors() -> list[_Detector]:
    try:
        from scrubadub.detectors import detector_catalogue
    except ImportError as error:
        raise MissingExtraError("PIIScorer", "scrubadub", "pii") from error
    detectors = [
        _Detector(name, can_fire, partial(_filth_spans, detector_catalogue.get(name)(locale="en_US")))
        for name, can_fire in _CONDITIONS.items()
    ]
    return [
        _Detector("credential", _may_hold_credential, credentials),
        *detectors,
        _Detector("date_of_birth", _may_hold_date_of_birth, BirthDateFinder().spans),
        _Detector("skype", _may_hold_skype, SkypeFinder().spans),
    ]


def _filth_spans(detector: Any, text: str) -> Iterator[Extent]:
    """The detections that `Scrubber.iter_filth` would merge.

    Whether one is valid depends only on its text, and a date that occurs n times is found n x n times.
    """
    is_valid: dict[str, bool] = {}
    for filth in detector.iter_filth(text):
        if filth.text not in is_valid:
            is_valid[filth.text] = filth.is_valid()
        if is_valid[filth.text]:
            yield filth.beg, filth.end


def _address_finder(countries: list[Country]) -> AddressFinder:
    try:
        return AddressFinder(countries)
    except ImportError as error:
        raise MissingExtraError("PIIScorer", "pyap", "pii") from error


def _entity_finder(spacy_model: str) -> tuple[Callable[[str], Iterator[Extent]] | None, str]:
    """The function that finds entities, None for none, and the name of its model."""
    if spacy_model == "auto" and find_spec(SPACY_MODEL) is None:
        _warn_of_missing_model()
        return None, ""
    if spacy_model == "none":
        return None, ""
    name = SPACY_MODEL if spacy_model == "auto" else spacy_model
    try:
        import spacy
    except ImportError as error:
        raise MissingExtraError("PIIScorer with a spaCy model", "spacy", "pii") from error
    if not is_spacy_model(name):
        raise ConfigError(
            f"PIIScorer: the spaCy model '{name}' is neither installed nor the folder of a model. Install it with: "
            f"python -m spacy download {name} (from GitHub). Without it (spacy_model: none) names of persons and "
            "organisations are not detected."
        )
    model = spacy.load(name)
    name = f"{model.meta['lang']}_{model.meta['name']} {model.meta['version']}"

    def spans(text: str) -> Iterator[Extent]:
        return ((entity.start_char, entity.end_char) for entity in model(text).ents if entity.label_ in ENTITIES)

    return spans, name


@cache
def _warn_of_missing_model() -> None:
    """Once, regardless of how many scorers are built."""
    warnings.warn(
        f"PIIScorer: the spaCy model {SPACY_MODEL} is not installed, so names of persons and organisations, which the "
        f"paper's scores count, are not detected. Install it with: python -m spacy download {SPACY_MODEL} (from GitHub). If "
        "that is intended, silence this warning with spacy_model: none.",
        stacklevel=2,
    )
