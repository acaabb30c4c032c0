"""Templates -> self-contained pages in which every text is escaped."""

import base64
import hashlib
import importlib.util
import math
from collections.abc import Sequence
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from phf.errors import MissingExtraError
from phf.report.svg import draw
from phf.text import visible_text

SCRIPTS = ("charts.js", "tables.js")
"""What a page with charts needs, and one with tables that are sorted."""


def check_can_render(command: str) -> None:
    """Raises `MissingExtraError` without the library that pages need."""
    if importlib.util.find_spec("jinja2") is None:
        raise MissingExtraError(command, "jinja2", "report")


def render(template: Traversable, styles: Sequence[str] = (), scripts: Sequence[str] = SCRIPTS, **values: Any) -> str:
    """The page of a template of jinja2, which extends `base.html.j2`, with the filters `number`, `visible`, `plain` and `svg`.

    Args:
        styles, scripts: files of this folder that become part of the page, in addition to the style of all pages. No other
            script runs in the page, whatever else it contains: its policy names the hash of each.
        values: what the template uses.
    """
    code = [_file_of_this_folder(name) for name in scripts]
    return _compiled(template.read_text(encoding="utf-8")).render(
        style="".join(_file_of_this_folder(name) for name in ("style.css", "charts.css", *styles)),
        scripts=code,
        policy=_policy(code),
        **values,
    )


@cache
def _compiled(template: str) -> Any:
    """Once: compiling takes longer than making a small page."""
    return _environment().from_string(template)


@cache
def _environment() -> Any:
    from jinja2 import Environment, FunctionLoader

    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, loader=FunctionLoader(_file_of_this_folder)
    )
    environment.filters["number"] = format_number
    environment.filters["visible"] = visible_text
    environment.filters["plain"] = plain
    environment.filters["svg"] = draw  # escapes what it is given
    return environment


def _policy(scripts: Sequence[str]) -> str:
    """What a page may do: show itself, and run these scripts. No request leaves it."""
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{code}'" for code in hashes)
    shown = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return f"{shown}; script-src {allowed}" if allowed else shown


def _file_of_this_folder(name: str) -> str:
    return (resources.files("phf.report") / name).read_text(encoding="utf-8")


def plain(value: Any) -> str:
    """Plain values as a person would write them: "torch 2.13.0, numpy 2.5.2", "1,152,128; 1,152,384", "yes"."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {plain(one)}" for key, one in value.items() if one not in (None, {}, []))
    if isinstance(value, list | tuple):
        return "; ".join(map(plain, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return format_number(value) if isinstance(value, int) else str(value)


def format_number(value: float | int | None) -> str:
    """Four significant digits, thousands separated; a dash for what was not measured."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
