"""The files of a model folder, as `phf` and transformers read them: values of unusable types and sizes, broken bytes."""

import json
import random
from pathlib import Path
from typing import Any

import torch
from tests.faults.formats import PAIR, Format
from tests.faults.mutation import damaged, mutated_json
from tests.redteam.attack import write_model
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

from phf.labels.label import Labels
from phf.labels.read import read_labels
from phf.models.model_folder import find_model, is_of_released_system, load_folder_lm, load_folder_tokenizer
from phf.models.prompting import prompting_of
from phf.reward.seen import TRAINED_ON_FILE, unseen, write_trained_on
from phf.reward.settings import REWARD_FILE
from phf.scorers import build_scorer
from phf.storage.file_list import FILE_LIST
from phf.tokens.document_start import document_start
from phf.tokens.tokenizer import PlainEncoder

SIZES = (2**16, 10**6, 10**9, 2**31, 10**12, 2**63, 10**30)
"""What would take much memory or time where it is the size or the number of something."""


def settings_of_a_model(name: str) -> dict[str, Any]:
    """`prepare` and `write` of one of the files of settings of a model folder; the others stay intact."""

    def prepare(folder: Path) -> None:
        write_model(folder)
        (folder / FILE_LIST).unlink()  # otherwise every change is found by it
        folder.with_name(f"{folder.name}.intact").write_bytes((folder / name).read_bytes())

    def write(folder: Path, rng: random.Random) -> None:
        intact = json.loads(folder.with_name(f"{folder.name}.intact").read_bytes())
        (folder / name).write_bytes(changed(intact, rng))

    return {"prepare": prepare, "write": write}


def changed(values: dict[str, Any], rng: random.Random) -> bytes:
    """The settings with one of their numbers made huge, or anything about them changed."""
    numbers = [key for key, value in values.items() if type(value) is int]
    if not numbers or rng.random() < 0.7:
        return mutated_json(values, rng)
    size = rng.choice(SIZES)
    return json.dumps({**values, rng.choice(numbers): rng.choice((size, size, -size))}).encode()


def read_model(folder: Path) -> None:
    find_model(folder)
    is_of_released_system(folder)
    load_folder_lm(folder)


def read_tokenizer(folder: Path) -> None:
    """As `phf evaluate` does, which also samples and scores texts with it."""
    find_model(folder)
    tokenizer = load_folder_tokenizer(folder)
    prompting_of(folder, tokenizer)
    document_start(tokenizer)
    ids, _ = PlainEncoder(tokenizer).encode(["x = 1\n", "é"])
    tokenizer.batch_decode([ids.tolist()])


def labels_of(folder: Path) -> Labels:
    """Two pairs that have nothing in common."""
    pairs = [{**PAIR, "prompt": i, "chosen": i + "a", "rejected": i + "b", "id": i} for i in "12"]
    (folder.with_name("labels.jsonl")).write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    return read_labels([str(folder.with_name("labels.jsonl"))])


def prepare_reward_model(folder: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"]
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(words), max_position_embeddings=24, num_labels=1, **sizes)
    BertForSequenceClassification(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizer(str(folder / "vocab.txt"), model_max_length=24).save_pretrained(folder)
    (folder / REWARD_FILE).write_text("{}")
    write_trained_on(folder, labels_of(folder).labels[:1])
    (folder / "intact").mkdir()
    for path in [path for path in folder.iterdir() if path.is_file()]:
        (folder / "intact" / path.name).write_bytes(path.read_bytes())


def write_reward_model(folder: Path, rng: random.Random) -> None:
    for path in (folder / "intact").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    name = rng.choice(("config.json", "config.json", "tokenizer_config.json", "tokenizer.json", TRAINED_ON_FILE))
    content = (folder / "intact" / name).read_bytes()
    new = changed(json.loads(content), rng) if name.endswith(".json") else damaged(content, rng)
    (folder / name).write_bytes(new)


def read_reward_model(folder: Path) -> None:
    """As a scorer, and for whether its labels may be used to compare it."""
    section = {"class_name": "ClassifierScorer", "path_or_name": str(folder), "activation": "none", "device": "cpu"}
    build_scorer(section, "scorer_config").score_texts(["a b", "b " * 40, ""])
    unseen([section], labels_of(folder))


MODEL_FORMATS = (
    Format("config.json of a model", **settings_of_a_model("config.json"), read=read_model),
    Format("generation_config.json of a model", **settings_of_a_model("generation_config.json"), read=read_model),
    Format("tokenizer.json of a model", **settings_of_a_model("tokenizer.json"), read=read_tokenizer),
    Format("tokenizer_config.json of a model", **settings_of_a_model("tokenizer_config.json"), read=read_tokenizer),
    Format("the folder of a reward model", prepare_reward_model, write_reward_model, read_reward_model),
)
