"""`phf cache`: what is kept for reuse, and how to remove it."""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.cells import cell_len, set_cell_size

from phf.cli.for_scripts import answer, for_scripts, is_open
from phf.cli.group import Group
from phf.cli.terminal import say, say_result
from phf.errors import ConfigError, OutputError
from phf.text import visible_text

if TYPE_CHECKING:
    from phf.storage.cache_entries import Entry, Pruned

cache = typer.Typer(cls=Group, rich_markup_mode="rich")

IN_USE = {True: "yes", False: "", None: "unknown"}


@cache.callback(invoke_without_command=True)
@for_scripts
def list_cache(ctx: typer.Context) -> None:
    """List what is cached, the least recently used first, or remove it with `prune`."""
    if ctx.invoked_subcommand is not None:
        if is_open():
            raise ConfigError(f"Put --json after {ctx.invoked_subcommand}.")
        return
    from phf.storage.cache import cache_root, size_limit
    from phf.storage.cache_entries import entries, leftover_bytes
    from phf.storage.sizes import size_text

    root, limit = cache_root(), size_limit()
    listed, leftovers = entries(root), leftover_bytes(root)
    size = sum(entry.size for entry in listed)
    if listed:
        _show_entries(listed)
    limited = "no limit" if limit is None else f"limit {size_text(limit)}"
    say_result(
        f"{len(listed):,} {_entries(len(listed))}, {size_text(size)}; {limited} (PHF_CACHE_LIMIT). Folder: {root}"
    )
    if leftovers:
        say(f"Processes that ended early left {size_text(leftovers)}; phf cache prune removes it.", "yellow")
    totals = {"folder": str(root), "limit_bytes": limit, "size_bytes": size, "leftover_bytes": leftovers}
    answer({**totals, "entries": [_as_dict(entry) for entry in listed]})


@cache.command()
@for_scripts
def prune(
    everything: Annotated[bool, typer.Option("--all", help="Remove everything that is not in use.")] = False,
    older_than: Annotated[
        str | None, typer.Option(help="Remove only what has not been used for this long: 30d, 12h, 2w.")
    ] = None,
    to: Annotated[
        str | None, typer.Option(help="Remove the least recently used until at most this is left: 10GB, 500MB.")
    ] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Remove only this kind; repeat it for more.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be removed, and stop.")] = False,
) -> None:
    """Remove cached entries that are not in use; without --all, --older-than or --to only what exceeds PHF_CACHE_LIMIT."""
    from phf.registry.names import did_you_mean
    from phf.storage.cache import cache_root, size_limit
    from phf.storage.cache_entries import known_kinds
    from phf.storage.cache_entries import prune as run
    from phf.storage.sizes import parse_age, parse_size, size_text

    if everything and (older_than or to):
        raise ConfigError("--all removes everything: leave it out, or leave out --older-than and --to.")
    age = 0 if older_than is None else parse_age(older_than, "--older-than")
    if to is not None:
        to_bytes: int | None = parse_size(to, "--to")
    else:
        to_bytes = 0 if everything or older_than is not None else size_limit()
    root = cache_root()
    known = known_kinds(root)
    for name in kind or ():
        if known and name not in known:
            raise ConfigError(f"--kind {name}: the cache has no such kind. {did_you_mean(name, known)}")
    pruned = run(root, to_bytes=to_bytes, older_than=age, kinds=kind or None, dry_run=dry_run)
    if pruned.removed:
        _show_entries(pruned.removed)
    freed = sum(entry.size for entry in pruned.removed)
    leftovers = f", and {size_text(pruned.leftover_bytes)} of processes that ended early"
    say_result(
        f"{'Would remove' if dry_run else 'Removed'} {len(pruned.removed):,} {_entries(len(pruned.removed))}, "
        f"{size_text(freed)}{leftovers if pruned.leftover_bytes else ''}; {size_text(pruned.remaining_bytes)} "
        f"{'would be left' if dry_run else 'left'} in {root}"
    )
    for entry in pruned.in_use:
        why = "in use" if entry.is_in_use is not None else "it is not known whether it is in use: no file locks here"
        say(f"Kept {entry.kind}/{entry.name}: {why}", "yellow")
    answer(_result(pruned, dry_run), OutputError.exit_status if pruned.failed else 0)
    if pruned.failed:
        raise OutputError("\n".join(pruned.failed.values()))


def _show_entries(listed: "list[Entry]") -> None:
    from phf.storage.sizes import age_text, size_text

    now = time.time()
    rows = [("kind", "size", "last used", "in use")]
    for entry in listed:
        age = age_text(now - entry.last_used)
        rows.append((visible_text(entry.kind), size_text(entry.size), age, IN_USE[entry.is_in_use]))
    widths = [max(cell_len(row[number]) for row in rows) for number in range(len(rows[0]))]
    for number, row in enumerate(rows):
        cells = (set_cell_size(cell, width) for cell, width in zip(row, widths, strict=True))
        say_result("  ".join(cells).rstrip(), None if number else "bold")
        if number:  # in lines of their own, so that names and paths are whole
            entry = listed[number - 1]
            source = "an earlier version of phf" if entry.record is None else entry.record["source"]
            say_result(f"    made from {source}")
            say_result(f"    {entry.name}", "dim")


def _entries(count: int) -> str:
    return "entry" if count == 1 else "entries"


def _as_dict(entry: "Entry") -> dict[str, Any]:
    record = entry.record
    return {
        "kind": entry.kind,
        "name": entry.name,
        "path": str(entry.path),
        "size_bytes": entry.size,
        "last_used": datetime.fromtimestamp(entry.last_used, UTC).isoformat(timespec="seconds"),
        "in_use": entry.is_in_use,
        "source": None if record is None else record["source"],
        "made_at": None if record is None else record["made_at"],
        "phf": None if record is None else record["phf"],
    }


def _result(pruned: "Pruned", dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "removed": [_as_dict(entry) for entry in pruned.removed],
        "in_use": [_as_dict(entry) for entry in pruned.in_use],
        "failed": {str(path): reason for path, reason in pruned.failed.items()},
        "leftover_bytes": pruned.leftover_bytes,
        "remaining_bytes": pruned.remaining_bytes,
    }
