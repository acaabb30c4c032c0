"""The prompts of a generation scenario: from files, datasets, the sets that ship with `phf`, or the standard library."""

from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from phf.config.released import PROMPTS as RELEASED
from phf.corpus.formats.row_policy import Chosen
from phf.corpus.sources import stdlib
from phf.corpus.sources.documents import read_records
from phf.corpus.sources.listing import record_files
from phf.corpus.sources.python_code import PYTHON_STDLIB
from phf.errors import CorpusError
from phf.registry.names import did_you_mean

SHIPPED = "phf:"
"""`phf:NAME` is a set of prompts that is installed with the package."""


def read_prompts(path: str, column: str = "text", where: Mapping[str, Any] | None = None) -> list[str]:
    """The prompts that a scenario's `prompts_path`, `prompts_column` and `prompts_where` name, in order.

    Raises `CorpusError` naming file and row for a record without text in that column, an empty prompt, or no prompt.
    """
    if path == PYTHON_STDLIB:
        return stdlib.function_headers()
    source = _shipped_file(path) if path.startswith(SHIPPED) else path
    is_local = Path(source).exists() or record_files(source) or path.startswith(SHIPPED)
    if not is_local and (
        Path(path).is_absolute() or Path(path).suffix in (".jsonl", ".json", ".parquet", ".gz", ".zst")
    ):
        raise CorpusError(f"prompts_path: there is no file {path}.{_where_to_get(path)}")
    prompts = list(_prompts(source, column, where or {}))
    if not prompts:
        condition = f" with {dict(where)}" if where else ""
        raise CorpusError(f"{path}: contains no prompts{condition}.")
    return prompts


def missing_released_prompts(path: str | None) -> str | None:
    """What is missing if `path` names prompts of the released code, in its folder, that are not here; otherwise None."""
    if path is None or not path.startswith(RELEASED) or Path(path).exists():
        return None
    return f"there is no file {path}.{_where_to_get(path)}"


def _where_to_get(path: str) -> str:
    if not path.startswith(RELEASED):
        return ""
    return (
        " It belongs to the released code: copy that folder here, or set prompts_path to prompts that are here, such as "
        f"{', '.join(shipped_prompts())} or {PYTHON_STDLIB}."
    )


def shipped_prompts() -> dict[str, Path]:
    """Name -> file of the sets of prompts that are installed with the package."""
    folder = Path(str(resources.files("phf") / "prompts"))
    return {f"{SHIPPED}{file.stem}": file for file in sorted(folder.glob("*.jsonl"))}


def _shipped_file(name: str) -> str:
    known = shipped_prompts()
    if name not in known:
        raise CorpusError(f"prompts_path: '{name}' is not a set of prompts of phf. {did_you_mean(name, known)}")
    return str(known[name])


def _prompts(source: str, column: str, where: Mapping[str, Any]) -> Iterator[str]:
    columns = {key.partition(".")[0] for key in (column, *where)}
    for record in read_records(
        source, lambda names: Chosen([], [name for name in names if name in columns] or [*names])
    ):
        is_line = record.line is not None and Path(record.file).is_file()
        place = f"{Path(record.file).name}, line {record.line}" if is_line else record.where
        if any(_value(record.values, key, place) != expected for key, expected in where.items()):
            continue
        text = _value(record.values, column, place)
        if not isinstance(text, str):
            raise CorpusError(f"{place}: '{column}' is {text!r}; a prompt must be text.")
        if not text.strip():
            raise CorpusError(f"{place}: the prompt is empty. Remove the line; for no prompt leave prompts_path out.")
        yield text


def _value(values: Mapping[str, Any], key: str, place: str) -> Any:
    """`prompt.text` is the field `text` of the column `prompt`."""
    value: Any = values
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            known = sorted(map(str, value)) if isinstance(value, Mapping) else "none"
            raise CorpusError(
                f"{place}: has no '{key}'; its keys are {known}. Set prompts_column to the one with the text."
            )
        value = value[part]
    return value
