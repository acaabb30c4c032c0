"""`phf list`: the names that a configuration can use."""

from typing import Annotated

import typer
from rich.table import Table

from phf.cli.for_scripts import answer
from phf.cli.terminal import results, say_result, shown
from phf.errors import ConfigError

KINDS = (
    "scorers", "objectives", "filters", "conditionings", "metrics", "red-lms", "tasks", "methods", "studies"
)  # fmt: skip


def list_(
    what: Annotated[
        str | None,
        typer.Argument(
            help="scorers, objectives, filters, conditionings, metrics, red-lms, tasks, methods or studies; default: all.",
            autocompletion=lambda incomplete: [kind for kind in KINDS if kind.startswith(incomplete)],
        ),
    ] = None,
) -> None:
    """List the names that configurations can use."""
    from phf.config import shipped_files
    from phf.registry.names import CONDITIONINGS, DOCUMENT_FILTERS, METRICS, OBJECTIVES, RED_LMS, SCORERS, did_you_mean
    from phf.study.schema import shipped_studies

    registries = {
        "scorers": SCORERS,
        "objectives": OBJECTIVES,
        "filters": DOCUMENT_FILTERS,
        "conditionings": CONDITIONINGS,
        "metrics": METRICS,
        "red-lms": RED_LMS,
    }
    names = {kind: registry.describe() for kind, registry in registries.items()} | shipped_files()
    names["studies"] = shipped_studies()
    assert tuple(names) == KINDS
    if what not in (None, *names):
        raise ConfigError(f"There is no list of '{what}'. {did_you_mean(what or '', names)}")
    for kind in names if what is None else [what or ""]:
        if what is None:
            say_result(kind)
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0 if what else 2), pad_edge=False)
        for _ in range(2):
            table.add_column(overflow="fold")  # no name is cut
        for name, summary in names[kind].items():
            table.add_row(f"[bold]{shown(name)}[/]", shown(summary))
        results.print(table)
    answer({kind: names[kind] for kind in (names if what is None else [what])})
