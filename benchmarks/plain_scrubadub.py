"""PII found without shortcuts: a Scrubber with every detector, none of them left out. Tests and the benchmark compare."""

import pyap
import scrubadub
from scrubadub.detectors import DateOfBirthDetector, Detector, SkypeDetector
from scrubadub.filth import Filth

from phf.scorers.pii.addresses import COUNTRIES, address_pattern, is_address


class PlainAddressDetector(Detector):
    """What `scrubadub_address` does without libpostal, for each country that pyap knows."""

    name = "address"

    def iter_filth(self, text, document_name=None):
        for country in COUNTRIES:
            for address in pyap.parse(text, country=country):
                if is_address(address.full_address):
                    for match in address_pattern(address.full_address).finditer(text):
                        yield Filth(match=match, detector_name=self.name, document_name=document_name)


def plain_scrubber() -> scrubadub.Scrubber:
    scrubber = scrubadub.Scrubber()
    scrubber.add_detector(SkypeDetector)
    scrubber.add_detector(DateOfBirthDetector)
    scrubber.add_detector(PlainAddressDetector)
    return scrubber


def plain_score(scrubber: scrubadub.Scrubber, text: str) -> float:
    return len(list(scrubber.iter_filth(text))) / len(text)
