"""What studies found, as tables, sentences and figures of docs/results.md.

    python benchmarks/results.py runs/objectives-pii-emails-tiny [more folders of studies] [--write] [--page docs/beyond.md]

Reads `study.json` of each folder, by whichever version of phf it was written; trains and measures nothing. `--write` puts the
text between the markers of the study into docs/results.md, or into another page of docs/ (a study without markers is appended),
its figures into docs/results/ as SVG, drawn by the code that draws them on the page of the study, and its `study.json` next to
them.
"""

import argparse
import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

from phf.report.charts import Chart
from phf.report.svg import standalone
from phf.statistics import Interval
from phf.study.analyse import ArmResult, TaskResult
from phf.study.attacks import AttackedArm, AttackedTask
from phf.study.gap import GapResult, ScoredTwice
from phf.study.page import charts_of
from tables import markdown_table, write_section

PAGE = Path(__file__).parents[1] / "docs/results.md"
FIGURES = PAGE.with_suffix("")
METRICS = {"distinct-2-grams": "distinct 2-grams", "Self-BLEU-5": "Self-BLEU-5", "compilability": "compiles"}
"""Columns for the metrics of the samples that are shown, if the study has them."""
HELD_OUT = "Held-out against trained-on score"
FROM_START = re.compile(r"-from-[0-9.]+$")
"""End of the name of an arm with a switch."""


def interval(value: dict[str, float | None], digits: int = 4) -> str:
    """0.0123 (0.0111 to 0.0135)."""
    mean, low, high = value["mean"], value["low"], value["high"]
    if mean is None:
        return "not measured"
    bounds = "" if low is None or high is None else f" ({low:.{digits}f} to {high:.{digits}f})"
    return f"{mean:.{digits}f}{bounds}"


def percent(value: dict[str, float | None]) -> str:
    mean, low, high = value["mean"], value["low"], value["high"]
    if mean is None:
        return ""
    return f"{mean:+.1f}%" + ("" if low is None or high is None else f" ({low:+.1f}% to {high:+.1f}%)")


def table(task: dict[str, Any]) -> str:
    """One row for each method: score, held-out loss, its difference from the baseline, what the samples are like."""
    against = {
        pair["second"]: pair["bits_per_byte_percent"] for pair in task["pairs"] if pair["first"] == task["baseline"]
    }
    shown = [key for key in METRICS if any(key in arm["metrics"] for arm in task["arms"])]
    header = ["method", "seeds", "score (95% interval)", "held-out bits per byte", f"against {task['baseline']}"]
    rows = [
        [
            f"`{arm['name']}`",
            str(len(arm["seeds"])),
            interval(arm["score"]),
            interval(arm["bits_per_byte"], 3),
            percent(against[arm["name"]]) if arm["name"] in against else "",
            *(interval(arm["metrics"][key], 2) if key in arm["metrics"] else "" for key in shown),
            ", ".join(arm["dominated_by"]),
        ]
        for arm in task["arms"]
    ]
    return markdown_table([*header, *(METRICS[key] for key in shown), "dominated by"], rows)


def distinct(value: Any) -> list[Any]:
    """A fact of the runs: one value, or those in which they differ."""
    return value if isinstance(value, list) else [] if value is None else [value]


def made_with(facts: dict[str, Any]) -> str:
    """Tokens, parameters, machines and versions of the runs of a study."""
    machines = [
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']:.0f} GiB, {', '.join(machine['gpus']) or 'no GPU'}"
        for machine in distinct(facts["hardware"])
    ]
    parameters = " or ".join(f"{number:,}" for number in distinct(facts.get("num parameters")))
    pythons = " or ".join(distinct(facts.get("python")))
    libraries = distinct(facts.get("versions"))[:1]
    names = [f"{name} {libraries[0][name]}" for name in ("torch", "transformers") if libraries and name in libraries[0]]
    return (
        f"{facts['tokens of each run']} tokens each, {parameters} parameters; {'; '.join(machines)}; "
        f"{', '.join([f'Python {pythons}', *names])}."
    )


def attack_table(attack: dict[str, Any]) -> str:
    """One row for each method: the best prompt of the pool, of the first and the last round, and the whole pool."""
    last = attack["num_rounds"]
    header = [
        "method",
        "seeds",
        "initial prompts",
        "round 1",
        f"round {last}",
        "gain of the search",
        "all prompts tried",
    ]
    rows = [
        [
            f"`{arm['name']}`",
            str(len(arm["seeds"])),
            *(interval(arm["rounds"][number]) for number in (0, 1, last)),
            interval(arm["gain"]),
            interval(arm["pool"]),
        ]
        for arm in attack["arms"]
    ]
    return markdown_table(header, rows)


def held_out_table(result: dict[str, Any]) -> str:
    """One row for each method: its score by the scorer that was trained on and by the held-out one, and the gap."""
    gaps = {gap["second"]: gap for gap in result["gaps"]}
    header = ["method", "seeds", f"{result['trained_on']}", f"{result['held_out']} (held out)", "gap", "verdict"]
    rows = [
        [
            f"`{arm['name']}`",
            str(len(arm["seeds"])),
            interval(arm["trained_on_score"]),
            interval(arm["held_out_score"]),
            interval(gaps[arm["name"]]["gap"], 2) if arm["name"] in gaps else "",
            gaps[arm["name"]]["verdict"] if arm["name"] in gaps else "",
        ]
        for arm in result["arms"]
    ]
    return markdown_table(header, rows)


def known(value: dict[str, float | None]) -> Interval:
    """An interval of `study.json`; NaN for what is not known."""
    return Interval(*(math.nan if value[key] is None else value[key] for key in ("mean", "low", "high")))


def drawn(answer: dict[str, Any]) -> list[Chart]:
    """The charts of the page, from what `study.json` has of the values in them."""
    results = [
        TaskResult(task["task"], task["scenario"], task["baseline"], [arm_of(arm) for arm in task["arms"]], [])
        for task in answer["tasks"]
    ]
    gaps = [
        GapResult(
            *(gap[key] for key in ("task", "scenario", "baseline", "trained_on", "held_out")),
            [
                ScoredTwice(
                    arm["name"], arm["seeds"], [], [], known(arm["trained_on_score"]), known(arm["held_out_score"])
                )
                for arm in gap["arms"]
            ],
            [],
        )
        for gap in answer.get("held_out_scorers", [])
    ]
    attacks = [
        AttackedTask(
            attack["task"],
            attack["baseline"],
            [
                AttackedArm(
                    arm["name"],
                    arm["seeds"],
                    [],
                    [known(one) for one in arm["rounds"]],
                    known(arm["gain"]),
                    known(arm["pool"]),
                )
                for arm in attack["arms"]
            ],
            [],
        )
        for attack in answer["redteam"]
    ]
    return charts_of(results, gaps, attacks)


def arm_of(arm: dict[str, Any]) -> ArmResult:
    """One arm of `study.json`, without its samples."""
    return ArmResult(
        name=arm["name"],
        seeds=arm["seeds"],
        scores=[],
        score=known(arm["score"]),
        bits=arm["bits_per_byte_of_seeds"],
        bits_per_byte=known(arm["bits_per_byte"]),
        measures={},
        metrics={},
        thresholds=arm["thresholds"],
        switch_point=arm["switch_point"],
        from_start=FROM_START.sub("", arm["name"]) if arm["switch_point"] else arm["name"],
        dominated_by=arm["dominated_by"],
    )


def section(folder: Path, figures: dict[str, str]) -> str:
    """The text of one study. `figures`: title of a figure -> its file."""
    answer = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    parts = [
        f"{answer['num_runs'] - len(answer['missing'])} of {answer['num_runs']} runs; {made_with(answer['facts'])}"
    ]
    measured = [
        *((f"{task['task']}, {task['scenario']}", task, table(task)) for task in answer["tasks"]),
        *((f"Red team: {attack['task']}", attack, attack_table(attack)) for attack in answer["redteam"]),
        *(
            (f"{HELD_OUT}: {result['task']}, {result['scenario']}", result, held_out_table(result))
            for result in answer.get("held_out_scorers", [])
        ),
    ]
    for title, part, rows in measured:
        drawn = [
            f"![{name}]({FIGURES.name}/{file})"
            for name, file in figures.items()
            if name.endswith(title) and name.startswith(HELD_OUT) == title.startswith(HELD_OUT)
        ]
        claims = [*part.get("switch_claims", []), *part["claims"]]
        parts += [f"**{title}**", *drawn, rows, "\n".join(f"- {claim}" for claim in claims)]
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    for folder in options.folders:
        charts = drawn(json.loads((folder / "study.json").read_text(encoding="utf-8")))
        figures = {chart.title: f"{folder.name}-{index}.svg" for index, chart in enumerate(charts, 1)}
        text = section(folder, figures)
        print(text)
        if options.write:
            FIGURES.mkdir(exist_ok=True)
            for name, chart in zip(figures.values(), charts, strict=True):
                (FIGURES / name).write_text(standalone(chart, follows_colours=True), encoding="utf-8")
            shutil.copyfile(folder / "study.json", FIGURES / f"{folder.name}.json")
            write_section(options.page, f"results.py {folder.name}", text)


if __name__ == "__main__":
    main()
