"""The whole idea on real data: MLE and conditional training on the standard library, compared on one page."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from phf.config import Config, load_config
from phf.errors import OutputError
from phf.feedback import method_of
from phf.report.html import check_can_render
from phf.report.page import write_report
from phf.report.tables import table_rows
from phf.runs.layout import CONFIG
from phf.runs.reader import read_runs
from phf.storage.files import writing
from phf.tokens.prepare import annotated_sources

TASK = "pep8/quickstart"
OTHER_WORK = 1.0e6
"""Tokens that each of two models could train on in the time that the rest takes: scoring, tokenizing, sampling, the page.
Measured: 75 s, at 13,000 tokens/s."""
LEAST_SHARE = 0.3
"""Share of the time that is for training, however little there is."""


def quickstart_configs(num_tokens: float | None = None, overrides: Iterable[str] = ()) -> dict[str, Config]:
    """The two runs, which share data, tokens and seed; the conditional model is sampled with either prefix."""
    shared = list(overrides) + ([] if num_tokens is None else [f"training.num_tokens={num_tokens:.0f}"])
    mle, _ = load_config(task=TASK, method="mle", overrides=shared)
    conditional, _ = load_config(task=TASK, method="conditional", overrides=shared)
    (scenario,) = conditional.generation.scenario_configs
    both = [scenario.model_copy(update={"name": name, "prefix": prefix}) for name, prefix in _prefixes(conditional)]
    generation = conditional.generation.model_copy(update={"scenario_configs": both})
    return {"mle": mle, "conditional": conditional.model_copy(update={"generation": generation})}


def run_quickstart(
    output_dir: Path,
    minutes: float | None,
    train_all: Callable[[dict[str, tuple[Config, Path]]], Any],
    announce: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Train both models, write `report.html`, and return the rows of its table.

    `train_all` trains the runs it is given, name -> configuration and run folder; see `phf.training.together`.
    """
    check_can_render("phf quickstart")
    if (output_dir / "report.html").exists():
        raise OutputError(
            f"{output_dir} holds a finished quickstart. Choose another folder with --output-dir, or delete it."
        )
    with writing(output_dir):  # found now, not after the corpus is scored
        output_dir.mkdir(parents=True, exist_ok=True)
    num_tokens = None
    if minutes is not None:
        # measured again it would be a different number, and an interrupted quickstart could not resume
        before = [_tokens_before(output_dir / name) for name in quickstart_configs()]
        num_tokens = next(filter(None, before), None) or tokens_in(minutes, announce)
    configs = quickstart_configs(num_tokens)
    for config in configs.values():
        annotated_sources(config, config.dataset.datasets, announce)  # with all cores, before the runs share them
    train_all({name: (config, output_dir / name) for name, config in configs.items()})
    write_report([output_dir / name for name in configs], output_dir / "report.html")
    return table_rows(read_runs([output_dir / name for name in configs]))


def _tokens_before(run_dir: Path) -> float | None:
    """The tokens that an interrupted quickstart settled on."""
    path = run_dir / CONFIG
    return load_config(config=path)[0].training.num_tokens if path.is_file() else None


def tokens_in(minutes: float, announce: Callable[[str], None]) -> float:
    """How many tokens each of the two models can train on in `minutes` together, found by training on noise for a moment."""
    import torch

    from phf.feedback.objectives import MLE
    from phf.models import ObjectiveLM, load_lm
    from phf.models.building.architecture import read_architecture
    from phf.training.hardware import BFLOAT16, choose, find_hardware
    from phf.training.settings.keys import check_keys

    config = quickstart_configs()["mle"]
    vocab_size, seq_length = config.tokenizer.train_from_corpus or 0, config.dataset.seq_length
    batch_size = config.training.effective_batch_size or 1

    class Vocabulary:
        eos_token_id = 0

        def get_vocab(self) -> dict[str, int]:
            return {str(i): i for i in range(vocab_size)}

    module = ObjectiveLM(load_lm(config.model, Vocabulary(), seq_length, 0), MLE())
    optimizer = torch.optim.AdamW(module.parameters())
    applied, _ = check_keys(config.training)
    precision = choose(applied, read_architecture(config.model), find_hardware(uses_cpu=True)).precision
    ids = torch.randint(vocab_size, (batch_size, seq_length), generator=torch.Generator().manual_seed(0))
    seconds = []
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // 2))  # what each of the two runs will have
    for _ in range(4):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision.shown == BFLOAT16):
            loss = module(input_ids=ids, labels=ids)["loss"]
        loss.backward()
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    torch.set_num_threads(threads)
    rate = ids.numel() / sorted(seconds)[1]
    within = rate * minutes * 60
    num_tokens = max(within - OTHER_WORK, within * LEAST_SHARE, 2 * batch_size * seq_length)
    announce(f"About {rate:,.0f} tokens/s here: {num_tokens:,.0f} tokens for each model")
    return num_tokens


def _prefixes(conditional: Config) -> Iterable[tuple[str, str]]:
    """(name of the scenario, control token it starts from), best first."""
    return method_of(conditional).control_tokens.labels().items()


def conclusions(rows: list[dict[str, Any]]) -> list[tuple[bool, str]]:
    """(holds, sentence) for what the quickstart is meant to show; which says plainly when a run does not show it."""
    by_name = {row["scenario"]: row for row in rows}
    (good, _), (bad, _) = _prefixes(load_config(task=TASK, method="conditional")[0])
    mle, best, worst = (by_name[name] for name in ("prompted", good, bad))
    # a missing number shows nothing
    is_disjoint = None not in (best["high"], worst["low"]) and best["high"] < worst["low"]
    is_not_above = None not in (best["score"], mle["score"]) and best["score"] <= mle["score"]
    return [
        (
            is_disjoint,
            f"The {good} prefix scores below the {bad} prefix, and their 95% intervals do not overlap."
            if is_disjoint
            else f"NOT shown by this run: the {good} prefix below the {bad} prefix with disjoint 95% intervals.",
        ),
        (
            is_not_above,
            f"The {good} prefix scores no higher than MLE."
            if is_not_above
            else f"NOT shown by this run: the {good} prefix scoring no higher than MLE.",
        ),
    ]
