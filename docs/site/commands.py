"""`docs/commands.md`: every command with its arguments and options, from the Typer application that parses them."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

from cells import cell, code, table
from typer.main import get_command

from phf.cli.app import app
from phf.cli.group import TAKES_OVERRIDES

INTRODUCTION = """# Command line

Every command with its arguments and options. This page is generated from the application (`python docs/site/generate.py`);
`--help` after any of them shows the same in a terminal. They are listed in the order in which a project uses them. What each
does is explained in the [guide](guide.md), with [exit statuses](guide.md#signals-and-exit-statuses).
"""
PLACEHOLDERS = {int: "N", float: "NUMBER", Path: "PATH"}


def page() -> str:
    application = get_command(app)
    parts = [INTRODUCTION, "## `phf`\n\n" + _options(application)]
    for name in application.list_commands(None):
        parts += _command(f"phf {name}", application.commands[name], "##")
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _command(name: str, command: Any, heading: str) -> Iterator[str]:
    arguments = [item for item in command.params if item.param_type_name == "argument" and not item.hidden]
    usage = " ".join([name, *map(_placeholder, arguments), "[OPTIONS]"])
    if name.removeprefix("phf ") in TAKES_OVERRIDES:
        usage += " [section.key=value ...]"
    parts = [
        f"{heading} `{name}`",
        _prose(command.help),
        f"```text\n{usage}\n```",
        _arguments(arguments),
        _options(command),
    ]
    yield "\n\n".join(filter(None, parts))
    for inner in getattr(command, "commands", {}):
        yield from _command(f"{name} {inner}", command.commands[inner], "###")


def _prose(text: str | None) -> str:
    """The paragraphs of a help text, each in one line."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in inspect.cleandoc(text or "").split("\n\n"))


def _placeholder(argument: Any) -> str:
    name = argument.name.upper() + ("..." if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def _arguments(arguments: list[Any]) -> str:
    rows = [[code(_placeholder(argument)), cell(argument.help or "")] for argument in arguments]
    return table(["argument", "meaning"], rows) if rows else ""


def _options(command: Any) -> str:
    kinds = get_type_hints(command.callback) if command.callback else {}
    options = [item for item in command.params if item.param_type_name == "option" and not item.hidden]
    rows = [[_spelled(option, kinds), _default(option), cell(option.help or "")] for option in options]
    return table(["option", "default", "meaning"], rows) if rows else ""


def _spelled(option: Any, kinds: dict[str, Any]) -> str:
    """Its names with what they take, as a user types them."""
    kind = kinds.get(option.name, str)
    placeholder = next(
        (word for scalar, word in PLACEHOLDERS.items() if kind is scalar or scalar in get_args(kind)), "TEXT"
    )
    value = "" if option.is_flag else f" {placeholder}"
    names = ", ".join(code(name + value) for name in (*option.opts, *option.secondary_opts))
    return names + (", repeatable" if option.multiple else "")


def _default(option: Any) -> str:
    if option.required:
        return "required"
    is_set = option.default is not None and option.default != () and not option.is_flag
    return code(str(option.default)) if is_set else ""
