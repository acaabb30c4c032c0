"""Hooks of the site: what GitHub and mkdocs read differently, pages from outside docs/, and a check that nothing is fetched."""

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from pymdownx.slugs import slugify

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
OUTSIDE = (
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "benchmarks/README.md",
    "examples/README.md",
    "examples/*/README.md",
)
"""Pages of the repository that docs/ links to; those that there are become pages of the site."""
FENCED = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
ROW = re.compile(r"^\|.*", re.MULTILINE)
CODE = re.compile(r"`[^`]+`")
FETCHED = re.compile(
    r"<(?:script|img|iframe|source|audio|video)[^>]*\ssrc=[\"']?(?:https?:)?//|<link[^>]*\shref=[\"']?(?:https?:)?//[^>]*>"
)
CANONICAL = re.compile(r"<link[^>]*rel=[\"']?(?:canonical|next|prev)")


def on_config(config: Any) -> Any:
    """Headings get the anchors that GitHub gives them, so that links hold in both places."""
    config.mdx_configs["toc"] = {"permalink": True, "slugify": slugify(case="lower")}
    return config


def on_files(files: Files, config: Any) -> Files:
    """The pages from outside docs/, and at the end of the navigation a section of them."""
    for path in _outside():
        files.append(File.generated(config, _name(path), content=path.read_text(encoding="utf-8")))
    title = {_name(path): path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ") for path in _outside()}
    config.nav.append({"Project": [{title[name]: name} for name in title]})
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links lead to pages of the site; `\\|` in code in a table, which GitHub needs, loses its backslash."""
    source = next((path for path in _outside() if _name(path) == page.file.src_uri), DOCS / page.file.src_uri)
    parts = FENCED.split(markdown)
    for index in range(0, len(parts), 2):
        text = ROW.sub(_without_backslashes, parts[index])
        parts[index] = LINK.sub(lambda link: _link(source, *link.groups()), text)
    return "".join(parts)


def on_page_content(html: str, page: Any, config: Any, files: Files) -> str:
    """Pages of messages are marked for messages.js and style.css; the contents of the one of all are its groups only."""
    if page.file.src_uri == "messages.md":
        for title in page.toc:
            for group in title.children:
                group.children.clear()
    kind = {"messages.md": "all-messages", "troubleshooting.md": "of-messages"}.get(page.file.src_uri)
    return f'<div class="{kind}">{html}</div>' if kind else html


def on_post_page(output: str, page: Any, config: Any) -> str:
    """The theme's search, which opens like a dialog, has a name for screen readers."""
    return output.replace(
        'data-md-component="search" role="dialog"', 'data-md-component="search" role="dialog" aria-label="Search"'
    )


def on_post_build(config: Any) -> None:
    """Raises `PluginError` if a page would fetch something from another server."""
    for path in Path(config.site_dir).rglob("*.html"):
        for tag in FETCHED.finditer(path.read_text(encoding="utf-8")):
            if not CANONICAL.match(tag[0]):
                raise PluginError(f"{path.name} fetches something from elsewhere: {tag[0]}")


def _outside() -> list[Path]:
    return [path for pattern in OUTSIDE for path in sorted(ROOT.glob(pattern))]


def _name(path: Path) -> str:
    """examples/emails/README.md -> examples-emails.md"""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return "-".join(part.lower() for part in parts if part != "README") + ".md"


def _without_backslashes(row: re.Match[str]) -> str:
    return CODE.sub(lambda code: code[0].replace("\\|", "|"), row[0])


def _link(source: Path, image: str, text: str, target: str) -> str:
    """A link of a page as the site has it; the text alone if it leads to a file that the site does not have."""
    path, _, anchor = target.partition("#")
    if re.match(r"\w+:", target) or not path:
        return f"{image}[{text}]({target})"
    found = Path(os.path.normpath(source.parent / path))
    if found.is_dir() and (found / "README.md").is_file():
        found /= "README.md"
    if found in _outside():
        uri = _name(found)
    elif found.is_relative_to(DOCS) and found.is_file():
        uri = found.relative_to(DOCS).as_posix()
    elif found.exists():
        return text
    else:
        uri = path  # mkdocs reports it
    return f"{image}[{text}]({uri}{'#' if anchor else ''}{anchor})"
