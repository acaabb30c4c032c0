"""pycodestyle's checks with its defaults, those that are quadratic replaced by linear ones."""

import copy
from collections.abc import Callable
from functools import cache
from operator import attrgetter
from typing import Any

import pycodestyle

from phf.scorers.pep8.linear import LINEAR


@cache
def default_options() -> Any:
    """The arguments of a `pycodestyle.Checker`."""
    # Passing every default overrides what a user's ~/.config/pycodestyle says.
    defaults = vars(pycodestyle.get_parser().get_default_values())
    return pycodestyle.StyleGuide(parse_argv=False, **defaults).options


@cache
def linear_options() -> Any:
    """The default options, with the checks that are faster on long lines and files."""
    options = copy.copy(default_options())
    options.logical_checks = [
        (name, LINEAR.get(name, check), arguments) for name, check, arguments in options.logical_checks
    ]
    return options


@cache
def checks_by_name() -> dict[str, tuple[Callable[..., Any], Callable[[Any], Any], bool]]:
    """The function of each check, what takes its arguments from a Checker, and whether they are several."""
    options = linear_options()
    return {
        name: (check, attrgetter(*arguments), len(arguments) > 1)
        for name, check, arguments in [*options.physical_checks, *options.logical_checks]
    }
