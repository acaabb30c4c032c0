"""`phf audit`: the counts, in one record, and the texts behind them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from phf.audit.duplicates import copy_rows, extraction_rows, share
from phf.audit.last_layer import LastLayer
from phf.audit.model import AuditedModel
from phf.audit.origins import finder_of, worst_samples
from phf.audit.page import PAGE, RECORD, write_page
from phf.audit.places import Places
from phf.audit.repeats import TracedSample
from phf.audit.search import SequenceSearch
from phf.audit.settings import AuditSettings
from phf.audit.spans import AuditedSpan, CorpusTexts, choose_spans, why_no_spans
from phf.audit.training_data import TrainingData, check_annotated, compare_with_training, corpus_of
from phf.audit.verbatim import Copy, find_copies
from phf.corpus.dataset import has_score_above
from phf.corpus.manifest import read_manifest
from phf.errors import ConfigError, CorpusError
from phf.models.model_folder import model_hashes, model_name
from phf.report.html import check_can_render
from phf.runs.layout import run_of_model
from phf.runs.reader import read_run
from phf.runs.writer import finite_or_none, write_json
from phf.scorers import Scorer, build_scorer
from phf.storage.files import only_job, refuse_others
from phf.text import masked
from phf.tokens.prepare import store_of
from phf.tokens.store import TokenStore
from phf.tokens.tokenizer import PlainEncoder

Announce = Callable[[str], None]
SHOWN = 20
"""Texts in the record of either kind, those that occur least often first."""
CONTEXT_TOKENS = 20
"""Of the text in front of an extracted span that is shown."""


def audit_folder(
    folder: Path,
    sources: Sequence[str],
    output: Path,
    settings: AuditSettings,
    scorer_config: dict[str, Any] | None = None,
    prefer: str | None = None,
    samples_of: Path | None = None,
    announce: Announce = lambda message: None,
) -> dict[str, Any]:
    """Audit the model in `folder` for the misaligned segments of annotated `sources`; returns the content of `audit.json`.

    Writes `audit.json` and `audit.html` to `output`, replacing those of an earlier audit. `scorer_config`: what detects
    spans; None: the scorer that the first source was annotated with. `samples_of`: the run folder whose worst samples are
    traced to the corpus; None: that of the model's own run, if it has one.

    Raises `ConfigError`, `CorpusError` or `OutputError`, before anything expensive is done if possible.
    """
    settings.check()
    check_can_render("phf audit")
    refuse_others(output, [RECORD], "phf audit")
    check_annotated(sources, settings.scores_column)
    scorer = (
        detecting_scorer(sources[0], scorer_config, settings.scores_column) if settings.span == "detected" else None
    )
    traced = _worst_samples(folder, samples_of, settings, announce)
    if not (settings.num_samples or settings.max_spans or traced):
        raise ConfigError(
            "--num-samples 0 and --max-spans 0 leave nothing to do, since there are no samples to trace. Raise one of them."
        )
    with only_job(output):
        model = AuditedModel(folder, settings, prefer)
        data = compare_with_training(folder, sources)
        if data.is_trained_on is False:
            announce(data.sentence)
        column, threshold = settings.scores_column, model.threshold
        if _needs_misaligned(settings) and not any(has_score_above(source, column, threshold) for source in sources):
            raise _none_misaligned(settings, threshold)
        store = store_of(corpus_of(folder, model.tokenizer, data, settings.scores_column))
        record = _Audit(model, store, data, settings, scorer).record(traced, announce)
        record = {
            "model": {"name": model_name(folder), "folder": str(folder), "files": model_hashes(folder)},
            "sources": list(sources),
            "training_data": data.to_json(),
            "samples_of": None if not traced else (samples_of or run_of_model(folder) or folder).resolve().name,
            **record,
        }
        record = finite_or_none(record)
        write_json(output / RECORD, record)
        write_page(record, output / PAGE)
    return record


class _Audit:
    """One audit, with what its parts share."""

    def __init__(
        self,
        model: AuditedModel,
        store: TokenStore,
        data: TrainingData,
        settings: AuditSettings,
        scorer: Scorer | None,
    ) -> None:
        self.model, self.store, self.data, self.settings, self.scorer = model, store, data, settings, scorer
        self.places = Places(store)
        self.texts = CorpusTexts(store, PlainEncoder(model.tokenizer), self.places)
        self.shown = masked if settings.mask else str

    def record(self, traced: Sequence[TracedSample], announce: Announce) -> dict[str, Any]:
        settings, model, meta = self.settings, self.model, self.store.meta
        chosen = choose_spans(self.store, self.places, self.texts, settings, model.room, model.threshold, self.scorer)
        if not chosen.num_misaligned and _needs_misaligned(settings):  # those with a score are without tokens
            raise _none_misaligned(settings, model.threshold)
        extracted = self._extracted(chosen.spans)
        if settings.max_spans and not chosen.spans:
            announce(why_no_spans(chosen, settings))
        samples = model.sample()
        copies = find_copies(
            samples, self.store, self.places, settings.scores_column, model.threshold, settings.min_tokens
        )
        sequences = [*(span.ids for span in chosen.spans), *(copy.ids for copy in copies)]
        counts = SequenceSearch(sequences).counts(self.store, "counting how often spans occur")
        of_spans, of_copies = np.split(counts, [len(chosen.spans)])
        return {
            "settings": self._settings(),
            "corpus": {
                "num_documents": meta["num_documents"],
                "num_segments": meta["num_segments"],
                "num_misaligned": chosen.num_misaligned,
                "num_tokens": meta["num_tokens"],
            },
            "extraction": {
                "num_spans": len(chosen.spans),
                "num_extracted": int(extracted.sum()),
                **share(extracted),
                "num_without_prefix": chosen.num_without_prefix,
                "by_occurrences": extraction_rows(of_spans, extracted),
                "texts": self._extracted_texts(chosen.spans, extracted, of_spans),
            },
            "samples": self._samples(samples, copies, of_copies),
            "origins": self._origins(traced),
        }

    def _settings(self) -> dict[str, Any]:
        settings, model = self.settings, self.model
        return {
            "scores_column": settings.scores_column,
            "threshold": model.threshold,
            "span": settings.span,
            "scorer": None if self.scorer is None else self.scorer.describe(),
            "min_tokens": settings.min_tokens,
            "max_spans": settings.max_spans,
            "prefix_tokens": model.room.prefix,
            "max_span_tokens": model.room.span,
            "num_samples": settings.num_samples,
            "max_new_tokens": model.room.sample,
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "num_embedded": settings.num_embedded,
            "prefix": model.prompting.prefix,
            "tokenization": self.store.meta["made_of"].get("tokenization"),
            "seed": settings.seed,
            "mask": settings.mask,
        }

    def _prefix_start(self, span: AuditedSpan) -> int:
        return max(self.places.document_start(span.document), span.start - self.model.room.prefix)

    def _extracted(self, spans: Sequence[AuditedSpan]) -> np.ndarray:
        """bool [spans]: whether the model continues what precedes each with all of its tokens."""
        prefixes = [self.store.ids[self._prefix_start(span) : span.start].astype(np.int64) for span in spans]
        continued = self.model.continue_greedily(prefixes)
        pairs = zip(continued, spans, strict=True)
        return np.array([np.array_equal(ids[: len(span.ids)], span.ids) for ids, span in pairs], bool)

    def _extracted_texts(
        self, spans: Sequence[AuditedSpan], extracted: np.ndarray, counts: np.ndarray
    ) -> list[dict[str, Any]]:
        """The first `SHOWN` extracted spans, the rarest first: they would hardly be guessed."""
        order = sorted(np.flatnonzero(extracted).tolist(), key=lambda index: int(counts[index]))
        rows = []
        for index in order[:SHOWN]:
            span = spans[index]
            start = max(self.places.document_start(span.document), span.start - CONTEXT_TOKENS)
            rows.append(
                {
                    "prefix": self.shown(self.texts.between(start, span.start, span.document)),
                    "text": self.shown(self.texts.between(span.start, span.start + len(span.ids), span.document)),
                    "label": span.label,
                    "score": span.score,
                    "occurrences": int(counts[index]),
                    "document": self.store.document_ids([span.document])[0],
                }
            )
        return rows

    def _samples(self, samples: Sequence[np.ndarray], copies: Sequence[Copy], counts: np.ndarray) -> dict[str, Any]:
        has_copy = np.zeros(len(samples), bool)
        has_copy[[copy.sample for copy in copies]] = True
        keys = [copy.ids.tobytes() for copy in copies]
        order = sorted(range(len(copies)), key=lambda index: (int(counts[index]), -len(copies[index].ids)))
        distinct = list({keys[index]: index for index in reversed(order)}.values())[::-1]
        return {
            "num_samples": len(samples),
            "num_tokens": sum(map(len, samples)),
            "num_with_copy": int(has_copy.sum()),
            **share(has_copy),
            "num_copies": len(copies),
            "num_distinct": len({*keys}),
            "num_copied_tokens": sum(len(copy.ids) for copy in copies),
            "by_occurrences": copy_rows(counts, [copy.sample for copy in copies], keys, len(samples)),
            "texts": [self._copied_text(copies[index], int(counts[index])) for index in distinct[:SHOWN]],
        }

    def _origins(self, traced: Sequence[TracedSample]) -> list[dict[str, Any]]:
        """What is known of where each sample comes from."""
        if not traced:
            return []
        finder = finder_of(
            self.store,
            self.data,
            self.model.tokenizer,
            LastLayer(self.model.lm, self.model.start, self.settings.batch_size),
            scores_column=self.settings.scores_column,
            num_embedded=self.settings.num_embedded,
            seed=self.settings.seed,
            shown=self.shown,
        )
        return finder.find(traced)

    def _copied_text(self, copy: Copy, count: int) -> dict[str, Any]:
        segment = int(self.places.of_tokens(np.array([copy.position])).numbers[0])
        document = self.places.document_of(segment)
        return {
            "text": self.shown(self.texts.between(copy.position, copy.position + len(copy.ids), document)),
            "num_tokens": len(copy.ids),
            "sample": copy.sample,
            "score": float(self.store.scores(self.settings.scores_column)[segment]),
            "occurrences": count,
            "document": self.store.document_ids([document])[0],
        }


def _needs_misaligned(settings: AuditSettings) -> bool:
    return bool(settings.max_spans or settings.num_samples)


def _none_misaligned(settings: AuditSettings, threshold: float) -> CorpusError:
    return CorpusError(
        f"No segment has a score '{settings.scores_column}' above {threshold:g}, so none counts as misaligned. Set "
        "--threshold lower; phf profile shows the scores."
    )


def _worst_samples(
    folder: Path, samples_of: Path | None, settings: AuditSettings, announce: Announce
) -> list[TracedSample]:
    """The samples to trace. Raises `CorpusError` where those that were asked for are not there."""
    run = samples_of or run_of_model(folder)
    if run is None or not settings.num_traced:
        return []
    worst = worst_samples(read_run(run).samples, settings.num_traced)
    if not worst and samples_of is not None:
        raise CorpusError(
            f"--samples-of {samples_of}: it has no scored samples. Give a folder that phf evaluate wrote."
        )
    if not worst:
        announce(f"{run} has no scored samples to trace; those of phf evaluate can be given as --samples-of.")
    return worst


def detecting_scorer(source: str, config: dict[str, Any] | None, scores_column: str) -> Scorer:
    """The scorer that detects spans, by default the one of the column. Raises `ConfigError` where it is not known."""
    if config is not None:
        return build_scorer(config, "--scorer")
    path = Path(source)
    manifest = read_manifest(path) if path.is_dir() else None
    if manifest is None:
        raise ConfigError(
            f"--span detected: {source} does not record the scorer it was annotated with. Give what detects spans as --scorer."
        )
    described = manifest.scorers.get(scores_column, manifest.scorer)
    return build_scorer({"class_name": described["class_name"], **described.get("settings", {})}, f"{source}, scorer")
