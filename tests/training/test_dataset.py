"""Batches: each block of a stream once, for any number of workers; several GPUs without a launcher."""

import json
from itertools import islice

import numpy as np
import pytest
from tests.ranks import run_ranks
from tests.tiny import tiny_config, tiny_tokenizer
from tests.tokens.packed import corpus_for, settings_for
from torch.utils.data import DataLoader

from phf.config import dump_config
from phf.errors import ConfigError, CorpusError
from phf.feedback.objectives import IGNORE_INDEX, Unlikelihood
from phf.tokens.encoded import Encoder
from phf.tokens.streaming import StreamingBlocks
from phf.training.dataset import Collator, MapDataset, StreamDataset
from phf.training.plan import plan_run
from phf.training.run import train
from phf.training.settings import arguments as training_arguments

QUIET = {"generation.run_on_train_start": False, "generation.run_on_train_end": False, "dataset.eval_fraction": 0.0}


def write_corpus(folder, score=0.5):
    with (folder / "corpus.jsonl").open("w") as file:
        for i in range(30):
            file.write(json.dumps({"id": f"d{i}", "texts": [f"x{i} = {i}\n" * 6], "scores": [score]}) + "\n")
    return str(folder / "corpus.jsonl")


@pytest.fixture
def stream(tmp_path):
    tokenizer = tiny_tokenizer()
    corpus = corpus_for(tokenizer, write_corpus(tmp_path))
    return StreamingBlocks(corpus, settings_for(tokenizer, seq_length=16), window=7)


def batches(stream, num_workers, batch_size, num_batches):
    loader = DataLoader(
        StreamDataset(stream),
        batch_size=batch_size,
        num_workers=num_workers,
        collate_fn=Collator(),
        multiprocessing_context="fork" if num_workers else None,
    )
    iterator = iter(loader)
    return [next(iterator)["input_ids"].tolist() for _ in range(num_batches)]


class Reading:
    """Items 0 to 9, which remembers those that were read."""

    def __init__(self):
        self.read = []

    def __len__(self):
        return 10

    def __getitem__(self, index):
        self.read.append(index)
        return range(10)[index]


def test_a_resumed_run_reads_nothing_of_what_it_was_trained_on():
    items = Reading()
    dataset = MapDataset(items, start=7)
    assert [dataset[index] for index in range(4)] == [7, 8, 9, 0]
    assert items.read == [7, 8, 9, 0]
    assert len(dataset) == 10


def test_a_stream_begins_in_its_middle(stream):
    whole = [item["input_ids"].tolist() for item in islice(stream, 40)]
    rest = [item["input_ids"].tolist() for item in islice(StreamDataset(stream, start=25), 15)]
    assert rest == whole[25:]


@pytest.mark.parametrize("num_workers", [1, 2, 3])
def test_workers_give_the_batches_that_no_worker_gives(num_workers, stream, monkeypatch):
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")  # as the command line sets it: threads do not survive a fork
    num_blocks = sum(1 for _ in stream.epoch(0))
    num_batches = 2 * num_blocks // 3  # two epochs
    expected = batches(stream, 0, 3, num_batches)
    assert batches(stream, num_workers, 3, num_batches) == expected
    first_epoch = [tuple(block) for batch in expected for block in batch][:num_blocks]
    assert len(set(first_epoch)) == num_blocks


@pytest.mark.slow
def test_workers_may_have_processes_that_encode_ahead(stream):
    expected = batches(stream, 0, 3, 8)
    stream.processes = 1
    assert batches(stream, 0, 3, 8) == expected
    assert batches(stream, 2, 3, 8) == expected


@pytest.mark.parametrize("num_workers", [1, 3])
def test_workers_do_not_multiply_the_work(num_workers, stream, tmp_path, monkeypatch):
    encode = Encoder.encode

    def recorded(self, batch):
        with (tmp_path / "encoded").open("a") as file:
            file.write("".join(f"{document.id}\n" for document in batch))
        return encode(self, batch)

    monkeypatch.setattr(Encoder, "encode", recorded)  # workers are forked
    num_blocks = sum(1 for _ in stream.epoch(0))
    (tmp_path / "encoded").unlink()
    batches(stream, num_workers, 1, num_blocks - 6)  # the loader asks each worker for two more
    assert sorted((tmp_path / "encoded").read_text().splitlines()) == sorted(f"d{i}" for i in range(30))


def test_a_process_that_is_sent_its_batches_reads_nothing(stream, monkeypatch):
    monkeypatch.setattr(StreamingBlocks, "starting_at", None)
    assert list(DataLoader(StreamDataset(stream, is_read=False), batch_size=3)) == []


def losses(run_dir):
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["train/loss"] for line in lines if "train/loss" in line}


def remove_last_steps(run_dir, folder):
    """As if the run had been stopped after step 4, of which it has a checkpoint."""
    assert (run_dir / "checkpoint-4").is_dir()
    for name in ("checkpoint-6", "model"):
        (run_dir / name).rename(folder / f"{run_dir.name}-{name}")


@pytest.mark.slow
def test_a_streamed_run_with_workers_is_the_run_without_and_resumes_without_its_index(tmp_path, caplog):
    source = write_corpus(tmp_path)
    for workers in (0, 2):
        changes = {"dataset.streaming": True, "training.dataloader_num_workers": workers, **QUIET}
        config = tiny_config(source, **changes)
        run_dir = tmp_path / str(workers)
        train(config, run_dir)
        remove_last_steps(run_dir, tmp_path)
        (run_dir / "stream.index").unlink()  # as older versions left it
        if not workers:
            expected = losses(run_dir)
        train(config, run_dir, resume=True)
        assert losses(run_dir) == expected
    assert sorted(expected) == [1, 2, 3, 4, 5, 6]
    assert "only its first 0 blocks are indexed" in caplog.text  # of the run without workers, which log by themselves


@pytest.mark.slow
@pytest.mark.parametrize("dispatch", [None, False])
def test_two_processes_train_on_the_stream_as_one_does_and_either_resumes_the_other(dispatch, tmp_path, caplog):
    source = write_corpus(tmp_path)
    changes = {"dataset.streaming": True, "training.use_cpu": True, "training.dataloader_num_workers": 2, **QUIET}
    changes |= {} if dispatch is None else {"training.accelerator_config": {"dispatch_batches": dispatch}}
    config = tiny_config(source, **changes)
    (tmp_path / "config.yaml").write_text(dump_config(config))
    command = ["-m", "phf", "train", "--config", str(tmp_path / "config.yaml"), "--output-dir", str(tmp_path)]
    train(config, tmp_path / "one")
    first, _ = run_ranks([*command, "--run-name", "two"], tmp_path)
    assert ("encodes the whole stream" in " ".join(first.stdout.split())) == (dispatch is False)
    expected, indices = losses(tmp_path / "one"), set()
    assert losses(tmp_path / "two") == pytest.approx(expected, rel=1e-5)
    for name in ("one", "two"):
        remove_last_steps(tmp_path / name, tmp_path)
        indices.add((tmp_path / name / "stream.index").read_bytes())
    ranks = run_ranks([*command, "--run-name", "one", "--resume"], tmp_path)
    train(config, tmp_path / "two", resume=True)
    for name in ("one", "two"):
        assert losses(tmp_path / name) == pytest.approx(expected, rel=1e-5)
        indices.add((tmp_path / name / "stream.index").read_bytes())
    assert len(indices) == 1
    assert "index" not in " ".join([caplog.text, *(rank.stdout + rank.stderr for rank in ranks)])


def test_a_batch_has_no_target_at_its_first_position_and_the_scores_that_the_objective_can_use():
    item = {"input_ids": np.array([3, 4, 5]), "token_scores": np.array([0.5, np.nan, 1.0], np.float32)}
    batch = Collator([Unlikelihood(score_threshold=None, alpha=1.0)])([item, item])
    assert batch["labels"].tolist() == [[IGNORE_INDEX, 4, 5]] * 2
    item["token_scores"][2] = 1.5
    with pytest.raises(CorpusError, match=r"scores in \[0, 1\], but a block of the training data has 1.5"):
        Collator([Unlikelihood(score_threshold=None, alpha=1.0)])([item])


def test_scores_that_the_objective_cannot_use_are_refused_before_a_model_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr("phf.training.run.load_lm", None)
    soft = {"objective.score_threshold": None, "objective.alpha": 1.0, **QUIET}
    config = tiny_config(write_corpus(tmp_path, score=2.0), "ul", **soft)
    with pytest.raises(CorpusError, match=r"scores in \[0, 1\], but the training data has 2"):
        train(config, tmp_path / "run")


def test_one_of_several_visible_gpus_is_used_and_the_plan_says_how_to_use_all(tmp_path, monkeypatch):
    class FourGPUs(training_arguments.TrainingArguments):
        def __post_init__(self):
            super().__post_init__()
            self._n_gpu = 4

    monkeypatch.setattr(training_arguments, "TrainingArguments", FourGPUs)
    plan = plan_run(tiny_config(write_corpus(tmp_path)), tmp_path / "run")
    assert plan.arguments.n_gpu == 1  # Trainer makes a DataParallel of more
    assert plan.arguments.train_batch_size == plan.arithmetic.per_device_train_batch_size
    assert [w for w in plan.warnings if "4 GPUs are visible and one of them is used" in w]
    assert "torchrun --nproc-per-node 4 -m phf train" in " ".join(plan.warnings)


def test_a_gpu_index_that_does_not_exist_is_refused_unless_the_cpu_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "97")
    source = write_corpus(tmp_path)
    with pytest.raises(ConfigError, match=r"CUDA_VISIBLE_DEVICES names 1 GPU \('97'\), of which none can be used"):
        plan_run(tiny_config(source), tmp_path / "run")
    assert plan_run(tiny_config(source, **{"training.use_cpu": True}), tmp_path / "run").arguments.device.type == "cpu"
