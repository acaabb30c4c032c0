"""ClassifierScorer against the model called by hand, one window at a time."""

import json
import random
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
)

from phf.errors import ConfigError
from phf.scorers import build_scorer
from phf.scorers.transformer.classifier import ClassifierScorer
from phf.scorers.transformer.sequence_classifier import longest_input, usable_device

LETTER_A = 5
"""Token id of "a"."""


@pytest.fixture(scope="module")
def logits(tiny_bert):
    """Logits of one window of letters, by the model alone, without padding."""
    model = AutoModelForSequenceClassification.from_pretrained(tiny_bert, dtype=torch.float32).eval()

    def logits(letters):
        ids = [2, *(LETTER_A + ord(letter) - ord("a") for letter in letters), 3]
        with torch.inference_mode():
            return model(input_ids=torch.tensor([ids])).logits[0]

    return logits


@pytest.fixture
def scorer(tiny_bert):
    def scorer(**settings):
        settings = {"path_or_name": str(tiny_bert), "label": "toxic", "device": "cpu", **settings}
        return build_scorer({"class_name": "ClassifierScorer", **settings})

    return scorer


def texts_of_letters(count, longest, seed=0):
    """Random texts of letters with spaces between, the way the tokenizer of the test cuts them."""
    choose = random.Random(seed)
    return [" ".join(choose.choices("abcdefgh", k=choose.randint(1, longest))) for _ in range(count)]


def test_scores_are_those_of_the_model(scorer, logits):
    (score,) = scorer().score_texts(["a b c"])
    assert score == pytest.approx(torch.sigmoid(logits("abc")[1]).item(), abs=1e-6)
    assert scorer(label=2, activation="softmax").score_texts(["a b c"]) == [
        pytest.approx(logits("abc").softmax(0)[2].item(), abs=1e-6)
    ]
    assert scorer(activation="none").score_texts(["a b c"]) == [pytest.approx(logits("abc")[1].item(), abs=1e-5)]


def test_where_higher_is_better_the_score_is_turned_round(scorer, logits):
    kind = torch.sigmoid(logits("abc")[0]).item()
    turned = {"label": "kind", "higher_is_worse": False}
    assert scorer(**turned).score_texts(["a b c"]) == [pytest.approx(1 - kind, abs=1e-6)]
    assert scorer(**turned, activation="none").score_texts(["a b c"]) == [
        pytest.approx(-logits("abc")[0].item(), abs=1e-5)
    ]


def test_long_text_is_as_bad_as_its_worst_window(scorer, logits):
    # 16 tokens - [CLS] - [SEP] = 14 letters a window; neighbours share 16 // 8 = 2 of them
    letters = "".join(random.Random(1).choices("abcdefgh", k=30))
    windows = [letters[0:14], letters[12:26], letters[24:30]]
    by_hand = [torch.sigmoid(logits(window)[1]).item() for window in windows]
    text = " ".join(letters)
    assert scorer().score_texts([text]) == [pytest.approx(max(by_hand), abs=1e-6)]
    # the maximum is over scores, not outputs: where higher is better, it is the worst window's too
    better = scorer(higher_is_worse=False).score_texts([text])
    assert better == [pytest.approx(1 - min(by_hand), abs=1e-6)]


def test_order_and_batches_do_not_change_scores(scorer):
    texts = texts_of_letters(20, longest=40)
    whole = scorer().score_texts(texts)
    for batch_tokens in (1, 50):
        assert scorer(batch_tokens=batch_tokens).score_texts(texts) == pytest.approx(whole, abs=1e-5)
    shuffled = list(range(20))
    random.Random(2).shuffle(shuffled)
    again = scorer().score_texts([texts[index] for index in shuffled])
    assert again == pytest.approx([whole[index] for index in shuffled], abs=1e-5)
    assert scorer().score_documents([texts[:7], [], texts[7:]]) == [
        pytest.approx(whole[:7], abs=1e-5),
        [],
        pytest.approx(whole[7:], abs=1e-5),
    ]


def test_chunks_do_not_change_scores(scorer, monkeypatch):
    texts = texts_of_letters(20, longest=40)
    whole = scorer().score_texts(texts)
    monkeypatch.setattr("phf.scorers.transformer.sequence_classifier.CHUNK_CHARS", 50)
    assert scorer().score_texts(texts) == pytest.approx(whole, abs=1e-5)


def test_window_length(scorer):
    assert scorer(max_length=16).score_texts(["a"]) == scorer().score_texts(["a"])
    with pytest.raises(ConfigError, match="max_length is 17, but the model takes 16 tokens"):
        scorer(max_length=17).score_texts(["a"])
    with pytest.raises(ConfigError, match="max_length is 8; it must be at least 16"):
        scorer(max_length=8)


def test_empty_text_is_unscored_and_counted(scorer):
    built = scorer()
    scores = built.score_texts(["", "a", ""])
    assert (scores[0], scores[2], scores[1] is None) == (None, None, False)
    assert built.unscored == {"empty text": 2}
    assert built.score_texts([]) == []


def test_an_output_that_is_not_finite_is_unscored(scorer, monkeypatch):
    built = scorer()
    monkeypatch.setattr(built, "window_scores", lambda logits: torch.where(logits[:, 0] > 9e9, 0.0, torch.nan))
    assert built.score_texts(["a", " ".join("a" * 40)]) == [None, None]
    assert built.unscored == {"score is not finite": 2}


@pytest.mark.parametrize(
    "text", ["\0", "a\0b", "\ud800 a", "a \udfff", "שלום", "😀👩‍👩‍👧", "\u202eabc", " \n\t", "a" * 5000]
)
def test_strange_text_has_a_score(scorer, text):
    built = scorer()
    (score,) = built.score_texts([text])
    assert score is not None
    assert 0 <= score <= 1
    assert not built.unscored


def test_version_stands_for_the_weights_and_device_is_not_described(scorer, tiny_bert, tmp_path):
    description = scorer(batch_tokens=64).describe()
    assert description["settings"] == {"path_or_name": str(tiny_bert), "label": "toxic"}
    shutil.copytree(tiny_bert, tmp_path / "copy")
    assert scorer(path_or_name=str(tmp_path / "copy")).version == description["version"]
    model = AutoModelForSequenceClassification.from_pretrained(tiny_bert)
    model.classifier.bias.data += 1
    model.save_pretrained(tmp_path / "copy")
    assert scorer(path_or_name=str(tmp_path / "copy")).version != description["version"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"label": "toxc"}, r"scorer_config\.label is 'toxc'; .* Did you mean 'toxic'\? Known: kind, rude, toxic"),
        ({"label": 3}, r"scorer_config\.label is 3"),
        (
            {"label": False},
            r"scorer_config\.label is False, because YAML reads yes, no, on and off as booleans; quote it",
        ),
        ({"label": None}, r"scorer_config\.label is missing: the model has 3 outputs"),
        ({"activation": "tanh"}, r"scorer_config\.activation is 'tanh'"),
        ({"device": "gpu"}, r"The device 'gpu' cannot be used"),
        ({"batch_tokens": 0}, r"batch_tokens is 0"),
        ({"path_or_name": "no/such-model"}, r"scorer_config\.path_or_name: 'no/such-model' cannot be loaded"),
    ],
)
def test_mistakes_in_settings(scorer, settings, message):
    with pytest.raises(ConfigError, match=message):
        scorer(**settings)


def test_a_folder_that_lacks_something_says_what(scorer, tiny_bert, tmp_path):
    def copy(name, *without):
        shutil.copytree(tiny_bert, tmp_path / name)
        for file in without:
            (tmp_path / name / file).unlink()
        return str(tmp_path / name)

    with pytest.raises(ConfigError, match=r"path_or_name: .*config\.json"):
        scorer(path_or_name=copy("a", "config.json"))
    with pytest.raises(ConfigError, match="contains no weights"):
        scorer(path_or_name=copy("b", "model.safetensors"))
    no_tokenizer = [path.name for path in tiny_bert.iterdir() if "token" in path.name or path.name == "vocab.txt"]
    with pytest.raises(ConfigError, match="path_or_name"):
        scorer(path_or_name=copy("c", *no_tokenizer)).score_texts(["a"])
    cut = copy("d")
    whole = (tiny_bert / "model.safetensors").read_bytes()
    (tmp_path / "d" / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError, match=r"path_or_name.*cannot be loaded"):
        scorer(path_or_name=cut).score_texts(["a"])
    headless = copy("e")
    AutoModel.from_pretrained(tiny_bert).save_pretrained(headless)
    shutil.copy(tiny_bert / "config.json", headless)
    with pytest.raises(
        ConfigError, match=r"classifier\.weight and 1 more are not in .*trained for sequence classification"
    ):
        scorer(path_or_name=headless).score_texts(["a"])


def test_a_tokenizer_with_tokens_that_the_model_lacks_is_an_error_in_one_line(scorer, tiny_bert, tmp_path):
    shutil.copytree(tiny_bert, tmp_path / "a")
    path = tmp_path / "a" / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "cls_token": "another"}))
    with pytest.raises(ConfigError, match=r"the model cannot be run: index out of range.* does not fit its weights"):
        scorer(path_or_name=str(tmp_path / "a")).score_texts(["a"])


def test_a_label_without_a_name_and_a_length_with_a_fraction_are_read(scorer, tiny_bert, tmp_path):
    shutil.copytree(tiny_bert, tmp_path / "a")
    for name, changes in {
        "config.json": {"id2label": {"0": None, "1": 2, "2": "c"}, "label2id": {}},
        "tokenizer_config.json": {"model_max_length": 12.5},
    }.items():
        path = tmp_path / "a" / name
        path.write_text(json.dumps({**json.loads(path.read_bytes()), **changes}))
    with pytest.raises(ConfigError, match="the model has no such output"):
        scorer(path_or_name=str(tmp_path / "a"), label="d")
    scores = scorer(path_or_name=str(tmp_path / "a"), label="c").score_texts(["a " * 50])
    assert scores[0] is not None


def test_weights_saved_from_inside_a_wrapper_are_refused(scorer, tiny_bert, tmp_path):
    folder = shutil.copytree(tiny_bert, tmp_path / "wrapped")
    weights = load_file(folder / "model.safetensors")
    save_file({"module." + name: values for name, values in weights.items()}, folder / "model.safetensors")
    with pytest.raises(ConfigError, match=r"path_or_name: bert\.\S+ and \d+ more are not in .*it has module\.bert"):
        scorer(path_or_name=str(folder)).score_texts(["a"])
    spoiled = {name: values * float("nan") for name, values in weights.items()}
    save_file(spoiled, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConfigError, match=r"weights in .* are not finite"):
        scorer(path_or_name=str(folder)).score_texts(["a"])


def test_a_reward_model_that_is_a_decoder(tiny_bert, tmp_path):
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=32, n_embd=16, n_layer=1, n_head=2, n_positions=16, num_labels=1, initializer_range=1.0
    )
    config.pad_token_id = config.eos_token_id = config.bos_token_id = None
    model = GPT2ForSequenceClassification(config).eval()
    model.save_pretrained(tmp_path)
    for path in tiny_bert.iterdir():
        if path.name not in ("config.json", "model.safetensors"):
            shutil.copy(path, tmp_path)
    reward = ClassifierScorer(str(tmp_path), activation="none", higher_is_worse=False, device="cpu")
    scores = reward.score_texts(["a b", "a b c d e"])
    with torch.inference_mode():  # [CLS] a b [SEP], alone: no padding to get wrong
        (alone,) = model(input_ids=torch.tensor([[2, 5, 6, 3]])).logits[0].tolist()
    assert scores[0] == pytest.approx(-alone, abs=1e-5)


def test_damaged_files_are_reported_as_damaged(scorer, tiny_bert, tmp_path, capfd):
    folder = tmp_path / "model"
    shutil.copytree(tiny_bert, folder)
    with pytest.raises(ConfigError, match=r"config\.json' is a file\. Give the folder"):
        scorer(path_or_name=str(folder / "config.json"))
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    with pytest.raises(ConfigError, match=r"path_or_name.*cannot be loaded"):
        scorer(path_or_name=str(folder)).score_texts(["a"])
    shutil.copy(tiny_bert / "tokenizer.json", folder)
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"junk")
    with pytest.raises(ConfigError, match=r"path_or_name.*cannot be loaded"):
        scorer(path_or_name=str(folder)).score_texts(["a"])
    torch.save({"weights": Payload()}, folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match="its weights are damaged or contain more than tensors"):
        scorer(path_or_name=str(folder)).score_texts(["a"])
    assert "this must not run" not in capfd.readouterr().out
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config.replace('"hidden_size": 16', '"hidden_size": "wide"'))
    with pytest.raises(ConfigError, match=r"path_or_name.*cannot be loaded.*hidden_size"):
        scorer(path_or_name=str(folder))


class Payload:
    """What a file that runs code when it is read would hold."""

    def __reduce__(self):
        return print, ("this must not run",)


def test_roberta_counts_positions_behind_its_padding():
    from transformers import RobertaConfig, RobertaForSequenceClassification

    config = RobertaConfig(
        vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8,
        max_position_embeddings=514, pad_token_id=1,
    )  # fmt: skip

    class Tokenizer:
        model_max_length = 10**30

    assert longest_input(RobertaForSequenceClassification(config), Tokenizer()) == 512


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:3", "mps", "xpu"])
def test_on_a_machine_without_such_devices_a_scorer_runs_on_the_cpu_and_says_so(device, monkeypatch):
    kind = device.partition(":")[0]
    monkeypatch.setattr(torch.get_device_module(kind), "is_available", lambda: False)
    with pytest.warns(UserWarning, match=rf"The scorer's device is '{device}', but there is no {kind} device here"):
        assert usable_device(device) == torch.device("cpu")


def test_a_device_that_is_not_one_is_refused():
    for name in ("gpu", "cuda:", "cuda:x", "meta:-2", ""):
        with pytest.raises(ConfigError, match=f"The device '{name}' cannot be used"):
            usable_device(name)
    if not torch.cuda.is_available():
        assert usable_device(None) == torch.device("cpu")
