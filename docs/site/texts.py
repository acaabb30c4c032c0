"""The texts that an expression can have: `f"{path}: is {kind}"` is `…: is a FIFO` and `…: is a device`."""

import ast
import itertools
import re
from collections.abc import Iterable, Mapping

from source import Scope, called, find

HOLE = "…"
MAX_DEPTH = 12
OPAQUE = {
    "short",
    "visible",
    "visible_text",
    "masked",
    "listed",
    "code_span",
    "named",
    "number",
    "_and_more",
    "size_text",
}
"""Functions that show what they are given: what they return is data, not a message of ours."""
REASONS = {"first_sentence", "lost_samples"}
"""Functions whose texts become parts of many messages: they are messages of their own."""
LISTING = {"did_you_mean": "Did you mean '…'? Known: …."}
"""Functions that end many messages -> how these end, at their longest."""
PARAMETER = "\x01{}\x02"
"""What stands for a parameter of the function, until its calls are looked at."""
OF_PARAMETER = re.compile("\x01(\\w+)\x02")
Bound = Mapping[str, list[str]] | None


def texts(node: ast.expr | None, scope: Scope, bound: Bound = None, depth: int = 0) -> list[str]:
    """What `node` can be, with `…` for what is only known when it runs. `bound`: what parameters are."""

    def inner(child: ast.expr | None) -> list[str]:
        return texts(child, scope, bound, depth + 1)

    if depth > MAX_DEPTH:
        return [HOLE]
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=parts):
            return joined([inner(part) for part in parts])
        case ast.FormattedValue(value=value, conversion=-1, format_spec=None) | ast.NamedExpr(value=value):
            return inner(value)
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            return joined([inner(left), inner(right)])
        case ast.IfExp(body=body, orelse=orelse):
            return unique([*inner(body), *inner(orelse)])
        case ast.BoolOp(values=values):
            return unique(text for value in values for text in inner(value))
        case ast.Name(id=name):
            return _named(name, scope, bound, depth)
        case ast.Call():
            return _returned(node, scope, bound, depth)
        case ast.Subscript(value=ast.Name(id=name)):
            match find(scope.module, name):
                case (module, [ast.Dict(values=values)]):
                    return unique(text for value in values for text in texts(value, module.top, None, depth + 1))
    return [HOLE]


def _named(name: str, scope: Scope, bound: Bound, depth: int) -> list[str]:
    if bound and name in bound:
        return bound[name]
    if assigned := scope.assigned.get(name):
        found = unique(text for value in assigned for text in texts(value, scope, bound, depth + 1))
        for value in scope.added.get(name, []):
            longer = joined([found, texts(value, scope, bound, depth + 1)])
            found = unique([*found, *longer])
        return found
    if name in scope.parameters:
        return [PARAMETER.format(name)] if bound is None else [HOLE]
    match find(scope.module, name):
        case (module, [value]):
            return texts(value, module.top, None, depth + 1)
    return [HOLE]


def _returned(call: ast.Call, scope: Scope, bound: Bound, depth: int) -> list[str]:
    """What a call of one of our functions returns."""
    match call.func:
        case ast.Name(id="str") if call.args:
            return texts(call.args[0], scope, bound, depth + 1)
        case ast.Attribute(attr="rstrip", value=value):
            ends = "".join(ast.literal_eval(argument) for argument in call.args)
            return unique(text.rstrip(ends or None) for text in texts(value, scope, bound, depth + 1))
        case ast.Name(id=name) if name in LISTING:
            return [LISTING[name]]
        case ast.Name(id="counted"):  # a message has one form, the plural
            ending = "s" if len(call.args) == 2 else ""
            return [f"{HOLE} {noun}{ending}" for noun in texts(call.args[-1], scope, bound, depth + 1)]
    target = called(call, scope)
    if target is None or target.function is None or target.function.name in {*OPAQUE, *REASONS, "__init__"}:
        return [HOLE]
    arguments = {name: texts(value, scope, bound, depth + 1) for name, value in given(call, target).items()}
    values = [value for value in target.returned if not (isinstance(value, ast.Constant) and value.value is None)]
    return unique(text for value in values for text in texts(value, target, arguments, depth + 1)) or [HOLE]


def given(call: ast.Call, target: Scope) -> dict[str, ast.expr | None]:
    """Parameter -> what a call gives it, or its default."""
    values: dict[str, ast.expr | None] = {name: target.defaults.get(name) for name in target.parameters}
    positional = itertools.takewhile(lambda value: not isinstance(value, ast.Starred), call.args)
    values |= dict(zip(target.parameters, positional, strict=False))
    return values | {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg in values}


def unique(found: Iterable[str]) -> list[str]:
    """Each once, in their order."""
    return list(dict.fromkeys(found))


def joined(parts: list[list[str]]) -> list[str]:
    """The texts of the parts, one after another: so many that each text of each part occurs, not every combination."""
    parts = [_without_forms(part) for part in parts]
    count = max(map(len, parts), default=1)
    return unique("".join(part[index % len(part)] for part in parts) for index in range(count))


def _without_forms(part: list[str]) -> list[str]:
    """ "is" and "are", "" and "s" say nothing that differs: a hole."""
    return [HOLE] if len(part) > 1 and all(len(text) <= 4 for text in part) else part
