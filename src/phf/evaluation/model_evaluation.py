"""One model, measured on one task: the parts of `phf evaluate` and the folder in which they are kept."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from phf.config import Config, GlueConfig
from phf.errors import ConfigError, CorpusError, PhfError
from phf.evaluation.compare import PromptScores
from phf.evaluation.downstream.tasks import run_downstream
from phf.evaluation.generation.evaluator import Evaluator
from phf.evaluation.generation.metrics import build_metric
from phf.evaluation.glue.finetuning import run_glue
from phf.evaluation.held_out.loss import held_out_numbers
from phf.evaluation.kl.estimate import measure_kl
from phf.evaluation.prompted_task import preferred_prompting, task_for_model
from phf.evaluation.results import Results
from phf.feedback import PROMPTING_FILE, method_of, with_prompting
from phf.feedback.objectives import MLE
from phf.models import ObjectiveLM
from phf.models.context import context_of
from phf.models.model_folder import is_of_released_system, load_folder_lm, load_folder_tokenizer, model_hashes
from phf.models.prompting import prompting_of
from phf.models.value_head import has_value_head, load_value_head
from phf.runs.reader import read_provenance, read_samples
from phf.runs.seeds import Training
from phf.runs.writer import RunWriter, finite_or_none
from phf.sampling.division import Division
from phf.storage.cache import cache_root
from phf.tokens.document_start import prefix_ids
from phf.tokens.prepare import held_out_blocks
from phf.workers.activity import activity

Announce = Callable[[str], None]


class ModelEvaluation:
    """One model on one task; loaded when the first part needs it.

    Processes (`torchrun -m phf evaluate ...`) share each part except diversity, which is one pass over all texts; the main
    one writes.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        config: Config,
        output: Path,
        threshold: float,
        parts: Sequence[str],
        announce: Announce,
        division: Division,
    ) -> None:
        self.division = division
        self.folder, self.name, self.output = folder, name, output
        self.threshold, self.parts, self.announce = threshold, parts, announce
        self.writer = RunWriter(output)
        self.prompting = preferred_prompting(prompting_of(folder, self.tokenizer), config, folder)
        self.training = Training.of_model(folder)
        self.task = config
        self.has_value_head = has_value_head(folder)
        self.config, self.skipped = task_for_model(
            config, self.prompting, self.tokenizer, has_value_head=self.has_value_head
        )
        self.evaluator = Evaluator(self.config.generation, self.prompting, config.training.seed)
        self.metrics = [build_metric(metric) for metric in config.generation.metrics_configs]
        self.files = model_hashes(folder)
        self.results = Results(output, self.files, config, threshold)
        if "held-out" in parts and (config.dataset.eval_fraction or config.dataset.eval_datasets):
            self._check_tagging()

    def _check_tagging(self) -> None:
        """Raises `ConfigError` where it is not known which text got which control token, or the class that chose them is not
        available."""
        if self.prompting.control_tokens and not (self.folder / PROMPTING_FILE).is_file():
            raise ConfigError(
                f"{self.folder} does not record which scores counted as aligned, so held-out text cannot be "
                "given its control tokens. Write it with `phf export --threshold`, or leave this part out with --skip "
                "held-out."
            )
        try:
            method_of(with_prompting(self.config, self.prompting))
        except PhfError as error:
            raise ConfigError(
                f"{self.folder / PROMPTING_FILE}: held-out text cannot be given its control tokens as in training. {error} "
                "Or leave this part out with --skip held-out."
            ) from error

    @cached_property
    def tokenizer(self) -> Any:
        return load_folder_tokenizer(self.folder)

    @cached_property
    def lm(self) -> Any:
        return load_folder_lm(self.folder)

    @property
    def prefix_ids(self) -> list[int]:
        """What begins a document and, for a conditional model, the control tokens that texts start with."""
        return prefix_ids(self.tokenizer, self.prompting.prefix)

    def check_output(self) -> None:
        """Raises `OutputError` if the folder contains results of another model or task."""
        self.results.read()

    def run(self) -> dict[str, float]:
        """Measure the parts that are requested, configured and not yet measured; returns all numbers of the folder."""
        division = self.division
        parts = division.from_main(self.results.read)
        for part, measure in self._measures():
            if part in parts:
                self.announce(f"{self.name}: {part} was measured before; kept")
                continue
            self.announce(f"{self.name}: {part}")
            with division.together():
                if not parts and division.is_main:
                    self.results.write(self.describe(), parts)
                with activity(f"{self.name}: {part}"):
                    parts[part] = finite_or_none(measure())
                if division.is_main:
                    self.results.write(self.describe(), parts)
        numbers = {key: value for part in parts.values() for key, value in part.items()}
        with division.together():
            if numbers and division.is_main:
                self.writer.write_provenance(self.describe())
                self.writer.write_config(self.task)
                self.writer.write_metrics([(0, 0, numbers)])
        return {key: math.nan if value is None else value for key, value in numbers.items()}

    def _measures(self) -> Iterator[tuple[str, Callable[[], dict[str, float]]]]:
        config = self.config
        if "generation" in self.parts and self.evaluator.scenarios:
            yield "generation", self.generation
        if "diversity" in self.parts and self.division.from_main(lambda: bool(self.metrics and any(self.samples()))):
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
        value_head = load_value_head(self.folder, self.lm) if self.has_value_head else None
        self.evaluator.check(self.lm, self.tokenizer, value_head)
        return self.evaluator.run(self.lm, self.tokenizer, self.writer, 0, value_head, self.division)

    def diversity(self) -> dict[str, float]:
        """The task's metrics over all samples of each scenario."""
        return self.division.from_main(
            lambda: {
                f"generation/{scenario}/{key}": value
                for scenario, rows in self.samples()
                for metric in self.metrics
                for key, value in metric([row["continuation"] for row in rows]).items()
            }
        )

    def held_out(self) -> dict[str, float]:
        """Held-out loss, also per class of segment."""
        dataset = self.config.dataset
        context = context_of(self.lm.config) or dataset.seq_length
        update: dict[str, Any] = {
            "seq_length": min(dataset.seq_length, context),
            "skip_tokens": 0,
        }
        if not (self.folder / PROMPTING_FILE).is_file() and not is_of_released_system(self.folder):
            # trained elsewhere, on texts encoded as a whole
            update["tokenization"] = "document"
        config = with_prompting(self.config, self.prompting)
        config = config.model_copy(update={"dataset": config.dataset.model_copy(update=update)})
        blocks = self.division.main_first(lambda: held_out_blocks(config, self.tokenizer, None, self.announce))
        assert blocks is not None, "called for tasks with held-out data"
        numbers = held_out_numbers(
            ObjectiveLM(self.lm, MLE(), trains=False),
            blocks,
            self.tokenizer,
            self.prompting.control_tokens,
            threshold=self.threshold,
            batch_size=8,
            with_interval=True,
            division=self.division,
        )
        return {f"eval/{key}": value for key, value in numbers.items()}

    def kl(self) -> dict[str, float]:
        """KL from the reference LM, the prefix given."""
        section = self.config.kl_gpt3_callback
        assert section is not None, "called for tasks with a reference"
        return measure_kl(
            self.lm,
            self.tokenizer,
            section,
            prefix_ids=self.prefix_ids,
            repeated_ids=self.prompting.repeated_ids(self.tokenizer),
            cache_dir=cache_root() / "references",
            announce=self.announce,
            division=self.division,
        )

    def downstream(self) -> dict[str, float]:
        """Tasks of lm-evaluation-harness, the prefix in front."""
        assert self.config.downstream is not None, "called for tasks with downstream tasks"
        is_tagged = bool(self.prompting.control_tokens)
        return run_downstream(
            self.lm,
            self.tokenizer,
            self.config.downstream,
            # without control tokens, what the tokenizer itself puts first: the start of an exported model, a BOS
            prefix_ids=self.prefix_ids if is_tagged else [],
            banned_token_ids=self.prompting.banned_ids(self.tokenizer, self.prompting.prefix) if is_tagged else None,
        )

    def glue(self) -> dict[str, float]:
        """Finetuning on GLUE."""
        return run_glue(self.folder, self.config.glue or GlueConfig(), self.output / "glue")

    def samples(self) -> Iterator[tuple[str, Sequence[Mapping[str, Any]]]]:
        """scenario -> the samples in the folder."""
        for scenario in self.evaluator.scenarios:
            if rows := read_samples(self.output, scenario.name, step=0):
                yield scenario.name, rows

    def scores(self) -> dict[str, PromptScores]:
        """scenario -> prompts and scores of its samples."""
        return {
            scenario: PromptScores([row["prompt"] for row in rows], [row["score"] for row in rows])
            for scenario, rows in self.samples()
        }

    def describe(self) -> dict[str, Any]:
        """The settings that the numbers were measured with."""
        more = {
            name: [s.describe() for s in scorers] for name, scorers in self.evaluator.more_scorers.items() if scorers
        }
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


def _training_data(folder: Path) -> Any:
    """The provenance of the training data, from the run that exported the model; None for a model from elsewhere."""
    try:
        return read_provenance(folder.parent).get("dataset")
    except CorpusError:
        return None  # not written by phf
