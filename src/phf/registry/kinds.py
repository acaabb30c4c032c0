"""The object that a name in a configuration refers to: examined before it is imported, and again before it is called.

A configuration may come from a stranger, and `package.module:Name` can name anything that Python finds. So the standard
library is refused without an import, a module is imported only if its source has such a name, and only a class of the
right kind, or a function annotated to return one, is called. A module's top-level code still runs when it is imported.
"""

import ast
import importlib
import inspect
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import FunctionType, MethodDescriptorType, ModuleType, WrapperDescriptorType
from typing import Any

from phf.errors import ConfigError

STUBS = (
    "phf.feedback.objectives.base.Objective.token_loss",
    "phf.redteam.red_lm.RedLM.propose",
    "phf.scorers.base.Scorer.score_texts",
)
"""Methods of our base classes that a subclass has to define."""


@dataclass(frozen=True)
class Kind:
    """What makes an object a scorer, an objective, a metric or a red LM."""

    name: str
    method: str
    """The method that its class must define."""
    parameters: tuple[str, ...]
    """Parameters of the method, passed by position."""
    are_named: bool = False
    """The parameters must have these names, because many libraries have methods with this name."""
    base: str | None = None
    """"module:Class" of which it must be a subclass."""
    may_be_function: bool = False
    """A function whose first parameters have these names does what the method would."""

    def has(self, cls: type) -> bool:
        """Whether instances of the class are of this kind."""
        if self.base is not None:
            return issubclass(cls, _attribute(*self.base.split(":")))
        method: Any = inspect.getattr_static(cls, self.method, None)
        has_self = not isinstance(method, staticmethod | classmethod)
        if not inspect.isroutine(method) or isinstance(method, WrapperDescriptorType | MethodDescriptorType):
            return False
        try:
            parameters = list(inspect.signature(getattr(cls, self.method)).parameters.values())
            if has_self:
                del parameters[0]
            inspect.Signature(parameters).bind(*self.parameters)
        except (TypeError, ValueError, IndexError):
            return False
        names = tuple(parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_POSITIONAL)
        return not self.are_named or names[: len(self.parameters)] == self.parameters

    def is_done_by(self, parameters: Sequence[str]) -> bool:
        """Whether a function with these parameters does what the method would."""
        return self.may_be_function and tuple(parameters[: len(self.parameters)]) == self.parameters

    def wanted(self) -> str:
        """A description of the requirement for messages."""
        if self.base is not None:
            return f"a subclass of {self.base.replace(':', '.')}"
        parameters = ", ".join(self.parameters)
        function = f", or a function of ({parameters})" if self.may_be_function else ""
        return f"a class with the method {self.method}({parameters}){function}"


def _is_stub(method: Any) -> bool:
    name = f"{getattr(method, '__module__', '')}.{getattr(method, '__qualname__', '')}"
    return getattr(method, "__isabstractmethod__", False) or name in STUBS


def find(target: str, kind: Kind) -> Any:
    """The class, or function that makes an object of this kind, that a user names as "package.module:Name".

    Raises `ConfigError` for anything else, before it is called and as far as possible before it is imported.
    """
    module_name, _, name = target.partition(":")
    if not all(part.isidentifier() for part in [*module_name.split("."), name]):
        raise ConfigError(f"The {kind.name} '{target}' is not named as 'package.module:ClassName'.")
    refuse_unseen(module_name, name, target, kind)
    return checked(import_attribute(module_name, name, target, kind), target, kind)


def checked(attribute: Any, target: str, kind: Kind) -> Any:
    """`attribute` itself, if calling it makes an object of this kind; otherwise `ConfigError`."""
    if isinstance(attribute, type):
        returned: Any = attribute
    elif isinstance(attribute, FunctionType):
        if kind.is_done_by(list(inspect.signature(attribute).parameters)) and not is_standard(attribute.__module__):
            return attribute
        returned = _returned(attribute)
        if returned is None:
            raise ConfigError(
                f"The {kind.name} '{target}' is a function without a return annotation, so it is not called. "
                f"Annotate the class that it returns: def {attribute.__name__}(...) -> TheClass."
            )
    else:
        raise ConfigError(
            f"The {kind.name} '{target}' is a {type(attribute).__name__}; it must be {kind.wanted()}, or a function that is "
            "annotated to return one."
        )
    if is_standard(returned.__module__) or not kind.has(returned):
        what = "is" if returned is attribute else f"returns {returned.__name__}, which is"
        raise ConfigError(f"The {kind.name} '{target}' {what} not {kind.wanted()}, so it is not called.")
    if returned is attribute and _is_stub(inspect.getattr_static(returned, kind.method, None)):
        raise ConfigError(f"The {kind.name} '{target}' does not define {kind.method}, so it cannot be used.")
    return attribute


def import_attribute(module_name: str, name: str, target: str, kind: Kind) -> Any:
    """Import an attribute that shipped files or a user name."""
    try:
        return _attribute(module_name, name)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"The {kind.name} '{target}' cannot be imported: {error}. Is its package installed, or its folder in "
            "PYTHONPATH?"
        ) from error
    except (ImportError, SyntaxError, AttributeError) as error:
        raise ConfigError(f"The {kind.name} '{target}' cannot be imported: {error}.") from error
    except Exception as error:
        reason = f"{module_name} raised {type(error).__name__}: {error}"
        raise ConfigError(f"The {kind.name} '{target}' cannot be imported: {reason}.") from error


def _attribute(module_name: str, name: str) -> Any:
    return getattr(importlib.import_module(module_name), name)


def _returned(function: FunctionType) -> type | None:
    """The class that a function is annotated to return; a string is looked up as a dotted name, not evaluated."""
    annotation = function.__annotations__.get("return")
    if isinstance(annotation, str):
        first, *rest = annotation.strip("'\" ").split(".")
        annotation = function.__globals__.get(first)
        for part in rest:
            annotation = getattr(annotation, part, None) if isinstance(annotation, ModuleType) else None
    return annotation if isinstance(annotation, type) else None


def is_standard(module_name: str) -> bool:
    return module_name.partition(".")[0] in sys.stdlib_module_names


def refuse_unseen(module_name: str, name: str, target: str, kind: Kind) -> None:
    """`ConfigError` for what cannot be of this kind, as far as known without importing it."""
    if is_standard(module_name):
        raise ConfigError(
            f"The {kind.name} '{target}' is in Python's standard library, which has none, so it is not imported. "
            "If the file is your own, give it another name."
        )
    if module_name in sys.modules:
        return
    if module_name.rpartition(".")[2] == "__main__":
        raise ConfigError(f"The {kind.name} '{target}' is part of a program, which is not imported.")
    origin = source_of(module_name)
    if origin is None or origin.suffix != ".py":
        return  # not found, which importing it will report, or compiled
    if origin.is_relative_to(sysconfig.get_path("stdlib")) and "site-packages" not in origin.parts:
        raise ConfigError(
            f"The {kind.name} '{target}' is part of Python itself, which has none, so it is not imported."
        )
    try:
        body = ast.parse(origin.read_bytes()).body
    except (OSError, SyntaxError, ValueError, RecursionError):
        return  # importing it will report that, and run nothing
    bound = dict(bindings(body))
    if name not in bound and "*" not in bound and "__getattr__" not in bound:
        raise ConfigError(
            f"The {kind.name} '{target}' cannot be imported: module '{module_name}' has no attribute '{name}'."
        )
    node = bound.get(name)
    is_plain = isinstance(node, ast.ClassDef) and not (node.bases or node.keywords or node.decorator_list)
    if is_plain and (kind.base is not None or kind.method not in dict(bindings(node.body))):  # type: ignore[union-attr]
        raise ConfigError(f"The {kind.name} '{target}' is not {kind.wanted()}, so it is not called.")
    if isinstance(node, ast.FunctionDef) and kind.is_done_by([arg.arg for arg in node.args.args]):
        return
    if isinstance(node, ast.FunctionDef) and node.returns is None and not node.decorator_list:
        raise ConfigError(
            f"The {kind.name} '{target}' is a function without a return annotation, so it is not called. Annotate "
            f"the class that it returns: def {name}(...) -> TheClass."
        )


def source_of(module_name: str) -> Path | None:
    """The file of a module; unlike `importlib.util.find_spec`, this imports none of its parents. None: not found."""
    path: list[str] | None = None
    file: Path | None = None
    parts = module_name.split(".")
    for number, part in enumerate(parts):
        try:
            spec = _spec(".".join(parts[: number + 1]), path)
        except KeyError:  # a folder without __init__.py asks for its parent, which has not been imported
            spec = None
            path = [str(Path(folder) / part) for folder in path or [] if (Path(folder) / part).is_dir()]
            continue
        if spec is None:
            return None
        file = None if spec.origin is None else Path(spec.origin)
        path = list(spec.submodule_search_locations or [])
    return file


def _spec(module_name: str, path: list[str] | None) -> ModuleSpec | None:
    specs = (finder.find_spec(module_name, path) for finder in sys.meta_path if hasattr(finder, "find_spec"))
    return next((spec for spec in specs if spec is not None), None)


def bindings(body: list[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    """(name, statement) of what the statements of a module or class define, also under `if`, `try` and `with`."""
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name.partition(".")[0], node) for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = (part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name))
            yield from ((name, node) for name in names)
        else:
            for block in ("body", "orelse", "finalbody"):
                yield from bindings(getattr(node, block, []))
            for handler in getattr(node, "handlers", []):
                yield from bindings(handler.body)
