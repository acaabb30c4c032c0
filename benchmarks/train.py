"""Training side by side: a plain Trainer, TRL's packing trainer, and `phf` with every objective, in alternating rounds.

    python benchmarks/train.py                      # on the CPU; about ten minutes on two idle cores
    python benchmarks/train.py --vocabulary 2048    # the quickstart's vocabulary
    python benchmarks/train.py --device cuda        # GPT-2 small; a few minutes
    python benchmarks/train.py --only conditional quantiles masking hiding two-preferences on-change before-document
    python -m venv /tmp/trl && /tmp/trl/bin/pip install torch==2.13.0 trl
    python benchmarks/train.py --trl /tmp/trl/bin/python

All train the same GPT-2 on the same random text. "plain" is what one would write with transformers: `GPT2LMHeadModel`, the
blocks as a dataset, and `Trainer` with its defaults; "trl" is `SFTTrainer` with packing, in its own environment. The others
are `phf train` with its shipped methods, which choose everything by themselves except precision.

Each contender is a separate process, or several (`--processes`), in which training pauses at the end of steps: in each round
each contender in turn makes one step and then the steps that are measured. Ratios are of one round; the table has their
median, smallest and largest. Peak memory is the largest resident size of a process or, on a GPU, of its tensors. "waiting" is
the share of time in which the loop waits for a batch. Finally `phf mle` runs alone, with a clock around the parts of its steps.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from machine import describe_machine
from tables import markdown_table, write_section
from train_contender import MEASURED
from train_task import BEYOND, METHODS, Shape, prepare

HERE = Path(__file__).parent
SMALL = {"num_layers": 4, "width": 256, "num_heads": 4, "batch_size": 4, "seq_length": 1024}
GPT2_VOCABULARY = 50_257
GPT2_SMALL = {"num_layers": 12, "width": 768, "num_heads": 12, "batch_size": 32, "seq_length": 1024}
NAMES = {"plain": "plain Trainer", "trl": "TRL SFTTrainer", **{method: f"phf {method}" for method in METHODS + BEYOND}}
CORPUS_TOKENS = {"cpu": 500_000, "cuda": 2_000_000}
STEPS = {"cpu": 3, "cuda": 20}
SECONDS_TO_END = 600
SPLIT_ROUNDS = 3

Case = tuple[str, str]
"""Contender and precision."""
AS_RELEASED: Case = ("plain", "fp16")
"""How the released system trained on a GPU."""


class Contender:
    """A process that trains when asked to."""

    def __init__(self, python: str, case: Case, work: Path, shape: Shape, device: str, split: bool = False) -> None:
        self.case = case
        self.log = Path(tempfile.mkstemp(".log", "-".join(case), work)[1])
        settings = {"contender": case[0], "precision": case[1], "work": str(work), "shape": asdict(shape)}
        settings["split"] = split
        hidden = {"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {}
        self.process = subprocess.Popen(
            [python, str(HERE / "train_contender.py"), json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log.open("w"),
            text=True,
            env={**os.environ, **hidden, "PHF_CACHE": str(work / "cache"), "TOKENIZERS_PARALLELISM": "false"},
        )
        self.start = self._read()

    def run(self, steps: int) -> dict[str, float]:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return self._read()

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(SECONDS_TO_END)

    def _read(self) -> dict[str, float]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.case} ended:\n" + "\n".join(self.log.read_text().splitlines()[-30:]))
        return json.loads(line)


def chosen_groups(arguments: argparse.Namespace) -> list[list[Case]]:
    """The cases that alternate: those of one precision."""
    chosen = arguments.only or [name for name in NAMES if name not in BEYOND]
    names = [name for name in NAMES if name in chosen and (name != "trl" or arguments.trl)]
    groups = [[(name, precision) for name in names] for precision in arguments.precision]
    if arguments.device == "cuda" and "plain" in names:
        groups[-1].append(AS_RELEASED)
    return groups


def measure(
    groups: list[list[Case]], arguments: argparse.Namespace, shape: Shape
) -> tuple[dict[Case, list[Any]], dict[str, list[Any]]]:
    """The rounds of each case, and those of `phf` MLE alone with the parts of its steps, by precision."""
    split: dict[str, list[Any]] = {}
    rounds: dict[Case, list[Any]] = {case: [] for cases in groups for case in cases}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        work = Path(folder)
        os.environ["PHF_CACHE"] = str(work / "cache")
        methods = [name for group in groups for name, _ in group if name in METHODS + BEYOND]
        prepare(work, shape, CORPUS_TOKENS[arguments.device], methods)
        for cases in groups:
            contenders = []
            for case in cases * arguments.processes:
                python = arguments.trl if case[0] == "trl" else sys.executable
                contenders.append(Contender(python, case, work, shape, arguments.device))
            for _ in range(arguments.rounds):
                measured = [(contender.case, contender.run(arguments.steps)) for contender in contenders]
                for case in cases:
                    rounds[case].append(together([one for of, one in measured if of == case]))
            for contender in contenders:
                contender.end()
            for case in cases:
                if case[0] == "mle":
                    alone = Contender(sys.executable, case, work, shape, arguments.device, split=True)
                    split[case[1]] = [alone.run(arguments.steps) for _ in range(SPLIT_ROUNDS)]
                    alone.end()
    return rounds, split


def together(measured: list[dict[str, Any]]) -> dict[str, Any]:
    """What the processes of one contender measured in a round, as one: their times added, the largest of their memory."""
    times = {name: sum(one[name] for one in measured) for name in MEASURED}
    return {**measured[0], **times, **{name: max(one[name] for one in measured) for name in ("resident", "gpu")}}


def summary(rounds: dict[Case, list[dict[str, float]]], shape: Shape, steps: int, clock: str) -> list[dict[str, Any]]:
    """A row for each case."""
    seconds = {case: [measurement[clock] for measurement in measured] for case, measured in rounds.items()}
    rows = []
    for (name, precision), measured in rounds.items():
        own = seconds[name, precision]

        def ratios(to: Case, own: list[float] = own) -> list[float] | None:
            """[median, smallest, largest] speed against `to`."""
            of_rounds = [b / a for a, b in zip(own, seconds.get(to, ()), strict=to in seconds)]
            return [statistics.median(of_rounds), min(of_rounds), max(of_rounds)] if of_rounds else None

        rows.append(
            {
                "contender": name,
                "precision": precision,
                "tokens_per_second": steps * shape.tokens_per_step / statistics.median(own),
                "speed_against_plain": ratios(("plain", precision)),
                "speed_against_mle": ratios(("mle", precision)),
                "speed_against_conditional": ratios(("conditional", precision)),
                "speed_against_released": ratios(AS_RELEASED),
                "peak_resident": max(each["resident"] for each in measured),
                "peak_gpu": max(each["gpu"] for each in measured),
                "waiting": sum(each["waited"] for each in measured) / sum(each["seconds"] for each in measured),
            }
        )
    return rows


def shares(rounds: list[Any]) -> dict[str, float]:
    """Part of a step -> its share of the seconds."""
    total = sum(each["seconds"] for each in rounds)
    part = {name: sum(each["parts"].get(name, 0.0) for each in rounds) / total for name in rounds[0]["parts"]}
    shown = {
        "waiting for data": sum(each["waited"] for each in rounds) / total,
        "trunk": part["trunk, forward"] + part["trunk, backward"],
        "head and loss": part["forward"] - part["trunk, forward"],
        "clipping": part["norm of the gradient"] + part.get("clipping", 0.0),
        "optimizer": part["optimizer"],
    }
    return {**shown, "the rest": 1 - sum(shown.values())}


def table_of_shares(split: dict[str, list[Any]]) -> str:
    columns = {precision: shares(rounds) for precision, rounds in split.items()}
    parts = list(next(iter(columns.values())))
    rows = [[part, *(f"{column[part]:.1%}" for column in columns.values())] for part in parts]
    return markdown_table(["part of a step of phf mle", *columns], rows)


def table(rows: list[dict[str, Any]]) -> str:
    def ratio(median_and_range: list[float] | None) -> str:
        return "" if median_and_range is None else "{:.2f} ({:.2f} to {:.2f})".format(*median_and_range)

    columns = {
        "contender": lambda row: NAMES[row["contender"]],
        "precision": lambda row: row["precision"],
        "tokens/s": lambda row: f"{row['tokens_per_second']:,.0f}",
        "speed against plain": lambda row: ratio(row["speed_against_plain"]),
        "against plain fp16": lambda row: ratio(row["speed_against_released"]),
        "against phf mle": lambda row: ratio(row["speed_against_mle"]) if row["contender"] in METHODS + BEYOND else "",
        "against phf conditional": lambda row: (
            ratio(row["speed_against_conditional"]) if row["contender"] in BEYOND else ""
        ),
        "peak memory": lambda row: f"{(row['peak_gpu'] or row['peak_resident']) / 2**30:.2f} GiB",
        "waiting": lambda row: f"{row['waiting']:.2%}",
    }
    cells = {name: [column(row) for row in rows] for name, column in columns.items()}
    cells = {name: column for name, column in cells.items() if any(column)}
    return markdown_table(list(cells), zip(*cells.values(), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", nargs="*", choices=["float32", "bf16"], help="default: both; on a GPU, bf16")
    parser.add_argument("--only", nargs="*", choices=list(NAMES), help="default: those of the paper")
    parser.add_argument("--trl", help="Python of an environment that has TRL")
    parser.add_argument("--vocabulary", type=int, default=GPT2_VOCABULARY)
    parser.add_argument("--layers", type=int)
    parser.add_argument("--width", type=int)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--seq-length", type=int)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, help="of each process in a round")
    parser.add_argument(
        "--processes", type=int, default=1, help="of each contender; two of the same differ by as much as 7%% on a CPU"
    )
    parser.add_argument(
        "--clock", choices=["wall", "cpu"], default="wall", help="cpu: where others use the machine too"
    )
    parser.add_argument("--json", type=Path, help="write all measurements here")
    parser.add_argument(
        "--write", action="store_true", help="put the tables into benchmarks/README.md and docs/scaling.md"
    )
    arguments = parser.parse_args()
    on_gpu = arguments.device == "cuda"
    arguments.precision = arguments.precision or (["bf16"] if on_gpu else ["float32", "bf16"])
    arguments.steps = arguments.steps or STEPS[arguments.device]
    given = {
        "num_layers": arguments.layers,
        "width": arguments.width,
        "num_heads": arguments.width and max(1, arguments.width // 64),
        "batch_size": arguments.batch_size,
        "seq_length": arguments.seq_length,
    }
    size = {**(GPT2_SMALL if on_gpu else SMALL), **{key: value for key, value in given.items() if value}}
    shape = Shape(**size, vocabulary=arguments.vocabulary, dropout=arguments.dropout)
    started = time.perf_counter()
    machine = describe_machine()
    print(f"{machine}\n{shape}", flush=True)
    if arguments.trl is None:
        print("TRL is left out: --trl PYTHON names an environment that has it.", flush=True)
    else:
        show = "from importlib.metadata import version as v; print('TRL', v('trl'), 'with transformers', v('transformers'))"
        versions = subprocess.run(
            [arguments.trl, "-c", show], capture_output=True, text=True, check=True
        ).stdout.strip()
        machine += f"; {versions}"
    rounds, split = measure(chosen_groups(arguments), arguments, shape)
    clock = "seconds" if arguments.clock == "wall" else "cpu_seconds"
    rows = summary(rounds, shape, arguments.steps * arguments.processes, clock)
    each = f" in each of {arguments.processes} processes" if arguments.processes > 1 else ""
    about = (
        f"{machine}. GPT-2 of {shape.num_layers} layers x {shape.width}, vocabulary {shape.vocabulary:,}, "
        f"{shape.batch_size} x {shape.seq_length:,} tokens per step, dropout {shape.dropout:g}; medians of {arguments.rounds} "
        f"alternating rounds of {arguments.steps} steps{each} (smallest and largest in brackets), {arguments.clock} time."
    )
    parts = table_of_shares(split) if split else ""
    print(f"\n{table(rows)}\n\n{parts}\n\n{about}\nMeasured in {time.perf_counter() - started:.0f} s.")
    if arguments.json is not None:
        measured = [{"contender": name, "precision": precision, "rounds": r} for (name, precision), r in rounds.items()]
        results = {
            "machine": machine,
            "shape": asdict(shape),
            "steps": arguments.steps,
            "rows": rows,
            "rounds": measured,
        }
        results |= {"split": {precision: shares(r) for precision, r in split.items()}}
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    if arguments.write:
        beyond = " beyond" if any(row["contender"] in BEYOND for row in rows) else ""
        key = f"train.py{beyond} {arguments.device} {shape.vocabulary}"
        write_section(HERE / "README.md", key, f"{table(rows)}\n\n{about}")
        if parts and shape.vocabulary == GPT2_VOCABULARY:
            write_section(HERE.parent / "docs/scaling.md", f"train.py split {arguments.device}", f"{parts}\n\n{about}")


if __name__ == "__main__":
    main()
