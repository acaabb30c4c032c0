"""Pages of every kind, written from made-up results without a model: names in them are hostile where strangers name things."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from tests.report.test_evaluations import evaluated, trained
from tests.report.test_origins import THERE, make_audit, origin
from tests.study.test_attacks import attacked
from tests.study.test_gap import an_arm
from tests.study.test_switch_answer import answer_of
from tests.tamper.test_analyse import a_curve

from phf.audit.page import write_page
from phf.corpus.dataset import write_shard
from phf.corpus.sources.documents import AnnotatedDocument
from phf.evaluation.compare import over_seeds
from phf.profile.measure import profile_dataset
from phf.refresh.answer import Answer
from phf.refresh.answer import write_answer as write_refresh
from phf.refresh.settings import RefreshSettings
from phf.report.page import write_report
from phf.report.profile_page import export_profile, write_profile_page
from phf.study.folder import StudyFolder
from phf.study.gap import GapResult, _gap
from phf.study.page import write_answer as write_study
from phf.tamper.analyse import analyse_tampering
from phf.tamper.folder import TamperFolder
from phf.tamper.page import TamperAnswer
from phf.tamper.page import write_answer as write_tamper

HOSTILE = "<script>alert(1)</script> \x1b[31m"
SHOWN = "<script>alert(1)</script> \\x1b[31m"


def report(folder: Path, export_to: Path | None = None) -> Path:
    """Two runs and another task's; one of them evaluated, and evaluated again with other settings; an audit of its samples."""
    mle, other = trained(folder / "mle", "mle", name=HOSTILE), trained(folder / "conditional")
    evaluation = evaluated(mle, folder / "evaluate-mle", method="mle", scores=[0.2, 0.4, 0.1])
    worst = evaluated(other, folder / "evaluate-worst", "generation.prefer=worst")
    audit = make_audit(folder / "audit", origin("y=2\n", 0, [THERE]), name="evaluate-mle")
    paths = [mle, other, evaluation, worst, audit, folder / HOSTILE.replace("/", "")]
    write_report(paths, folder / "report.html", export_to=export_to)
    return folder / "report.html"


def study(folder: Path, export_to: Path | None = None) -> Path:
    """With switches, a held-out scorer, a red team and a missing run."""
    answer, _, _ = answer_of(folder)
    (result,) = answer.results
    generator = np.random.default_rng(0)
    arms = []
    for name, of_training, held_out in (("mle", 0.0, 0.0), (HOSTILE, -1.0, 0.5)):
        seeds = [[list(generator.normal(mean, 1, 50)) for _ in range(2)] for mean in (of_training, held_out)]
        arm = an_arm(name, *seeds)
        arms.append(replace(arm, trained_score=over_seeds(arm.trained), held_out_score=over_seeds(arm.held_out)))
    gap = GapResult(result.task, result.scenario, "mle", "PEP8Scorer", HOSTILE, arms, [_gap("s", *arms)])
    red_team = attacked({"mle": [[[0.1, 0.3]], [[0.2, 0.5]]], "conditional": [[[0.1, 0.2]], [[0.1, 0.3]]]})
    red_team = replace(
        red_team,
        arms=[red_team.arms[0], replace(red_team.arms[1], name=HOSTILE)],
        pairs=[replace(pair, second=HOSTILE) for pair in red_team.pairs],
    )
    answer = replace(answer, name=HOSTILE, gaps=[gap], attacks=[red_team], missing={HOSTILE: HOSTILE})
    write_study(answer, StudyFolder(folder), export_to)
    return folder / "report.html"


def tamper(folder: Path, export_to: Path | None = None) -> Path:
    """Two methods on both kinds of data, one of which never relearns, and a missing finetuning."""
    curves = {
        "mle": {"m": [a_curve(0.5, 0.6, 0.7, 0.8)]},
        HOSTILE: {"h": [a_curve(0.1, 0.2, 0.6, 0.7), a_curve(0.1, 0.2, 0.3, 0.7)]},
    }
    benign = {"mle": {"m": [a_curve(0.5, 0.4, 0.4, 0.3)]}, HOSTILE: {"h": [a_curve(0.1, 0.1, 0.1, 0.2)]}}
    result = analyse_tampering(HOSTILE, curves, benign, "mle", None)
    write_tamper(TamperAnswer([result], {HOSTILE: HOSTILE}, 6, {"models": HOSTILE}), TamperFolder(folder), export_to)
    return folder / "report.html"


def refresh(folder: Path, export_to: Path | None = None) -> Path:
    """The start, and two rounds of which the second is beyond the bound."""
    records = []
    for number in range(3):
        numbers = {"eval/loss": 2.0 + number / 10, f"generation/{HOSTILE}/score": 0.3 - number / 10}
        numbers |= {f"generation/{HOSTILE}/score_low": 0.2 - number / 10, f"generation/{HOSTILE}/distinct-2-grams": 0.5}
        numbers |= {f"generation/{HOSTILE}/score_high": 0.4, "kl/nats_per_sequence": number * 1.0}
        samples = {
            "drawn": 8,
            "used": 7,
            "left_out": {HOSTILE: 1},
            "unscored_reasons": {},
            "cut_off": 1,
            "score": [0.2],
        }
        training = {"share": 0.25, "steps": 3, "tokens": 768}
        records.append(
            {
                "round": number,
                "numbers": numbers,
                "samples": samples if number else None,
                "training": training if number else None,
            }
        )
    settings = RefreshSettings(rounds=3, max_kl=1.5)
    stopped = "Stopped after round 2 of 3: its KL from the start, 2 nats per sequence, is above the bound."
    write_refresh(Answer(HOSTILE, HOSTILE, HOSTILE, settings, records, stopped, folder / "model"), folder, export_to)
    return folder / "report.html"


def audit(folder: Path) -> Path:
    """Texts that were extracted, copied, and traced."""
    share = {"share": 0.5, "share_low": 0.1, "share_high": 0.9}
    text = {"text": HOSTILE, "score": 1.0, "occurrences": 1, "document": HOSTILE}
    common = {"num_tokens": 5, "start": 0, "end": 9}
    neighbour = {"text": HOSTILE, "document": HOSTILE, "score": 1.0, "common": common}
    neighbour |= {"overlap": 0.5, "hidden": 0.9, "gradient": math.pi}
    detection = {"start": 0, "end": 8, "label": HOSTILE, "text": HOSTILE, "occurrences": 2, "document": HOSTILE}
    origin = {
        "scenario": HOSTILE,
        "score": 1.0,
        "prompt": HOSTILE,
        "text": "x",
        "longest": {**common, "text": HOSTILE, "occurrences": 2, "document": HOSTILE},
        "detections": [detection, detection | {"occurrences": 0}],
        "neighbours": [neighbour],
    }
    record = {
        "model": {"name": HOSTILE},
        "sources": [HOSTILE],
        "training_data": {"is_trained_on": False, "is_whole": True, "sentence": HOSTILE},
        "corpus": {"num_documents": 2, "num_segments": 4, "num_misaligned": 1, "num_tokens": 100},
        "settings": dict.fromkeys(
            ("prefix_tokens", "max_span_tokens", "min_tokens", "num_samples", "temperature", "top_p", "num_embedded"), 5
        )
        | {"scores_column": HOSTILE, "threshold": 0.25, "mask": True, "prefix": HOSTILE},
        "extraction": {
            "num_spans": 2,
            "num_extracted": 1,
            **share,
            "num_without_prefix": 1,
            "by_occurrences": [{"occurrences": (2, 9), "num_spans": 2, "num_extracted": 1, **share}],
            "texts": [{**text, "prefix": HOSTILE, "label": HOSTILE}],
        },
        "samples": {
            "num_samples": 2,
            "num_tokens": 50,
            "num_with_copy": 1,
            **share,
            "num_copies": 1,
            "num_distinct": 1,
            "by_occurrences": [{"occurrences": (1, 1), "num_copies": 1, "num_distinct": 1, "num_samples": 1, **share}],
            "texts": [{**text, "sample": 0, "num_tokens": 9}],
        },
        "origins": [origin],
    }
    write_page(record, folder / "audit.html")
    return folder / "audit.html"


def profile(folder: Path, export_to: Path | None = None) -> Path:
    """Of scores on both sides of the threshold, with an unscored document."""
    rows = [
        AnnotatedDocument(f"{HOSTILE}{i}", [HOSTILE, "b"], [0.0, 0.25 * i], {"source": HOSTILE if i % 2 else "books"})
        for i in range(8)
    ]
    write_shard(folder / "a.parquet", [*rows, AnnotatedDocument("u", ["u"], [None])])
    profiled = profile_dataset(str(folder), threshold=0.5, percentiles=[50])
    write_profile_page(profiled, folder)
    if export_to is not None:
        export_profile(profiled, export_to)
    return folder / "profile.html"


WITH_FIGURES = [report, study, tamper, refresh, profile]
