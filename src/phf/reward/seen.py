"""Which texts a reward model was trained on, so that its agreement with people is not measured on them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from phf.corpus.duplicates import hash_of_text
from phf.errors import CorpusError
from phf.labels.label import Label, Labels
from phf.labels.split import connected
from phf.reward.settings import REWARD_FILE
from phf.storage.files import write_text_atomic
from phf.storage.reading import read_text

TRAINED_ON_FILE = "trained-on.txt"
"""A line for each text that a reward model was trained on: 16 hexadecimal digits."""


class Unseen(NamedTuple):
    """The labels that no reward model among some scorers was trained on, as far as known."""

    labels: Labels
    notes: list[str]
    """For the user: what was left out, and what is not known."""


def write_trained_on(folder: Path, labels: Iterable[Label]) -> None:
    """Record in the folder of a reward model what it was trained on."""
    hashes = sorted({_hash(text) for label in labels for text in label.texts})
    write_text_atomic(folder / TRAINED_ON_FILE, "".join(f"{line}\n" for line in hashes))


def unseen(sections: Sequence[Mapping[str, Any]], labels: Labels) -> Unseen:
    """Leave out the labels that the reward models among the scorers were trained on, and those connected with them by a
    text, prompt or document: the same for all scorers, which can then be compared.

    Raises `CorpusError` if none is left.
    """
    groups = connected(labels.labels)
    is_left_out = [False] * len(groups)
    notes = []
    for folder in dict.fromkeys(_reward_models(sections)):
        if not (folder / TRAINED_ON_FILE).is_file():
            notes.append(
                f"{folder} does not record what it was trained on: an earlier version made it. If it was trained on these "
                "labels, its agreement is too high."
            )
            continue
        known = set(read_text(folder / TRAINED_ON_FILE, CorpusError).split())
        is_known = [any(_hash(text) in known for text in label.texts) for label in labels.labels]
        seen = {group for group, was_there in zip(groups.tolist(), is_known, strict=True) if was_there}
        if seen:
            own = [group in seen for group in groups.tolist()]
            is_left_out = [one or other for one, other in zip(is_left_out, own, strict=True)]
            notes.append(
                f"{folder} was trained on {sum(own):,} of the {len(own):,} labels, or on connected ones: left out."
            )
    rest = [label for label, is_out in zip(labels.labels, is_left_out, strict=True) if not is_out]
    if not rest:
        raise CorpusError(f"No label is left to compare on. {' '.join(notes)} Use labels of other texts.")
    return Unseen(Labels(rest, labels.kind, labels.left_out), notes)  # type: ignore[arg-type]


def _reward_models(sections: Sequence[Mapping[str, Any]]) -> Iterator[Path]:
    """Folders of reward models among the scorers and the parts of composite ones."""
    for section in sections:
        name, parts = section.get("path_or_name"), section.get("scorers")
        if isinstance(name, str) and (Path(name) / REWARD_FILE).is_file():
            yield Path(name)
        if isinstance(parts, list):
            yield from _reward_models([part for part in parts if isinstance(part, Mapping)])


def _hash(text: str) -> str:
    return f"{hash_of_text(text):016x}"
