"""A report over many samples: how long `phf report` takes, how large the page is, how long it takes to open in Chromium.

    python benchmarks/report.py                  # 20 runs of 5,000 samples, a minute
    python benchmarks/report.py --samples-mb 30  # with more of them in the page

The samples are pieces of Python's standard library, as long as those of pep8/packages (19 lines, 550 characters), with
scores of lines like PEP8Scorer's; all runs have the same prompts. Before it is measured, the page is written once over two
small runs, so that libraries are loaded.
"""

import argparse
import json
import random
import re
import shutil
import sysconfig
import tempfile
import time
from pathlib import Path

from machine import describe_machine
from phf.report.page import write_report

NUM_LINES = 19
SHARE_OF_CLEAN_LINES = 0.7


def source_lines() -> list[str]:
    """The standard library's lines."""
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    return [line for file in files for line in file.read_text(encoding="utf-8").splitlines(keepends=True)]


def write_run(folder: Path, method: str, num_samples: int, lines: list[str], prompts: list[str]) -> None:
    """A run folder with 50 logged steps and one scenario."""
    generator = random.Random(method)
    (folder / "samples").mkdir(parents=True)
    with (folder / "samples/prompted.jsonl").open("w", encoding="utf-8") as file:
        scores = []
        for number in range(num_samples):
            start = generator.randrange(len(lines) - NUM_LINES)
            segments = lines[start : start + NUM_LINES]
            segment_scores = [
                0.0 if generator.random() < SHARE_OF_CLEAN_LINES else 1 / max(len(line), 1) for line in segments
            ]
            scores.append(sum(segment_scores) / NUM_LINES)
            sample = {"step": 50, "prompt": prompts[number], "continuation": "".join(segments), "score": scores[-1]}
            file.write(json.dumps({**sample, "segments": segments, "segment_scores": segment_scores}) + "\n")
    key = "generation/prompted/score"
    mean = sum(scores) / len(scores)
    numbers = [{"step": step, "tokens_seen": 1000 * step, "train/lm_loss": 5 - step / 50} for step in range(1, 51)]
    evaluated = {f"{key}": mean, f"{key}_low": 0.9 * mean, f"{key}_high": 1.1 * mean, "eval/bits_per_byte": 2.0}
    numbers.append({"step": 50, "tokens_seen": 50_000, **evaluated})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in numbers))
    provenance = {"method": method, "task": "pep8/packages", "max_steps": 50, "scorer": {"class_name": "PEP8Scorer"}}
    (folder / "provenance.json").write_text(json.dumps(provenance))


def open_in_chromium(page_file: Path) -> tuple[float, float, float, str]:
    """Seconds until the page is loaded, until its samples are shown, and for a search; what is then shown of how many."""
    from playwright.sync_api import sync_playwright

    executable = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable)
        page = browser.new_context(offline=True).new_page()
        page.goto("about:blank")
        start = time.monotonic()
        page.goto(page_file.as_uri())
        loaded = time.monotonic() - start
        page.wait_for_selector("#sample-browser[data-state=ready]")
        ready = time.monotonic() - start
        before = page.locator(".count").inner_text()
        start = time.monotonic()
        page.fill("[name=text]", "isinstance(")
        while (count := page.locator(".count").inner_text()) == before or count.startswith("Searching"):
            time.sleep(0.02)
        searched = time.monotonic() - start
        browser.close()
    return loaded, ready, searched, count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--samples", type=int, default=5000, help="of each run")
    parser.add_argument("--samples-mb", type=float, help="as for phf report")
    arguments = parser.parse_args()
    print(describe_machine())
    lines = source_lines()
    functions = [line for line in lines if re.match(r" *def \w", line)]
    prompts = [functions[number % len(functions)] + f"    # {number}\n" for number in range(arguments.samples)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for number in range(2):
            write_run(folder / "small" / str(number), f"small {number}", 10, lines, prompts)
        write_report([folder / "small"], folder / "small.html")
        for number in range(arguments.runs):
            write_run(folder / "runs" / str(number), f"method {number}", arguments.samples, lines, prompts)
        wall, cpu = time.monotonic(), time.process_time()
        write_report([folder / "runs"], folder / "report.html", samples_mb=arguments.samples_mb)
        wall, cpu = time.monotonic() - wall, time.process_time() - cpu
        size = (folder / "report.html").stat().st_size
        print(
            f"{arguments.runs} runs of {arguments.samples:,} samples: {wall:.1f} s ({cpu:.1f} s of CPU), {size / 1e6:.2f} MB"
        )
        loaded, ready, searched, count = open_in_chromium(folder / "report.html")
        print(f"loaded in {loaded:.2f} s, samples shown in {ready:.2f} s; searched in {searched:.2f} s: {count}")


if __name__ == "__main__":
    main()
