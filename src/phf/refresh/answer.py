"""What a refresh found: `refresh.json` and one page, from the same numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from phf.refresh.measure import KL
from phf.refresh.record import RoundRecord, interval_of
from phf.refresh.settings import RefreshSettings
from phf.report.charts import Chart, Line, interval_chart
from phf.report.export import export
from phf.report.html import render
from phf.runs.writer import write_json
from phf.statistics import Interval
from phf.storage.files import write_text_atomic
from phf.text import visible_text

ANSWER, PAGE = "refresh.json", "report.html"
LOSS = "eval/loss"
SCORE_END = "/score"
ESTIMATOR = (
    "KL(model of the round || start) in nats per sequence, >= 0 but for sampling error: the mean, over samples of the round's "
    "model at temperature 1, of log p under that model - log p under the start."
)


@dataclass(frozen=True)
class Answer:
    """The rounds of a refresh, and how it ended."""

    name: str
    """Of the run."""
    run: str
    scenario: str
    """That was sampled for training."""
    settings: RefreshSettings
    records: list[RoundRecord]
    """Of the start, and of each round."""
    stopped: str | None
    """Why it ended before its last round, or in it; None if no model passed the bound."""
    model: Path
    """Folder of the result."""

    @property
    def result(self) -> int:
        """The round whose model is the result: the last one within the bound; 0 is the start."""
        return len(self.records) - (2 if self.stopped else 1)

    @property
    def verdict(self) -> str:
        """What became of it, in a sentence or two."""
        kept = (
            f"The result is the model of round {self.result}"
            if self.result
            else "The result is the model of the start, unchanged"
        )
        if self.stopped:
            return f"{self.stopped} {kept}, the last one within the bound."
        bound = (
            "no bound on KL was set" if self.settings.max_kl is None else f"all within {self.settings.max_kl:g} nats"
        )
        count = "The round was" if self.settings.rounds == 1 else f"All {self.settings.rounds} rounds were"
        return f"{count} made ({bound}). {kept}."

    @property
    def score_keys(self) -> list[str]:
        """Keys of mean scores, of the task's scorer and of others that scenarios name, in order of appearance."""
        keys = [key for record in self.records for key in record["numbers"]]
        return list(dict.fromkeys(key for key in keys if key.startswith("generation/") and key.endswith(SCORE_END)))


def stopped_because(record: RoundRecord, settings: RefreshSettings) -> str | None:
    """Why the model of this round ends the refresh; None if it is within the bound. Its estimate counts, not its interval."""
    kl = interval_of(record, KL)
    if settings.max_kl is None or kl.mean <= settings.max_kl:
        return None
    if kl.mean != kl.mean:
        return f"Stopped after round {record['round']}: its KL from the start could not be measured."
    return (
        f"Stopped after round {record['round']} of {settings.rounds}: its KL from the start, {kl.mean:.4g} nats per sequence, "
        f"is above the bound of {settings.max_kl:g} (--max-kl)."
    )


def write_answer(answer: Answer, output: Path, export_to: Path | None = None) -> None:
    """Both files, atomically. Nothing in them depends on how often the refresh was interrupted.

    `export_to`: a folder for the figures of the page and its tables as files.
    """
    write_json(output / ANSWER, to_json(answer))
    charts = _charts(answer)
    page = render(
        resources.files("phf.refresh") / "refresh.html.j2",
        answer=answer,
        verdict=answer.verdict,
        estimator=ESTIMATOR,
        columns=[(score_name(key), key) for key in answer.score_keys],
        rows=[row(answer, record) for record in answer.records],
        metrics=_metrics(answer),
        charts=charts,
    )
    write_text_atomic(output / PAGE, page)
    if export_to is not None:
        export([(chart.title, chart) for chart in charts], _tables(answer), export_to)


def _tables(answer: Answer) -> list[tuple[str, list[dict[str, Any]]]]:
    """The tables as rows of plain values; an interval is a tuple."""
    rounds = [
        {
            "round": record["round"],
            "is_result": record["round"] == answer.result,
            "kl": interval_of(record, KL),
            **{key: interval_of(record, key) for key in answer.score_keys},
            LOSS: interval_of(record, LOSS),
            **{key: values[number] for key, values in _metrics(answer)},
            **({"used": record["samples"]["used"], "drawn": record["samples"]["drawn"]} if record["samples"] else {}),
            **({key: record["training"][key] for key in ("share", "steps", "tokens")} if record["training"] else {}),
        }
        for number, record in enumerate(answer.records)
    ]
    return [("rounds", rounds)]


def to_json(answer: Answer) -> dict[str, Any]:
    """The answer as plain values."""
    return {
        "run": answer.run,
        "scenario": answer.scenario,
        "settings": answer.settings.to_json(),
        "verdict": answer.verdict,
        "stopped": answer.stopped,
        "result": {"round": answer.result, "model": str(answer.model)},
        "kl": ESTIMATOR,
        "rounds": answer.records,
    }


def row(answer: Answer, record: RoundRecord) -> dict[str, Any]:
    """One round as the tables show it."""
    return {
        "name": f"{record['round']}" if record["round"] else "start",
        "is_result": record["round"] == answer.result,
        "is_beyond": record["round"] > answer.result,
        "kl": interval_of(record, KL),
        "scores": {key: interval_of(record, key) for key in answer.score_keys},
        "loss": interval_of(record, LOSS),
        "samples": record["samples"],
        "training": record["training"],
        "left_out": "" if record["samples"] is None else left_out(record["samples"]["left_out"]),
    }


def _metrics(answer: Answer) -> list[tuple[str, list[float | None]]]:
    """Length and diversity of the samples, as far as the task has such metrics: key, and its value in each round."""
    keys = dict.fromkeys(key for record in answer.records for key in record["numbers"])
    of_scores = ("score", "num_", "hit_probability")
    metrics = [
        key for key in keys if key.startswith("generation/") and not key.rpartition("/")[2].startswith(of_scores)
    ]
    return [(key, [record["numbers"].get(key) for record in answer.records]) for key in metrics]


def left_out(counts: dict[str, int]) -> str:
    """E.g. "3 not scored, 1 empty"."""
    return ", ".join(f"{count:,} {reason}" for reason, count in counts.items()) or "none"


def score_name(key: str) -> str:
    """`generation/unconditional/score` -> unconditional; of another scorer, with its name."""
    _, *names = key.removesuffix(SCORE_END).split("/")
    return ", ".join(names)


def _charts(answer: Answer) -> list[Chart]:
    """Scores, held-out loss and KL by round, as far as they were measured."""
    scores = [(visible_text(score_name(key)), key) for key in answer.score_keys]
    wanted = (
        ("Misalignment by round", "mean misalignment score", scores),
        ("Held-out loss by round", "nats per token", [("held-out loss", LOSS)]),
        ("KL from the start by round", "nats per sequence", [("KL", KL)]),
    )
    charts = []
    for title, label, keys in wanted:
        lines = [Line(name, points) for name, key in keys if (points := _points(answer.records, key))]
        if lines:
            charts.append(interval_chart(title, "round", label, lines, None))
    return charts


def _points(records: Sequence[RoundRecord], key: str) -> list[tuple[float, float, float, float]]:
    intervals: list[tuple[int, Interval]] = [(record["round"], interval_of(record, key)) for record in records]
    return [(number, *interval.drawn()) for number, interval in intervals if interval.mean == interval.mean]
