"""Every message of the source that a user can meet: what errors are raised with, and warnings."""

import ast
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from source import Scope, called, modules, scopes
from texts import HOLE, OF_PARAMETER, REASONS, given, joined, texts

FAMILIES = {"PhfError", "ValueError", "NotImplementedError"}
OF_LIBRARIES = {"PydanticCustomError": 1}
"""Errors of libraries that we raise -> the place of the message among their arguments."""
WORD = re.compile(rf"(?<![\w.{HOLE}'-])[A-Za-z]{{2,}}(?![\w{HOLE}]|\.[\w{HOLE}]|')")
OWN_WORDS = 2
"""A message with fewer words is completed by the functions that call for it."""
MAX_CALLERS = 4


@dataclass(frozen=True, order=True)
class Message:
    """A message as it is in the source; `…` is what differs from case to case."""

    module: str
    line: int
    text: str

    @property
    def room(self) -> str:
        """The folder of the file below `phf`."""
        return self.module.split(".")[1]


def words(text: str) -> list[str]:
    """The words of prose in a text: not keys, options and names of variables."""
    return WORD.findall(text)


@functools.cache
def error_classes() -> frozenset[str]:
    """The names of the classes that messages are raised with."""
    bases = {
        name: {base.id for base in of.node.bases if isinstance(base, ast.Name)}
        for module in modules().values()
        for name, of in module.classes.items()
    }
    found = set(FAMILIES)
    while more := {name for name, of in bases.items() if of & found} - found:
        found |= more
    return frozenset(found)


@functools.cache
def messages() -> tuple[Message, ...]:
    """All of them, each once for a file, in the order of the files."""
    found: dict[tuple[str, str], Message] = {}
    for scope in scopes():
        for message in (*_raised(scope), *_endings(scope), *_reasons(scope)):
            found.setdefault((message.text, message.module), message)
    return tuple(sorted(message for message in found.values() if len(words(message.text)) >= OWN_WORDS))


def _raised(scope: Scope) -> Iterator[Message]:
    """Messages of errors and warnings."""
    for call in scope.calls:
        yield from _complete(_texts(call, scope), scope, call.lineno)
    for value in scope.warnings:
        yield from _complete(texts(value, scope), scope, value.lineno)


def _endings(scope: Scope) -> Iterator[Message]:
    """What is to be done, where the problem is found by a function that reads any file (`advice`)."""
    for call in scope.calls:
        target = called(call, scope)
        if target is not None and "advice" in target.parameters and (advice := given(call, target)["advice"]):
            for text in texts(advice, scope):
                if text and not OF_PARAMETER.search(text):
                    yield _message(f"{HOLE}. {text}", scope, call.lineno)


def _reasons(scope: Scope) -> Iterator[Message]:
    """What is wrong, where functions say it in many messages."""
    if scope.function is not None and scope.function.name in REASONS:
        for value in scope.returned:
            for text in texts(value, scope):
                yield _message(text, scope, value.lineno)


def _texts(call: ast.Call, scope: Scope) -> list[str]:
    """The texts of the message if the call makes an error or shows a warning; else none."""
    match call:
        case ast.Call(func=ast.Name(id="MissingExtraError"), args=[feature, package, extra]):
            parts = [
                texts(feature, scope),
                [" needs "],
                texts(package, scope),
                [". Install it with: pip install 'phf["],
            ]
            return joined([*parts, texts(extra, scope), ["]'"]])
        case ast.Call(func=ast.Name(id="PydanticCustomError"), args=[_, message, *_]):
            return texts(message, scope)
        case ast.Call(func=ast.Name(id="error"), args=[message, *_]) if "error" in scope.parameters:
            return texts(message, scope)
        case ast.Call(func=ast.Name(id=name), args=[message, *_]) if name in error_classes() and not called(
            call, scope
        ):
            return texts(message, scope)
        case ast.Call(
            func=ast.Attribute(value=ast.Call(func=ast.Name(id="super")), attr="__init__"), args=[message, *_]
        ):
            is_error = scope.owner is not None and scope.owner.name in error_classes()
            return texts(message, scope) if is_error else []
        case ast.Call(func=ast.Attribute(value=ast.Name(id="warnings"), attr="warn"), args=[message, *_]):
            return texts(message, scope)
        case ast.Call(func=ast.Name(id="say" | "say_result"), args=[message, ast.Constant(value="yellow")]):
            return texts(message, scope)
        case ast.Call(func=ast.Attribute(value=ast.Name(id="logger"), attr="warning" | "error"), args=[message, *_]):
            return [re.sub(r"%[\d.,]*[sdrf]", HOLE, text) for text in texts(message, scope)]
    return []


def _complete(found: list[str], scope: Scope, line: int, depth: int = 0) -> Iterator[Message]:
    """Messages without parameters: where the rest says little, what they are is looked up in the function's calls."""
    says_little = all(len(words(OF_PARAMETER.sub(HOLE, text))) < OWN_WORDS for text in found)
    for text in found:
        is_open = says_little and OF_PARAMETER.search(text) is not None and depth < MAX_CALLERS
        calls = _calls().get(id(scope), []) if is_open else []
        for call, caller in calls:
            arguments = given(call, scope)
            split = enumerate(OF_PARAMETER.split(text))
            parts = [texts(arguments.get(part), caller) if index % 2 else [part] for index, part in split]
            yield from _complete(joined(parts), caller, call.lineno, depth + 1)
        if not calls:
            yield _message(text, scope, line)


def _message(text: str, scope: Scope, line: int) -> Message:
    text = OF_PARAMETER.sub(HOLE, " ".join(text.split()))
    return Message(scope.module.name, line, re.sub(rf"{HOLE}[{HOLE} ]*{HOLE}", HOLE, text))


@functools.cache
def _calls() -> dict[int, list[tuple[ast.Call, Scope]]]:
    """Identity of a function's scope -> its calls."""
    found: dict[int, list[tuple[ast.Call, Scope]]] = {}
    for scope in scopes():
        for call in scope.calls:
            if (target := called(call, scope)) is not None:
                found.setdefault(id(target), []).append((call, scope))
    return found
