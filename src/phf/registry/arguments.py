"""The arguments of the object that a name in a configuration refers to: from the object, or from its source, unimported.

Settings are checked against them when a configuration is loaded, which imports none of the classes that it names, and
again when the class is called.
"""

import ast
import inspect
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union

from phf.registry.kinds import bindings, is_standard, source_of
from phf.registry.nearest import did_you_mean

ANY = inspect.Parameter.empty
"""The annotation of an argument that takes anything, as far as known."""
NO_INIT = ("object", "ABC", "Protocol")
"""Base classes that take no arguments."""
MAX_BASES = 8
"""How many base classes are followed to find `__init__`."""
PLAIN_TYPES: dict[str, Any] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "dict": dict,
    "list": list,
    "tuple": tuple,
    "Any": Any,
    "Sequence": Sequence,
    "Mapping": Mapping,
}


class _Sentinel:
    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


REQUIRED = _Sentinel("REQUIRED")
"""The default of an argument that has none."""
UNKNOWN = _Sentinel("UNKNOWN")
"""The default of an argument whose default is only known after importing its module."""


@dataclass(frozen=True)
class Argument:
    """One argument that can be passed by name."""

    annotation: Any = ANY
    default: Any = REQUIRED


@dataclass(frozen=True)
class Arguments:
    """What a class or function can be called with."""

    named: dict[str, Argument] = field(default_factory=dict)
    takes_others: bool = False
    """It has `**kwargs`."""

    def without(self, names: Sequence[str]) -> "Arguments":
        """All but these, which are not given in a configuration."""
        kept = {name: argument for name, argument in self.named.items() if name not in names}
        return Arguments(kept, self.takes_others)

    def problems(self, settings: Mapping[str, Any], name: str) -> Iterator[tuple[str, str]]:
        """(key, what is wrong with it) for each unknown, missing or mistyped setting of the class called `name`."""
        for key, value in settings.items():
            if key in self.named:
                if (problem := _type_problem(value, self.named[key].annotation)) is not None:
                    yield key, f"is {value!r}: {problem}."
            elif not self.takes_others:
                known = did_you_mean(key, self.named) if self.named else "It takes none."
                yield key, f"is not a setting of {name}. {known}"
        for key, argument in self.named.items():
            if argument.default is REQUIRED and key not in settings:
                yield key, f"is missing: {name} needs it."

    def parsed(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Settings without problems, converted to the types of their arguments: "5e-4" of a float is 0.0005."""
        return {key: _parsed(value, self.named.get(key, Argument()).annotation) for key, value in settings.items()}

    def with_defaults(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Settings, parsed where possible, and the defaults of the others, as far as these are known."""
        defaults = {key: argument.default for key, argument in self.named.items()}
        known = {key: value for key, value in defaults.items() if value is not REQUIRED and value is not UNKNOWN}
        sound = dict(settings)
        for key in {key for key, _ in self.problems(settings, "")} & sound.keys():
            known[key] = sound.pop(key)
        return known | self.parsed(sound)


def arguments_of(target: Any) -> Arguments:
    """The arguments of a class or function. Raises `TypeError` or `ValueError` if Python cannot determine them."""
    named, takes_others = {}, False
    for name, parameter in inspect.signature(target).parameters.items():
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            default = REQUIRED if parameter.default is parameter.empty else parameter.default
            named[name] = Argument(_read(parameter.annotation), default)
        takes_others |= parameter.kind is parameter.VAR_KEYWORD
    return Arguments(named, takes_others)


def _read(annotation: Any) -> Any:
    """An annotation; one that is a text, as under `from __future__ import annotations`, is read and not evaluated."""
    if not isinstance(annotation, str):
        return annotation
    try:
        return _annotation(ast.parse(annotation, mode="eval").body, {})
    except (SyntaxError, ValueError, RecursionError):
        return ANY


def known_arguments(module_name: str, name: str) -> Arguments | None:
    """The arguments of `module_name:name`, without importing the module; None if they cannot be determined."""
    module = sys.modules.get(module_name)
    if module is not None:
        try:
            return arguments_of(getattr(module, name))
        except (AttributeError, TypeError, ValueError):
            return None
    return _arguments_in_source(module_name, name, MAX_BASES)


def _arguments_in_source(module_name: str, name: str, max_bases: int) -> Arguments | None:
    path = None if is_standard(module_name) else source_of(module_name)
    if path is None or path.suffix != ".py" or max_bases == 0:
        return None
    bound = _bound(path, path.stat().st_mtime_ns)
    node = bound.get(name)
    if isinstance(node, ast.FunctionDef):
        return None if node.decorator_list else _arguments(node.args, bound)
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        alias = next(alias for alias in node.names if (alias.asname or alias.name) == name)
        return _arguments_in_source(node.module, alias.name, max_bases - 1)
    if not isinstance(node, ast.ClassDef) or node.decorator_list or node.keywords:
        return None
    own = dict(bindings(node.body))
    init = own.get("__init__")
    if "__new__" in own:
        return None
    if isinstance(init, ast.FunctionDef):
        return None if init.decorator_list else _arguments(init.args, bound, skip=1)
    bases = [base.id if isinstance(base, ast.Name) else None for base in node.bases]
    for base in bases:
        if base is None:
            return None
        if base not in NO_INIT or (base in bound and isinstance(bound[base], ast.ClassDef)):
            return _arguments_in_source(module_name, base, max_bases - 1)
    return Arguments()


@cache
def _bound(path: Path, modified: int) -> dict[str, ast.stmt]:
    try:
        return dict(bindings(ast.parse(path.read_bytes()).body))
    except (OSError, SyntaxError, ValueError, RecursionError):
        return {}  # importing it will report that


def _arguments(node: ast.arguments, bound: Mapping[str, ast.stmt], skip: int = 0) -> Arguments:
    """`skip`: leading arguments, such as self, which cannot be passed by name."""
    positional = [*node.posonlyargs, *node.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(node.defaults)) + list(node.defaults)
    pairs = [*zip(positional, defaults, strict=True)][max(skip, len(node.posonlyargs)) :]
    pairs += zip(node.kwonlyargs, node.kw_defaults, strict=True)
    named = {arg.arg: Argument(_annotation(arg.annotation, bound), _default(default)) for arg, default in pairs}
    return Arguments(named, takes_others=node.kwarg is not None)


def _default(node: ast.expr | None) -> Any:
    if node is None:
        return REQUIRED
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return UNKNOWN


class _UnknownTypeError(Exception):
    pass


def _annotation(node: ast.expr | None, bound: Mapping[str, ast.stmt]) -> Any:
    """The type that an annotation spells, if it is one of Python's plain types; `ANY` for others."""
    try:
        return ANY if node is None else _type(node, bound)
    except (_UnknownTypeError, TypeError, RecursionError):
        return ANY


def _type(node: ast.expr, bound: Mapping[str, ast.stmt]) -> Any:
    if isinstance(node, ast.Constant) and node.value is None:
        return None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return Union[_type(node.left, bound), _type(node.right, bound)]  # noqa: UP007 (of values, not of names)
    if isinstance(node, ast.Name):
        alias = bound.get(node.id)
        if isinstance(alias, ast.Assign):
            return _type(alias.value, bound)
        if node.id in PLAIN_TYPES:
            return PLAIN_TYPES[node.id]
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if node.value.id == "Literal":
            return Literal.__getitem__(tuple(_default(value) for value in inner))
        if node.value.id in PLAIN_TYPES:
            return PLAIN_TYPES[node.value.id][tuple(_type(part, bound) for part in inner)]
    raise _UnknownTypeError


def _type_problem(value: Any, annotation: Any) -> str | None:
    from pydantic import ValidationError

    try:
        parsed = _parsed(value, annotation)
    except ValidationError as error:
        return str(error.errors()[0]["msg"])
    if isinstance(parsed, float) and math.isnan(parsed):
        return "Input should be a number, not NaN"
    if isinstance(value, bool) and annotation is not ANY and type(parsed) in (int, float):
        return "Input should be a number, not yes or no"
    return None


def _parsed(value: Any, annotation: Any) -> Any:
    if annotation is ANY:
        return value
    from pydantic import ConfigDict, PydanticUserError, TypeAdapter

    try:
        return TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(value)
    except PydanticUserError:
        return value  # an annotation pydantic has no rule for: the class checks for itself
