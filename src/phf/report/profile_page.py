"""The page of a profile of scores."""

from collections.abc import Sequence
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

from phf.profile.histogram import Bin, labels
from phf.profile.measure import Profile
from phf.report.charts import Chart, Point, Series
from phf.report.export import export
from phf.report.html import check_can_render, render
from phf.storage.files import write_text_atomic
from phf.text import counted, visible_text

PAGE = "profile.html"
MOST_GROUPS = 100
UNITS = ("documents", "segments", "characters", "tokens")
"""Columns of the table of the two sides of the threshold; tokens with a tokenizer alone."""
LABELLED = 7
"""Bins that have a label on the axis."""


def write_profile_page(profile: Profile, folder: Path) -> None:
    """Write `profile.html` atomically. Every text in it is escaped. Needs the extra `report`."""
    check_can_render("The page of a profile (profile.html)")
    documents, segments = profile.levels["document"], profile.levels["segment"]
    page = render(
        resources.files("phf.report") / "profile.html.j2",
        profile=profile,
        charts=_charts(profile),
        sides=_sides(profile),
        num_documents=documents.scored.count + documents.unscored.count,
        num_segments=segments.scored.count + segments.unscored.count,
        warnings=_warnings(profile),
        groups=profile.groups[:MOST_GROUPS],
    )
    write_text_atomic(folder / PAGE, page)


def export_profile(profile: Profile, to: Path) -> None:
    """Write the figures of the page, and its tables, into the folder; see `phf.report.export`."""
    sides = [
        {
            "score": side["name"],
            **{
                key: value
                for unit, (amount, share) in zip(UNITS, side["values"], strict=False)
                for key, value in ((unit, amount), (f"share_of_{unit}", share))
            },
        }
        for side in _sides(profile)
    ]
    quantiles = [
        {"level": name, "mean": level.mean, "lowest": level.minimum, **level.quantiles, "highest": level.maximum}
        for name, level in profile.levels.items()
        if level.quantiles
    ]
    thresholds = [
        {"level": name, "percentile": row.percentile, "threshold": row.threshold, **asdict(row.at_or_below)}
        for name, level in profile.levels.items()
        for row in level.percentiles
    ]
    groups = [{**asdict(group), "mean_score": group.mean_score} for group in profile.groups]
    tables = [
        ("sides of the threshold", sides),
        ("quantiles", quantiles),
        ("thresholds", thresholds),
        (f"by {profile.grouped_by}", groups),
    ]
    export([(chart.title, chart) for chart in _charts(profile)], tables, to)


def _charts(profile: Profile) -> list[Chart]:
    levels = profile.levels.items()
    return [_histogram(name, level.histogram, profile.threshold) for name, level in levels if level.histogram]


def _histogram(name: str, bins: Sequence[Bin], threshold: float) -> Chart:
    """Bars of equal width, coloured by the side of the threshold on which the bin ends."""
    spans = {
        float(index): high if low == high else f"{low} to {high}"
        for index, (low, high) in enumerate(labels(list(bins)))
    }
    sides: dict[str, list[Point]] = {
        f"ends at or below {threshold:g}": [],
        f"ends above {threshold:g}": [],
    }
    for index, one in enumerate(bins):
        sides[f"ends {'at or below' if one.high <= threshold else 'above'} {threshold:g}"].append(
            Point(index, one.share)
        )
    step = -(-len(bins) // LABELLED)
    shown = {float(index): labels(list(bins))[index][1] for index in range(0, len(bins), step)}
    return Chart(
        f"Scores of {name}s",
        "average score of a document, upper end of each bin" if name == "document" else "score, upper end of each bin",
        f"share of scored {name}s",
        [Series(side, points, colour, has_line=False) for colour, (side, points) in enumerate(sides.items()) if points],
        x_labels=shown,
        x_names=spans,
        is_from_zero=True,
        is_bars=True,
    )


def _sides(profile: Profile) -> list[dict[str, Any]]:
    """What is at or below the threshold, above it, and unscored: documents, segments, characters, tokens, with shares."""
    documents, segments = profile.levels["document"], profile.levels["segment"]
    all_documents = documents.scored.count + documents.unscored.count
    whole = segments.scored.plus(segments.unscored)
    rows = [
        (f"at or below {profile.threshold:g}", documents.at_or_below.count, segments.at_or_below),
        (
            f"above {profile.threshold:g}",
            documents.scored.count - documents.at_or_below.count,
            segments.scored.minus(segments.at_or_below),
        ),
        ("unscored", documents.unscored.count, segments.unscored),
    ]
    return [
        {
            "name": name,
            "values": [
                (of_documents, _share(of_documents, all_documents)),
                (amount.count, _share(amount.count, whole.count)),
                (amount.characters, _share(amount.characters, whole.characters)),
                *([(amount.tokens, _share(amount.tokens, whole.tokens))] if amount.tokens is not None else []),
            ],
        }
        for name, of_documents, amount in rows
    ]


def _warnings(profile: Profile) -> list[str]:
    """What a reader has to know before believing the numbers."""
    said = []
    if profile.is_unfinished:
        said.append("The annotation is not finished: this is the part so far. Run phf annotate again to resume it.")
    segments, documents = profile.levels["segment"], profile.levels["document"]
    if segments.unscored.count:
        reasons = "; ".join(f"{count:,}: {visible_text(reason)}" for reason, count in profile.unscored_reasons.items())
        over = f" over all {profile.num_scorers} columns of scores" if profile.num_scorers > 1 else ""
        said.append(
            f"{counted(segments.unscored.count, 'segment is', 'segments are')} unscored, "
            f"{counted(profile.num_partly_unscored_documents, 'document has', 'documents have')} such a segment, "
            f"{counted(documents.unscored.count, 'has', 'have')} no score at all."
            + (f" Reasons{over}: {reasons}." if reasons else "")
        )
    for name, level in profile.levels.items():
        if level.num_sampled is not None:
            said.append(
                f"Quantiles of {name}s are estimated from {level.num_sampled:,} of {level.scored.count:,} scores."
            )
    if profile.num_empty_documents:
        said.append(f"{counted(profile.num_empty_documents, 'document is', 'documents are')} empty.")
    if profile.num_duplicate_documents:
        about = "" if profile.is_duplicate_count_exact else "about "
        repeating = counted(profile.num_duplicate_documents, "document repeats", "documents repeat")
        said.append(f"{about}{repeating} an earlier one.".capitalize())
    return said


def _share(part: int | None, whole: int | None) -> float | None:
    return part / whole if part is not None and whole else None
