"""One contender of `train.py` in a separate process: trains, and pauses at the end of steps until asked to continue.

Run by `train.py` with a JSON object of settings; speaks JSON lines on its standard output. Imports `phf` only where it
is the contender, so that it also runs where only TRL is installed.
"""

import importlib
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments

from train_task import TRAINING, Shape, named_method

PARTS = {
    "trunk, forward": ("phf.models.module", "ObjectiveLM._trunk"),
    "forward": ("phf.models.module", "ObjectiveLM.forward"),
    "trunk, backward": ("accelerate", "Accelerator.backward"),
    "norm of the gradient": ("phf.training.trainer", "ObjectiveTrainer._get_grad_norm"),
    "clipping": ("transformers", "Trainer._clip_grad_norm"),
    "optimizer": ("accelerate.optimizer", "AcceleratedOptimizer.step"),
}
"""Where the parts of a step of `phf` are: "forward" includes the trunk; a chunked head has its gradient when it ends."""
WARM_UP_STEPS = 3
"""Before the first pause; then one before each measurement."""
MEASURED = ("seconds", "cpu_seconds", "waited")
MAX_STEPS = 10**6


class Pacer(TrainerCallback):
    """Runs the steps that are asked for on standard input, and reports what they took."""

    def __init__(self, reports: Any) -> None:
        self.reports = reports
        self.waited = 0.0
        self.parts: dict[str, float] = {}
        self._asked = 0
        self._until = WARM_UP_STEPS
        self._start: tuple[float, float, float] | None = None

    def timed(self, batches: Iterator[Any]) -> Iterator[Any]:
        """The same batches; the time that each took to arrive is added to `waited`."""
        while True:
            start = time.perf_counter()
            batch = next(batches, None)
            self.waited += time.perf_counter() - start
            if batch is None:
                return
            yield batch

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._until -= 1
        if self._until:
            return
        synchronise()
        now = (time.perf_counter(), time.process_time(), self.waited)
        if self._asked and self._start is None:  # the step before those that are measured
            self._start, self._until = now, self._asked
            self.parts = {}
            return
        measured = {} if self._start is None else dict(zip(MEASURED, map(float.__sub__, now, self._start), strict=True))
        print(json.dumps({**measured, **memory(), "parts": self.parts}), file=self.reports, flush=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()  # for the others, which take their turns now
        line = sys.stdin.readline()
        if not line.strip():  # `train.py` has all it wants, or has ended
            os._exit(0)
        self._asked, self._start, self._until = int(line), None, 1


def synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def memory() -> dict[str, int]:
    """Bytes: the largest resident size of this process, and of GPU memory what tensors took at most."""
    status = Path("/proc/self/status").read_text()
    resident = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024
    return {"resident": resident, "gpu": torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0}


def split(pacer: Pacer) -> None:
    """Add up the seconds of each of `PARTS`. On a GPU it is waited for, so steps take longer than they would."""
    for part, (module, path) in PARTS.items():
        owner_name, name = path.split(".")
        owner = getattr(importlib.import_module(module), owner_name)
        setattr(owner, name, counted(getattr(owner, name), part, pacer))


def counted(function: Any, part: str, pacer: Pacer) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        synchronise()
        start = time.perf_counter()
        result = function(*args, **kwargs)
        synchronise()
        pacer.parts[part] = pacer.parts.get(part, 0.0) + time.perf_counter() - start
        return result

    return call


def instrument(pacer: Pacer) -> None:
    """Let every `Trainer` of this process be paced."""
    train = Trainer.train

    def paced_train(self: Any, *args: Any, **kwargs: Any) -> Any:
        get_batch_samples = self.get_batch_samples
        iterators: dict[int, Iterator[Any]] = {}

        def timed_batch_samples(iterator: Iterator[Any], *more: Any) -> Any:
            timed = iterators.setdefault(id(iterator), pacer.timed(iterator))
            return get_batch_samples(timed, *more)

        self.get_batch_samples = timed_batch_samples
        self.add_callback(pacer)
        return train(self, *args, **kwargs)

    Trainer.train = paced_train


class StoredBlocks(torch.utils.data.Dataset):
    """Blocks as examples, in a shuffled order that Trainer makes."""

    def __init__(self, path: Path) -> None:
        import numpy as np

        self.blocks = np.load(path, mmap_mode="r")

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        ids = torch.from_numpy(self.blocks[index].astype("int64"))
        return {"input_ids": ids, "labels": ids}


def arguments(work: Path, shape: Shape, precision: str) -> dict[str, Any]:
    return {
        **TRAINING,
        "output_dir": str(work / "out"),
        "per_device_train_batch_size": shape.batch_size,
        "max_steps": MAX_STEPS,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "bf16": precision == "bf16",
        "fp16": precision == "fp16",
        "use_cpu": not torch.cuda.is_available(),
    }


def model(shape: Shape) -> GPT2LMHeadModel:
    return GPT2LMHeadModel(GPT2Config(vocab_size=shape.vocabulary, bos_token_id=0, eos_token_id=0, **shape.gpt2))


def train_plainly(work: Path, shape: Shape, precision: str) -> None:
    settings = TrainingArguments(**arguments(work, shape, precision))
    Trainer(model=model(shape), args=settings, train_dataset=StoredBlocks(work / "blocks.npy")).train()


def train_with_trl(work: Path, shape: Shape, precision: str) -> None:
    """TRL's trainer packs the documents itself, before the first step."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    with (work / "corpus.jsonl").open(encoding="utf-8") as file:
        texts = ["".join(json.loads(line)["texts"]) for line in file]
    packing = {"packing": True, "packing_strategy": "wrapped", "max_length": shape.seq_length}
    SFTTrainer(
        model=model(shape),
        args=SFTConfig(**arguments(work, shape, precision), **packing, gradient_checkpointing=False),
        train_dataset=Dataset.from_dict({"text": texts}),
        processing_class=AutoTokenizer.from_pretrained(work / "tokenizer"),
    ).train()


def train_with_phf(work: Path, method: str, precision: str) -> None:
    from phf.config import load_config
    from phf.training.run import train

    chosen = [f"training.bf16={str(precision == 'bf16').lower()}", f"training.fp16={str(precision == 'fp16').lower()}"]
    config, _ = load_config(task=str(work / "task.yml"), method=named_method(work, method), overrides=chosen)
    train(config, work / "runs" / f"{method}-{os.getpid()}", announce=lambda message: print(message, flush=True))


def main() -> None:
    settings = json.loads(sys.argv[1])
    work, shape = Path(settings["work"]), Shape(**settings["shape"])
    reports = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes to the log
    torch.manual_seed(0)
    pacer = Pacer(reports)
    instrument(pacer)
    if settings["split"]:
        split(pacer)
    if settings["contender"] == "plain":
        train_plainly(work, shape, settings["precision"])
    elif settings["contender"] == "trl":
        train_with_trl(work, shape, settings["precision"])
    else:
        train_with_phf(work, settings["contender"], settings["precision"])


if __name__ == "__main__":
    main()
