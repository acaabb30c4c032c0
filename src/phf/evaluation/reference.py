"""Samples of a reference LM: drawn once, kept in one file, and found again by everything that went into them."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from phf.config import KLConfig, KLReferenceConfig
from phf.data.files import atomic_write
from phf.errors import CorpusError
from phf.reading import read_json_as, typed

FORMAT = 2
REPLACEMENT = "\ufffd"
"""What bytes that are no UTF-8 are decoded to."""


@dataclass(frozen=True)
class ReferenceSample:
    """One sample of the reference, at temperature 1 from its whole distribution.

    A sample that the reference ended itself is charged for that end (its end-of-text token); one that was cut at
    `max_tokens` is not.
    """

    text: str
    """Without the end."""
    is_ended: bool
    ids: list[int] | None
    """Tokens as drawn, without the end; None from a server that does not say."""
    logprobs: list[float]
    """log p of each token as drawn, nats; the end's comes last where there is one."""
    text_logprob: float | None
    """log p of `shared_text` as the reference's tokenizer encodes it, and of the end, nats; None if it cannot spell it."""

    @property
    def shared_text(self) -> str:
        """The text that a model with another tokenizer is asked about: without a character that was cut in half."""
        return shared_text(self.text, self.is_ended)


class Reference(Protocol):
    """A reference LM, local or served."""

    def key(self) -> dict[str, Any]:
        """What tells this reference from others, as JSON; no secrets."""
        ...

    def draw(self, section: KLConfig) -> list[ReferenceSample]:
        """`section.num_samples` samples."""
        ...


def shared_text(text: str, is_ended: bool) -> str:
    """A sample that was cut may end inside a character: that end is text in no tokenizer."""
    return text if is_ended else text.rstrip(REPLACEMENT)


def build_reference(config: KLReferenceConfig) -> Reference:
    """The reference that the section names; nothing is loaded or asked yet."""
    if config.path_or_name is not None:
        from phf.evaluation.local_reference import LocalReference

        return LocalReference(config.path_or_name, config.revision)
    from phf.evaluation.served_reference import ServedReference

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
            return load_samples(path, key)
        except ValueError as error:
            announce(f"{path}: {error}; the samples of the reference are drawn again.")
    name = section.reference.path_or_name or section.reference.model
    announce(f"Drawing {section.num_samples:,} samples from the reference {name} (once; kept in {path})")
    samples = reference.draw(section)
    assert len(samples) == section.num_samples
    with atomic_write(path) as partial:
        partial.write_text(json.dumps({"key": key, "samples": [asdict(sample) for sample in samples]}))
    return samples


def load_samples(path: Path, key: dict[str, Any]) -> list[ReferenceSample]:
    """The samples kept in `path`. Raises `ValueError` with the reason where it is damaged or not of this `key`."""
    try:
        found = read_json_as(dict[str, Any], path, CorpusError, finite=True)
        lines = typed(list[dict[str, Any]], found.get("samples"), str(path), CorpusError)
        samples = [typed(ReferenceSample, line, str(path), CorpusError) for line in lines]
    except CorpusError as error:
        raise ValueError(f"is damaged or cut off ({error})") from error
    if found.get("key") != key:
        raise ValueError("was made from another reference or with other settings")
    if len(samples) != key["num_samples"]:
        raise ValueError(f"holds {len(samples):,} samples instead of {key['num_samples']:,}")
    return samples
