"""`phf export`: any model folder, or a checkpoint of the released system, as the folder that `phf train` would export."""

from dataclasses import replace
from pathlib import Path

import torch

from phf.errors import ConfigError
from phf.feedback import PROMPTING_FILE, Prompting
from phf.models.exporting.card import CardFacts, write_card
from phf.models.exporting.card_results import check_evaluations
from phf.models.exporting.export import write_model
from phf.models.exporting.exported_tokenizer import check_exportable
from phf.models.load import pretrained_lm
from phf.models.model_folder import load_folder_tokenizer
from phf.models.prompting import prompting_of
from phf.models.value_head import has_value_head, load_value_head
from phf.storage.files import new_folder
from phf.storage.pretrained import without_progress_bar


def export_folder(
    folder: Path,
    output: Path,
    threshold: float | None = None,
    tags_every_segment: bool | None = None,
    facts: CardFacts | None = None,
    prefer: str | None = None,
) -> tuple[Prompting, bool]:
    """Write the model in `folder` to `output`, in the type of its weights; returns its prompting and whether it has a value
    head.

    `threshold`: score up to which a segment counted as aligned. `tags_every_segment`: whether the model may repeat its
    control token before later segments. Both are for models with control tokens that do not record them. `facts`: what the
    model card says besides what is recorded. `prefer`: the level of each preference that its texts start with; None: as now.
    Raises `OutputError` for an output that exists, `ConfigError` for a model that cannot be loaded or exported.
    """
    facts = CardFacts(output.name) if facts is None else facts
    with new_folder(output) as partial:
        check_evaluations(facts.evaluations, folder)
        tokenizer = load_folder_tokenizer(folder)
        prompting = _with_settings(prompting_of(folder, tokenizer), folder, threshold, tags_every_segment)
        if prefer is not None and not prompting.control_tokens:
            raise ConfigError(f"{folder} has no control tokens, so --prefer has no effect.")
        prompting = prompting.preferring(prefer, "--prefer")
        lm = pretrained_lm(str(folder), "MODEL", torch.device("cpu"), dtype="auto")
        check_exportable(tokenizer, prompting, lm.config)
        value_head = load_value_head(folder, lm) if has_value_head(folder) else None
        with without_progress_bar():
            write_model(lm, tokenizer, partial, prompting, value_head, output)
        write_card(partial, facts, folder)
    return prompting, value_head is not None


def _with_settings(
    prompting: Prompting, folder: Path, threshold: float | None, tags_every_segment: bool | None
) -> Prompting:
    options = {"--threshold": threshold, "--tag-every-segment or --tag-once": tags_every_segment}
    given = [option for option, value in options.items() if value is not None]
    if given and not prompting.control_tokens:
        raise ConfigError(f"{folder} has no control tokens, so {given[0]} has no effect.")
    if given and (folder / PROMPTING_FILE).is_file():
        raise ConfigError(f"{folder / PROMPTING_FILE} says how this model is prompted. Leave out {given[0]}.")
    return replace(
        prompting,
        threshold=prompting.threshold if threshold is None else threshold,
        tags_every_segment=prompting.tags_every_segment if tags_every_segment is None else tags_every_segment,
    )
