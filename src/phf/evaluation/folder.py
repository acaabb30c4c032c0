"""`phf evaluate`: everything a task measures, on any folders of Hugging Face causal LMs."""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from phf.annotate.cache import cache_root
from phf.config import ConditionalTrainingConfig, Config, GlueConfig
from phf.data.document_start import document_start
from phf.data.files import only_job, write_json_atomic, write_text_atomic
from phf.data.jsonlines import read_json_lines
from phf.errors import ConfigError, CorpusError, OutputError
from phf.evaluation.compare import Comparison, PromptScores, choose_baseline, compare_with_baseline
from phf.evaluation.downstream import run_downstream
from phf.evaluation.evaluate import Evaluator
from phf.evaluation.glue import run_glue
from phf.evaluation.held_out_data import held_out_blocks, held_out_numbers
from phf.evaluation.kl import measure_kl
from phf.evaluation.metrics import build_metric
from phf.evaluation.model_folder import (
    check_model_folder,
    load_folder_lm,
    load_folder_tokenizer,
    model_hashes,
    model_name,
    processes,
)
from phf.evaluation.scenarios import GenerationScenario
from phf.evaluation.seeds import Group, Training, group_by_seed
from phf.models import ObjectiveLM, read_prompting
from phf.models.context import context_of
from phf.models.export import PROMPTING
from phf.models.value_head import VALUE_HEAD_FILE, load_value_head
from phf.objectives import MLE
from phf.reading import read_json_as
from phf.registry import did_you_mean
from phf.shapes import EvaluationFile, Provenance

PARTS = ("generation", "diversity", "kl", "held-out", "downstream", "glue")
"""What can be switched on and off. Diversity is measured on the samples of generation."""
DEFAULT_PARTS = PARTS[:-1]
SHARED_PARTS = ("downstream", "glue")
"""What several processes (`torchrun -m phf evaluate ...`) share; the rest is the main process's."""
RESULTS = "evaluation.json"
FORMAT = 1

Announce = Callable[[str], None]


@dataclass(frozen=True)
class Evaluation:
    """The numbers of each model, and each pair compared."""

    numbers: dict[str, dict[str, float]]
    comparisons: list[Comparison] = field(default_factory=list)


def chosen_parts(only: Sequence[str], skip: Sequence[str], glue: bool) -> list[str]:
    """The parts to measure, in order. Raises `ConfigError` for one that does not exist."""
    for part in (*only, *skip):
        if part not in PARTS:
            raise ConfigError(f"There is no part '{part}' of the evaluation. {did_you_mean(part, PARTS)}")
    wanted = set(only or DEFAULT_PARTS) | ({"glue"} if glue else set())
    return [part for part in PARTS if part in wanted and part not in skip]


def evaluate_folders(
    folders: Sequence[Path],
    config: Config,
    output: Path,
    parts: Sequence[str] = DEFAULT_PARTS,
    announce: Announce = lambda message: None,
    baseline: str | None = None,
) -> Evaluation:
    """Measure the parts that the task configures on each model, write run folders, and compare the models.

    Models of one method and task that differ in the seed are compared as one. The baseline is the one named, by its name
    or method, else the first of method MLE, else the first.

    One model's results are in `output` itself, those of several in folders of it. A part that was finished before is
    not measured again, so an interrupted evaluation goes on where it stopped.

    A model that `phf` exported says itself how it is prompted: scenarios without a prefix start from its aligned token.
    Raises `ConfigError`, `CorpusError` or `OutputError`, and before anything is measured wherever that is possible.
    """
    names = _names(folders)
    outputs = [output / name for name in names] if len(folders) > 1 else [output]
    for folder in folders:
        check_model_folder(folder)
    thresholds = [read_prompting(folder)["threshold"] for folder in folders]
    threshold = max((value for value in thresholds if value is not None), default=0.0)
    models = [
        _ModelEvaluation(folder, name, config, folder_output, threshold, parts, announce)
        for folder, name, folder_output in zip(folders, names, outputs, strict=True)
    ]
    groups = group_by_seed(names, [model.training for model in models])
    first = choose_baseline({group.name: group.method for group in groups}, baseline)
    for model in models:
        model.check_output()
    is_main = processes().is_main_process
    with only_job(output) if is_main else nullcontext():
        numbers = {model.name: model.run() for model in models}
        comparisons = _comparisons(models, groups, first)
        if len(models) > 1 and is_main:
            named = {model.name: str(model.folder) for model in models}
            found = {"models": named, "comparisons": [comparison.to_json() for comparison in comparisons]}
            write_json_atomic(output / "comparison.json", _finite(found))
    return Evaluation(numbers, comparisons)


def _comparisons(models: Sequence["_ModelEvaluation"], groups: Sequence[Group], baseline: str) -> list[Comparison]:
    found: dict[str, dict[str, list[PromptScores]]] = {group.name: {} for group in groups}
    for group in groups:
        for index in group.members:
            for scenario, scores in models[index].scores().items():
                found[group.name].setdefault(scenario, []).append(scores)
    return compare_with_baseline(found, baseline)


def _names(folders: Sequence[Path]) -> list[str]:
    """A name for each model: its folder's, or that of the run whose `model` it is; numbered where they repeat."""
    names = [model_name(folder) for folder in folders]
    return [name if names.count(name) == 1 else f"{name}-{i + 1}" for i, name in enumerate(names)]


class _ModelEvaluation:
    """One model on one task; loaded when the first part needs it."""

    def __init__(
        self,
        folder: Path,
        name: str,
        config: Config,
        output: Path,
        threshold: float,
        parts: Sequence[str],
        announce: Announce,
    ) -> None:
        self.folder, self.name, self.output = folder, name, output
        self.threshold, self.parts, self.announce = threshold, parts, announce
        self.prompting = read_prompting(folder)
        self.training = Training.of_model(folder)
        self.conditional = _conditional(self.prompting)
        self.config = _for_model(config, self.conditional)
        self.evaluator = Evaluator(self.config.generation, self.conditional, config.training.seed)
        self.metrics = [build_metric(metric) for metric in config.generation.metrics_configs]
        self.identity = _identity(folder, config, threshold)

    @cached_property
    def tokenizer(self) -> Any:
        return load_folder_tokenizer(self.folder)

    @cached_property
    def lm(self) -> Any:
        return load_folder_lm(self.folder)

    @property
    def prefix_ids(self) -> list[int]:
        """What opens a document and, for a conditional model, its aligned token."""
        tokens = document_start(self.tokenizer)
        if self.conditional is not None:
            tokens.append(self.tokenizer.convert_tokens_to_ids(self.conditional.aligned_prefix))
        return tokens

    def check_output(self) -> dict[str, Any]:
        """The results so far; `OutputError` if the folder holds those of another model or task."""
        path = self.output / RESULTS
        if not path.is_file():
            if (self.output / "metrics.jsonl").exists():
                raise OutputError(f"{self.output} holds a run already. Name another folder with --output.")
            return {"identity": self.identity, "parts": {}}
        advice = "Delete the folder, or choose another with --output."
        found = read_json_as(EvaluationFile, path, OutputError, advice, finite=True)
        if found["identity"] != self.identity:
            raise OutputError(
                f"{self.output} holds results of another model or other settings. Name another folder with --output."
            )
        return found

    def run(self) -> dict[str, float]:
        """Measure what is wanted, configured and not yet measured; returns all numbers of the folder."""
        results = self.check_output()
        state = processes()
        state.wait_for_everyone()  # before the main process changes what the others read
        for part, measure in self._measures():
            if part in results["parts"]:
                self.announce(f"{self.name}: {part} was measured before; kept")
                continue
            if not (state.is_main_process or part in SHARED_PARTS):
                continue
            self.announce(f"{self.name}: {part}")
            results["parts"][part] = _finite(measure())
            if state.is_main_process:
                write_json_atomic(self.output / RESULTS, {**self.describe(), **results})
        state.wait_for_everyone()
        numbers = {key: value for part in results["parts"].values() for key, value in part.items()}
        if numbers and state.is_main_process:
            write_json_atomic(self.output / "provenance.json", self.describe())
            line = json.dumps({"step": 0, "tokens_seen": 0, **numbers})
            write_text_atomic(self.output / "metrics.jsonl", line + "\n")
        return {key: math.nan if value is None else value for key, value in numbers.items()}

    def _measures(self) -> Iterator[tuple[str, Callable[[], dict[str, float]]]]:
        config = self.config
        if "generation" in self.parts and self.evaluator.scenarios:
            yield "generation", self.generation
        if "diversity" in self.parts and self.metrics and any(True for _ in self.samples()):
            yield "diversity", self.diversity
        if "held-out" in self.parts and (config.dataset.eval_fraction or config.dataset.eval_datasets):
            yield "held-out", self.held_out
        if "kl" in self.parts and config.kl_gpt3_callback is not None and config.kl_gpt3_callback.reference is not None:
            yield "kl", self.kl
        if "downstream" in self.parts and config.downstream is not None:
            yield "downstream", self.downstream
        if "glue" in self.parts:
            yield "glue", self.glue

    def generation(self) -> dict[str, float]:
        """The scenarios' numbers; samples go into the folder."""
        value_head = load_value_head(self.folder, self.lm) if (self.folder / VALUE_HEAD_FILE).is_file() else None
        self.evaluator.check(self.lm, self.tokenizer, value_head)
        return self.evaluator.run(self.lm, self.tokenizer, self.output / "samples", 0, value_head)

    def diversity(self) -> dict[str, float]:
        """The task's metrics over all samples of each scenario."""
        return {
            f"generation/{scenario}/{key}": value
            for scenario, rows in self.samples()
            for metric in self.metrics
            for key, value in metric([row["continuation"] for row in rows]).items()
        }

    def held_out(self) -> dict[str, float]:
        """Held-out loss, per class of segment too."""
        dataset = self.config.dataset
        context = context_of(self.lm.config) or dataset.seq_length
        update: dict[str, Any] = {
            "conditional_training_config": self.conditional,
            "seq_length": min(dataset.seq_length, context),
            "filter_threshold": None,
            "skip_tokens": 0,
        }
        if not (self.folder / PROMPTING).is_file():  # trained elsewhere, on texts encoded whole
            update["tokenization"] = "document"
        config = self.config.model_copy(update={"dataset": dataset.model_copy(update=update)})
        blocks = held_out_blocks(config, self.tokenizer, None, self.announce)
        assert blocks is not None, "called for tasks with held-out data"
        control = (
            [] if self.conditional is None else [self.conditional.aligned_prefix, self.conditional.misaligned_prefix]
        )
        numbers = held_out_numbers(
            ObjectiveLM(self.lm, MLE(), trains=False),
            blocks,
            self.tokenizer,
            self.tokenizer.convert_tokens_to_ids(control),
            threshold=self.threshold,
            batch_size=8,
            max_tokens=dataset.max_eval_tokens,
        )
        return {f"eval/{key}": value for key, value in numbers.items()}

    def kl(self) -> dict[str, float]:
        """KL from the reference LM, the prefix given."""
        section = self.config.kl_gpt3_callback
        assert section is not None, "called for tasks with a reference"
        inserts = bool(self.conditional and self.conditional.tag_every_segment_when_sampling)
        section = section.model_copy(update={"should_insert_prefix": inserts})
        return measure_kl(
            self.lm,
            self.tokenizer,
            section,
            prefix_ids=self.prefix_ids,
            cache_dir=cache_root() / "references",
            announce=self.announce,
        )

    def downstream(self) -> dict[str, float]:
        """Tasks of lm-evaluation-harness, the prefix in front."""
        assert self.config.downstream is not None, "called for tasks with downstream tasks"
        if self.conditional is None:  # what the tokenizer itself puts in front: the start of an exported model, a BOS
            return run_downstream(self.lm, self.tokenizer, self.config.downstream, prefix_ids=[])
        prompted = GenerationScenario(name="downstream", prefix=self.conditional.aligned_prefix)
        return run_downstream(
            self.lm,
            self.tokenizer,
            self.config.downstream,
            prefix_ids=self.prefix_ids,
            banned_token_ids=self.evaluator.banned_ids(self.tokenizer, prompted),
        )

    def glue(self) -> dict[str, float]:
        """Finetuning on GLUE."""
        return run_glue(self.folder, self.config.glue or GlueConfig(), self.output / "glue")

    def samples(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """scenario -> the samples in the folder."""
        for scenario in self.evaluator.scenarios:
            path = self.output / "samples" / f"{scenario.name}.jsonl"
            if path.is_file():
                yield scenario.name, [row for _, row in read_json_lines(path)]

    def scores(self) -> dict[str, PromptScores]:
        """scenario -> prompts and scores of its samples."""
        return {
            scenario: PromptScores([row["prompt"] for row in rows], [_finite(row["score"]) for row in rows])
            for scenario, rows in self.samples()
        }

    def describe(self) -> dict[str, Any]:
        """What the numbers were measured with."""
        more = {name: [s.describe() for s in found] for name, found in self.evaluator.more_scorers.items() if found}
        return {
            "method": self.name,
            "task": self.config.task,
            "training": self.training and self.training.to_json(),
            "model": str(self.folder),
            "dataset": _training_data(self.folder),
            "scorer": self.evaluator.scorer.describe(),
            "more_scorers": more or None,
            "threshold": self.threshold,
            "seeds": {"generation": self.config.training.seed},
        }


def _conditional(prompting: dict[str, Any]) -> ConditionalTrainingConfig | None:
    """The control tokens of an exported model, as the configuration has them."""
    if prompting["control_tokens"] is None:
        return None
    aligned, misaligned = prompting["control_tokens"]
    return ConditionalTrainingConfig(
        threshold=prompting["threshold"] or 0.0,
        aligned_prefix=aligned,
        misaligned_prefix=misaligned,
        tag_every_segment_when_sampling=prompting["tag_every_segment_when_sampling"],
    )


def _for_model(config: Config, conditional: ConditionalTrainingConfig | None) -> Config:
    """The task's configuration with the model's prefix in its scenarios; metrics are measured apart from them."""
    update: dict[str, Any] = {"metrics_configs": []}
    if conditional is not None:
        update["scenario_configs"] = [
            {**scenario, "prefix": conditional.aligned_prefix if scenario.get("prefix") is None else scenario["prefix"]}
            for scenario in config.generation.scenario_configs
        ]
    return config.model_copy(update={"generation": config.generation.model_copy(update=update)})


def _training_data(folder: Path) -> Any:
    """What the provenance of the run that exported the model says of its data; None for a model from elsewhere."""
    path = folder.parent / "provenance.json"
    try:
        return read_json_as(Provenance, path, CorpusError).get("dataset") if path.is_file() else None
    except CorpusError:
        return None  # not written by phf


def _identity(folder: Path, config: Config, threshold: float) -> str:
    """Changes with the model's files and with every setting that decides a number."""
    keys = ("dataset", "generation", "kl_gpt3_callback", "downstream", "glue")
    settings = {key: value for key, value in config.model_dump(mode="json").items() if key in keys}
    text = json.dumps(
        [FORMAT, model_hashes(folder), settings, config.training.seed, threshold], sort_keys=True, default=str
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _finite(values: Any) -> Any:
    """The same with None for what is not finite, which JSON cannot say."""
    if isinstance(values, dict):
        return {key: _finite(value) for key, value in values.items()}
    if isinstance(values, list):
        return [_finite(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values
