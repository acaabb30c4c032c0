"""The file that labels are appended to, and the state of an annotator's session."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from filelock import FileLock

from phf.errors import CorpusError, OutputError
from phf.labels.label import place_of
from phf.labels.questions import Kind, Question, Segment, question_key
from phf.labels.scale import Scale
from phf.storage.files import acquire_if_supported, append_atomic, last_line, writing
from phf.storage.reading import is_whole, read_json_lines_as, short

Answer = int | str
"""A rating; or `first`, `second` or `skip`."""


class Entry(NamedTuple):
    """A line of the file."""

    where: str
    values: dict[str, Any]

    def check(self) -> None:
        """Raise `CorpusError` for a line of another form."""
        _ = self.texts

    @property
    def texts(self) -> list[str]:
        """What was judged: one text, or two, the chosen one first. Raises `CorpusError` for a line of another form."""
        if self.values.get("skipped") is True:
            texts = self.values.get("texts")
        elif "text" in self.values:
            texts = [self.values["text"]]
        else:
            texts = [self.values.get("chosen"), self.values.get("rejected")]
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise CorpusError(f"{self.where}: was not written by phf label. Choose another file with --output.")
        return texts


class Journal:
    """A JSON Lines file of labels, to which several processes may append."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._num_bytes = 0
        """Of the whole lines that `news` has read and `append` has written."""

    def entries(self) -> list[Entry]:
        """The lines that are there, without an incomplete last one, which an interruption left.

        Raises `CorpusError` naming the first line that `phf label` did not write.
        """
        if not self.path.exists():
            return []
        lines = read_json_lines_as(dict[str, Any], self.path, CorpusError, cut_off=lambda: None)
        entries = [Entry(where, values) for where, values in lines]
        for entry in entries:
            entry.check()
        return entries

    def news(self) -> list[Entry]:
        """All lines if others have written some since the last time, or since `append`; otherwise none.

        Raises `OutputError` if lines are gone that were there, `CorpusError` as `entries`.
        """
        num_bytes = self._whole_bytes()
        if num_bytes < self._num_bytes:
            raise OutputError(
                f"{self.path}: lines that were in it are gone: somebody removed, replaced or cut it while questions were "
                "answered. Put it back, or run the same command again to be asked what is missing in it."
            )
        is_same = num_bytes == self._num_bytes
        self._num_bytes = num_bytes
        return [] if is_same else self.entries()

    def check_writable(self) -> None:
        """Raises `OutputError` where answers could not be saved, before anybody is asked."""
        with self._locked():
            if os.path.lexists(self.path):
                with writing(self.path), self.path.open("ab"):
                    pass

    def append(self, values: dict[str, Any], is_wanted: Callable[[list[Entry]], bool] = lambda news: True) -> bool:
        """Add a line; it is on disk when this returns. An incomplete last line is removed; one that lacks nothing but its
        newline gets that.

        `is_wanted`: is given the `news`, before which nobody else can write any more; the line is added if it returns true,
        and so does this. Raises `OutputError`, and as `news`.
        """
        line = json.dumps(values, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        with self._locked(), writing(self.path):
            if not is_wanted(self.news()):
                return False
            tail = last_line(self.path)
            if tail and not tail.endswith(b"\n") and is_whole(tail):
                line = b"\n" + line
            elif tail and not tail.endswith(b"\n"):
                with self.path.open("r+b") as file:
                    file.truncate(self.path.stat().st_size - len(tail))
            append_atomic(self.path, line)
            self._num_bytes = self._whole_bytes()
            return True

    def _whole_bytes(self) -> int:
        """Size of the file without an incomplete last line; 0 where there is none."""
        if not self.path.is_file():
            return 0
        with writing(self.path):
            tail = last_line(self.path)
            return self.path.stat().st_size - (0 if is_whole(tail) else len(tail))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path.with_name(f".{self.path.name}.lock"), timeout=10)
            acquire_if_supported(lock)
        try:
            yield
        finally:
            lock.release()


class Session:
    """The questions of one annotator: the next one, and what was answered. Safe for several threads."""

    def __init__(
        self, journal: Journal, questions: Sequence[Question], annotator: str, kind: Kind, scale: Scale, dataset: str
    ) -> None:
        self.kind: Kind = kind
        self.scale = scale
        self.questions = list(questions)
        self._journal, self._annotator, self._dataset = journal, annotator, dataset
        self._left = self.questions
        self._leave_out_answered(journal.news())
        self._lock = Lock()

    @property
    def current(self) -> Question | None:
        """The question to show; None when all are answered."""
        left = self._left
        return left[0] if left else None

    @property
    def num_done(self) -> int:
        return len(self.questions) - len(self._left)

    def answer(self, key: str, answer: Answer) -> bool:
        """Save the answer to the current question; False, without effect, if that is another one, or the answer is not one.

        The annotator may have answered it elsewhere meanwhile: then it is not current any more. Raises as `Journal.append`.
        """
        with self._lock:
            question = self.current
            if question is None or question.key != key or not self._is_valid(answer):
                return False
            if not self._journal.append(self._line(question, answer), partial(self._is_current, question)):
                return False
            self._left.pop(0)
            return True

    def _is_current(self, question: Question, entries: Sequence[Entry]) -> bool:
        self._leave_out_answered(entries)
        return question is self.current

    def _leave_out_answered(self, entries: Sequence[Entry]) -> None:
        done = {question_key(entry.texts) for entry in entries if entry.values.get("annotator") == self._annotator}
        self._left = [question for question in self._left if question.key not in done]

    def _is_valid(self, answer: Answer) -> bool:
        if answer == "skip":
            return True
        if self.kind == "pairs":
            return answer in ("first", "second")
        return type(answer) is int and self.scale.low <= answer <= self.scale.high

    def _line(self, question: Question, answer: Answer) -> dict[str, Any]:
        who = {
            "annotator": self._annotator,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "dataset": self._dataset,
        }
        segments = question.segments
        if answer == "skip":
            return {"skipped": True, "texts": [segment.text for segment in segments], **who, **_places(segments)}
        if self.kind == "ratings":
            (segment,) = segments
            rating = {"text": segment.text, "rating": answer, "scale": list(self.scale), "higher_is_worse": True}
            return {**rating, **who, "id": segment.document, "segment": segment.number}
        chosen, rejected = segments if answer == "first" else segments[::-1]
        return {"chosen": chosen.text, "rejected": rejected.text, **who, **_places((chosen, rejected))}


def _places(segments: Sequence[Segment]) -> dict[str, Any]:
    return {"places": [{"id": segment.document, "segment": segment.number} for segment in segments]}


class KnownPlaces:
    """Checks, while a dataset is read, that what was labelled in it is still there."""

    def __init__(self, entries: Sequence[Entry], dataset: str) -> None:
        self._missing: dict[tuple[str, str, str], str] = {}
        for entry in entries:
            if place_of(entry.values.get("dataset")) == place_of(dataset):
                places = entry.values.get("places", [entry.values])
                if not isinstance(places, list):
                    raise CorpusError(f"{entry.where}: 'places' is {short(repr(places))}; a list was expected.")
                for place, text in zip(places, entry.texts, strict=False):
                    if isinstance(place, dict):
                        self._missing[str(place.get("id")), str(place.get("segment")), text] = entry.where

    @property
    def is_empty(self) -> bool:
        """Whether nothing of the dataset was labelled."""
        return not self._missing

    def watch(self, segments: Iterator[Segment]) -> Iterator[Segment]:
        """The same segments; raises `CorpusError` at their end for a label of a segment that was not among them."""
        for segment in segments:
            self._missing.pop((segment.document, str(segment.number), segment.text), None)
            yield segment
        for (document, number, _), where in self._missing.items():
            raise CorpusError(
                f"{where}: labels segment {number} of document '{short(document)}', which the dataset does not contain, "
                "or contains with another text. Choose another file with --output, or the dataset that was labelled."
            )
