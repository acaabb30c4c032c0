"""A profile and an estimate on the terminal. Nothing of the corpus reaches it but as `visible` text without markup."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from phf.profile.estimate import Estimate, Interval
from phf.profile.histogram import Bin
from phf.profile.measure import Amount, Level, Profile
from phf.visible import visible

BAR_WIDTH = 40
MAX_GROUPS = 20


def show_profile(profile: Profile, console: Console) -> None:
    """Print all of it."""
    for line in _head(profile):
        console.print(Text(line), soft_wrap=True)
    for name, level in profile.levels.items():
        console.print(Text(f"\nScores of {name}s" + (" (average of each)" if name == "document" else ""), style="bold"))
        _show_level(name, level, console)
    console.print(Text(f"\nAt or below and above {profile.threshold:g}", style="bold"))
    console.print(_sides(profile))
    _show_percentiles(profile, console)
    console.print(Text(f"\nBy {visible(profile.grouped_by)}", style="bold"))
    console.print(_groups(profile))
    if profile.examples:
        console.print(Text("\nSegments near the quantiles", style="bold"))
        table = _table("quantile", "score", "segment (control characters as escapes)", "document")
        for example in profile.examples:
            table.add_row(*map(Text, (example.quantiles, f"{example.score:.4g}", example.text, example.document)))
        console.print(table)


def show_estimate(estimate: Estimate, console: Console) -> None:
    """Print it, with what it rests on."""
    corpus = estimate.corpus
    is_whole = corpus["share_read"] >= 1
    device = "CPU" if estimate.device == "cpu" else f"GPU ({estimate.device})"
    about = "" if is_whole else "about "
    lines = [
        f"{visible(estimate.source)} with {estimate.scorer['class_name']} {estimate.scorer['version']}, "
        f"cut into {'documents' if estimate.segmenter == 'document' else estimate.segmenter}, on {device}",
        f"Corpus: {_bytes(corpus['num_bytes'])} on disk, {about}{corpus['num_documents']:,.0f} documents, "
        f"{about}{corpus['num_characters'] / 1e6:,.1f} million characters",
        "All of it was read."
        if is_whole
        else f"Read: {corpus['share_read']:.2%} of it, from the start of {corpus['num_parts_read']:.0f} of "
        f"{corpus['num_parts']:.0f} files; the corpus is taken to go on like that.",
        f"Sample: {estimate.num_sampled:,} documents, {estimate.num_sampled_chars:,} characters, "
        f"{estimate.num_segments:,} segments, {estimate.num_unscored_segments:,} unscored",
        f"Time: {_hours(estimate.process_hours)} of one process; n processes take 1/n of it, given n "
        f"{'cores' if estimate.device == 'cpu' else 'GPUs'}",
        f"Processor time of all threads: {_hours(estimate.cpu_hours)}",
        f"Annotated dataset: about {_bytes(estimate.output_bytes)} on disk",
        "Intervals: 95% over the sampled documents. Counted: cutting and scoring; not: loading the scorer, reading, writing.",
    ]
    for line in lines:
        console.print(Text(line), soft_wrap=True)


def _head(profile: Profile) -> Iterator[str]:
    scorer = profile.scorer
    by = "" if scorer is None else f", scored by {scorer['class_name']} {scorer['version']}"
    yield f"{visible(profile.source)}, column {visible(profile.scores_column)}{by}"
    if profile.is_unfinished:
        yield "The annotation of this folder is not finished: this is the part that is there. phf annotate goes on with it."
    documents, segments = profile.levels["document"], profile.levels["segment"]
    all_segments = _plus(segments.scored, segments.unscored)
    tokens = "" if all_segments.tokens is None else f", {all_segments.tokens:,} tokens"
    yield (
        f"{documents.scored.count + documents.unscored.count:,} documents, {all_segments.count:,} segments, "
        f"{all_segments.characters:,} characters{tokens}"
    )
    yield (
        f"Unscored: {segments.unscored.count:,} segments; {profile.num_partly_unscored_documents:,} documents have one, "
        f"{documents.unscored.count:,} have no score at all ({profile.num_empty_documents:,} of them empty)"
    )
    for reason, count in profile.unscored_reasons.items():
        yield f"  {count:,}: {visible(reason)}"
    exact = "" if profile.is_duplicate_count_exact else "about "
    yield f"Exact duplicates of an earlier document: {exact}{profile.num_duplicate_documents:,}"
    if profile.tokenizer is None:
        yield "Characters stand for tokens; name --tokenizer to count tokens."


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
    console.print(Text(f"mean {level.mean:.4g}, lowest {level.minimum:.4g}, highest {level.maximum:.4g}"))
    quantiles = _table(*level.quantiles)
    quantiles.add_row(*(f"{value:.4g}" for value in level.quantiles.values()))
    console.print(quantiles)
    console.print(_bars(level.histogram))


def _bars(bins: list[Bin]) -> Table:
    table = _table("score", "share", "")
    highest = max(bin.share for bin in bins)
    for position, bin in enumerate(bins):
        label = f"{bin.high:.3g}" if bin.low == bin.high else f"{bin.low:.3g} to {bin.high:.3g}"
        length = round(BAR_WIDTH * bin.share / highest)
        bar = "█" * length if length or not bin.share else "▏"
        table.add_row(label, f"{bin.share:.2%}", bar, style="dim" if position % 2 else None)
    return table


def _sides(profile: Profile) -> Table:
    has_tokens = profile.tokenizer is not None
    table = _table("", "documents", "segments", "characters", *(["tokens"] if has_tokens else []))
    documents, segments = profile.levels["document"], profile.levels["segment"]
    rows = {
        "at or below": [level.at_or_below for level in (documents, segments)],
        "above": [_minus(level.scored, level.at_or_below) for level in (documents, segments)],
        "unscored": [level.unscored for level in (documents, segments)],
    }
    all_documents = documents.scored.count + documents.unscored.count
    everything = _plus(segments.scored, segments.unscored)
    for label, (of_documents, of_segments) in rows.items():
        cells = [
            _share(of_documents.count, all_documents),
            _share(of_segments.count, everything.count),
            _share(of_segments.characters, everything.characters),
        ]
        if of_segments.tokens is not None and everything.tokens is not None:
            cells.append(_share(of_segments.tokens, everything.tokens))
        table.add_row(label, *cells)
    return table


def _show_percentiles(profile: Profile, console: Console) -> None:
    rows = [(name, level, row) for name, level in profile.levels.items() for row in level.percentiles]
    if not rows:
        return
    console.print(Text("\nThresholds", style="bold"))
    has_tokens = profile.tokenizer is not None
    table = _table("percentile", "of", "threshold", "at or below it", "characters", *(["tokens"] if has_tokens else []))
    for name, level, row in rows:
        cells = [
            _share(row.at_or_below.count, level.scored.count),
            _share(row.at_or_below.characters, level.scored.characters),
        ]
        if row.at_or_below.tokens is not None and level.scored.tokens is not None:
            cells.append(_share(row.at_or_below.tokens, level.scored.tokens))
        table.add_row(f"p{row.percentile:g}", f"{name}s", str(row.threshold), *cells)
    console.print(table)


def _groups(profile: Profile) -> Table:
    has_tokens = profile.tokenizer is not None
    unit = "tokens" if has_tokens else "characters"
    table = _table(profile.grouped_by, "documents", "segments", "unscored", "mean score", "above", f"{unit} above")
    for group in profile.groups[:MAX_GROUPS]:
        all_text, above = group.num_characters, group.num_characters_above
        if group.num_tokens is not None and group.num_tokens_above is not None:
            all_text, above = group.num_tokens, group.num_tokens_above
        table.add_row(
            Text(visible(group.name)),
            f"{group.num_documents:,}",
            f"{group.num_segments:,}",
            f"{group.num_unscored_segments:,}",
            "-" if group.mean_score is None else f"{group.mean_score:.4g}",
            _share(group.num_segments_above, group.num_segments),
            _share(above, all_text),
        )
    if len(profile.groups) > MAX_GROUPS:
        table.add_row(f"... and {len(profile.groups) - MAX_GROUPS:,} more, in profile.json")
    return table


def _table(*headers: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for number, header in enumerate(headers):
        table.add_column(Text(visible(header)), overflow="fold", no_wrap=number == 0)
    return table


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2%}" if whole else "-"


def _plus(a: Amount, b: Amount) -> Amount:
    tokens = None if a.tokens is None or b.tokens is None else a.tokens + b.tokens
    return Amount(a.count + b.count, a.characters + b.characters, tokens)


def _minus(a: Amount, b: Amount) -> Amount:
    tokens = None if a.tokens is None or b.tokens is None else a.tokens - b.tokens
    return Amount(a.count - b.count, a.characters - b.characters, tokens)


def _hours(hours: Interval) -> str:
    if hours.estimate >= 1:
        return f"{hours.estimate:,.1f} hours ({hours.low:,.1f} to {hours.high:,.1f})"
    return f"{hours.estimate * 3600:,.1f} seconds ({hours.low * 3600:,.1f} to {hours.high * 3600:,.1f})"


def _bytes(number: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if number < 1000 or unit == "TB":
            break
        number /= 1000
    return f"{number:,.4g} {unit}"
