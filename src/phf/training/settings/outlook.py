"""Outlook on a run, for `phf train --dry-run`: how often it reads its data, and how long it trains.

Nothing is written, and only a sample of the data is read. What cannot be checked, because the Hub cannot be reached, is
reported as unchecked; what would stop the run is an error, as in the run.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from phf.corpus.dataset import check_scores
from phf.corpus.sources.documents import Document, parts
from phf.errors import PhfError
from phf.feedback.objectives import MLE
from phf.feedback.schedule import score_columns
from phf.models import ObjectiveLM, load_lm, load_tokenizer
from phf.models.building.build import build_lm
from phf.models.load import fitted_architecture
from phf.profile.estimate import read_sample
from phf.storage.hub_upload import write_token
from phf.storage.loading_errors import is_unreachable
from phf.text import counted
from phf.tokens.tokenizer import PlainEncoder
from phf.training.settings.arguments import Arithmetic
from phf.training.settings.preflight import check_with_tokenizer, preflight
from phf.training.settings.reach import NOT_CHECKED

SAMPLED_DOCUMENTS = 200
SAMPLED_CHARS = 2**21
MANY_EPOCHS = 4
"""Up to about as many passes, repeated text is worth nearly as much as new text (arXiv 2305.16264)."""
MEASURED_FLOP = {"cpu": 2e11, "cuda": 2e14}
"""Largest forward and backward pass of one block that is timed."""


@dataclass
class Outlook:
    """Lines for the reader of a plan."""

    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Corpus:
    sample: list[Document]
    num_documents: float
    num_chars: float
    is_counted: bool


def outlook(plan: Any) -> Outlook:
    """Check a `phf.training.plan.Plan` as far as possible without annotating, and estimate its epochs and time."""
    expected = Outlook()
    config = plan.config
    lm = tokenizer = None
    if config.schedule:
        expected.notes += plan.timetable.lines(
            [phase.name for phase in config.schedule], plan.arithmetic.tokens_per_step
        )
    try:
        checked = preflight(config, plan.method)
        lm, tokenizer = checked.lm, checked.tokenizer
        expected.warnings += checked.warnings
    except PhfError as error:
        if not is_unreachable(error):
            raise
        expected.warnings.append(f"{NOT_CHECKED}: {error}")
    if (config.training.model_extra or {}).get("push_to_hub"):
        try:
            write_token("training.push_to_hub")
        except PhfError as error:
            expected.warnings.append(f"Nothing will be uploaded. {error}")
    unreached: dict[str, PhfError] = {}
    columns = score_columns(config)
    corpora = [_read(source, columns, unreached) for source in config.dataset.datasets]
    for source in config.dataset.eval_datasets:
        _read(source, columns, unreached)
    if unreached:
        first, *others = unreached
        also = f" {len(others)} more sources cannot be read either, up to {others[-1]}." if others else ""
        expected.warnings.append(f"{NOT_CHECKED}: {unreached[first]}{also}")
    read = [corpus for corpus in corpora if corpus is not None]
    if len(read) < len(corpora):
        expected.notes.append("The number of epochs is not known, since the size of the data is not.")
    elif tokenizer is not None or config.tokenizer.train_from_corpus is not None:
        texts = _some([document.text for corpus in read for document in corpus.sample])
        if tokenizer is None:
            tokenizer = load_tokenizer(config.tokenizer, config.model, lambda: texts, plan.method.control_tokens)
            if lm is not None:
                check_with_tokenizer(config, plan.method, lm, tokenizer)
        _add_epochs(expected, plan, tokenizer, texts, read)
    if lm is not None:
        _add_time(expected, plan, lm, tokenizer)
    return expected


def _read(source: str, columns: Mapping[str, str], unreached: dict[str, PhfError]) -> _Corpus | None:
    """A sample of a source, and its size; None if that is not known, or, added to `unreached`, if it is out of reach."""
    try:
        for column, key in columns.items():
            check_scores(source, column, key)  # reads the first record
        if any(part.num_bytes is None for part in parts(source)):
            return None
        reading = read_sample(source, SAMPLED_DOCUMENTS, SAMPLED_CHARS)
    except PhfError as error:
        if not is_unreachable(error):
            raise
        unreached[source] = error
        return None
    return _Corpus(reading.sample, reading.num_documents, reading.num_chars, reading.share_read >= 1)


def _some(texts: Sequence[str]) -> list[str]:
    """Texts up to about `SAMPLED_CHARS` characters in all."""
    beginnings, room = [], SAMPLED_CHARS
    for text in texts:
        beginnings.append(text[:room])
        room -= len(text)
        if room <= 0:
            break
    return beginnings


def _add_epochs(expected: Outlook, plan: Any, tokenizer: Any, texts: list[str], corpora: list[_Corpus]) -> None:
    config, arithmetic = plan.config, plan.arithmetic
    encoder = PlainEncoder(tokenizer)
    num_chars = sum(map(len, texts))
    tokens_per_char = len(encoder.encode(texts)[0]) / max(num_chars, 1)
    documents = sum(corpus.num_documents for corpus in corpora)
    tokens = sum(corpus.num_chars for corpus in corpora) * tokens_per_char + documents
    skipped = config.dataset.skip_tokens
    if skipped > tokens:
        expected.warnings.append(
            f"dataset.skip_tokens is {skipped:,}, but the data has only about {_rounded(tokens)} tokens: nothing would be "
            "left to train on. Lower it, or add data."
        )
        return
    start, end = config.dataset.part
    tokens = max((tokens * (1 - config.dataset.eval_fraction) - skipped) * (end - start), 1.0)
    planned = arithmetic.max_steps * arithmetic.tokens_per_step
    epochs = planned / tokens
    filters = any(phase.method.document_filter is not None for phase in plan.schedule.phases)
    kept = " before filtering" if filters else ""
    expected.notes.append(
        f"The data has about {_rounded(tokens)} tokens to train on{kept} (estimated from "
        f"{num_chars:,} characters), so {planned:,} tokens are {_rounded(epochs)} epochs"
    )
    if epochs > MANY_EPOCHS:
        expected.warnings.append(
            f"{planned:,} tokens of training on about {_rounded(tokens)} tokens of data are {_rounded(epochs)} epochs. "
            "Lower training.num_tokens (or max_steps), or add data."
        )


def _add_time(expected: Outlook, plan: Any, lm: Any, tokenizer: Any) -> None:
    arithmetic: Arithmetic = plan.arithmetic
    if tokenizer is not None and plan.config.model.from_scratch:
        with torch.device("meta"):
            lm = build_lm(fitted_architecture(plan.config.model, tokenizer, plan.method.control_tokens))
    num_parameters = lm.num_parameters()
    planned = arithmetic.max_steps * arithmetic.tokens_per_step
    device = plan.arguments.device
    if tokenizer is not None and 6 * num_parameters * arithmetic.seq_length <= MEASURED_FLOP.get(device.type, 0):
        seconds, num_blocks = _seconds(plan, tokenizer)
        total = seconds / (num_blocks * arithmetic.seq_length) * planned / arithmetic.world_size
        expected.notes.append(
            f"Training {num_parameters:,} parameters takes about {_duration(total)} here, without scoring, packing, "
            f"evaluation and saving (measured: {counted(num_blocks, 'block')} of noise, forward and backward, took "
            f"{seconds:.2g} s)"
        )
        return
    flop = 6 * num_parameters * planned
    expected.notes.append(
        f"Training {num_parameters:,} parameters takes about {flop:.2g} floating-point operations (6 x parameters x "
        f"tokens): {_duration(flop / 1e14)} of 100 TFLOP/s. It was not measured here, since the model is too large"
    )


def _seconds(plan: Any, tokenizer: Any) -> tuple[float, int]:
    """Seconds of a forward and backward pass of a device's batch, or of fewer blocks if that is slow; and the blocks."""
    config, arithmetic, device = plan.config, plan.arithmetic, plan.arguments.device
    with torch.random.fork_rng(devices=[]):
        lm = load_lm(config.model, tokenizer, arithmetic.seq_length, config.training.seed, plan.method.control_tokens)
        module = ObjectiveLM(lm, MLE(), head=config.model.head).to(device).train()
        per_block = 6 * lm.num_parameters() * arithmetic.seq_length
        num_blocks = int(MEASURED_FLOP[device.type] // per_block)
        num_blocks = max(1, min(arithmetic.per_device_train_batch_size, num_blocks))
        ids = torch.randint(max(tokenizer.get_vocab().values()), (num_blocks, arithmetic.seq_length), device=device)
        half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(plan.arguments.mixed_precision)
        times = []
        for _ in range(3):
            start = time.perf_counter()
            with torch.autocast(device.type, half or torch.bfloat16, enabled=half is not None):
                loss = module(input_ids=ids, labels=ids)["loss"]
            loss.backward()
            float(loss.detach())  # waits for the device
            times.append(time.perf_counter() - start)
    return min(times), num_blocks


def _rounded(number: float) -> str:
    """Two significant digits: `1,300`, `0.25`."""
    if number <= 0:
        return "0"
    digits = 1 - math.floor(math.log10(number))
    rounded = round(number, digits)
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:.{max(digits, 0)}f}"


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return f"{_rounded(seconds / size)} {unit}"
    return f"{_rounded(max(seconds, 0.01))} seconds"
