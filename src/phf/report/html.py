"""Templates -> self-contained pages in which every text is escaped."""

import importlib.util
import math
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from phf.errors import MissingExtraError
from phf.text import visible_text


def check_can_render(command: str) -> None:
    """Raises `MissingExtraError` without the libraries that pages and their charts need."""
    for package in ("jinja2", "matplotlib"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(command, "jinja2 and matplotlib", "report")


def render(template: Traversable, **values: Any) -> str:
    """The page of a template of jinja2, with the style of all pages and the filters `number` and `visible`."""
    from jinja2 import Environment

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = format_number
    environment.filters["visible"] = visible_text
    style = (resources.files("phf.report") / "style.css").read_text(encoding="utf-8")
    return environment.from_string(template.read_text(encoding="utf-8")).render(style=style, **values)


def format_number(value: float | int | None) -> str:
    """Four significant digits, thousands separated; a dash for what was not measured."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
