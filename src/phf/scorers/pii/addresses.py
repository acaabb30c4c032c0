"""Postal addresses by pyap's regular expressions, as spans of the text they were found in."""

import importlib
import re
from collections.abc import Iterator, Sequence
from typing import Literal

from phf.scorers.spans import Extent, Work

Country = Literal["US", "GB", "CA"]
COUNTRIES: tuple[Country, ...] = ("US", "GB", "CA")
"""The countries that pyap has rules for."""

# pyap's rule for an address concatenates parts, some of them not optional, and none of those depends on its neighbours:
# a text in which one of them matches nowhere contains no address. In the US and CA these are the state or province
# ("region1"), the street number (in words too, and "and" is one) and the street type ("is" is one, so it tells little);
# in GB it is the postal code, which ends in a digit and two letters.
#
# A region is two capitals, or a full name. A word of each name, any case, in no particular order of the rule:
_US_WORDS = """
    alabama alaska arizona arkansas california colorado connecticut delaware columbia florida georgia hawaii
    idaho illinois indiana iowa kansas kentucky louisiana maine maryland massachusetts michigan minnesota
    mississippi missouri montana nebraska nevada hampshire jersey mexico york carolina dakota ohio oklahoma
    oregon pennsylvania island tennessee texas utah vermont virginia washington wisconsin wyoming samoa guam
    rico
"""
_CA_WORDS = """
    alberta columbia manitoba brunswick newfoundland territories scotia nunavut ontario edward quebec
    saskatchewan yukon colombie neuve territoires cosse douard québec
"""
REGION_WORDS = {"US": _US_WORDS.split(), "CA": _CA_WORDS.split()}
_ABBREVIATION = re.compile(r"(?<!\w)([A-Z])(?:\\\.\?)?([A-Z])(?!\w)")
"""In the source of a rule: AL, or A\\.?B\\.?"""

_DASHES = "‐‑‒–—―"
_NORMAL_DASHES = str.maketrans(_DASHES, "-" * len(_DASHES))
# The look-behinds do not change the result, because a search reaches a run at its start; they keep long runs of white
# space from taking quadratic time.
_LINE_BREAKS = re.compile(r"(?<!\r)\r*(?:\n\r*)+")
_COMMAS = re.compile(r"(?<!\s)\s*(?:,\s*)+")
_SPACES = re.compile(r"\s+")


def normalise(text: str) -> str:
    """The text as pyap normalises it before it looks for addresses: line breaks become commas, spaces and dashes plain."""
    text = _LINE_BREAKS.sub(", ", text)
    if "," in text:
        text = _COMMAS.sub(", ", text)
    return _SPACES.sub(" ", text).translate(_NORMAL_DASHES)


def address_pattern(address: str) -> re.Pattern[str]:
    """Matches a normalised address in the text as it was written.

    Unlike scrubadub_address, whose pattern for a dash is broken, this finds addresses with a nine-digit ZIP code.
    """
    dash = f"[-{_DASHES}]"
    lines = (
        r"\s+".join(dash.join(map(re.escape, word.split("-"))) for word in line.split(" "))
        for line in address.split(", ")
    )
    return re.compile(r"(?<!\w)" + r"\s*[\n,][\s,]*".join(lines) + r"(?!\w)")


def is_address(candidate: str) -> bool:
    """False for what scrubadub's address detector ignores: the capitals of licences read like an address."""
    return "coverage" not in candidate.lower()


class AddressFinder:
    """Addresses of the given countries. Needs pyap; equal to `pyap.parse` for each, then `address_pattern`."""

    def __init__(self, countries: Sequence[str]) -> None:
        self._rules = [_Rule(country) for country in countries]

    def spans(self, text: str) -> Iterator[Extent]:
        """Every occurrence of every address; the same span may occur twice."""
        folded = text.casefold()
        rules = [rule for rule in self._rules if rule.may_match(text, folded)]
        if not rules:
            return
        plain = normalise(text)
        work = Work("addresses")
        for rule in rules:
            if rule.mandatory.search(plain) is None:
                continue
            addresses = dict.fromkeys(match["full_address"].strip(" ,;:") for match in rule.full.finditer(plain))
            for address in addresses:
                if is_address(address):
                    work.add(len(text))
                    yield from (match.span() for match in address_pattern(address).finditer(text))


class _Rule:
    """pyap's rule for one country, and what a text must contain for it to match."""

    def __init__(self, country: str) -> None:
        data = importlib.import_module(f"pyap.source_{country}.data")
        flags = re.VERBOSE | re.UNICODE
        self.full = re.compile(data.full_address, flags)
        self.mandatory = re.compile(data.postal_code if country == "GB" else data.street_number, flags)
        self._region_words = REGION_WORDS.get(country, [])
        capitals = _ABBREVIATION.findall(data.region1) if self._region_words else []
        # Capitals and letters survive `normalise`, so these are looked for in the original text, which costs less.
        hints = [rf"{first}\.?{second}" for first, second in capitals] or ["[0-9][A-Za-z]{2}"]
        self._hint = re.compile("|".join(hints))

    def may_match(self, text: str, folded: str) -> bool:
        return self._hint.search(text) is not None or any(word in folded for word in self._region_words)
