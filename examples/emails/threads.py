"""E-mails that belong together: replies to one subject, and those that quote or repeat each other.

Held out one by one, e-mails would be measured on text that was trained on: mailing lists quote, and spam and newsletters
are sent again with another name in them.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import combinations

WORDS = 8
"""Words of a passage that is compared."""
ONE_OF = 4
"""One passage of so many is looked at, chosen by its hash."""
SHARED = 3
"""Two e-mails belong together if they share this many of those: about 12 passages in all, or 19 words in a row."""
BOILERPLATE = 20
"""A passage in more e-mails than this, such as the footer of a mailing list, says nothing."""
_TAG = re.compile(r"\[[^\]]*\]")
_REPLY = re.compile(r"(?:(?:re|fwd?|aw)\s*(?:\[\d+\])?\s*:\s*)+", re.IGNORECASE)
_WORD = re.compile(r"\w+")


def threads_of(emails: Sequence[tuple[str, str]]) -> list[int]:
    """For (subject, body) of each e-mail, the number of the first one of its thread."""
    first = list(range(len(emails)))

    def root(number: int) -> int:
        while first[number] != number:
            first[number] = first[first[number]]
            number = first[number]
        return number

    def join(one: int, other: int) -> None:
        low, high = sorted((root(one), root(other)))
        first[high] = low

    by_subject: dict[str, int] = {}
    for number, (subject, _) in enumerate(emails):
        if subject := plain_subject(subject):
            join(by_subject.setdefault(subject, number), number)
    for one, other in _sharing(body for _, body in emails):
        join(one, other)
    return [root(number) for number in range(len(emails))]


def plain_subject(subject: str) -> str:
    """A subject without "Re:" and the like, tags in brackets and punctuation; "" if there is nothing else."""
    bare = _REPLY.sub("", _TAG.sub(" ", subject).strip())
    return " ".join(_WORD.findall(bare.lower()))


def _sharing(bodies: Iterable[str]) -> list[tuple[int, int]]:
    """Pairs of e-mails that share passages."""
    holders: defaultdict[int, list[int]] = defaultdict(list)
    for number, body in enumerate(bodies):
        words = _WORD.findall(body.lower())
        passages = {" ".join(words[start : start + WORDS]) for start in range(len(words) - WORDS + 1)}
        for passage in passages:
            key = int.from_bytes(blake2b(passage.encode(), digest_size=8).digest(), "little")
            if key % ONE_OF == 0:
                holders[key].append(number)
    shared: Counter[tuple[int, int]] = Counter()
    for numbers in holders.values():
        if len(numbers) <= BOILERPLATE:
            shared.update(combinations(numbers, 2))
    return [pair for pair, count in shared.items() if count >= SHARED]
