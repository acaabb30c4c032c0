"""The Python files of `phf` as syntax trees, and what the names in them refer to."""

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2] / "src"
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(eq=False)
class Scope:
    """A function, or a file without its functions, and what is in it."""

    module: "Module"
    owner: ast.ClassDef | None = None
    """The class of a method."""
    function: Function | None = None
    calls: list[ast.Call] = field(default_factory=list)
    returned: list[ast.expr] = field(default_factory=list)
    assigned: dict[str, list[ast.expr]] = field(default_factory=dict)
    """Variable -> all that it is set to."""
    added: dict[str, list[ast.expr]] = field(default_factory=dict)
    """Variable -> all that is added to it, with `+=`."""
    warnings: list[ast.expr] = field(default_factory=list)
    """What is put into a list of warnings, which is shown later."""
    functions: dict[str, "Scope"] = field(default_factory=dict)
    """Those that are defined directly inside."""

    @functools.cached_property
    def parameters(self) -> list[str]:
        """The names of the function's parameters, without `self` and `cls`."""
        if self.function is None:
            return []
        of = self.function.args
        names = [argument.arg for argument in (*of.posonlyargs, *of.args)]
        is_bound = self.owner is not None and names[:1] in (["self"], ["cls"])
        return names[is_bound:] + [argument.arg for argument in of.kwonlyargs]

    @functools.cached_property
    def defaults(self) -> dict[str, ast.expr]:
        """Parameter -> its default."""
        assert self.function is not None
        of = self.function.args
        names = [argument.arg for argument in (*of.posonlyargs, *of.args)]
        found = dict(zip(reversed(names), reversed(of.defaults), strict=False))
        return found | {name.arg: value for name, value in zip(of.kwonlyargs, of.kw_defaults, strict=True) if value}


@dataclass(eq=False)
class Class:
    """A class: its bases, and its methods by name."""

    node: ast.ClassDef
    methods: dict[str, Scope] = field(default_factory=dict)


class Module:
    """A file: its functions, classes and constants, and where the names come from that it imports."""

    def __init__(self, name: str, tree: ast.Module) -> None:
        self.name = name
        self.classes: dict[str, Class] = {}
        self.imports: dict[str, tuple[str, str]] = {}
        self.scopes: list[Scope] = []
        """The file itself, and every function in it."""
        self.top = self._scope(None, None)
        for node in tree.body:
            self._read(node, self.top, None)

    @property
    def room(self) -> str:
        """The folder of the file below `phf`, or the file itself."""
        return self.name.split(".")[1] if "." in self.name else self.name

    def _scope(self, owner: ast.ClassDef | None, function: Function | None) -> Scope:
        self.scopes.append(Scope(self, owner, function))
        return self.scopes[-1]

    def _read(self, node: ast.AST, scope: Scope, owner: Class | None) -> None:
        """Notes what a node and those in it are. `owner`: the class whose body they are directly in."""
        inside, inner = scope, None
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                inside = self._scope(owner.node if owner else None, node)
                (owner.methods if owner else scope.functions)[name] = inside
            case ast.ClassDef(name=name):
                self.classes[name] = inner = Class(node)
            case ast.ImportFrom(module=str(source), names=names) if source.startswith("phf"):
                self.imports |= {item.asname or item.name: (source, item.name) for item in names}
            case ast.Call(func=ast.Attribute(value=values, attr="append"), args=[value]) if _is_warnings(values):
                scope.warnings.append(value)
            case ast.Call():
                scope.calls.append(node)
            case ast.Return(value=ast.expr() as value):
                scope.returned.append(value)
                scope.warnings += _items(value) if _is_named_warnings(scope.function) else []
            case ast.AugAssign(target=target, value=value) if _is_warnings(target):
                scope.warnings += _items(value)
            case ast.AugAssign(target=ast.Name(id=name), value=value):
                scope.added.setdefault(name, []).append(value)
            case ast.NamedExpr() | ast.AnnAssign() | ast.Assign():
                _note(node, scope.assigned)
        for child in ast.iter_child_nodes(node):
            self._read(child, inside, inner)


def _is_warnings(node: ast.expr) -> bool:
    match node:
        case ast.Name(id="warnings") | ast.Attribute(attr="warnings"):
            return True
    return False


def _is_named_warnings(function: Function | None) -> bool:
    """Whether a function returns a list of warnings."""
    return function is not None and (function.name.startswith("warnings") or function.name.endswith("_warnings"))


def _items(node: ast.expr) -> list[ast.expr]:
    """What is in a list."""
    match node:
        case ast.List(elts=items):
            return items
        case ast.ListComp(elt=item):
            return [item]
    return []


def _note(node: ast.AST, assigned: dict[str, list[ast.expr]]) -> None:
    match node:
        case (
            ast.NamedExpr(target=ast.Name(id=name), value=value)
            | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            | ast.Assign(targets=[ast.Name(id=name)], value=value)
        ):
            assigned.setdefault(name, []).append(value)
        case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
            for target, value in zip(targets, values, strict=False):
                if isinstance(target, ast.Name):
                    assigned.setdefault(target.id, []).append(value)


@functools.cache
def modules() -> dict[str, Module]:
    """Dotted name -> the file."""
    found = {}
    for path in sorted((ROOT / "phf").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        found[name] = Module(name, ast.parse(path.read_text(encoding="utf-8")))
    return found


def scopes() -> Iterator[Scope]:
    """Every function and file of the source."""
    for module in modules().values():
        yield from module.scopes


def find(module: Module, name: str, steps: int = 5) -> tuple[Module, Scope | Class | list[ast.expr]] | None:
    """What a name at the top of a file is: a function, a class, or a constant's values; with the file that defines it."""
    for kind in (module.top.functions, module.classes, module.top.assigned):
        if name in kind:
            return module, kind[name]
    source, original = module.imports.get(name, ("", ""))
    return find(modules()[source], original, steps - 1) if source in modules() and steps else None


def called(call: ast.Call, scope: Scope) -> Scope | None:
    """The function, method or `__init__` that a call runs, if it is one of ours."""
    match call.func:
        case ast.Name(id=name) if name in scope.functions:
            return scope.functions[name]
        case ast.Name(id=name):
            match find(scope.module, name):
                case (_, Scope() as function):
                    return function
                case (_, Class(methods={"__init__": init})):
                    return init
        case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name) if scope.owner is not None:
            return scope.module.classes[scope.owner.name].methods.get(name)
        case ast.Attribute(value=ast.Name(id=owner), attr=name):
            match find(scope.module, owner):
                case (_, Class(methods=methods)):
                    return methods.get(name)
    return None
