"""What is measured on a model while it trains: samples, held-out loss, KL."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from phf.config import KLConfig
from phf.errors import ModelError
from phf.evaluation.generation.evaluator import Evaluator
from phf.evaluation.held_out.loss import held_out_numbers
from phf.evaluation.kl.estimate import kl_from_samples
from phf.evaluation.kl.reference_samples import reference_samples
from phf.feedback import prefix_token_ids, threshold_of
from phf.models import ObjectiveLM
from phf.runs.writer import RunWriter
from phf.sampling.division import Division, all_processes
from phf.scorers import Scorer
from phf.storage.cache import cache_root
from phf.tokens.document_start import prefix_ids
from phf.training.callbacks import EvaluationCallback, KLCallback, LogCallback
from phf.training.checkpoints.find import last_checkpoint
from phf.training.data import RunData
from phf.training.divergence import NO_LOSS, divergence
from phf.training.plan import Plan
from phf.training.preemption import Preemption
from phf.training.whole import WholeModel


class Evaluations:
    """The evaluations of one run. All processes call them and share the work; the main one writes and reports.

    Problems are found on construction: a prefix that the tokenizer lacks, samples that do not fit the model,
    a reference LM that is not available.

    Attributes:
        whole: the model that is trained; to be set before anything is measured.
        latest: the numbers that were measured last.
    """

    whole: WholeModel

    def __init__(
        self,
        plan: Plan,
        data: RunData,
        module: ObjectiveLM,
        writer: RunWriter,
        announce: Callable[[str], None],
        progress: Callable[[str], None],
    ) -> None:
        self.plan, self.data, self.writer, self.progress = plan, data, writer, progress
        self.latest: dict[str, float] = {}
        config = plan.config
        self._evaluator = Evaluator(config.generation, plan.method.prompting, config.training.seed)
        self._evaluator.check(module.lm, data.tokenizer, module.value_head)
        kl = config.kl_gpt3_callback
        self._kl = None if kl is None or kl.reference is None else kl
        self._processes = all_processes()
        self._measure_kl = (
            None if self._kl is None else _kl_measure(self._kl, data.tokenizer, announce, self._processes)
        )

    @property
    def scorer(self) -> Scorer:
        """The task's scorer."""
        return self._evaluator.scorer

    def callbacks(
        self,
        log: LogCallback,
        preemption: Preemption,
        report: Callable[[int, dict[str, float]], None],
        check_weights: Callable[[], None],
    ) -> list[EvaluationCallback]:
        """Callbacks of Trainer that measure at the steps that the configuration says.

        Args:
            log: what writes the log of the run.
            preemption: what ends the run if a signal interrupts an evaluation.
            report: called in the main process with (step, numbers).
            check_weights: called in each process before anything is measured.
        """

        def measure(step: int) -> None:
            with self._whole(step, log, "sampling and measuring") as (module, division):
                if module is not None:
                    self._report(report, step, self._numbers(module, step, division))

        def measure_kl(step: int) -> None:
            with self._whole(step, log, "measuring KL") as (module, division):
                if module is not None and self._measure_kl is not None:
                    self._report(report, step, self._measure_kl(module.lm, division))

        generation = self.plan.config.generation
        callbacks = [EvaluationCallback(measure, generation, log, preemption, check_weights, self._was_made)]
        if self._kl is not None:
            callbacks.append(KLCallback(measure_kl, self._kl, log, preemption, check_weights, self._was_kl_measured))
        return callbacks

    def _was_made(self, step: int) -> bool:
        is_empty = not self._evaluator.scenarios and self.data.evaluation is None
        return is_empty or self._has_numbers(step, {"generation", "eval"})

    def _was_kl_measured(self, step: int) -> bool:
        return self._has_numbers(step, {"kl"})

    def _has_numbers(self, step: int, groups: set[str]) -> bool:
        """Whether the log has numbers of these groups at that step, which are then the latest."""
        logged = self._processes.from_main(lambda: self.writer.numbers_at(step))
        numbers = {key: value for key, value in logged.items() if key.partition("/")[0] in groups}
        self.latest.update(numbers)
        return bool(numbers)

    def _report(self, report: Callable[[int, dict[str, float]], None], step: int, numbers: dict[str, float]) -> None:
        self.latest.update(numbers)
        if self._processes.is_main:
            report(step, numbers)

    @contextmanager
    def _whole(self, step: int, log: LogCallback, what: str) -> Iterator[tuple[ObjectiveLM | None, Division]]:
        """The whole model, and the processes that have it; None in the others.

        Logits that are not finite, from finite weights, are a result of training, if there was any: that ends the run.
        """
        try:
            with self.whole.shared() as shared:
                self.progress(what)
                yield shared
        except ModelError as error:
            if step == 0:
                raise
            if self._processes.is_main:
                log.append(step, NO_LOSS)
            checkpoint = last_checkpoint(self.plan.run_dir, step)
            ended = divergence(f"evaluation failed. {error}", step, [], checkpoint)
            ended.is_shared = error.is_shared
            raise ended from error

    def _numbers(self, module: ObjectiveLM, step: int, division: Division) -> dict[str, float]:
        data, plan = self.data, self.plan
        numbers = self._evaluator.run(module.lm, data.tokenizer, self.writer, step, module.value_head, division)
        if data.evaluation is not None:
            held_out = held_out_numbers(
                module,
                data.evaluation,
                data.tokenizer,
                plan.method.control_tokens,
                threshold=threshold_of(plan.method),
                batch_size=plan.arithmetic.per_device_train_batch_size,
                division=division,
            )
            numbers |= {f"eval/{key}": value for key, value in held_out.items()}
        return numbers


def _kl_measure(
    section: KLConfig, tokenizer: Any, announce: Callable[[str], None], division: Division
) -> Callable[[Any, Division], dict[str, float]]:
    """A function from the model, and the processes that have it, to its KL.

    The reference is sampled now, by the main process of `division`, so that an unusable one is found before training, not
    hours into it.
    """
    start_ids = prefix_ids(tokenizer, section.prefix, "kl_gpt3_callback.prefix ")
    repeated_ids = (
        prefix_token_ids(tokenizer, section.prefix) if section.prefix and section.should_insert_prefix else []
    )
    samples = division.from_main(lambda: reference_samples(section, cache_root() / "references", announce))
    return lambda lm, sharing: kl_from_samples(
        lm,
        tokenizer,
        samples,
        prefix_ids=start_ids,
        repeated_ids=repeated_ids,
        batch_size=section.batch_size,
        division=sharing,
    )
