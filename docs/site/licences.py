"""docs/licences.md: the dependencies of phf and their licences, from the metadata of what is installed here.

    python docs/site/licences.py

An extra that is not installed as a whole is left out and named on standard error.
"""

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "licences.md"
NOT_SHIPPED = ("dev", "all", "docs")
"""Extras that no feature needs."""
PLAIN = "a plain install"
COPYLEFT = re.compile(r"\bL?GPL|\bMPL|EUPL|Mozilla", re.IGNORECASE)
UNKNOWN = "not stated in its metadata"
INTRODUCTION = """# Licences of the dependencies

`phf` is under Apache-2.0 and contains no code of these packages; `pip` installs them beside it. This page is written by
`python docs/site/licences.py` from the metadata of the packages in the tested environment (`constraints.txt`; Linux, Python
3.11, the CPU build of torch). The build of torch for CUDA adds NVIDIA's packages, under NVIDIA's own licences.
"""


@dataclass
class Package:
    """An installed distribution, and who needs it."""

    name: str
    version: str
    licence: str
    needed_by: set[str] = field(default_factory=set)


def roots() -> dict[str, list[str]]:
    """PLAIN and each extra -> its requirements."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    return {PLAIN: project["dependencies"], **{name: extras[name] for name in extras if name not in NOT_SHIPPED}}


def packages() -> tuple[list[Package], set[str]]:
    """(what is needed and installed, by name; what is needed and not installed)."""
    found: dict[str, Package] = {}
    missing: set[str] = set()
    for root, requirements in roots().items():
        for name in closure(requirements, missing):
            distribution = metadata.distribution(name)
            package = found.setdefault(
                name, Package(distribution.name, distribution.version.partition("+")[0], licence(distribution))
            )
            package.needed_by.add(root)
    return [found[name] for name in sorted(found)], missing


def closure(requirements: Iterable[str], missing: set[str]) -> Iterator[str]:
    """Names of all that these need, directly or not, as far as it is installed; the rest is added to `missing`."""
    left = [(Requirement(text), frozenset[str]()) for text in requirements]
    seen = set()
    while left:
        requirement, extras = left.pop()
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in extras or {""}):
            continue
        name, wanted = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        try:
            needed = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            missing.add(name)
            continue
        yield name
        left += [(Requirement(text), wanted) for text in needed]


def licence(distribution: metadata.Distribution) -> str:
    """What the metadata says, the shortest form first: an expression, classifiers, a line of text."""
    values = distribution.metadata
    classifiers = [text.rpartition(" :: ")[2] for text in values.get_all("Classifier") or () if "License ::" in text]
    classifiers = [text for text in classifiers if text != "OSI Approved"]
    line = (values["License"] or "").strip().partition("\n")[0]
    return values["License-Expression"] or " or ".join(classifiers) or (line if len(line) < 80 else "") or UNKNOWN


def page() -> str:
    """The page."""
    rows, missing = packages()
    if missing:
        print("Not installed, and left out:", *sorted(missing), file=sys.stderr)
    plain = [row for row in rows if PLAIN in row.needed_by]
    lines = [INTRODUCTION, f"A plain install has {len(plain)} packages, all extras together {len(rows)}.", ""]
    careful = [row for row in rows if COPYLEFT.search(row.licence)]
    lines += ["## With conditions on copies and changes", ""]
    lines += [
        "Copyleft of some degree: relevant to who distributes a bundle with these packages in it, or changes them.",
        "",
    ]
    lines += [*_table(careful), "", "## All", "", *_table(rows), ""]
    return "\n".join(lines)


def _table(rows: Iterable[Package]) -> Iterator[str]:
    yield "| Package | Version | Licence | Needed by |"
    yield "|---|---|---|---|"
    for row in rows:
        by = PLAIN if PLAIN in row.needed_by else ", ".join(f"`{extra}`" for extra in sorted(row.needed_by))
        yield f"| {row.name} | {row.version} | {row.licence.replace('|', '/')} | {by} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
