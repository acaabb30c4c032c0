"""One training run: from a resolved configuration to a run folder with metrics, samples and an exported model."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from accelerate.utils import gather_object
from torch import Tensor
from transformers import PrinterCallback
from transformers.utils import logging as transformers_logging

from phf.config import Config, dump_config
from phf.errors import AGAIN, DivergedError, OutputError, PhfError
from phf.feedback import threshold_of
from phf.feedback.schedule import methods_of, score_columns
from phf.models import ObjectiveLM, ValueHead, check_exportable, export_model, load_lm
from phf.runs.layout import CONFIG, MODEL
from phf.runs.writer import RunWriter
from phf.sampling.agreement import check_same_folder, check_same_start
from phf.sampling.division import Division, all_processes
from phf.sampling.peers import lost_peers
from phf.storage.files import FULL, only_job
from phf.text import counted
from phf.tokens.locate import documents_in
from phf.tokens.views import Blocks
from phf.training.callbacks import EvaluationsAtEnd, InspectionCallback, LogCallback
from phf.training.checkpoints.find import last_checkpoint, step_of
from phf.training.checkpoints.write import CheckpointWriter
from phf.training.data import RunData, check_scores, prepare_data, resolve_percentiles
from phf.training.dataset import Collator, training_dataset
from phf.training.divergence import LOSS, NO_LOSS, WEIGHTS, divergence
from phf.training.evaluations import Evaluations
from phf.training.host_memory import check_host_memory
from phf.training.inspection.inspector import inspector_of
from phf.training.inspection.steps import inspected_steps
from phf.training.meter import Meter, flops_per_token, measure_device
from phf.training.micro_batch import is_out_of_memory, out_of_memory
from phf.training.phases import Phases
from phf.training.plan import Plan, plan_run, recorded_choices
from phf.training.preemption import Agreement, Preemption, unfinished
from phf.training.settings.preflight import Preflight, check_with_tokenizer, preflight, pretrained_value_head
from phf.training.settle import settle
from phf.training.sharing import Sharing
from phf.training.sources import describe_sources
from phf.training.spikes import SpikeLog, Spikes
from phf.training.start import open_run_dir, refuse_other_batch, refuse_other_data, refuse_started
from phf.training.trackers.callback import Trackers
from phf.training.trainer import ObjectiveTrainer
from phf.training.unused import is_unused, settle_unused, unused_in_a_step
from phf.training.whole import WholeModel
from phf.workers.interruption import WorkInterrupted, remembering_signals

Show = Callable[[int, int, dict[str, float]], None]
"""Called with (step, max_steps, numbers) whenever numbers are logged, and occasionally with none in between."""


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
    other activities and their progress.

    A folder that holds a finished or interrupted run is refused unless `resume`, which continues from its last sound
    checkpoint so that every later step is what it would have been. Raises `StoppedError` after a step at which SIGTERM,
    SIGUSR1 or SIGHUP asked for it, when its checkpoint is written; an evaluation that they interrupt is made when the run is
    resumed.
    """
    transformers_logging.disable_progress_bar()
    plan = plan_run(config, run_dir)
    division = all_processes()
    if not division.is_main:
        announce, show, progress = _silent, _silent, _silent
    checked: Preflight | None = None
    sharing = Sharing(config, run_dir, announce)
    with lost_peers(division.count), ExitStack() as held:
        with division.together():
            facts = {
                "run folder": str(run_dir.absolute()),
                "resume": resume,
                "configuration": config.model_dump(mode="json"),
            }
            check_same_start(division, facts)
            if division.is_main:
                division.notice.withdraw()
                refuse_started(run_dir, resume)
                refuse_other_batch(run_dir, plan.arithmetic)
                checked = preflight(config, plan.method)
                check_host_memory(config.model, checked.lm, plan.arguments)
                for warning in checked.warnings:
                    announce(warning)
                held.enter_context(only_job(run_dir))
                sharing.connect()
        return _train(plan, checked, sharing, division, resume, announce, show, progress)


def _train(
    plan: Plan,
    checked: Preflight | None,
    sharing: Sharing,
    division: Division,
    resume: bool,
    announce: Callable[[str], None],
    show: Show,
    progress: Callable[[str], None],
) -> dict[str, float]:
    config, run_dir, is_main = plan.config, plan.run_dir, division.is_main
    writer = RunWriter(run_dir)
    config, percentiles = division.main_first(lambda: resolve_percentiles(config, announce))
    method, schedule = methods_of(config)
    plan = replace(plan, config=config, method=method, schedule=schedule)
    checkpoint = division.from_main(lambda: open_run_dir(config, run_dir, resume, announce))
    check_same_folder(division, checkpoint or run_dir / CONFIG)

    def check_tokenizer(tokenizer: Any) -> None:
        if checked is not None and checked.tokenizer is None:
            check_with_tokenizer(config, method, checked.lm, tokenizer)

    def prepare() -> RunData:
        data = prepare_data(config, announce, run_dir / "tokenizer", progress, check_tokenizer)
        for view, phase in zip(data.views, schedule.phases, strict=True):
            check_scores(view, phase.method.objective)
        if checkpoint is not None:
            refuse_other_data(run_dir, data.sources)
        return data

    data = division.main_first(prepare)  # the main process writes, the others find everything cached
    phases = Phases(schedule, plan.timetable, data.views)
    seed = config.training.seed
    with division.together():
        lm = load_lm(config.model, data.tokenizer, config.dataset.seq_length, seed, method.control_tokens)
        value_head = _value_head(plan, lm, announce)
        module = ObjectiveLM(lm, phases.objectives[0], value_head, head=config.model.head)
        num_parameters = lm.num_parameters()
    settle_unused(plan, module, division)
    plan, chosen = settle(plan, module, division, recorded_choices(run_dir) if checkpoint is not None else {}, announce)
    with division.together():
        facts = {
            "task": config.task,
            "method": config.method,
            "percentiles": percentiles,
            "threshold": threshold_of(method),
            "evaluation_scorer": plan.scorer,
            "num_parameters": num_parameters,
            "head": module.head,
            **phases.record(plan.arithmetic),
            "max_steps": plan.arithmetic.max_steps,
            "effective_batch_size": plan.arithmetic.effective_batch_size,
            "choices": chosen,
        }
        if checkpoint is None and is_main:
            read = describe_sources(data.sources, [*score_columns(config)])
            writer.write_provenance({"dataset": read, "seeds": {"training": seed}, **facts})
        if is_main:
            check_exportable(data.tokenizer, method.prompting, lm.config)
        evaluations = Evaluations(plan, data, module, writer, announce, progress)

    def report(step: int, numbers: dict[str, float]) -> None:
        log.append(step, numbers)
        trackers.evaluation(step, numbers)
        show(step, plan.arithmetic.max_steps, numbers)

    def inspect(step: int) -> None:
        numbers, lines = trainer.inspector.inspect(step, whole.shared)
        if is_main:
            writer.append_inspected(step, lines)
            log.append(step, numbers)
            trackers.evaluation(step, numbers)

    def diverged(what: str, step: int, documents: list[Tensor]) -> DivergedError:
        spans_here = [(first, last) for batch in documents for first, last in batch.tolist()]
        spans = [span for spans_of_process in gather_object([spans_here]) for span in spans_of_process]
        try:
            named = documents_in(spans, phases.blocks_of(step)) if is_main else []
        except (PhfError, OSError):  # the corpus is gone, but this error is about something else
            named = []
        if not is_main:
            ended = DivergedError(f"Training diverged at step {step:,}; the first process has the details.")
            ended.is_shared = True
            return ended
        if what == WEIGHTS:
            log.append(step, NO_LOSS)
        # the weights that gave the loss may have been saved
        return divergence(what, step, named, last_checkpoint(run_dir, step - 1 if what == LOSS else step))

    def check_weights() -> None:
        trainer.check_weights()

    meter = Meter(plan.arithmetic, flops_per_token(lm, plan.config.dataset.seq_length), plan.arguments.device)
    log = LogCallback(
        writer,
        plan.arithmetic,
        num_parameters,
        meter,
        lambda step, numbers: show(step, plan.arithmetic.max_steps, numbers),
    )
    agreement = Agreement(plan.arithmetic.world_size, plan.arguments.ddp_timeout)
    preemption = Preemption(agreement, config.training.save_minutes, is_main, announce)
    callbacks = evaluations.callbacks(log, preemption, report, check_weights)
    inspected = inspected_steps(config.training, plan.arithmetic)
    inspection = [] if inspected.every is None else [InspectionCallback(inspected, inspect, meter)]
    trainer = ObjectiveTrainer(
        model=module,
        args=plan.arguments,
        train_dataset=training_dataset(data.views, plan, 0 if checkpoint is None else step_of(checkpoint)),
        data_collator=Collator(phases.objectives, phases.ignored_ids(data.control_ids), hides=phases.hides),
        callbacks=[log, *inspection, *callbacks, preemption],
    )
    trainer.callback_handler.callbacks.insert(0, EvaluationsAtEnd(callbacks, preemption))
    trackers = Trackers(trainer, config, run_dir, announce)
    trainer.add_callback(trackers)
    trainer.remove_callback(PrinterCallback)  # `show` is what the reader sees
    trainer.complete = log.complete
    trainer.meter = meter
    trainer.diverged = diverged
    trainer.begin_step = lambda step: phases.begin_step(step, module, announce)
    if inspection:
        trainer.inspector = inspector_of(plan, data, phases, inspected, evaluations.scorer, division)
    trainer.spikes = Spikes(config.training.spike_deviations, trainer.accelerator)
    is_streamed = not isinstance(data.train, Blocks)
    spike_log = SpikeLog(writer, phases.blocks_of, is_streamed, plan.arithmetic.tokens_seen, announce)
    trainer.spiked = spike_log if is_main else _silent
    # none is deleted before the one that takes its place is finished
    trainer.checkpoints = CheckpointWriter(run_dir, dump_config(config), plan.arguments.save_total_limit, is_main)
    if checkpoint is not None:
        log.resumed = lambda: trainer.resume_window(checkpoint)
    evaluations.whole = sharing.whole = whole = WholeModel(module, trainer)

    def export(of: ObjectiveLM, folder: Path) -> None:
        export_model(of.lm, data.tokenizer, folder, method.prompting, of.value_head)

    sharing.meter, sharing.tokens_seen, sharing.export = meter, plan.arithmetic.tokens_seen, export
    trainer.add_callback(sharing)
    announce(
        f"Training {num_parameters:,} parameters on {counted(plan.arithmetic.max_steps, 'step')}; results in {run_dir}"
    )
    if is_main:
        measure_device(meter, plan.arguments, lm, announce)
    try:
        resumed_from = None if checkpoint is None else step_of(checkpoint)
        with trackers.open(is_main, resumed_from), remembering_signals() as preemption.requests:
            trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        trainer.spiked(trainer.spikes.settle())
    except WorkInterrupted as interruption:  # an evaluation before the first step of this command
        preemption.interrupted(interruption.signum)
    except (OSError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise out_of_memory(plan, trainer.state.global_step + 1) from error
        if is_unused(error):
            raise unused_in_a_step(trainer.state.global_step + 1) from error
        if not isinstance(error, OSError):
            raise
        remedy = "Make room" if error.errno in FULL else "Repair that"
        raise OutputError(
            f"The run folder {run_dir} cannot be written: {error.strerror or error}. Checkpoints are kept. "
            f"{remedy}, then {AGAIN}."
        ) from error
    if preemption.stopped_by:
        raise preemption.ending(run_dir, trainer.state.global_step, not plan.arguments.save_only_model)
    if trainer.state.global_step < plan.arithmetic.max_steps:  # something in Trainer that we do not know of
        raise unfinished(run_dir, trainer.state.global_step, plan.arithmetic.max_steps)
    trainer.check_weights()
    if is_main:
        spike_log.complete()
    with whole.shared() as (trained, _), division.together():
        if trained is not None and is_main:
            progress("exporting the model")
            export(trained, run_dir / MODEL)
            sharing.finish(trainer.state.global_step, progress)
    return evaluations.latest


def _silent(*_: object) -> None:
    """Silent `announce` and `show` for all processes except the main one."""


def _value_head(plan: Plan, lm: Any, announce: Callable[[str], None]) -> ValueHead | None:
    """A new value head, or, of a pretrained model that has one, its own."""
    if not plan.method.objective.uses_values:
        return None
    model = plan.config.model
    settings = model.model_kwargs.get("value_head_config") or {}
    head = pretrained_value_head(model, lm)
    if head is not None:
        announce(f"Training continues from the value head of {model.path_or_name}")
    else:
        head = ValueHead(lm.get_output_embeddings().weight.size(1))
    head.is_detached = bool(settings.get("is_detached", False))
    return head
