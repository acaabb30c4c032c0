"""`phf evaluate`: the generation scenarios of a task on any folder of a Hugging Face causal LM."""

import json
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging as transformers_logging

from phf.config import ConditionalTrainingConfig, Config
from phf.data.files import write_json_atomic, write_text_atomic
from phf.data.tokenizer import prepare_tokenizer
from phf.errors import CorpusError, OutputError
from phf.evaluation.evaluate import Evaluator
from phf.models import pretrained_lm, pretrained_tokenizer, read_prompting


def evaluate_folder(folder: Path, config: Config, output: Path) -> dict[str, float]:
    """Generate, score, and write `output` in the form of a run folder; returns the numbers.

    A model that `phf` exported says itself how it is prompted: scenarios without a prefix start from its aligned token.
    """
    if not (folder / "config.json").is_file():
        raise CorpusError(
            f"{folder} is no model folder: it has no config.json. Name the model folder of a run, or any other."
        )
    if (output / "metrics.jsonl").exists():
        raise OutputError(f"{output} holds results already. Name another folder with --output.")
    prompting = read_prompting(folder)
    transformers_logging.disable_progress_bar()
    tokenizer = prepare_tokenizer(pretrained_tokenizer(str(folder), "MODEL_DIR"), None)
    has_gpu = torch.cuda.is_available()
    model = pretrained_lm(str(folder), "MODEL_DIR", dtype="auto" if has_gpu else torch.float32)
    model.to("cuda" if has_gpu else "cpu")
    conditional, generation = None, config.generation
    if prompting["control_tokens"] is not None:
        aligned, misaligned = prompting["control_tokens"]
        conditional = ConditionalTrainingConfig(
            threshold=0.0,  # training's; nothing is tagged here
            aligned_prefix=aligned,
            misaligned_prefix=misaligned,
            tag_every_segment_when_sampling=prompting["tag_every_segment_when_sampling"],
        )
        scenarios = [
            {**s, "prefix": aligned if s.get("prefix") is None else s["prefix"]} for s in generation.scenario_configs
        ]
        generation = generation.model_copy(update={"scenario_configs": scenarios})
    evaluator = Evaluator(generation, conditional, config.training.seed)
    evaluator.check(model, tokenizer)
    logs = evaluator.run(model, tokenizer, output / "samples", 0)
    provenance: dict[str, Any] = {
        "method": folder.parent.name if folder.name == "model" else folder.name,
        "task": config.task,
        "model": str(folder),
        "scorer": evaluator.scorer.describe(),
        "num_parameters": model.num_parameters(),
        "seeds": {"generation": config.training.seed},
    }
    write_json_atomic(output / "provenance.json", provenance)
    finite = {key: value if value == value else None for key, value in logs.items()}
    write_text_atomic(output / "metrics.jsonl", json.dumps({"step": 0, "tokens_seen": 0, **finite}) + "\n")
    return logs
