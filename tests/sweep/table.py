"""The tables of docs/support.md."""

import datetime
import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path

from tests.sweep.architectures import UNSUPPORTED
from tests.sweep.check import Outcome

PAGE = Path(__file__).parents[2] / "docs" / "support.md"
BEGIN, END = "<!-- begin: architectures -->", "<!-- end: architectures -->"


def write_architectures(outcomes: Mapping[str, Outcome]) -> None:
    """Replace the part of the page between its two markers."""
    page = PAGE.read_text(encoding="utf-8")
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n{architectures(outcomes)}\n{END}{after}", encoding="utf-8")


def architectures(outcomes: Mapping[str, Outcome]) -> str:
    """Markdown: what was run with what, a row for each architecture, and those that cannot be trained."""
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("torch", "transformers", "tokenizers")
    )
    lines = [
        f"{datetime.date.today()}, Python {platform.python_version()}, {versions}, CPU: {len(outcomes)} architectures.",
        "",
        "| `model_type` | class | head | samples from | prompts in a batch |",
        "|---|---|---|---|---|",
        *(
            f"| `{name}` | {outcome.kind} | {outcome.head} | {outcome.sampling} | {outcome.batches} |"
            for name, outcome in sorted(outcomes.items())
        ),
        "",
        f"These {len(UNSUPPORTED)} cannot be trained:",
        "",
        "| `model_type` | why |",
        "|---|---|",
        *(f"| `{name}` | {why} |" for name, why in sorted(UNSUPPORTED.items())),
    ]
    return "\n".join(lines)
