"""A profile and an estimate on the terminal. Text of the corpus is shown only as `visible` text without markup."""

import math
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from phf.profile.estimate import Estimate
from phf.profile.histogram import Bin, labels
from phf.profile.measure import Level, Profile
from phf.statistics import Interval
from phf.text import counted, visible

BAR_WIDTH, LEAST_BAR_WIDTH = 40, 10
TEXT_WIDTH = 16
"""Minimum width of text that has to be folded."""
MAX_GROUPS = 20


def show_profile(profile: Profile, console: Console) -> None:
    """Print all of it."""
    for line in _head(profile):
        console.print(Text(line), soft_wrap=True)
    for name, level in profile.levels.items():
        console.print(Text(f"\nScores of {name}s" + (" (average of each)" if name == "document" else ""), style="bold"))
        _show_level(name, level, console)
    console.print(Text(f"\nAt or below and above {profile.threshold:g}", style="bold"))
    _show_sides(profile, console)
    _show_percentiles(profile, console)
    console.print(Text(f"\nBy {visible(profile.grouped_by)}", style="bold"), soft_wrap=True)
    _show_groups(profile, console)
    if profile.examples:
        console.print(Text("\nSegments near the quantiles", style="bold"))
        segment, document = "segment (control characters as escapes)", "document"
        rows = [
            (example.quantiles, f"{example.score:.4g}", example.text, example.document) for example in profile.examples
        ]
        _print_table(console, ("quantile", "score", segment, document), rows, folded=(segment, document))


def show_estimate(estimate: Estimate, console: Console) -> None:
    """Print it, with the data it is based on."""
    corpus = estimate.corpus
    is_whole = corpus["share_read"] >= 1
    device = "CPU" if estimate.device == "cpu" else f"GPU ({estimate.device})"
    about = "" if is_whole else "about "
    lines = [
        f"{visible(estimate.source)} with {_scorer(estimate.scorer)}, "
        f"cut into {'documents' if estimate.segmenter == 'document' else estimate.segmenter}, on {device}",
        f"Corpus: {_bytes(corpus['num_bytes'])} on disk, {about}{counted(round(corpus['num_documents']), 'document')}, "
        f"{about}{_characters(corpus['num_characters'])}",
        "All of it was read."
        if is_whole
        else f"Read: {corpus['share_read']:.2%} of it, from the start of {corpus['num_parts_read']:.0f} of "
        f"{corpus['num_parts']:.0f} files; the rest is assumed to be similar.",
        f"Sample: {counted(estimate.num_sampled, 'document')}, {counted(estimate.num_sampled_chars, 'character')}, "
        f"{counted(estimate.num_segments, 'segment')}, {estimate.num_unscored_segments:,} unscored",
        *(f"  {count:,}: {visible(reason)}" for reason, count in estimate.unscored_reasons.items()),
        f"Time: {_hours(estimate.process_hours)} of one process; {_sharing(estimate)}",
        f"Processor time of all threads: {_hours(estimate.cpu_hours)}",
        *_usage(estimate),
        f"Annotated dataset: about {_bytes(estimate.output_bytes)} on disk",
        "Intervals: 95% over the sampled documents. Cutting and scoring are counted; loading the scorer, reading and writing "
        "are not.",
    ]
    for line in lines:
        console.print(Text(line), soft_wrap=True)


def _head(profile: Profile) -> Iterator[str]:
    scorer = profile.scorer
    by = "" if scorer is None else f", scored by {_scorer(scorer)}"
    yield f"{visible(profile.source)}, column {visible(profile.scores_column)}{by}"
    if profile.is_unfinished:
        yield "The annotation of this folder is not finished: this is the part so far. Run phf annotate again to resume it."
    documents, segments = profile.levels["document"], profile.levels["segment"]
    all_segments = segments.scored.plus(segments.unscored)
    tokens = "" if all_segments.tokens is None else f", {counted(all_segments.tokens, 'token')}"
    yield (
        f"{counted(documents.scored.count + documents.unscored.count, 'document')}, "
        f"{counted(all_segments.count, 'segment')}, "
        f"{counted(all_segments.characters, 'character')}{tokens}"
    )
    yield (
        f"Unscored: {counted(segments.unscored.count, 'segment')}; "
        f"{counted(profile.num_partly_unscored_documents, 'document has', 'documents have')} one, "
        f"{counted(documents.unscored.count, 'has', 'have')} no score at all; "
        f"{counted(profile.num_empty_documents, 'document is', 'documents are')} empty"
    )
    if profile.unscored_reasons and profile.num_scorers > 1:
        yield f"  Reasons, over all {profile.num_scorers} columns of scores:"
    for reason, count in profile.unscored_reasons.items():
        yield f"  {count:,}: {visible(reason)}"
    exact = "" if profile.is_duplicate_count_exact else "about "
    yield f"Exact duplicates of an earlier document: {exact}{profile.num_duplicate_documents:,}"
    if profile.tokenizer is None:
        yield "Characters are counted instead of tokens; use --tokenizer to count tokens."


def _show_level(name: str, level: Level, console: Console) -> None:
    if not level.quantiles:
        console.print(Text(f"No {name} has a score."))
        return
    if level.num_sampled is not None:
        console.print(
            Text(
                f"Quantiles are estimated from {level.num_sampled:,} of {level.scored.count:,} scores.", style="yellow"
            )
        )
    line = f"mean {level.mean:.4g}, lowest {level.minimum:.4g}, highest {level.maximum:.4g}"
    console.print(Text(line), soft_wrap=True)
    _print_table(console, list(level.quantiles), [[f"{value:.4g}" for value in level.quantiles.values()]])
    _show_bars(level.histogram, console)


def _show_bars(bins: list[Bin], console: Console) -> None:
    names = [high if low == high else f"{low} to {high}" for low, high in labels(bins)]
    shares = [f"{bin.share:.2%}" for bin in bins]
    space = console.width - max(map(len, names)) - max(map(len, shares)) - 4
    width = max(LEAST_BAR_WIDTH, min(BAR_WIDTH, space))
    highest = max(bin.share for bin in bins)
    bars = []
    for bin in bins:
        length = round(width * bin.share / highest)
        bars.append("█" * length if length or not bin.share else "▏")
    rows = list(zip(names, shares, bars, strict=True))
    _print_table(console, ("score", "share", ""), rows, styles=("", "dim"))


def _show_sides(profile: Profile, console: Console) -> None:
    has_tokens = profile.tokenizer is not None
    documents, segments = profile.levels["document"], profile.levels["segment"]
    rows = {
        "at or below": [level.at_or_below for level in (documents, segments)],
        "above": [level.scored.minus(level.at_or_below) for level in (documents, segments)],
        "unscored": [level.unscored for level in (documents, segments)],
    }
    all_documents = documents.scored.count + documents.unscored.count
    everything = segments.scored.plus(segments.unscored)
    lines = []
    for label, (of_documents, of_segments) in rows.items():
        cells = [
            _share(of_documents.count, all_documents),
            _share(of_segments.count, everything.count),
            _share(of_segments.characters, everything.characters),
        ]
        if of_segments.tokens is not None and everything.tokens is not None:
            cells.append(_share(of_segments.tokens, everything.tokens))
        lines.append((label, *cells))
    headers = ("", "documents", "segments", "characters", *(["tokens"] if has_tokens else []))
    _print_table(console, headers, lines)


def _show_percentiles(profile: Profile, console: Console) -> None:
    rows = [(name, level, row) for name, level in profile.levels.items() for row in level.percentiles]
    if not rows:
        return
    console.print(Text("\nThresholds", style="bold"))
    has_tokens = profile.tokenizer is not None
    headers = ("percentile", "of", "threshold", "at or below it", "characters", *(["tokens"] if has_tokens else []))
    lines = []
    for name, level, row in rows:
        cells = [
            _share(row.at_or_below.count, level.scored.count),
            _share(row.at_or_below.characters, level.scored.characters),
        ]
        if row.at_or_below.tokens is not None and level.scored.tokens is not None:
            cells.append(_share(row.at_or_below.tokens, level.scored.tokens))
        lines.append((f"p{row.percentile:.12g}", f"{name}s", str(row.threshold), *cells))
    _print_table(console, headers, lines)


def _show_groups(profile: Profile, console: Console) -> None:
    name = visible(profile.grouped_by)
    unit = "characters" if profile.tokenizer is None else "tokens"
    rows = []
    for group in profile.groups[:MAX_GROUPS]:
        all_text, above = group.num_characters, group.num_characters_above
        if group.num_tokens is not None and group.num_tokens_above is not None:
            all_text, above = group.num_tokens, group.num_tokens_above
        rows.append(
            (
                group.name,
                f"{group.num_documents:,}",
                f"{group.num_segments:,}",
                f"{group.num_unscored_segments:,}",
                "-" if group.mean_score is None else f"{group.mean_score:.4g}",
                _share(group.num_segments_above, group.num_segments),
                _share(above, all_text),
            )
        )
    headers = (name, "documents", "segments", "unscored", "mean score", "above", f"{unit} above")
    _print_table(console, headers, rows, folded=(name,))
    if len(profile.groups) > MAX_GROUPS:
        console.print(Text(f"... and {len(profile.groups) - MAX_GROUPS:,} more, in profile.json"))


def _print_table(
    console: Console,
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    folded: Collection[str] = (),
    styles: Sequence[str] = (),
) -> None:
    """Rows of literal text. If they do not fit, headers wrap and the columns `folded` are folded; numbers never are,
    so in a very narrow terminal a line may be too long."""
    whole, least = [], []
    for number, header in enumerate(headers):
        cells = max(cell_len(row[number]) for row in rows)
        longest_word = max(map(cell_len, header.split()), default=0)
        whole.append(max(cells, cell_len(header)))
        least.append(min(whole[-1], TEXT_WIDTH) if header in folded else max(cells, longest_word))
    gaps = 2 * (len(headers) - 1)
    widths = _shared(console.width - gaps, whole, least)
    table = Table(box=None, pad_edge=False, width=sum(widths) + gaps, row_styles=styles)
    for header, width in zip(headers, widths, strict=True):
        table.add_column(Text(header), width=width, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table, crop=False)


def _shared(space: int, whole: Sequence[int], least: Sequence[int]) -> list[int]:
    """Widths between `least` and `whole` that fill `space`; those that need little more get it first."""
    widths = list(least)
    wants = sorted(range(len(widths)), key=lambda number: whole[number] - least[number])
    for done, number in enumerate(wants):
        fair = max(0, space - sum(widths)) // (len(wants) - done)
        widths[number] += min(whole[number] - least[number], fair)
    return widths


def _scorer(described: dict[str, Any]) -> str:
    return visible(f"{described.get('class_name')} {described.get('version')}")


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2%}" if whole else "-"


def _usage(estimate: Estimate) -> Iterator[str]:
    """What a scorer asks of a language model."""
    if estimate.usage is None:
        return
    requests, prompts, answers, cost = estimate.usage.values()
    yield (
        f"Asked of the model: {_estimated(requests)} answers; tokens of prompts: {_estimated(prompts)}, of answers: "
        f"{_estimated(answers)}. Equal segments are asked for once, so this is the most."
    )
    if not math.isnan(cost.mean):
        yield f"Cost: {_estimated(cost)}, by price_per_million"
    elif math.isnan(prompts.mean):
        yield "Cost: unknown, as it is not known what is counted."
    elif not estimate.has_device:
        yield "Cost: unknown. Set the scorer's price_per_million: [of prompt tokens, of tokens of answers]."


def _estimated(amount: Interval) -> str:
    if math.isnan(amount.mean):
        return "unknown"
    estimate, low, high = (f"{value:,.0f}" if value >= 100 else f"{value:.3g}" for value in amount)
    return f"about {estimate}" if math.isnan(amount.low) else f"{estimate} ({low} to {high})"


def _sharing(estimate: Estimate) -> str:
    if estimate.usage is not None and not estimate.has_device:
        return "more processes, or a higher concurrency, help as far as the server keeps up"
    if estimate.device == "cpu" and estimate.has_device:
        return "its model uses all cores by itself"
    return f"n processes take 1/n of it, given n {'cores' if estimate.device == 'cpu' else 'GPUs'}"


def _hours(hours: Interval) -> str:
    unit, factor = "hours", 1.0
    if hours.mean < 2:
        unit, factor = ("minutes", 60.0) if hours.mean >= 2 / 60 else ("seconds", 3600.0)
    estimate, low, high = (f"{value:,.1f}" if value >= 1 else f"{value:.2g}" for value in hours.scaled(factor))
    return f"{estimate} {unit} " + ("(interval unknown)" if math.isnan(hours.low) else f"({low} to {high})")


def _characters(number: float) -> str:
    return f"{number / 1e6:,.1f} million characters" if number >= 1e6 else counted(round(number), "character")


def _bytes(number: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if number < 1000 or unit == "TB":
            break
        number /= 1000
    return f"{number:,.4g} {unit}"
