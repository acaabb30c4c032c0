"""Files of labels -> checked labels, with errors that name file, line and key."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Literal

from phf.corpus.formats.row_policy import Chosen
from phf.corpus.sources.documents import Record, read_records
from phf.errors import ConfigError, CorpusError
from phf.labels.label import Label, Labels, Pair, Rating, place_of
from phf.labels.preferences import SCORE_COLUMNS, Part, is_tie, preference
from phf.labels.scale import Scale
from phf.labels.spelling import spelled_out
from phf.storage.reading import short

FORMS = "A pair has 'chosen' and 'rejected'; a rating has 'text' and 'rating'"
COLUMNS = frozenset(
    (
        "prompt",
        "chosen",
        "rejected",
        "text",
        "rating",
        "scale",
        "higher_is_worse",
        "annotator",
        "dataset",
        "id",
        "skipped",
    )
) | frozenset(chain.from_iterable(SCORE_COLUMNS))
"""What is read of a columnar file."""
OnError = Literal["stop", "skip"]


def read_labels(
    sources: Sequence[str],
    *,
    scale: Scale | None = None,
    higher_is_worse: bool | None = None,
    part: Part = "conversation",
    on_error: OnError = "stop",
) -> Labels:
    """All labels of some files, or other sources of records.

    Args:
        scale: of ratings whose lines have no `scale`.
        higher_is_worse: what a high rating means where lines do not say it in `higher_is_worse`.
        part: see `preference`.
        on_error: `skip` leaves out and counts rows that are not labels, instead of ending with the first one.

    Raises `CorpusError`, naming file and line, for such a row, for files without labels and for both kinds together.
    """
    labels: list[Any] = []
    left_out: Counter[str] = Counter()
    first_of_kind: dict[type, str] = {}

    def bad(error: CorpusError) -> None:
        if on_error == "stop":
            raise error
        left_out["not a usable label"] += 1

    for source in sources:
        for record in read_records(source, _columns, bad):
            try:
                label = _label(record, scale, higher_is_worse, part)
            except CorpusError as error:
                bad(error)
                continue
            if isinstance(label, str):
                left_out[label] += 1
                continue
            first_of_kind.setdefault(type(label), record.where)
            labels.append(label)
    if len(first_of_kind) > 1:
        raise CorpusError(
            f"{first_of_kind[Rating]} is a rating, {first_of_kind[Pair]} a pair: train on one kind of labels at a time."
        )
    if not labels:
        reasons = ", ".join(f"{reason}: {count:,}" for reason, count in left_out.items()) or "they are empty"
        raise CorpusError(f"{', '.join(map(str, sources))}: contain no labels ({reasons}). {FORMS}.")
    kind = "ratings" if isinstance(labels[0], Rating) else "pairs"
    return Labels(labels, kind, left_out, *_conflicts(labels))


def _columns(names: Sequence[str]) -> Chosen:
    known = [name for name in names if name in COLUMNS]
    return Chosen(known, []) if known else Chosen([], list(names)[:1])


def _label(record: Record, scale: Scale | None, higher_is_worse: bool | None, part: Part) -> Label | str:
    """The label of a row; or, as text, why there is none although the row is right."""
    values, where = spelled_out(record.values), record.where
    if values.get("skipped") is True:
        return "skipped by the annotator"
    annotator = _optional_text(values, "annotator", where)
    if "chosen" in values or "rejected" in values:
        for key in ("chosen", "rejected"):
            if key not in values:
                raise CorpusError(f"{where}: '{key}' is missing. {FORMS}.")
        if is_tie(values, where):
            return "tie"
        texts = preference(values, where, part)
        return Pair(texts.chosen, texts.rejected, texts.prompt, annotator)
    if "rating" not in values or "text" not in values:
        missing = "rating" if "text" in values else "text" if "rating" in values else "chosen"
        raise CorpusError(
            f"{where}: '{missing}' is missing. {FORMS}; the keys are {short(str(sorted(record.columns)))}."
        )
    text = values["text"]
    if not isinstance(text, str) or not text.strip():
        raise CorpusError(f"{where}: 'text' is {short(repr(text))}; it must be text, and not empty.")
    own = Scale.of(values["scale"], f"{where}: 'scale'") if values.get("scale") is not None else scale
    if own is None:
        raise ConfigError(f"{where}: the rating has no 'scale'. Give it with --scale, such as --scale 1-5.")
    is_worse = values["higher_is_worse"] if values.get("higher_is_worse") is not None else higher_is_worse
    if is_worse is None:
        raise ConfigError(
            f"{where}: the rating has no 'higher_is_worse'. Say what a high rating means: --higher-is worse or "
            "--higher-is better."
        )
    if not isinstance(is_worse, bool):
        raise CorpusError(f"{where}: 'higher_is_worse' is {short(repr(is_worse))}; true or false was expected.")
    share = own.share(values["rating"], f"{where}: 'rating'")
    return Rating(text, share if is_worse else 1 - share, annotator, _document(values))


def _document(values: Mapping[str, Any]) -> str | None:
    """Identifies a document across datasets; None for a label without `id`."""
    if values.get("id") in (None, ""):
        return None
    return f"{place_of(values.get('dataset'))}\n{values['id']}"


def _optional_text(values: Mapping[str, Any], key: str, where: str) -> str | None:
    value = values.get(key)
    if type(value) is int:  # the number of an annotator
        return str(value)
    if value is not None and not isinstance(value, str):
        raise CorpusError(f"{where}: '{key}' is {short(repr(value))}; text was expected.")
    return value or None


def _conflicts(labels: Sequence[Label]) -> tuple[int, int]:
    """(contradictory labels, repeated ones), see `Labels`."""
    seen = Counter((label.texts, _verdict(label)) for label in labels)
    contradictory = 0
    for label in labels:
        if isinstance(label, Pair):
            contradictory += ((label.rejected, label.chosen), None) in seen
        elif (verdict := _verdict(label)) is not None:
            contradictory += (label.texts, not verdict) in seen
    return contradictory, sum(count - 1 for count in seen.values())


def _verdict(label: Label) -> bool | None:
    """Whether a rating is on the bad side of its scale; None on neither, and for pairs, whose order says it."""
    if isinstance(label, Pair) or label.badness == 0.5:
        return None
    return label.badness > 0.5
