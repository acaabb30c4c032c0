"""The dataset in which the origin of a model's texts is looked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phf.audit.last_layer import LastLayer
from phf.audit.origins import OriginFinder, finder_of
from phf.audit.training_data import TrainingData, compare_with_training, corpus_of
from phf.feedback import Prompting
from phf.sampling.scenarios import GenerationScenario
from phf.tokens.prepare import store_of
from phf.workers.activity import activity

NUM_EMBEDDED = 2000
"""Segments that are compared by hidden states, drawn at random. They are embedded when the playground starts."""
BATCH_SIZE = 16


@dataclass(frozen=True)
class ModelData:
    """A dataset, encoded as a model reads it."""

    data: TrainingData
    finder: OriginFinder


def open_data(
    folder: Path, lm: Any, tokenizer: Any, prompting: Prompting, sources: Sequence[str], scores_column: str
) -> ModelData:
    """The annotated sources for the model in `folder`, encoded now if necessary; some segments are embedded."""
    with activity("comparing the dataset with the training data"):
        data = compare_with_training(folder, sources)
    with activity("encoding the dataset"):
        store = store_of(corpus_of(folder, tokenizer, data, scores_column))
    start = GenerationScenario(name="start", num_samples=1, prefix=prompting.prefix).start_ids(tokenizer)
    last_layer = LastLayer(lm, start, BATCH_SIZE)
    finder = finder_of(store, data, tokenizer, last_layer, scores_column=scores_column, num_embedded=NUM_EMBEDDED)
    finder.prepare()
    return ModelData(data, finder)
