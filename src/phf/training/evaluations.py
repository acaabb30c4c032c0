"""What is measured of a model while it trains: samples, held-out loss, KL."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from phf.config import KLConfig
from phf.errors import ModelError
from phf.evaluation.generation.evaluator import Evaluator
from phf.evaluation.held_out.loss import held_out_numbers
from phf.evaluation.kl.estimate import kl_from_samples
from phf.evaluation.kl.reference_samples import reference_samples
from phf.feedback import control_token_id, threshold_of
from phf.models import ObjectiveLM
from phf.runs.writer import RunWriter
from phf.storage.cache import cache_root
from phf.tokens.document_start import prefix_ids
from phf.training.callbacks import EvaluationCallback, KLCallback, LogCallback
from phf.training.checkpoints.find import last_checkpoint
from phf.training.data import RunData
from phf.training.divergence import NO_LOSS, divergence
from phf.training.plan import Plan
from phf.training.whole import WholeModel


class Evaluations:
    """The evaluations of one run. All processes call them; the main one, which gets the whole model, measures.

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
        is_main = plan.arguments.process_index == 0
        self._measure_kl = _kl_measure(self._kl, data.tokenizer, announce) if is_main and self._kl is not None else None

    def callbacks(
        self, log: LogCallback, report: Callable[[int, dict[str, float]], None], check_weights: Callable[[], None]
    ) -> list[EvaluationCallback]:
        """Callbacks of Trainer that measure at the steps that the configuration says.

        Args:
            log: what writes the log of the run.
            report: called in the main process with (step, numbers).
            check_weights: called in each process before anything is measured.
        """

        def measure(step: int) -> None:
            with self._whole(step, log, "sampling and measuring") as module:
                if module is not None:
                    self._report(report, step, self._numbers(module, step))

        def measure_kl(step: int) -> None:
            with self._whole(step, log, "measuring KL") as module:
                if module is not None and self._measure_kl is not None:
                    self._report(report, step, self._measure_kl(module.lm))

        callbacks = [EvaluationCallback(measure, self.plan.config.generation, log, check_weights)]
        return callbacks + ([] if self._kl is None else [KLCallback(measure_kl, self._kl, log, check_weights)])

    def _report(self, report: Callable[[int, dict[str, float]], None], step: int, numbers: dict[str, float]) -> None:
        self.latest.update(numbers)
        report(step, numbers)

    @contextmanager
    def _whole(self, step: int, log: LogCallback, what: str) -> Iterator[ObjectiveLM | None]:
        """The whole model in the main process, None in the others.

        Logits that are not finite, from finite weights, are a result of training, if there was any: that ends the run.
        """
        try:
            with self.whole.on_main() as module:
                if module is not None:
                    self.progress(what)
                yield module
        except ModelError as error:
            if step == 0:
                raise
            log.append(step, NO_LOSS)
            checkpoint = last_checkpoint(self.plan.run_dir, step)
            raise divergence(f"evaluation failed. {error}", step, [], checkpoint) from error

    def _numbers(self, module: ObjectiveLM, step: int) -> dict[str, float]:
        data, plan = self.data, self.plan
        numbers = self._evaluator.run(module.lm, data.tokenizer, self.writer, step, module.value_head)
        if data.evaluation is not None:
            held_out = held_out_numbers(
                module,
                data.evaluation,
                data.tokenizer,
                plan.method.control_tokens.ids(data.tokenizer),
                threshold=threshold_of(plan.method),
                batch_size=plan.arithmetic.per_device_train_batch_size,
                max_tokens=plan.config.dataset.max_eval_tokens,
            )
            numbers |= {f"eval/{key}": value for key, value in held_out.items()}
        return numbers


def _kl_measure(
    section: KLConfig, tokenizer: Any, announce: Callable[[str], None]
) -> Callable[[Any], dict[str, float]]:
    """A function from the model to its KL.

    The reference is sampled now, so that an unusable one is found before training, not hours into it.
    """
    start_ids = prefix_ids(tokenizer, section.prefix, "kl_gpt3_callback.prefix ")
    repeats = section.prefix and section.should_insert_prefix
    repeated_id = control_token_id(tokenizer, section.prefix or "") if repeats else None
    samples = reference_samples(section, cache_root() / "references", announce)
    return lambda lm: kl_from_samples(
        lm,
        tokenizer,
        samples,
        prefix_ids=start_ids,
        repeated_id=repeated_id,
        batch_size=section.batch_size,
    )
