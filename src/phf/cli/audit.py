"""`phf audit`: what a model has memorised of the misaligned text of a corpus."""

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from phf.cli import completion
from phf.cli.for_scripts import answer
from phf.cli.options import Prefer, finite, score, scorer_section
from phf.cli.terminal import console, quiet, results, say, say_next


def audit(
    model_dir: Annotated[
        Path, typer.Argument(help="A run folder, or the folder of a Hugging Face causal LM, e.g. runs/<name>/model.")
    ],
    dataset: Annotated[list[str], typer.Option(help="Annotated dataset; repeat it for several.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the results; default: runs/audit-<name>.")
    ] = None,
    scores_column: Annotated[str, typer.Option(help="Column of scores.")] = "scores",
    threshold: Annotated[
        float | None,
        typer.Option(callback=score, help="Segments with a higher score are misaligned; default: the model's, or 0."),
    ] = None,
    span: Annotated[
        Literal["segment", "detected"],
        typer.Option(help="What to extract: misaligned segments, or what the scorer detects in them."),
    ] = "segment",
    scorer: Annotated[
        str | None,
        typer.Option(
            help="What detects spans; default: the scorer that the dataset records.", autocompletion=completion.scorers
        ),
    ] = None,
    min_tokens: Annotated[
        int, typer.Option(min=1, help="Fewest tokens of a misaligned segment that count as copied.")
    ] = 10,
    max_spans: Annotated[int, typer.Option(min=0, help="Spans to extract, chosen at random.")] = 1000,
    prefix_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens of the prompt; default: 50, or half of the context.")
    ] = None,
    max_span_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens of a longer span; default: 50, or half of the context.")
    ] = None,
    num_samples: Annotated[int, typer.Option(min=0, max=10_000_000, help="Samples without a prompt.")] = 1000,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens of a sample; default: 128, or the context.")
    ] = None,
    temperature: Annotated[float, typer.Option(callback=finite, help="Of the samples.")] = 1.0,
    top_p: Annotated[float, typer.Option(callback=finite, help="Of the samples.")] = 1.0,
    prefer: Prefer = None,
    trace: Annotated[
        int, typer.Option(min=0, help="Worst samples of the run for which the most similar segments are shown.")
    ] = 5,
    samples_of: Annotated[
        Path | None, typer.Option(help="Run folder whose samples are traced; default: that of the model's run.")
    ] = None,
    embed: Annotated[int, typer.Option(min=1, help="Segments that are compared by hidden states.")] = 10_000,
    batch_size: Annotated[int, typer.Option(min=1, help="Prompts at a time.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of spans and of the samples.")] = 0,
    mask: Annotated[bool, typer.Option("--mask", help="Mask letters and digits of all texts.")] = False,
) -> None:
    """Count what a model repeats of the misaligned text of a corpus."""
    quiet()
    from phf.audit.page import PAGE
    from phf.audit.run import audit_folder
    from phf.audit.settings import AuditSettings
    from phf.audit.show import show_audit
    from phf.cli.working import working
    from phf.models.model_folder import find_model, model_name

    settings = AuditSettings(
        scores_column=scores_column,
        threshold=threshold,
        span=span,
        min_tokens=min_tokens,
        max_spans=max_spans,
        prefix_tokens=prefix_tokens,
        max_span_tokens=max_span_tokens,
        num_samples=num_samples,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_p=top_p,
        batch_size=batch_size,
        num_traced=trace,
        num_embedded=embed,
        seed=seed,
        mask=mask,
    )
    settings.check()
    section = None if scorer is None else scorer_section(scorer)
    folder = find_model(model_dir)
    output = output or Path("runs") / f"audit-{model_name(folder)}"
    with working(console, "Auditing"):
        record = audit_folder(folder, dataset, output, settings, section, prefer, samples_of, say)
    show_audit(record, results)
    evaluate = f"phf evaluate {shlex.quote(str(model_dir))}"
    say_next(f"Page, numbers and texts are in {output}", (evaluate, "how aligned and how capable the model is"))
    answer({"output": output, "page": output / PAGE, "audit": record})
