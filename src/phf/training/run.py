"""One training run: from a resolved configuration to a run folder with metrics, samples and an exported model."""

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import transformers
from accelerate.utils import gather_object
from safetensors import SafetensorError
from torch import Tensor
from transformers import PrinterCallback
from transformers.integrations import is_deepspeed_zero3_enabled
from transformers.utils import logging as transformers_logging

from phf.config import Config, KLConfig, dump_config
from phf.errors import CorpusError, DivergedError, ModelError, OutputError, PhfError
from phf.evaluation.generation.evaluator import Evaluator
from phf.evaluation.held_out.loss import held_out_numbers
from phf.evaluation.kl.estimate import kl_from_samples
from phf.evaluation.kl.reference_samples import reference_samples
from phf.feedback import Method, method_of, threshold_of
from phf.feedback.thresholds import with_stand_ins
from phf.models import ObjectiveLM, ValueHead, check_exportable, export_model, load_lm
from phf.runs.folder import clear_failed_start, has_steps, is_started, refuse_other_configuration, step_of
from phf.runs.provenance import describe_run
from phf.runs.writer import RunWriter
from phf.storage.cache import cache_root
from phf.storage.files import only_job
from phf.storage.reading import read_json_as
from phf.storage.shapes import TrainerState
from phf.tokens.document_start import prefix_ids
from phf.tokens.locate import documents_in
from phf.tokens.views import Blocks
from phf.training.callbacks import EvaluationCallback, EvaluationsAtEnd, KLCallback, LogCallback
from phf.training.data import check_scores, prepare_data, resolve_percentiles
from phf.training.dataset import Collator, training_dataset
from phf.training.divergence import LOSS, NO_LOSS, WEIGHTS, divergence
from phf.training.peers import lost_peers
from phf.training.settings.arguments import Arithmetic, training_arguments
from phf.training.settings.preflight import check_value_head, preflight
from phf.training.sources import describe_sources, gpu_names, scorer_warnings
from phf.training.trackers import Trackers
from phf.training.trainer import ObjectiveTrainer
from phf.training.whole import WholeModel

Show = Callable[[int, int, dict[str, float]], None]
"""Called with (step, max_steps, numbers) whenever numbers are logged, and with none now and then between."""
CHECKPOINT_PARTS = (
    ("trainer_state.json",),
    ("model.safetensors", "pytorch_model_fsdp*"),
    ("optimizer.*", "optimizer_*", "global_step*"),
    ("scheduler.pt", "global_step*"),
)
"""What a checkpoint that can be resumed from has, each part in one of these forms: plain, FSDP or DeepSpeed."""
FULL_DISK_SIGNS = ("PytorchStreamWriter", "inline_container", "iostream error")
"""What torch.save says, in a RuntimeError, where the disk is full."""


@dataclass(frozen=True)
class Plan:
    """A validated run: everything that can be known before data and model are loaded."""

    config: Config
    run_dir: Path
    arguments: Any
    arithmetic: Arithmetic
    method: Method
    """How scores are used; where thresholds are percentiles, with stand-ins for them until the data has been seen."""
    scorer: dict[str, Any]
    """Description of the scorer that evaluates."""
    warnings: list[str]


def plan_run(config: Config, run_dir: Path) -> Plan:
    """Validate the whole configuration: objective, scorer, metrics, scenarios, training arguments.

    A user's own classes are tried too.
    """
    method = method_of(with_stand_ins(config))
    evaluator = Evaluator(config.generation, method.prompting, config.training.seed)
    scorer = evaluator.scorer.describe()
    arguments, arithmetic, warnings = training_arguments(config.training, config.dataset.seq_length, run_dir)
    kl = config.kl_gpt3_callback
    if kl is not None and kl.reference is None:
        warnings.append(
            "kl_gpt3_callback names no reference LM, so KL is not measured. Set kl_gpt3_callback.reference.path_or_name, "
            "or base_url and model of a server."
        )
    warnings += scorer_warnings(config.dataset, scorer) + check_value_head(config, method.objective)
    return Plan(config, run_dir, arguments, arithmetic, method, scorer, warnings)


def train(
    config: Config,
    run_dir: Path,
    *,
    resume: bool = False,
    announce: Callable[[str], None] = lambda message: None,
    show: Show = lambda step, max_steps, numbers: None,
    progress: Callable[[str], None] = lambda what: None,
) -> dict[str, float]:
    """Train, evaluate and export; returns the numbers of the last evaluation.

    `announce` is called with messages, `show` with the numbers of a step, or none, every few seconds, and `progress` with
    what else is being done and how far it is.

    A folder that holds a finished or interrupted run is refused unless `resume`, which goes on from its last complete
    checkpoint so that every later step is what it would have been.
    """
    transformers_logging.disable_progress_bar()
    plan = plan_run(config, run_dir)
    if plan.arguments.process_index > 0:
        with lost_peers(plan.arithmetic.world_size):
            return _train(plan, resume, _silent, _silent, _silent)
    _refuse_started(run_dir, resume)
    if not is_deepspeed_zero3_enabled():  # under which a model is built by all processes together
        for warning in preflight(config, plan.method).warnings:
            announce(warning)
    with only_job(run_dir), lost_peers(plan.arithmetic.world_size):
        return _train(plan, resume, announce, show, progress)


def _train(
    plan: Plan, resume: bool, announce: Callable[[str], None], show: Show, progress: Callable[[str], None]
) -> dict[str, float]:
    config, run_dir, is_main = plan.config, plan.run_dir, plan.arguments.process_index == 0
    writer = RunWriter(run_dir)
    with plan.arguments.main_process_first(local=False):  # it writes, the others find everything cached
        config, percentiles = resolve_percentiles(config, announce)
        method = method_of(config)
        plan = replace(plan, config=config, method=method)
        if is_main:
            checkpoint = _open_run_dir(plan, resume, announce)
        else:
            checkpoint = last_checkpoint(run_dir) if resume else None
        data = prepare_data(config, announce, run_dir / "tokenizer", progress)
        check_scores(data.train, method.objective)
    seed = config.training.seed
    lm = load_lm(config.model, data.tokenizer, config.dataset.seq_length, seed, method.control_tokens)
    value_head = _value_head(plan, lm)
    module = ObjectiveLM(lm, method.objective, value_head, head=config.model.head)
    num_parameters = lm.num_parameters()
    facts = {
        "task": config.task,
        "method": config.method,
        "percentiles": percentiles,
        "threshold": threshold_of(method),
        "evaluation_scorer": plan.scorer,
        "num_parameters": num_parameters,
        "head": module.head,
        "blocks": data.train.describe() if isinstance(data.train, Blocks) else None,
        "max_steps": plan.arithmetic.max_steps,
        "effective_batch_size": plan.arithmetic.effective_batch_size,
    }
    if checkpoint is None and is_main:
        made_with = describe_run(sys.argv, describe_sources(data.sources), {"training": seed}, gpu_names())
        writer.write_provenance({**made_with, **facts})
    evaluator = Evaluator(config.generation, method.prompting, seed)
    evaluator.check(lm, data.tokenizer, value_head)
    if is_main:
        check_exportable(data.tokenizer, method.prompting, lm.config)
    latest: dict[str, float] = {}
    kl = config.kl_gpt3_callback
    if kl is not None and kl.reference is None:
        kl = None
    measure_kl = _kl_measure(kl, data.tokenizer, announce) if is_main and kl is not None else None

    def report(step: int, numbers: dict[str, float]) -> None:
        log.append(step, numbers)
        trackers.evaluation(step, numbers)
        latest.update(numbers)
        show(step, plan.arithmetic.max_steps, numbers)

    @contextmanager
    def ends_if_diverged(step: int) -> Iterator[None]:
        """Logits that are not finite, of weights that still are, come of training if any was done."""
        try:
            yield
        except ModelError as error:
            if step == 0:
                raise
            log.append(step, NO_LOSS)
            raise divergence(f"evaluation failed. {error}", step, [], last_checkpoint(run_dir, step)) from error

    def evaluate(step: int) -> None:
        with whole.on_main() as module, ends_if_diverged(step):
            if module is not None:
                progress("sampling and measuring")
                report(step, numbers_now(module, step))

    def numbers_now(module: ObjectiveLM, step: int) -> dict[str, float]:
        numbers = evaluator.run(module.lm, data.tokenizer, writer, step, module.value_head)
        if data.evaluation is not None:
            held_out = held_out_numbers(
                module,
                data.evaluation,
                data.tokenizer,
                method.control_tokens.ids(data.tokenizer),
                threshold=threshold_of(method),
                batch_size=plan.arithmetic.per_device_train_batch_size,
                max_tokens=config.dataset.max_eval_tokens,
            )
            numbers |= {f"eval/{key}": value for key, value in held_out.items()}
        return numbers

    def evaluate_kl(step: int) -> None:
        with whole.on_main() as module, ends_if_diverged(step):
            if module is not None and measure_kl is not None:
                progress("measuring KL")
                report(step, measure_kl(module.lm))

    def diverged(what: str, step: int, documents: list[Tensor]) -> DivergedError:
        mine = [(first, last) for batch in documents for first, last in batch.tolist()]
        spans = [span for of_one in gather_object([mine]) for span in of_one]
        try:
            named = documents_in(spans, data.train) if is_main else []
        except (PhfError, OSError):  # the corpus is gone: that is not what this error is about
            named = []
        if not is_main:
            return DivergedError(f"Training diverged at step {step:,}; the first process says more.")
        if what == WEIGHTS:
            log.append(step, NO_LOSS)
        # the weights that gave the loss may have been saved
        return divergence(what, step, named, last_checkpoint(run_dir, step - 1 if what == LOSS else step))

    def check_weights() -> None:
        trainer.check_weights()

    log = LogCallback(
        writer,
        plan.arithmetic,
        num_parameters,
        lambda step, numbers: show(step, plan.arithmetic.max_steps, numbers),
    )
    evaluations = [
        EvaluationCallback(evaluate, config.generation, log, check_weights),
        *([] if kl is None else [KLCallback(evaluate_kl, kl, log, check_weights)]),
    ]
    trainer = ObjectiveTrainer(
        model=module,
        args=plan.arguments,
        train_dataset=training_dataset(
            data.train,
            plan.arithmetic,
            seed,
            splits_in_workers=plan.arguments.accelerator_config.dispatch_batches is False,
        ),
        data_collator=Collator(method.objective),
        callbacks=[log, *evaluations],
    )
    trainer.callback_handler.callbacks.insert(0, EvaluationsAtEnd(evaluations))
    trackers = Trackers(trainer, dump_config(config), run_dir / "samples")
    trainer.add_callback(trackers)
    trainer.remove_callback(PrinterCallback)  # `show` is what the reader sees
    trainer.complete = log.complete
    trainer.diverged = diverged
    if checkpoint is not None:
        log.resumed = lambda: trainer.resume_window(checkpoint)
    whole = WholeModel(module, trainer)
    announce(f"Training {num_parameters:,} parameters on {plan.arithmetic.max_steps:,} steps; results in {run_dir}")
    try:
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    except (OSError, SafetensorError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(sign in str(error) for sign in FULL_DISK_SIGNS):
            raise
        reason = getattr(error, "strerror", None) or error
        raise OutputError(
            f"The run folder {run_dir} cannot be written: {reason}. Make room, then go on with --resume."
        ) from error
    trainer.check_weights()
    with whole.on_main() as trained:
        if trained is not None:
            progress("exporting the model")
            export_model(trained.lm, data.tokenizer, run_dir / "model", method.prompting, trained.value_head)
    return latest


def _kl_measure(
    section: KLConfig, tokenizer: Any, announce: Callable[[str], None]
) -> Callable[[Any], dict[str, float]]:
    """A function from the model to its KL.

    The reference is sampled now: one that cannot be used is better found before training than hours into it.
    """
    start_ids = prefix_ids(tokenizer, section.prefix, "kl_gpt3_callback.prefix ")
    samples = reference_samples(section, cache_root() / "references", announce)
    return lambda lm: kl_from_samples(
        lm,
        tokenizer,
        samples,
        prefix_ids=start_ids,
        inserts_prefix=bool(section.should_insert_prefix),
        batch_size=section.batch_size,
    )


def _silent(*_: object) -> None:
    """What all processes but the main one announce and show."""


def last_checkpoint(run_dir: Path, before: float = math.inf) -> Path | None:
    """The newest checkpoint, of a step below `before`, that was written to its end; its state file is the last thing that
    Trainer writes."""
    found = sorted(
        (path for path in run_dir.glob("checkpoint-*") if 0 <= step_of(path) < before), key=step_of, reverse=True
    )
    for path in found:
        if all(any(any(path.glob(form)) for form in forms) for forms in CHECKPOINT_PARTS):
            try:
                state = read_json_as(TrainerState, path / "trainer_state.json", CorpusError)
            except CorpusError:
                continue
            if set(state) <= {field.name for field in fields(transformers.TrainerState)}:
                return path
    return None


def _refuse_started(run_dir: Path, resume: bool) -> bool:
    """Whether the folder holds steps of a run; an error if it does and is not to be resumed."""
    has_run = is_started(run_dir) and has_steps(run_dir)
    if has_run and not resume:
        raise OutputError(
            f"{run_dir} holds a run already. Continue it with --resume, choose another name with --run-name, or delete "
            "the folder."
        )
    return has_run


def _open_run_dir(plan: Plan, resume: bool, announce: Callable[[str], None]) -> Path | None:
    """Make the run folder, or find the checkpoint to resume from."""
    run_dir = plan.run_dir
    if is_started(run_dir) and not _refuse_started(run_dir, resume):
        clear_failed_start(run_dir)
        announce(f"The run in {run_dir} ended before its first step: from the start")
    checkpoint = None
    if is_started(run_dir):
        refuse_other_configuration(run_dir, plan.config)
        checkpoint = last_checkpoint(run_dir)
        step = 0 if checkpoint is None else step_of(checkpoint)
        announce(
            f"Resuming {run_dir} from step {step}"
            if checkpoint
            else f"No complete checkpoint in {run_dir}: from the start"
        )
        # without a checkpoint even the lines of step 0 are written again
        RunWriter(run_dir).cut_after(step if checkpoint is not None else -1)
    else:
        RunWriter(run_dir).write_config(plan.config)
    return checkpoint


def _value_head(plan: Plan, lm: Any) -> ValueHead | None:
    if not plan.method.objective.uses_values:
        return None
    settings = plan.config.model.model_kwargs.get("value_head_config") or {}
    return ValueHead(lm.get_output_embeddings().weight.size(1), is_detached=bool(settings.get("is_detached", False)))
