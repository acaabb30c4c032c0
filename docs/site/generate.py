"""Writes the generated pages of the documentation: `python docs/site/generate.py`."""

from pathlib import Path

import commands
import configuration
import messages

DOCS = Path(__file__).parents[1]
PAGES = {"configuration.md": configuration.page, "commands.md": commands.page, "messages.md": messages.page}
"""Name of a page -> the function that makes its text."""

if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")
