"""The origin of a mistake: the key that an error names may have been set on the command line."""

import re
from collections.abc import Sequence

_OVERRIDE = re.compile(r"(?:--override=)?(?P<all>(?P<key>[A-Za-z_]\w*(?:\.\w+)*)=(?P<value>.*))", re.DOTALL)


def set_by(message: str, arguments: Sequence[str]) -> str:
    """ " Set by --override KEY=VALUE." of the last argument that sets what the message is about; "" for none.

    It begins with a full stop if the message does not end with one.

    Errors of the schema already name the file or override of a value; those that are found later, when a scorer, an
    objective or the arguments of the trainer are built, know only the key.
    """
    overrides = [matched for argument in reversed(arguments) if (matched := _OVERRIDE.fullmatch(argument)) is not None]
    if any(f"--override {matched['all'].strip()}" in message for matched in overrides):
        return ""
    for matched in overrides:
        if matched["all"] not in message and _is_about(message, matched["key"], matched["value"]):
            end = "" if message.endswith((".", "?", "!")) else "."  # a message may end with a command
            return f"{end} Set by --override {matched['all'].strip()}."
    return ""


def _is_about(message: str, key: str, value: str) -> bool:
    """Whether it names the key or one below it; for an item of a list, the last name; or the value, if that is a name."""
    names = key.split(".")
    is_item = any(name.isdecimal() for name in names)
    value = value.strip("[]'\" \n")
    is_telling = (
        len(value) > 3 and not value.replace(".", "").isdecimal() and value.lower() not in ("true", "false", "null")
    )
    return _has(message, names[-1] if is_item else key) or (is_telling and value in message)


def _has(message: str, name: str) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", message) is not None
