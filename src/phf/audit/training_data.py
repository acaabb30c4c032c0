"""Whether a dataset is what a model was trained on, and which of its documents were held out from training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from phf.config import DatasetConfig, load_config
from phf.corpus.dataset import check_scores
from phf.corpus.sources.documents import is_annotated
from phf.errors import CorpusError
from phf.feedback import PROMPTING_FILE
from phf.models.model_folder import is_of_released_system, own_task
from phf.runs.data import CONTENT, describe_data, is_same_data
from phf.runs.layout import run_of_model
from phf.runs.reader import read_provenance
from phf.tokens.encoded import Tokenization
from phf.tokens.held_out_groups import held_out_groups
from phf.tokens.pieces import Corpus
from phf.tokens.selection import is_held_out
from phf.tokens.store import TokenStore
from phf.tokens.text_tokenizer import TextTokenizer
from phf.training.sources import describe_sources


@dataclass(frozen=True)
class TrainingData:
    """Annotated sources, next to what a model was trained on."""

    sources: tuple[str, ...]
    is_trained_on: bool | None
    """Whether the model was trained on them, by the provenance of its run; None: unknown."""
    sentence: str
    """The same for people."""
    dataset: DatasetConfig | None
    """Of the run that trained the model."""
    is_whole: bool
    """Whether they are all that the run was given, in its order."""

    def to_json(self) -> dict[str, Any]:
        """For records."""
        return {"is_trained_on": self.is_trained_on, "is_whole": self.is_whole, "sentence": self.sentence}

    @property
    def eval_group(self) -> str | None:
        """What documents were held out by, if not by their ids."""
        dataset = self.dataset
        return dataset.eval_group if dataset is not None and self.is_whole and dataset.eval_fraction else None

    def documents_trained_on(self, store: TokenStore) -> np.ndarray | None:
        """bool [documents of the store]: false for those that were held out; None where none was, as far as is known."""
        dataset = self.dataset
        if dataset is None or not self.is_trained_on or not dataset.eval_fraction:
            return None
        hashes = store.documents["split_hash"]
        if dataset.eval_group is None:
            return ~is_held_out(hashes, dataset.eval_fraction)
        if not self.is_whole:  # which groups are held out depends on all of the data
            return None
        return ~np.isin(hashes, held_out_groups(hashes, store.documents["num_bytes"], dataset.eval_fraction))


def check_annotated(sources: Sequence[str], scores_column: str) -> None:
    """Raises `CorpusError` for sources without scores of segments."""
    for source in dict.fromkeys(sources):
        if not is_annotated(source):
            raise CorpusError(
                f"{source} is not annotated, so none of its segments is known as misaligned: phf annotate first."
            )
        check_scores(source, scores_column)


def compare_with_training(folder: Path, sources: Sequence[str]) -> TrainingData:
    """What is known of `sources` and the model in `folder`.

    By the hashes that provenance records, so a copy of the dataset counts as the dataset. Raises `CorpusError` for one that is
    given more often than it was trained on, of which every occurrence would be counted as often.
    """
    path, run = own_task(folder), run_of_model(folder)
    dataset = None if path is None else load_config(config=path, for_models=True)[0].dataset
    recorded: list[Mapping[str, Any]] = [] if run is None else list(read_provenance(run).get("dataset") or [])
    given = describe_sources(sources)
    _refuse_repeated(sources, given, recorded)
    is_listed = dataset is not None and list(sources) == dataset.datasets
    if not recorded:
        says = "The model records no training data, so whether it was trained on this dataset is not known."
        return TrainingData(tuple(sources), None, says, dataset, is_listed)
    matches = [any(is_same_data([one], [other]) for other in recorded) for one in given]
    is_whole = is_same_data(given, recorded)
    if all(matches):
        says = "This is " + ("the" if is_whole else "a part of the") + " data that the model was trained on."
        return TrainingData(tuple(sources), True, says, dataset, is_whole)
    if any(one.get(CONTENT) is None for one in [*given, *recorded]):
        says = f"Whether the model was trained on this dataset is not known: its run records {describe_data(recorded)}."
        return TrainingData(tuple(sources), None, says, dataset, is_listed)
    if all(any(_is_alike(one, other) for other in recorded) for one in given):
        says = (
            f"Whether the model was trained on this dataset is not known: its run records {describe_data(recorded)}, another "
            "annotation with as many documents and segments."
        )
        return TrainingData(tuple(sources), None, says, dataset, is_listed)
    says = (
        f"This is not the data that the model was trained on: its run records {describe_data(recorded)}, and this is "
        f"{describe_data(given)}. What is found here may be alike without being where a text comes from."
    )
    return TrainingData(tuple(sources), False, says, dataset, is_listed)


def _refuse_repeated(
    sources: Sequence[str], given: Sequence[Mapping[str, Any]], recorded: Sequence[Mapping[str, Any]]
) -> None:
    for source, one in zip(sources, given, strict=True):
        same = [other for other, another in zip(sources, given, strict=True) if is_same_data([one], [another])]
        if len(same) > max(1, sum(is_same_data([one], [other]) for other in recorded)):
            raise CorpusError(
                f"--dataset: {' and '.join(same)} are the same data, so each text would be counted {len(same)} times. Give it "
                f"once, as {source}."
            )


def _is_alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two annotations may be of the same texts."""
    return all(one.get(key) == other.get(key) for key in ("source", "segmenter", "num_documents", "num_segments"))


def corpus_of(folder: Path, tokenizer: Any, data: TrainingData, scores_column: str) -> Corpus:
    """The sources, encoded as the model was trained: where its run trained on them, in the store of that run."""
    if data.dataset is not None:
        tokenization: Tokenization = data.dataset.tokenization
    else:  # one that was trained elsewhere read texts as a whole
        is_ours = (folder / PROMPTING_FILE).is_file() or is_of_released_system(folder)
        tokenization = "segments" if is_ours else "document"
    text_tokenizer = TextTokenizer.of(tokenizer)
    return Corpus(data.sources, scores_column, text_tokenizer, tokenization, eval_group=data.eval_group)
