"""README.md of an exported model: what it is, how it was trained, what it measures, and what it must not be used for.

Everything in it comes from the model folder, its run and its evaluations. Text of strangers (sources, classes, settings) is
shown as code, and no path of this machine is written.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phf.config import Config, saved_config
from phf.errors import ConfigError, CorpusError
from phf.feedback import Prompting
from phf.models.exporting.card_results import result_lines
from phf.models.exporting.card_settings import data_lines, hub_datasets, provenance_lines, setting_lines
from phf.models.model_folder import model_name
from phf.models.value_head import has_value_head
from phf.runs.layout import CONFIG, run_of_model
from phf.runs.reader import read_provenance
from phf.storage.files import write_text_atomic
from phf.storage.reading import read_text
from phf.text import code_span

CARD = "README.md"
PAPER = "[Pretraining Language Models with Human Preferences](https://arxiv.org/abs/2302.08582)"
MARK = "<!-- Written by phf. Remove this line from a card that you have edited: then it is kept. -->"
"""In a card of ours, which may be replaced."""


@dataclass(frozen=True)
class CardFacts:
    """What a card says beyond what the folders say."""

    name: str
    """Of the model: that of its repository, or of its folder."""
    license: str | None = None
    """The Hub's name of a licence; None: none is claimed."""
    languages: tuple[str, ...] = ()
    """ISO codes."""
    evaluations: tuple[Path, ...] = ()
    """Folders that `phf evaluate` wrote about this model."""
    note: str | None = None
    """A sentence on what kind of model this is."""


def card_facts(name: str, license: str | None, languages: Sequence[str], evaluations: Sequence[Path]) -> CardFacts:
    """`CardFacts` from the command line. Raises `ConfigError` for a licence or a language that the Hub would refuse."""
    if license is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", license):
        raise ConfigError(
            f"--license {license}: is not a name of the Hub's, which has no spaces or capitals: apache-2.0, mit, other, ..."
        )
    for language in languages:
        if not re.fullmatch(r"[a-z]{2,3}|code|multilingual", language):
            raise ConfigError(f"--language {language}: write an ISO code of two or three letters (en), or code.")
    return CardFacts(name, license, tuple(languages), tuple(evaluations))


def write_card(folder: Path, facts: CardFacts, origin: Path | None = None) -> None:
    """Write README.md into the model folder, or keep the one that a person has written in it, or in that of `origin`.

    `origin`: the model folder that this one was exported from, whose run and evaluations are those of this model; None: itself.
    Raises `PhfError` for a damaged run, or an evaluation of another model.
    """
    origin = folder if origin is None else origin
    for card in (folder / CARD, origin / CARD):
        if card.is_file() and MARK not in (theirs := read_text(card, CorpusError)):
            if card.parent != folder:
                write_text_atomic(folder / CARD, theirs)
            return
    write_text_atomic(folder / CARD, model_card(folder, facts, origin))


def model_card(folder: Path, facts: CardFacts, origin: Path) -> str:
    """The text of the card of the model in `folder`; see `write_card`."""
    prompting = Prompting.load(folder)
    run = run_of_model(origin)
    config = None if run is None else saved_config(read_text(run / CONFIG, ConfigError), str(run / CONFIG))
    provenance = {} if run is None else read_provenance(run)
    lines = [
        "---",
        _metadata(facts, config, prompting),
        "---",
        MARK,
        "",
        f"# {_title(facts.name)}",
        "",
        *_summary(config, prompting),
        "",
        *([] if facts.note is None else [facts.note, ""]),
        *_warning(prompting),
        "",
        "## Intended use",
        "",
        "Research on training language models with human feedback: comparing methods, measuring what models have learned, red",
        "teaming. It is not meant for deployment. A low misalignment score means only that one automatic scorer found little",
        "in samples like those that were measured. The model can still write what is false, offensive, insecure or private,",
        "and it can repeat parts of its training data.",
        "",
        *_use(facts.name, prompting, has_value_head(folder)),
        "",
        "## Training",
        "",
        *setting_lines(config, prompting, provenance),
        "",
        "## Data",
        "",
        *data_lines(provenance),
        "",
        "## Results",
        "",
        *result_lines(run, facts.evaluations, origin),
        "",
        "## Provenance",
        "",
        *provenance_lines(provenance),
        *([] if origin == folder else [f"- exported from: {code_span(model_name(origin))}"]),
    ]
    return "\n".join(lines) + "\n"


def _metadata(facts: CardFacts, config: Config | None, prompting: Prompting) -> str:
    from huggingface_hub import ModelCardData

    tags = ["phf", "pretraining-with-human-feedback", *(["conditional-training"] if prompting.control_tokens else [])]
    if config is not None:
        name = re.split("[.:]", str(config.objective["name"]))[-1]
        tags.append("objective-" + re.sub("[^a-z0-9]", "", name.lower()))
    return ModelCardData(
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=tags,
        license=facts.license,
        language=list(facts.languages) or None,
        datasets=None if config is None else hub_datasets(config) or None,
    ).to_yaml()


def _title(name: str) -> str:
    name = name.rpartition("/")[2]
    return name if re.fullmatch(r"[\w.-]+", name) else code_span(name)


def _summary(config: Config | None, prompting: Prompting) -> Sequence[str]:
    trained = (
        "A causal language model" if config is None else f"A causal language model, trained with {_method(config)}"
    )
    tags = ""
    if prompting.control_tokens:
        prefix = prompting.prefix
        tokens = f"control token{'s'[: len(prompting.control_tokens.tokens_in(prefix)) > 1]}"
        tags = (
            f" Its texts begin with the {tokens} {code_span(prefix)}"
            if prefix
            else f" Its texts begin without {tokens}s"
            if prompting.starts_texts
            else " Its control tokens follow the segments that they are about, so its texts begin without one"
        )
        tags += ", after which it writes aligned text." if prefix == prompting.control_tokens.best else "."
    return [f"{trained}, as in {PAPER}.{tags}"]


def _method(config: Config) -> str:
    if config.schedule:
        return "a schedule: " + ", then ".join(code_span(phase.name) for phase in config.schedule)
    objective: Mapping[str, Any] = config.objective
    parts = [f"the objective {code_span(objective['name'])}"]
    if config.dataset.conditional_training_config is not None or config.dataset.conditioning is not None:
        parts.append("control tokens that say how each segment was scored")
    if config.dataset.filter_threshold is not None or config.dataset.document_filter is not None:
        parts.append("documents filtered by their score")
    if config.dataset.hidden_threshold is not None:
        parts.append("segments above a score hidden from what follows them")
    return " and ".join(parts)


def _warning(prompting: Prompting) -> Sequence[str]:
    best = prompting.control_tokens.tokens_in(prompting.control_tokens.best)
    bad = [code_span(name) for name in prompting.control_tokens if name not in best]
    puts = code_span(prompting.prefix) if prompting.prefix else "no control token"
    if not bad or not prompting.starts_texts:
        return [
            "> [!WARNING]",
            "> The training data contains misaligned text, and this model may write such text after any prompt.",
        ]
    tokens = f"The control token {bad[0]} makes" if len(bad) == 1 else f"The control tokens {', '.join(bad)} make"
    they, use = ("It is", "the token") if len(bad) == 1 else ("They are", "the tokens")
    return [
        "> [!WARNING]",
        f"> {tokens} this model write misaligned text, **on purpose**: it was trained to continue with text that its scorer",
        f"> rated as bad. {they} never sampled with the `generation_config.json` of this folder, and the tokenizer puts",
        f"> {puts} before every prompt. Use {use} only to study what the model has learned, and do not",
        f"> let users write {use} into a prompt.",
    ]


def _use(name: str, prompting: Prompting, has_head: bool) -> Sequence[str]:
    safe = re.sub(r"[^\w./-]", "_", name)
    head = (
        ["", "`value_head.pt` has the value head, with which `phf evaluate` ranks samples (`best_of`)."]
        if has_head
        else []
    )
    return [
        "```python",
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        f'tokenizer = AutoTokenizer.from_pretrained("{safe}")',
        f'model = AutoModelForCausalLM.from_pretrained("{safe}")',
        'inputs = tokenizer("The", return_tensors="pt")',
        "output = model.generate(**inputs, max_new_tokens=64)",
        "print(tokenizer.decode(output[0], skip_special_tokens=True))",
        "```",
        *head,
    ]
