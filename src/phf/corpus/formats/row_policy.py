"""How rows are read: which columns, what happens to bad rows, and how a job reports what it did not read."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from phf.errors import ConfigError, CorpusError
from phf.storage.reading import without_surrogates

TEXT_COLUMNS = ("text", "texts", "content", "raw_content")
"""Names of the text column of a corpus: Hugging Face's name, that of the annotated datasets, that of
code corpora (The Stack), and that of crawls (RedPajama)."""
MAX_LISTED = 100
"""Maximum number of skipped rows, and of files left out for one reason, that a manifest lists; all are counted."""
MAX_REASON_CHARS = 400


class BadRowError(CorpusError):
    """One row that cannot be read (`place`: its file and line or row), for `reason`."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.place = place
        self.reason = reason

    def __reduce__(self) -> tuple[type["BadRowError"], tuple[str, str]]:
        return BadRowError, (self.place, self.reason)

    @classmethod
    def of(cls, place: str, message: str) -> "BadRowError":
        """From a message that begins with the place, or contains a place."""
        rest = message.removeprefix(place)
        within, _, reason = rest.partition(": ")
        return cls(place + within, reason) if message.startswith(place) and reason else cls(place, message)


OnBad = Callable[[CorpusError], None]
"""Called with what is wrong with a row, or with the rest of a file. Returns if reading is to continue without it."""


def stop(error: CorpusError) -> None:
    """The `OnBad` of readers that need every row."""
    raise error


class Chosen(NamedTuple):
    """The columns that are read, of all available ones."""

    strict: list[str]
    """Text and scores: a value that cannot be read makes the row bad."""
    lenient: list[str]
    """Identity and description: a value that Python cannot hold is given as text."""


Choose = Callable[[Sequence[str]], Chosen]
"""Names of all columns of a file -> those that are read. Raises `CorpusError` if one is missing."""


def all_columns(names: Sequence[str]) -> Chosen:
    """All columns."""
    return Chosen(list(names), [])


@dataclass(frozen=True)
class ReadOptions:
    """What is read from a raw corpus."""

    text_column: str | None = None
    """Column that holds the text; None: the one of `TEXT_COLUMNS` that is there."""
    keep: tuple[str, ...] = ()
    """Columns that are kept in `meta`, under their own names."""

    def columns(self, names: Sequence[str]) -> Chosen:
        """A `Choose`: text, `id`, `meta` and what is kept."""
        texts = self.text_columns(names)
        if not texts:
            raise CorpusError(no_text(names, self.text_column))
        missing = [name for name in self.keep if name not in names]
        if missing:
            raise CorpusError(f"has no column '{missing[0]}', which --keep names; its columns are {listed(names)}.")
        return Chosen(texts, [name for name in dict.fromkeys(("id", "meta", *self.keep)) if name in names])

    def text_columns(self, names: Iterable[str]) -> list[str]:
        """The columns that hold the text, among the names of a file's or a row's; empty if there is none.

        Several if a row may have its text in one of them: `text`, and `texts` of an annotated one. Raises `CorpusError`
        if it is ambiguous which one is meant.
        """
        if self.text_column is not None:
            return [self.text_column] if self.text_column in names else []
        known = set(names)
        usual = [name for name in TEXT_COLUMNS[:2] if name in known]
        if usual:
            return usual
        others = [name for name in TEXT_COLUMNS[2:] if name in known]
        if len(others) > 1:
            raise CorpusError(f"its text may be in any of {listed(others)}. Choose one with --text-column.")
        return others

    def settings(self) -> dict[str, Any]:
        """The options that were given, as part of what identifies a job."""
        settings: dict[str, Any] = {}
        if self.text_column is not None:
            settings["text_column"] = self.text_column
        if self.keep:
            settings["keep"] = list(self.keep)
        return settings

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "ReadOptions":
        """The options that `settings` contains."""
        return cls(settings.get("text_column"), tuple(settings.get("keep", ())))

    def check(self) -> None:
        """Raise `ConfigError` for invalid names."""
        if "" in (self.text_column, *self.keep):
            raise ConfigError("--text-column and --keep need the name of a column.")


def no_text(names: Iterable[str], text_column: str | None = None) -> str:
    """The message for a file or a row whose columns contain no text."""
    if text_column is not None:
        return f"has no column '{text_column}', which --text-column names; its columns are {listed(names)}."
    return (
        f"has no 'text' (string) nor 'texts' (list of strings); its keys are {listed(names)}. "
        "Choose the column that holds the text with phf annotate --text-column."
    )


def listed(names: Iterable[str]) -> str:
    """Names for a message, sorted, the first 30 of them."""
    known = sorted(map(str, names))
    more = f" and {len(known) - 30} more" if len(known) > 30 else ""
    return f"{known[:30]}{more}"


@dataclass
class Named:
    """A count, and all of the names or the first ones."""

    count: int = 0
    names: list[Any] = field(default_factory=list)

    def add(self, name: Any) -> None:
        """Count one more."""
        self.count += 1
        self.names.append(name)

    def update(self, other: "Named") -> None:
        """Add all of another."""
        self.count += other.count
        self.names += other.names

    def first(self) -> "Named":
        """The same count, and the first `MAX_LISTED` by name."""
        return Named(self.count, self.names[:MAX_LISTED])


@dataclass
class ReadNotes:
    """What was not read, for the manifest and the user."""

    left_out: dict[str, Named] = field(default_factory=dict)
    """Reason -> files of a folder that are not of the corpus."""
    skipped: Named = field(default_factory=Named)
    """Bad rows, each {"where": ..., "reason": ...}."""
    is_strict: bool = True
    """Whether a bad row ends the job."""

    def leave_out(self, name: str, reason: str) -> None:
        """Count a file that is not read."""
        self.left_out.setdefault(reason, Named()).add(name)

    def bad(self, error: CorpusError) -> None:
        """An `OnBad`."""
        if self.is_strict:
            raise error
        place, reason = (error.place, error.reason) if isinstance(error, BadRowError) else ("", str(error))
        self.skipped.add({"where": place, "reason": reason[:MAX_REASON_CHARS]})

    def update(self, other: "ReadNotes") -> None:
        """Add what another reader noted."""
        for reason, files in other.left_out.items():
            self.left_out.setdefault(reason, Named()).update(files)
        self.skipped.update(other.skipped)

    def describe_left_out(self) -> list[str]:
        """A line for each reason why files were not read."""
        return describe_left_out(self.to_json()["left_out"])

    def take(self) -> "ReadNotes":
        """What was noted since the last call, which resets it."""
        notes = ReadNotes(dict(self.left_out), self.skipped, self.is_strict)
        self.left_out.clear()
        self.skipped = Named()
        return notes

    def first(self) -> "ReadNotes":
        """The same counts, and the first `MAX_LISTED` of each by name."""
        left_out = {reason: files.first() for reason, files in self.left_out.items()}
        return ReadNotes(left_out, self.skipped.first(), self.is_strict)

    def to_json(self) -> dict[str, Any]:
        """Plain values whose text UTF-8 can encode, even if names of files are not valid UTF-8."""
        left_out = {reason: {"count": n.count, "files": n.names} for reason, n in self.left_out.items()}
        skipped = {"count": self.skipped.count, "rows": self.skipped.names}
        return without_surrogates({"left_out": left_out, "skipped": skipped})  # type: ignore[no-any-return]

    @classmethod
    def of_json(cls, values: Mapping[str, Any]) -> "ReadNotes":
        """The inverse of `to_json`."""
        left_out = {reason: Named(named["count"], named["files"]) for reason, named in values["left_out"].items()}
        return cls(left_out, Named(values["skipped"]["count"], values["skipped"]["rows"]))


def describe_left_out(left_out: Mapping[str, Mapping[str, Any]], num_examples: int = 5) -> list[str]:
    """A line for each reason why files were not read (`ReadNotes.to_json`): how many, and the first of them."""
    return [
        f"Not read: {names['count']:,} {'file' if names['count'] == 1 else 'files'} ({reason}): "
        f"{', '.join(names['files'][:num_examples])}{', ...' if names['count'] > num_examples else ''}"
        for reason, names in left_out.items()
    ]


def json_ready(value: Any) -> Any:
    """A value as JSON: keys are text, NaN and infinities become null, bytes and other types that JSON lacks become text."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_key(key): json_ready(element) for key, element in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(element) for element in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "replace")
    return str(value)


def _key(key: Any) -> str:
    if isinstance(key, bytes):
        return key.decode("utf-8", "replace")
    return key if isinstance(key, str) else str(key)
