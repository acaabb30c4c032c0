"""Everything that depends on the device, one script after another: training, the head, the scorers.

    python benchmarks/measure_all.py --device cuda --write --output measured
    python benchmarks/measure_all.py --device cpu --small --output /tmp/measured    # to check that everything runs, in minutes

What each script prints is kept in the folder, with the measurements of `train.py` as JSON. With `--write` the tables in
benchmarks/README.md and docs/scaling.md are replaced. A script that fails does not keep the others from running.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import torch

HERE = Path(__file__).parent
TINY_SHAPE = [
    "--layers",
    "2",
    "--width",
    "64",
    "--batch-size",
    "2",
    "--seq-length",
    "128",
    "--rounds",
    "1",
    "--steps",
    "1",
]


def commands(device: str, small: bool, write: bool, trl: str | None, output: Path) -> dict[str, list[str]]:
    """Name -> script and arguments."""
    training = ["train.py", "--device", device, *(["--trl", trl] if trl else []), *(TINY_SHAPE if small else [])]
    scorers = ["rates.py", "--on", "gpu" if device == "cuda" else "core"]
    scorers += ["--seconds", "1", "--only", "PEP8Scorer", "ClassifierScorer"] if small else []
    written = ["--write"] if write else []
    of_scripts = {
        "train": [*training, *written, "--json", str(output / "train.json")],
        "head": ["head.py", "--device", device, *(["--rounds", "1"] if small else [])],
        "rates": [*scorers, *written],
    }
    if device == "cpu":
        name = "train-vocabulary-2048"
        of_scripts[name] = [*training, *written, "--vocabulary", "2048", "--json", str(output / f"{name}.json")]
    return of_scripts


def run(name: str, command: list[str], output: Path) -> bool:
    """Whether the script succeeded; what it says is shown and kept."""
    print(f"\n== {' '.join(command)}", flush=True)
    process = subprocess.Popen(
        [sys.executable, str(HERE / command[0]), *command[1:]],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    with (output / f"{name}.txt").open("w", encoding="utf-8") as file:
        for line in process.stdout:
            print(line, end="", flush=True)
            file.write(line)
    return process.wait() == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--output", type=Path, required=True, help="folder for the scripts' output")
    parser.add_argument("--trl", help="Python of an environment that has TRL")
    parser.add_argument(
        "--small", action="store_true", help="tiny models and short measurements, to check that everything runs"
    )
    parser.add_argument("--write", action="store_true", help="replace the tables in the documents")
    arguments = parser.parse_args()
    if arguments.small and arguments.write:
        parser.error("--small measures nothing worth writing")
    arguments.output.mkdir(parents=True, exist_ok=True)
    jobs = commands(arguments.device, arguments.small, arguments.write, arguments.trl, arguments.output)
    failed = [name for name, command in jobs.items() if not run(name, command, arguments.output)]
    print(f"\nIn {arguments.output}: {', '.join(jobs)}." + (f" Failed: {', '.join(failed)}." if failed else ""))
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
