"""`phf export`: a model of any origin as a plain safetensors folder with its control tokens and value head."""

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from phf.cli.for_scripts import answer
from phf.cli.options import Prefer, score
from phf.cli.terminal import console, quiet, say, say_next


def export(
    model: Annotated[
        Path,
        typer.Argument(
            help="A run folder, the folder of a causal LM, or a Hub model: OWNER/NAME or OWNER/NAME@REVISION."
        ),
    ],
    output: Annotated[Path, typer.Argument(help="Folder to write; it must not exist.")],
    threshold: Annotated[
        float | None,
        typer.Option(callback=score, help="Score up to which a segment counted as aligned when the model was trained."),
    ] = None,
    tag_every_segment: Annotated[
        bool | None,
        typer.Option(
            "--tag-every-segment/--tag-once",
            help="Whether the model may repeat its control token before later segments.",
            show_default=False,
        ),
    ] = None,
    prefer: Prefer = None,
    evaluation: Annotated[
        list[Path] | None,
        typer.Option(help="Folder in which phf evaluate measured this model, for its card; repeat it for more."),
    ] = None,
    license_: Annotated[
        str | None,
        typer.Option("--license", help="Licence in the card, by its name on the Hub: apache-2.0, other, ..."),
    ] = None,
    language: Annotated[
        list[str] | None, typer.Option(help="ISO code of a language in the card, or code; repeat it for more.")
    ] = None,
    push_to_hub: Annotated[
        str | None, typer.Option(help="Upload the model to this Hub repository, private if it is new; needs HF_TOKEN.")
    ] = None,
) -> None:
    """Write a model, such as a checkpoint of the released system, in the form that plain transformers loads."""
    quiet()
    from phf.cli.working import working
    from phf.models.exporting.card import card_facts
    from phf.models.exporting.convert import export_folder
    from phf.models.exporting.upload import ModelRepository
    from phf.models.model_folder import find_model

    nothing = "Nothing was exported. Run the same command again, or leave --push-to-hub out."
    repository = None if push_to_hub is None else ModelRepository(push_to_hub, kept=nothing)
    name = Path(os.path.realpath(output)).name if repository is None else repository.repo_id
    facts = card_facts(name, license_, language or [], evaluation or [])
    folder = find_model(model)
    with working(console, "Exporting"):
        prompting, has_head = export_folder(folder, output, threshold, tag_every_segment, facts, prefer)
    tokens = ", ".join(prompting.control_tokens)
    starts = "" if prefer is None else f"; texts start with {prompting.prefix or 'none of them'}"
    say(f"Control tokens: {tokens or 'none'}{starts}; value head: {'yes' if has_head else 'no'}")
    if repository is not None:
        repository.kept = (
            f"The model is in {output}. Upload it with: hf upload {push_to_hub} {shlex.quote(str(output))}"
        )
        with working(console, "Uploading"):
            repository.push(output, "Exported by phf")
        say(f"Uploaded to {repository.url}")
    say_next(f"Model is in {output}", (f"phf evaluate {shlex.quote(str(output))} --task TASK", "its numbers"))
    url = None if repository is None else repository.url
    control_tokens = list(prompting.control_tokens)
    answer({"output": output, "url": url, "control_tokens": control_tokens, "has_value_head": has_head})
