"""The parts of a model card about training, data and provenance."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from phf.config import Config, run_labels
from phf.config.preferences import PREFERENCES, preferences_of
from phf.corpus.sources.hub_datasets import parse_hub_name
from phf.errors import CorpusError
from phf.feedback import Prompting
from phf.feedback.schedule import phase_configs
from phf.text import code_span, counted, table_row

PLACES = {
    "before_segment": "in front of each segment",
    "on_change": "in front of a segment whose level is another than that before it",
    "before_document": "at the start of each document",
    "after_segment": "after each segment",
}
NOT_RECORDED = "It is not recorded how this model was trained."


def setting_lines(config: Config | None, prompting: Prompting, provenance: Mapping[str, Any]) -> Sequence[str]:
    """A table of what the model was trained with; of a model without a run, how it is prompted."""
    rows = list(_of_prompting(prompting))
    if config is not None:
        rows = [*_of_method(config, provenance), *rows, *_of_training(config, provenance)]
    table = ["| | |", "|---|---|", *(table_row([str(key), ", ".join(map(code_span, values))]) for key, *values in rows)]
    return [*([NOT_RECORDED, ""] if config is None else []), *(table if rows else [])]


def _of_method(config: Config, provenance: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    yield "task, size, method", *run_labels(config)
    if config.schedule:
        starts = [0.0, *(phase.until for phase in config.schedule)]
        yield (
            "schedule, by share of the tokens",
            *(
                f"{start:g} to {phase.until:g}: {phase.name}"
                for start, phase in zip(starts, config.schedule, strict=False)
            ),
        )
        for number, (phase, own) in enumerate(zip(config.schedule, phase_configs(config), strict=True), 1):
            for label, *values in _of_scores(own):
                yield f"phase {number}, {phase.name}: {label}", *values
    else:
        yield from _of_scores(config)
    percentiles = provenance.get("percentiles")
    if isinstance(percentiles, dict) and percentiles:
        yield "thresholds as percentiles", *(f"{key}: {value}" for key, value in percentiles.items())


def _of_scores(config: Config) -> Iterator[tuple[object, ...]]:
    """How scores are used, in the whole run or in a phase."""
    dataset = config.dataset
    yield "objective", *_flat(config.objective)
    if dataset.filter_threshold is not None:
        yield "documents are kept up to an average score of", dataset.filter_threshold
    if dataset.document_filter is not None:
        yield "filter of documents", *_flat(dataset.document_filter)
    if dataset.hidden_threshold is not None:
        yield "segments are hidden from later text above a score of", dataset.hidden_threshold
    if (tags := dataset.conditional_training_config) is not None:
        yield "segments are aligned up to a score of", tags.threshold
        yield "segments without control token", f"{tags.drop_token_fraction:.2%}"
    for one in preferences_of(dataset.conditioning):
        yield f"control tokens of {one['name']} by", *_flat({**one, "name": one["class_name"]})
    if dataset.conditioning is not None:
        yield "control tokens by", *_flat(dataset.conditioning.model_dump(exclude={PREFERENCES}))


def _of_prompting(prompting: Prompting) -> Iterator[tuple[object, ...]]:
    if prompting.control_tokens:
        yield "control tokens, best first", *prompting.control_tokens
        yield "control tokens stand", PLACES[prompting.placement]
        may = "again before later segments" if prompting.starts_texts else "after segments"
        yield f"a control token may be sampled {may}", "yes" if prompting.tags_every_segment else "no"
    if prompting.threshold is not None:
        yield "threshold of misaligned segments in evaluation", f"{prompting.threshold:g}"


def _of_training(config: Config, provenance: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    training, model = config.training, config.model
    source = None if model.path_or_name is None else _without_folders(model.path_or_name)
    if source is not None:
        yield ("architecture of" if model.from_scratch else "continues from"), source
    if model.model_type is not None:
        yield "architecture", model.model_type, *_flat(model.config_kwargs)
    if isinstance(parameters := provenance.get("num_parameters"), int):
        yield "parameters", f"{parameters:,}"
    steps, blocks = provenance.get("max_steps"), provenance.get("effective_batch_size")
    if isinstance(steps, int) and isinstance(blocks, int):
        tokens = steps * blocks * config.dataset.seq_length
        made_of = f"{counted(steps, 'step')} of {counted(blocks, 'block')} of {config.dataset.seq_length:,} tokens"
        yield "tokens", f"{tokens:,} ({made_of})"
    if training.tokens_already_seen:
        yield "tokens seen before", f"{training.tokens_already_seen:,.0f}"
    extra = training.model_extra or {}
    named = (
        "learning_rate",
        "lr_scheduler_type",
        "warmup_steps",
        "weight_decay",
        "adam_beta1",
        "adam_beta2",
        "max_grad_norm",
    )
    yield "optimisation", *(f"{key}: {extra[key]}" for key in named if key in extra), f"seed: {training.seed}"


def hub_datasets(config: Config) -> list[str]:
    """The datasets of the Hub that the model was trained on."""
    names = []
    for source in config.dataset.datasets:
        if "/" not in source or Path(source).exists():
            continue
        try:
            names.append(parse_hub_name(source).name)
        except CorpusError:
            continue  # a path on the machine that trained
    return list(dict.fromkeys(names))


def data_lines(provenance: Mapping[str, Any]) -> Sequence[str]:
    """A table of the sources by their manifests, and what training made of them."""
    sources = provenance.get("dataset") or []
    if not sources:
        return ["It is not recorded what this model was trained on."]
    lines = [
        "| source | documents | segments | unscored | cut into | scorer | manifest |",
        "|---|---|---|---|---|---|---|",
        *map(_source_row, sources),
    ]
    lines += _read(provenance.get("blocks"), "training")
    for phase in provenance.get("schedule") or ():
        lines += _read(phase.get("blocks"), f"phase {code_span(phase.get('name'))}")
    return lines


def _read(blocks: Any, reader: str) -> list[str]:
    """A sentence on what training, or a phase of it, chose from, if that is recorded."""
    counts = blocks.get("counts") if isinstance(blocks, dict) else None
    kept = {key: value for key, value in counts.items() if value} if isinstance(counts, dict) else {}
    shown = ", ".join(f"{_words(key)} {code_span(kept[key])}" for key in kept)
    return ["", f"Of these, {reader} read: {shown}."] if kept else []


def _source_row(source: Mapping[str, Any]) -> str:
    names = ", ".join(code_span(_without_folders(name)) for name in str(source.get("source", "")).split(", "))
    scorer = source.get("scorer")
    scored = "by the scorer of the task"
    if isinstance(scorer, dict):
        settings = f", {code_span(scorer['settings'])}" if scorer.get("settings") else ""
        scored = f"{code_span(scorer.get('class_name'))}, version {code_span(scorer.get('version'))}{settings}"
    counts = [source.get(key) for key in ("num_documents", "num_segments", "num_unscored")]
    cells = [f"{count:,}" if isinstance(count, int) else "" for count in counts]
    digest = source.get("manifest_sha256")
    segmenter = code_span(source["segmenter"]) if source.get("segmenter") else ""
    return table_row([names, *cells, segmenter, scored, code_span(str(digest)[:16]) if digest else ""])


def provenance_lines(provenance: Mapping[str, Any]) -> Sequence[str]:
    """Versions, hardware, commit and time."""
    if not provenance:
        return ["None is recorded."]
    hardware = provenance.get("hardware") or {}
    machine = [*(hardware.get("gpus") or []), hardware.get("cpu"), f"{hardware.get('cores')} cores"]
    versions = [f"{name} {version}" for name, version in (provenance.get("versions") or {}).items() if version]
    facts: dict[str, list[Any]] = {
        "phf": [provenance.get("phf_version")],
        "Python": [provenance.get("python")],
        "libraries": versions,
        "hardware": [part for part in machine if part],
        "commit": [provenance.get("git_commit")],
        "started": [provenance.get("started")],
        "chosen by hardware": [f"{key}: {value}" for key, value in (provenance.get("choices") or {}).items()],
    }
    listed = {key: [value for value in values if value] for key, values in facts.items()}
    return [f"- {key}: {', '.join(map(code_span, values))}" for key, values in listed.items() if values]


def _flat(settings: Mapping[str, Any]) -> list[str]:
    """A section's name, and its other settings."""
    name = settings.get("name") or settings.get("class_name")
    others = [f"{key}: {value}" for key, value in settings.items() if key not in ("name", "class_name")]
    return [str(name), *others] if name else others


def _without_folders(name: str) -> str:
    """The last part of a path of the machine that trained; a name of the Hub as it is."""
    is_path = name.startswith(("/", ".", "~")) or Path(name).exists() or name.count("/") > 1
    return Path(name).name if is_path else name


def _words(key: str) -> str:
    return key.removeprefix("num_").replace("_", " ")
