"""The token store: building it, opening views of it and reading their blocks; alternating rounds in one run.

    python benchmarks/packing.py [--rounds 5] [--vocab-size 32768] [--copies 8] [--tokens 100000000]

The corpus is the Python standard library, `--copies` times, scored by `PEP8Scorer` (once, before anything is timed), with a
control token before each line; the tokenizer is a byte-level BPE trained on it. Every way starts from the annotated dataset:

"plain" is one loop over documents and segments that calls the tokenizer and extends two lists, then cuts them.
"blocks" is how blocks were made before there was a store: documents are encoded, packed, cut and written, 6 bytes per token,
for one method, seed and length. "store" builds the store in one process or in two; all files on the disk included.

A view of the store holds the ids and scores of the plain way, which is asserted. Then a store of `--tokens` tokens is made of
copies of this one, and views of it are opened: another threshold, seed, held-out share and length of blocks, control tokens
dropped in all of them. Blocks are read in random order by one process. Bars: views open in under 2 s and write nothing, 5
million tokens per second are read, a token takes at most 3 bytes, two processes build 1.8 times as fast as one.
Peak memory is the largest resident size of a fresh process, above that of one that only loads the tokenizer, and that of
the processes that it starts.
"""

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from transformers import AutoTokenizer

from machine import describe_machine, measure_peak
from phf.annotate.cache import ensure_annotated
from phf.corpus.dataset import in_batches
from phf.feedback.conditioning import ScoreThresholds
from phf.feedback.control_tokens import ControlTokens
from phf.feedback.method import Method
from phf.tokens.building import build_store
from phf.tokens.cutting import cut_into_blocks, pack
from phf.tokens.encoded import Encoder, document_key, split_hash
from phf.tokens.pieces import Corpus, read_sources
from phf.tokens.store import META, TokenStore
from phf.tokens.text_tokenizer import TextTokenizer
from phf.tokens.tokenizer import prepare_tokenizer, train_tokenizer
from phf.tokens.view_settings import ViewSettings
from phf.tokens.views import Blocks

CONTROL_TOKENS = ControlTokens(("<|aligned|>", "<|misaligned|>"))
SEQ_LENGTH = 1024
NUM_READS = 5000


@dataclass(frozen=True)
class Job:
    """What is packed, by paths, so that it can be sent to another process."""

    source: str
    tokenizer_dir: Path
    work_dir: Path

    def tokenizer(self):
        return AutoTokenizer.from_pretrained(self.tokenizer_dir)


def settings_for(tokenizer, drop: float = 0.0) -> ViewSettings:
    method = Method(conditioning=ScoreThresholds([0.0]), control_tokens=CONTROL_TOKENS, drop_token_fraction=drop)
    control_ids = tuple(CONTROL_TOKENS.ids(tokenizer))
    return ViewSettings(
        opening=(tokenizer.eos_token_id,), method=method, control_ids=control_ids, seq_length=SEQ_LENGTH
    )


def pack_plainly(job: Job, tokenizer) -> tuple[np.ndarray, np.ndarray]:
    aligned, misaligned = CONTROL_TOKENS.ids(tokenizer)
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


def make_blocks(job: Job, tokenizer) -> None:
    """As before there was a store."""
    encoder = Encoder(tokenizer, "segments")
    encoded = (encoder.encode(batch) for batch in in_batches(read_sources([job.source], "scores")))
    with (
        tempfile.TemporaryDirectory(dir=job.work_dir) as folder,
        Path(folder, "ids.bin").open("wb") as ids_file,
        Path(folder, "scores.bin").open("wb") as scores_file,
    ):
        for ids, scores, *_ in cut_into_blocks(pack(encoded, settings_for(tokenizer)), SEQ_LENGTH):
            ids_file.write(ids.astype(np.uint16).data)
            scores_file.write(scores.data)
        for file in (ids_file, scores_file):
            file.flush()
            os.fsync(file.fileno())


def build_with(processes: int) -> Callable[[Job, object], None]:
    def build(job: Job, tokenizer) -> None:
        with tempfile.TemporaryDirectory(dir=job.work_dir) as empty:
            build_store(corpus_of(job, tokenizer), Path(empty) / "tokens", processes=processes)

    return build


def corpus_of(job: Job, tokenizer) -> Corpus:
    return Corpus((job.source,), "scores", TextTokenizer.of(tokenizer), "segments")


WAYS: dict[str, Callable] = {
    "plain": pack_plainly,
    "blocks": make_blocks,
    "store, one process": build_with(1),
    "store, two processes": build_with(2),
}


def run_alone(way: str, job: Job) -> None:
    """One way from the start, for the peak memory of a process that does nothing else."""
    tokenizer = job.tokenizer()
    if way != "nothing":
        WAYS[way](job, tokenizer)


def prepare(folder: Path, vocab_size: int, copies: int) -> Job:
    """Annotate and copy the corpus, train and save the tokenizer."""
    annotated = Path(
        ensure_annotated(
            "python-stdlib", {"class_name": "PEP8Scorer"}, None, workers=os.cpu_count() or 1, announce=print
        )
    )
    texts = ("".join(document.texts) for document in read_sources([str(annotated)], "scores"))
    prepare_tokenizer(train_tokenizer(texts, vocab_size), CONTROL_TOKENS).save_pretrained(folder / "tokenizer")
    (folder / "corpus").mkdir()
    for copy in range(copies):
        for shard in sorted(annotated.glob("*.parquet")):
            shutil.copy(shard, folder / "corpus" / f"{copy:03d}-{shard.name}")
    (folder / "work").mkdir()
    return Job(str(folder / "corpus"), folder / "tokenizer", folder / "work")


def enlarge(store: TokenStore, folder: Path, num_tokens: int) -> TokenStore:
    """A store with copies of all documents of another one, under ids of their own."""
    copies = -(-num_tokens // store.meta["num_tokens"])
    folder.mkdir()
    for path in store.folder.glob("*.bin"):
        if not path.name.startswith("document"):
            content = path.read_bytes()
            with (folder / path.name).open("wb") as file:
                for _ in range(copies):
                    file.write(content)
    names = store.document_ids(range(len(store.documents)))
    with (folder / "documents.bin").open("wb") as rows_file, (folder / "document_ids.bin").open("wb") as ids_file:
        for copy in range(copies):
            ids = [f"{copy}/{name}" for name in names]
            rows = store.documents.copy()
            rows["key"] = [document_key(name) for name in ids]
            rows["split_hash"] = [split_hash(name) for name in ids]
            rows["id_bytes"] = [len(name.encode()) for name in ids]
            rows_file.write(rows.tobytes())
            ids_file.write("".join(ids).encode())
    meta = {**store.meta}
    for name in ("num_tokens", "num_segments", "num_documents"):
        meta[name] *= copies
    (folder / META).write_text(json.dumps(meta))
    return TokenStore(folder)


def measure_views(store: TokenStore, settings: ViewSettings, rounds: int, console: Console) -> None:
    views = {
        "another threshold": replace(settings, method=replace(settings.method, conditioning=ScoreThresholds([0.01]))),
        "another seed": replace(settings, seed=7),
        "another held-out share": replace(settings, eval_fraction=0.05),
        "another length of blocks": replace(settings, seq_length=2048),
    }
    before = {path.name: path.stat().st_size for path in store.folder.iterdir()}
    seconds: dict[str, list[float]] = {name: [] for name in [*views, "read"]}
    for number in range(rounds):
        for name, view in views.items():
            start = time.perf_counter()
            blocks = Blocks(store.folder, view)
            num_blocks = len(blocks)
            blocks[0]
            seconds[name].append(time.perf_counter() - start)
        blocks = Blocks(store.folder, settings)
        chosen = np.random.default_rng(number).integers(len(blocks), size=NUM_READS).tolist()
        blocks[0]
        start = time.perf_counter()
        for index in chosen:
            blocks[index]
        seconds["read"].append(time.perf_counter() - start)
    assert {path.name: path.stat().st_size for path in store.folder.iterdir()} == before, "a view wrote something"
    table = Table("view", "seconds to open")
    for name in views:
        table.add_row(name, f"{statistics.median(seconds[name]):.2f}")
    speed = NUM_READS * SEQ_LENGTH / statistics.median(seconds["read"])
    num_bytes = sum(before.values())
    num_tokens, num_segments = store.meta["num_tokens"], store.meta["num_segments"]
    table.caption = (
        f"a store of {num_tokens:,} tokens; nothing is written; {num_bytes / num_tokens:.2f} bytes per token at "
        f"{num_tokens / num_segments:.1f} tokens per segment; {speed / 1e6:.1f} million tokens per second are read in random "
        f"order ({num_blocks:,} blocks); medians of {rounds} alternating rounds"
    )
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--vocab-size", type=int, default=32_768)
    parser.add_argument("--copies", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=100_000_000)
    arguments = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # a process is a core
    console = Console()
    console.print(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        job = prepare(Path(folder), arguments.vocab_size, arguments.copies)
        nothing = measure_peak(run_alone, "nothing", job)
        peaks = {way: measure_peak(run_alone, way, job, with_children=True) - nothing for way in WAYS}
        tokenizer = job.tokenizer()
        store = build_store(corpus_of(job, tokenizer), Path(folder) / "tokens")
        expected, blocks = pack_plainly(job, tokenizer), Blocks(store.folder, settings_for(tokenizer))
        ids, scores = zip(*(blocks.block(index) for index in range(len(blocks))), strict=True)
        np.testing.assert_array_equal(np.stack(ids), expected[0])
        np.testing.assert_array_equal(np.stack(scores), expected[1])
        num_tokens = expected[0].size
        del expected, ids, scores
        seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(arguments.rounds):
            for way, function in WAYS.items():
                start = time.perf_counter()
                function(job, tokenizer)
                seconds[way].append(time.perf_counter() - start)
        table = Table("way", "seconds", "tokens/s", "of plain", "of blocks", "of one process", "MiB above nothing")
        for way in WAYS:
            ratios = [
                statistics.median(a / b for a, b in zip(seconds[other], seconds[way], strict=True))
                for other in ("plain", "blocks", "store, one process")
            ]
            median = statistics.median(seconds[way])
            table.add_row(
                way,
                f"{median:.2f}",
                f"{num_tokens / median:,.0f}",
                *(f"{ratio:.2f}x" for ratio in ratios),
                f"{peaks[way] / 2**20:,.0f}",
            )
        table.caption = (
            f"{num_tokens:,} tokens; speed relative to other ways; medians of {arguments.rounds} alternating rounds"
        )
        console.print(table)
        large = enlarge(store, Path(folder) / "large", arguments.tokens)
        measure_views(large, settings_for(tokenizer, drop=0.1), arguments.rounds, console)


if __name__ == "__main__":
    main()
