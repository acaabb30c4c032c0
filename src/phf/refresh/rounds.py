"""One round: sample, score, mix, train, measure. What a stage leaves is whole or absent, and made once."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from phf.config import Config
from phf.corpus.manifest import Manifest, read_manifest
from phf.errors import ConfigError, OutputError
from phf.evaluation.model_evaluation import ModelEvaluation
from phf.models.model_folder import load_folder_tokenizer
from phf.refresh.continued import learning_rate_of, round_config
from phf.refresh.measure import NO_KL, kl_from_start, num_tokens_of_kl, opened, task_numbers
from phf.refresh.mixture import OwnDocuments, check_share, num_text_tokens, own_tokens_for, write_mixture
from phf.refresh.record import DataRecord, RoundRecord, SampleCounts, TrainingFacts, read_record, write_record
from phf.refresh.sampling import (
    Usable,
    check_drawn,
    count_ended,
    draw,
    from_own_distribution,
    no_samples,
    score,
    usable,
)
from phf.refresh.settings import RefreshSettings
from phf.refresh.start import Start
from phf.runs.folder import is_started
from phf.runs.layout import MODEL
from phf.runs.writer import write_json
from phf.sampling.scenarios import GenerationScenario
from phf.scorers import build_scorer
from phf.storage.hashing import hash64
from phf.storage.reading import read_json_as
from phf.text import counted
from phf.tokens.prepare import training_blocks
from phf.tokens.views import Blocks
from phf.training.plan import plan_run
from phf.training.run import train
from phf.training.settings.preflight import preflight

FACTS = "data.json"
NOT_KNOWN_YET = 1e15
"""Tokens of a round before its data is encoded; more than any has, so that no check refuses it as too short."""


@dataclass(frozen=True)
class Callbacks:
    """What the command shows."""

    announce: Callable[[str], None]
    """One message."""
    doing: Callable[[str, str], None]
    """(name of a round, its activity)."""
    show: Callable[[str, int, int, dict[str, float]], None]
    """(name of a round, step, steps, numbers of its training)."""


@dataclass(frozen=True)
class Job:
    """What all rounds have in common."""

    start: Start
    settings: RefreshSettings
    scenario: str
    output: Path
    tokens_per_step: int
    callbacks: Callbacks

    def folder(self, number: int) -> Path:
        """Of round `number`; 0 is the start."""
        return self.output / "rounds" / f"{number:02d}"

    def model(self, number: int) -> Path:
        """The exported model of a round."""
        return self.start.model if number == 0 else self.folder(number) / "run" / MODEL

    def name(self, number: int) -> str:
        """For people."""
        return f"round {number}" if number else "start"


def tokens_per_step(start: Start, settings: RefreshSettings, output: Path) -> int:
    """Tokens of an optimiser step of the rounds. Raises, as `plan_run` does, for a configuration that cannot train."""
    config = round_config(start.config, settings, start.model, start.sources, NOT_KNOWN_YET, 1)
    return plan_run(config, output / "plan").arithmetic.tokens_per_step


def check_can_run(job: Job) -> None:
    """Raises `ConfigError` for what would end the first round: a model that cannot be sampled, trained on or compared so."""
    model = opened(job.model(0), job.name(0), job.start, job.folder(0) / "evaluation", job.callbacks.announce)
    if job.scenario not in [scenario.name for scenario in model.evaluator.scenarios]:
        raise ConfigError(f"--scenario: {' '.join(model.skipped)} Choose another.")
    config = round_config(job.start.config, job.settings, job.start.model, job.start.sources, NOT_KNOWN_YET, 1)
    checked = preflight(config, job.start.method)
    for warning in checked.warnings:
        job.callbacks.announce(warning)
    check_drawn(model.evaluator, drawn_scenario(job, model), model.tokenizer, checked.lm)
    num_tokens_of_kl(job.start.model, model.tokenizer, checked.lm.config, job.settings)


def check_own_data(job: Job, longest: int) -> None:
    """See `check_share`. The data was encoded when the run was trained, and is encoded again if that is not kept.

    `longest`: tokens that a sample may have.
    """
    settings, announce = job.settings, job.callbacks.announce
    if settings.share == 1:
        return
    tokenizer = load_folder_tokenizer(job.start.model)
    blocks = training_blocks(job.start.config, tokenizer, job.start.sources, announce)
    assert isinstance(blocks, Blocks), "streaming was refused"
    own = OwnDocuments(blocks, job.start, settings.seed)
    check_share(own.num_tokens(), settings.samples, longest, settings.share, announce)


def drawn_scenario(job: Job, model: ModelEvaluation) -> GenerationScenario:
    """What is sampled to be trained on."""
    (own,) = (one for one in model.evaluator.scenarios if one.name == job.scenario)
    return from_own_distribution(own, job.settings.samples, job.settings.temperature)


def measured_start(job: Job) -> RoundRecord:
    """Round 0: the start as it is measured by the same means as what becomes of it."""
    folder = job.folder(0)
    if (finished := read_record(folder, 0)) is not None:
        return finished
    job.callbacks.doing(job.name(0), "measuring the model of the run")
    model = opened(job.model(0), job.name(0), job.start, folder / "evaluation", job.callbacks.announce)
    record: RoundRecord = {
        "round": 0,
        "numbers": {**task_numbers(model), **NO_KL},
        "samples": None,
        "training": None,
    }
    write_record(folder, record)
    return record


def finished_round(job: Job, number: int, before: RoundRecord) -> RoundRecord:
    """The record of a round, which is made now as far as it is missing. `before`: that of the round before."""
    folder, name = job.folder(number), job.name(number)
    if (finished := read_record(folder, number)) is not None:
        return finished
    samples, training = _prepared(job, number, before)
    _trained(job, number, training)
    job.callbacks.doing(name, "measuring")
    model = opened(job.model(number), name, job.start, folder / "evaluation", job.callbacks.announce)
    numbers = task_numbers(model)
    del model  # two more models are needed for KL
    job.callbacks.doing(name, "measuring KL from the start")
    numbers |= kl_from_start(job.model(number), job.start.model, job.settings)
    record: RoundRecord = {"round": number, "numbers": numbers, "samples": samples, "training": training}
    write_record(folder, record)
    for checkpoint in (folder / "run").glob("checkpoint-*"):  # the exported model is what the next round needs
        shutil.rmtree(checkpoint, ignore_errors=True)
    return record


def _prepared(job: Job, number: int, before: RoundRecord) -> tuple[SampleCounts, TrainingFacts]:
    """The data of a round: sampled, scored and mixed. Its numbers are in data.json, written last."""
    folder, name, callbacks = job.folder(number), job.name(number), job.callbacks
    path, samples = folder / FACTS, folder / "samples.jsonl"
    if path.is_file():
        values = read_json_as(DataRecord, path, OutputError, f"Delete {folder} to repeat the round.")
        return values["samples"], values["training"]
    if not samples.is_file():
        callbacks.doing(name, f"sampling {counted(job.settings.samples, 'text')}")
        model = opened(job.model(number - 1), job.name(number - 1), job.start, folder, callbacks.announce)
        seed = hash64("refresh", job.settings.seed, number)
        draw(model, drawn_scenario(job, model), seed, f"refresh-{number:02d}", samples)
        del model
    scorer_config = job.start.config.generation.scorer_config
    scored = folder / "scored"
    if (manifest := read_manifest(scored)) is None:
        callbacks.doing(name, "scoring the samples")
        manifest = score(samples, scorer_config, job.start.segmenter, scored)
    chosen = usable(scored, job.start.method, build_scorer(scorer_config).score_bounds)
    if not chosen.documents:
        raise no_samples(chosen.left_out, list(manifest.unscored_reasons))
    callbacks.doing(name, "choosing documents of the run's own training data")
    training = _mixed(job, number, before, chosen, manifest)
    num_drawn, num_ended = count_ended(samples)
    counts: SampleCounts = {
        "drawn": num_drawn,
        "used": len(chosen.documents),
        "left_out": chosen.left_out,
        "unscored_reasons": manifest.unscored_reasons,
        "cut_off": num_drawn - num_ended,
        "score": list(chosen.score),
    }
    write_json(path, {"samples": counts, "training": training})
    return counts, training


def _mixed(job: Job, number: int, before: RoundRecord, chosen: Usable, manifest: Manifest) -> TrainingFacts:
    start, settings, folder = job.start, job.settings, job.folder(number)
    tokenizer = load_folder_tokenizer(start.model)
    sample_tokens = num_text_tokens(chosen.documents, tokenizer, start.config.dataset.tokenization)
    place = 0 if before["training"] is None else before["training"]["next_place"]
    blocks = training_blocks(start.config, tokenizer, start.sources, job.callbacks.announce)
    assert isinstance(blocks, Blocks), "streaming was refused"
    own = OwnDocuments(blocks, start, settings.seed).take(place, own_tokens_for(sample_tokens, settings.share))
    text_tokens = sample_tokens + own.num_tokens
    if text_tokens < job.tokens_per_step:  # what opens documents comes on top
        raise ConfigError(
            f"Round {number} has {text_tokens:,} tokens, {sample_tokens:,} of them from "
            f"{counted(len(chosen.documents), 'sample')}, but a step of training has {job.tokens_per_step:,}. "
            "Draw more --samples, or lower training.effective_batch_size with --override."
        )
    seed = hash64("refresh", "round", settings.seed, number)
    write_mixture(folder / "data", chosen.documents, own.documents, manifest, start, seed)
    config = _config(job, number, NOT_KNOWN_YET)
    of_round = training_blocks(config, tokenizer, config.dataset.datasets, job.callbacks.announce)
    assert isinstance(of_round, Blocks)
    steps = len(of_round) * config.dataset.seq_length // job.tokens_per_step
    return {
        "sample_tokens": sample_tokens,
        "own_tokens": own.num_tokens,
        "own_documents": len(own.documents),
        "share": sample_tokens / text_tokens,
        "next_place": own.next_place,
        "steps": steps,
        "tokens": steps * job.tokens_per_step,
        "learning_rate": learning_rate_of(start.config, settings),
    }


def _config(job: Job, number: int, num_tokens: float) -> Config:
    data = [str(job.folder(number) / "data")]
    return round_config(job.start.config, job.settings, job.model(number - 1), data, num_tokens, number)


def _trained(job: Job, number: int, training: TrainingFacts) -> None:
    run_dir, name, callbacks = job.folder(number) / "run", job.name(number), job.callbacks
    if (run_dir / MODEL / "config.json").is_file():  # written last
        return
    config = _config(job, number, training["tokens"])
    train(
        config,
        run_dir,
        resume=is_started(run_dir),
        announce=callbacks.announce,
        show=partial(callbacks.show, name),
        progress=partial(callbacks.doing, name),
    )
