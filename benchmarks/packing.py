"""Packing into token blocks against the plain way: encode each segment, extend Python lists; alternating in one run.

    python benchmarks/packing.py [--rounds 5] [--vocab-size 32768]

The corpus is the Python standard library, scored by `PEP8Scorer` (once, before anything is timed), with a control token
before each line; the tokenizer is a byte-level BPE trained on it. Every way starts from the annotated dataset on disk:

"plain" is one loop over documents and segments that calls the tokenizer and extends two lists, then cuts them.
"build" is `build_blocks` into an empty cache, files on the disk included. "open" is `build_blocks` again, which finds
the cache; "open and read" reads every block after that. All hold the same ids and scores, which is asserted.
Peak memory is the largest resident size of a fresh process, above that of one that only loads the tokenizer.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from phf.tokens.blocks import TokenBlocks, build_blocks, read_sources
from phf.tokens.packing import Conditioning, PackingConfig
from rich.console import Console
from rich.table import Table
from transformers import AutoTokenizer

from machine import describe_machine, measure_peak
from phf.annotate.cache import ensure_annotated
from phf.tokens.tokenizer import prepare_tokenizer, train_tokenizer

CONTROL_TOKENS = ("<|aligned|>", "<|misaligned|>")
SEQ_LENGTH = 1024
Blocks = tuple[np.ndarray, np.ndarray]
"""ids and scores, each [num_blocks, SEQ_LENGTH]"""


@dataclass(frozen=True)
class Job:
    """What is packed, by paths, so that it can be sent to another process."""

    source: str
    tokenizer_dir: Path
    cache_dir: Path

    def tokenizer(self):
        return AutoTokenizer.from_pretrained(self.tokenizer_dir)


def pack_plainly(job: Job, tokenizer) -> Blocks:
    aligned, misaligned = tokenizer.convert_tokens_to_ids(CONTROL_TOKENS)
    all_ids, all_scores = [], []
    for document in read_sources([job.source], "scores"):
        for index, (text, score) in enumerate(zip(document.texts, document.scores, strict=True)):
            ids = [tokenizer.eos_token_id] if index == 0 else []
            if score is not None:
                ids.append(aligned if score <= 0 else misaligned)
            ids.extend(tokenizer(text).input_ids)
            all_ids.extend(ids)
            all_scores.extend([score] * len(ids))
    end = len(all_ids) - len(all_ids) % SEQ_LENGTH
    ids = np.array([all_ids[start : start + SEQ_LENGTH] for start in range(0, end, SEQ_LENGTH)])
    scores = np.array([all_scores[start : start + SEQ_LENGTH] for start in range(0, end, SEQ_LENGTH)], np.float32)
    return ids, scores


def packing_config(tokenizer) -> PackingConfig:
    aligned, misaligned = tokenizer.convert_tokens_to_ids(CONTROL_TOKENS)
    return PackingConfig(
        seq_length=SEQ_LENGTH, conditioning=Conditioning(threshold=0.0, aligned_id=aligned, misaligned_id=misaligned)
    )


def build(job: Job, tokenizer) -> TokenBlocks:
    with tempfile.TemporaryDirectory(dir=job.cache_dir) as empty:
        return build_blocks([job.source], tokenizer, packing_config(tokenizer), Path(empty))


def open_cached(job: Job, tokenizer) -> TokenBlocks:
    return build_blocks([job.source], tokenizer, packing_config(tokenizer), job.cache_dir)


def open_and_read(job: Job, tokenizer) -> Blocks:
    blocks = open_cached(job, tokenizer)
    ids, scores = zip(*(blocks.block(index) for index in range(len(blocks))), strict=True)
    return np.stack(ids), np.stack(scores)


WAYS: dict[str, Callable] = {
    "plain": pack_plainly,
    "build": build,
    "open": open_cached,
    "open and read": open_and_read,
}


def run_alone(way: str, job: Job) -> None:
    """One way from the start, for the peak memory of a process that does nothing else."""
    tokenizer = job.tokenizer()
    if way != "nothing":
        WAYS[way](job, tokenizer)


def prepare(folder: Path, vocab_size: int) -> Job:
    """Annotate, train and save the tokenizer, fill the cache that is opened."""
    source = ensure_annotated(
        "python-stdlib", {"class_name": "PEP8Scorer"}, None, workers=os.cpu_count() or 1, announce=print
    )
    texts = ("".join(document.texts) for document in read_sources([source], "scores"))
    prepare_tokenizer(train_tokenizer(texts, vocab_size), CONTROL_TOKENS).save_pretrained(folder / "tokenizer")
    job = Job(source, folder / "tokenizer", folder / "cache")
    open_cached(job, job.tokenizer())
    return job


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--vocab-size", type=int, default=32_768)
    arguments = parser.parse_args()
    console = Console()
    console.print(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        job = prepare(Path(folder), arguments.vocab_size)
        nothing = measure_peak(run_alone, "nothing", job)
        peaks = {way: measure_peak(run_alone, way, job) - nothing for way in WAYS}
        tokenizer = job.tokenizer()
        expected, found = pack_plainly(job, tokenizer), open_and_read(job, tokenizer)
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])
        num_tokens = expected[0].size
        del expected, found
        seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(arguments.rounds):
            for way, function in WAYS.items():
                start = time.perf_counter()
                function(job, tokenizer)
                seconds[way].append(time.perf_counter() - start)
    table = Table("way", "seconds", "tokens/s", "speed", "MiB above nothing")
    for way in WAYS:
        median = statistics.median(seconds[way])
        ratio = statistics.median(a / b for a, b in zip(seconds["plain"], seconds[way], strict=True))
        table.add_row(
            way, f"{median:.3f}", f"{num_tokens / median:,.0f}", f"{ratio:,.1f}x", f"{peaks[way] / 2**20:,.0f}"
        )
    table.caption = f"{num_tokens:,} tokens; speed against 'plain'; medians of {arguments.rounds} alternating rounds"
    console.print(table)


if __name__ == "__main__":
    main()
