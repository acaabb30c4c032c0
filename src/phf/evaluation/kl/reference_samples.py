"""Samples of a reference LM: drawn once, kept in one file, and identified by everything that they depend on."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from phf.config import KLConfig, KLReferenceConfig
from phf.errors import CorpusError
from phf.evaluation.kl.local_reference import LocalReference
from phf.evaluation.kl.reference import Reference, ReferenceSample
from phf.evaluation.kl.served_reference import ServedReference
from phf.storage.cache import opened_entry, using
from phf.storage.reading import typed
from phf.storage.sealed import read_sealed, write_sealed
from phf.text import counted

FORMAT = 2


def build_reference(config: KLReferenceConfig) -> Reference:
    """The reference that the section names; nothing is loaded or requested yet."""
    if config.path_or_name is not None:
        return LocalReference(config.path_or_name, config.revision)
    return ServedReference(config)


def reference_samples(
    section: KLConfig, cache_dir: Path, announce: Callable[[str], None] = lambda message: None
) -> list[ReferenceSample]:
    """The samples that `section` describes, from `cache_dir` or drawn now and kept there.

    A cache file that is damaged, or was made from something else, is announced and replaced.
    """
    assert section.reference is not None
    reference = build_reference(section.reference)
    key = {
        "format": FORMAT,
        "reference": reference.key(),
        "seed": section.seed,
        "num_samples": section.num_samples,
        "max_tokens": section.max_tokens,
        "temperature": 1,
        "top_p": 1,
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    path = cache_dir / f"reference-{digest}.json"
    if path.exists():
        try:
            with using(path):
                return load_samples(path, key)
        except ValueError as error:
            announce(f"{path}: {error}; the samples of the reference are drawn again.")
    name = section.reference.path_or_name or section.reference.model
    announce(f"Drawing {counted(section.num_samples, 'sample')} from the reference {name} (once; kept in {path})")
    samples = reference.draw(section)
    assert len(samples) == section.num_samples
    source = f"{counted(section.num_samples, 'sample')} of {name}, {section.max_tokens:,} tokens, seed {section.seed}"
    with opened_entry(path, source):
        write_sealed(path, {"key": key, "samples": [asdict(sample) for sample in samples]})
    return samples


def load_samples(path: Path, key: dict[str, Any]) -> list[ReferenceSample]:
    """The samples kept in `path`. Raises `ValueError` with the reason if it is damaged or has another `key`."""
    try:
        # a server may have been paid for those of an earlier version, which have no hash
        content = read_sealed(path, ("key", "samples"), CorpusError, needs_hash=False)
        lines = typed(list[dict[str, Any]], content.get("samples"), str(path), CorpusError)
        samples = [typed(ReferenceSample, line, str(path), CorpusError) for line in lines]
    except CorpusError as error:
        raise ValueError(f"is damaged or cut off ({error})") from error
    if content.get("key") != key:
        raise ValueError("was made from another reference or with other settings")
    if len(samples) != key["num_samples"]:
        raise ValueError(f"contains {counted(len(samples), 'sample')} instead of {key['num_samples']:,}")
    return samples
