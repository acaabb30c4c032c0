"""Whether two runs were trained on the same data, by what their provenance says about it."""

from collections.abc import Mapping, Sequence
from typing import Any

from phf.text import counted

CONTENT, MANIFEST = "shards_sha256", "manifest_sha256"
"""Keys of a source: the hash of its texts and scores; and that of its manifest, which also says where they are from."""


def is_same_data(first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]]) -> bool:
    """Whether two runs read the same texts with the same scores; each argument is `dataset` of a provenance.

    Of a run by a version that did not record the content, the manifests are compared, so a corpus that was only copied
    counts as another one.
    """
    return len(first) == len(second) and all(map(_is_same_source, first, second))


def describe_data(dataset: Sequence[Mapping[str, Any]]) -> str:
    """For people: '5,027 documents of emails.jsonl (annotation 3fa9c1d2)'."""
    return ", ".join(map(_describe, dataset)) or "unknown data"


def _is_same_source(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    for key in (CONTENT, MANIFEST, "source"):
        if first.get(key) is not None and second.get(key) is not None:
            return bool(first[key] == second[key])
    return False


def _describe(source: Mapping[str, Any]) -> str:
    content = source.get(CONTENT) or source.get(MANIFEST)
    count = source.get("num_documents")
    number = f"{counted(count, 'document')} of " if isinstance(count, int) else ""
    return f"{number}{source.get('source')}" + (f" (annotation {str(content)[:8]})" if content else "")
