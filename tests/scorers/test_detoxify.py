"""DetoxifyToxicityScorer against Detoxify itself, on a checkpoint in its format with random weights."""

import random
import string
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from phf.errors import ConfigError, MissingExtraError
from phf.scorers import build_scorer

detoxify = pytest.importorskip("detoxify")

CLASSES = ["severe_toxic", "toxic", "identity_hate"]


def checkpoint(tiny_bert, path: Path, classes=CLASSES, **more) -> str:
    """A file as Detoxify's training writes it."""
    model = AutoModelForSequenceClassification.from_pretrained(tiny_bert)
    arch = {
        "model_type": str(tiny_bert),
        "model_name": "BertForSequenceClassification",
        "tokenizer_name": "BertTokenizer",
        "num_classes": 3,
    }
    config = {"arch": {"args": arch}, "dataset": {"args": {"classes": classes}}}
    torch.save({"config": config, "state_dict": model.state_dict(), **more}, path)
    return str(path)


@pytest.fixture
def scorer(tiny_bert, tmp_path):
    def scorer(**settings):
        settings = {"checkpoint": checkpoint(tiny_bert, tmp_path / "tiny.ckpt"), "device": "cpu", **settings}
        return build_scorer({"class_name": "DetoxifyToxicityScorer", **settings})

    return scorer


def test_scores_are_those_of_detoxify(scorer, tiny_bert, tmp_path):
    choose = random.Random(0)
    texts = [" ".join(choose.choices(string.ascii_lowercase + ".", k=choose.randint(1, 14))) for _ in range(40)]
    file = checkpoint(tiny_bert, tmp_path / "tiny.ckpt")
    reference = detoxify.Detoxify(checkpoint=file, huggingface_config_path=str(tiny_bert))
    assert scorer().score_texts(texts) == pytest.approx(reference.predict(texts)["toxicity"], abs=1e-5)


def test_long_text_is_not_cut(scorer, tiny_bert, tmp_path):
    # Detoxify reads 14 letters of these; what follows must count here
    text = "a " * 14
    others = [text + letter * 3 for letter in ("b ", "c ", "d ", "e ")]
    assert len({round(score, 4) for score in scorer().score_texts(others)}) > 1
    file = checkpoint(tiny_bert, tmp_path / "tiny.ckpt")
    cut = detoxify.Detoxify(checkpoint=file, huggingface_config_path=str(tiny_bert)).predict(others)["toxicity"]
    assert len({round(score, 4) for score in cut}) == 1


def test_a_model_may_have_more_outputs_than_named_classes(scorer, tiny_bert, tmp_path):
    # as the checkpoint of `unbiased` has, which was trained on identities too
    fewer = checkpoint(tiny_bert, tmp_path / "fewer.ckpt", classes=CLASSES[:2])
    assert scorer(checkpoint=fewer).score_texts(["a b"]) == scorer().score_texts(["a b"])


def test_version_names_model_and_weights(scorer, tiny_bert, tmp_path):
    first = scorer()
    assert first.version.startswith("1+original-")
    assert first.segmenter == "sentences"
    assert scorer(model_type="unbiased").version == first.version.replace("original", "unbiased")
    other = checkpoint(tiny_bert, tmp_path / "other.ckpt", classes=["toxicity", "x", "y"])
    assert scorer(checkpoint=other).version != first.version


def test_base_model_from_a_folder(scorer, tiny_bert):
    assert scorer(huggingface_config_path=str(tiny_bert)).score_texts(["a b"]) == scorer().score_texts(["a b"])
    with pytest.raises(ConfigError, match=r"'no/such' .* cannot be loaded: .* use ProfanityScorer"):
        scorer(huggingface_config_path="no/such").score_texts(["a"])


def test_without_a_network_it_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(
        ConfigError, match=r"toxic_original-.*\.ckpt cannot be downloaded .*checkpoint.*ProfanityScorer"
    ):
        build_scorer({"class_name": "DetoxifyToxicityScorer"})


def test_what_detoxify_downloaded_is_found(tiny_bert, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    url = detoxify.detoxify.MODEL_URLS["multilingual"]
    checkpoint(tiny_bert, tmp_path / "checkpoints" / url.rpartition("/")[2])
    built = build_scorer({"class_name": "DetoxifyToxicityScorer", "model_type": "multilingual", "device": "cpu"})
    assert built.score_texts(["a"]) != [None]


def test_missing_extra_is_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "detoxify.detoxify", None)
    with pytest.raises(MissingExtraError, match=r"detoxify.*pip install 'phf\[toxicity\]'"):
        build_scorer({"class_name": "DetoxifyToxicityScorer"})


class Payload:
    """What a file that runs code when it is read would hold."""

    def __reduce__(self):
        return print, ("this must not run",)


def test_files_that_are_not_checkpoints(scorer, tiny_bert, tmp_path, capfd):
    with pytest.raises(ConfigError, match="there is no such file"):
        scorer(checkpoint=str(tmp_path / "none.ckpt"))
    (tmp_path / "text.ckpt").write_text("not a checkpoint")
    with pytest.raises(ConfigError, match="cannot be read as tensors"):
        scorer(checkpoint=str(tmp_path / "text.ckpt")).score_texts(["a"])
    hostile = checkpoint(tiny_bert, tmp_path / "hostile.ckpt", payload=Payload())
    with pytest.raises(ConfigError, match="cannot be read as tensors"):
        scorer(checkpoint=hostile).score_texts(["a"])
    assert "this must not run" not in capfd.readouterr().out
    torch.save({"state_dict": {}}, tmp_path / "bare.ckpt")
    with pytest.raises(ConfigError, match=r"is not a checkpoint of Detoxify, which holds config\.arch\.args"):
        scorer(checkpoint=str(tmp_path / "bare.ckpt")).score_texts(["a"])
    polite = checkpoint(tiny_bert, tmp_path / "polite.ckpt", classes=["x", "y", "z"])
    with pytest.raises(ConfigError, match="no class 'toxicity'"):
        scorer(checkpoint=polite).score_texts(["a"])
    empty = checkpoint(tiny_bert, tmp_path / "empty.ckpt", state_dict={})
    with pytest.raises(ConfigError, match="it lacks bert"):
        scorer(checkpoint=empty).score_texts(["a"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda loaded: loaded.pop("state_dict"), "not a checkpoint of Detoxify"),
        (lambda loaded: loaded.update(state_dict=[1]), "not a checkpoint of Detoxify"),
        (lambda loaded: loaded["config"]["dataset"]["args"].update(classes=None), "not a checkpoint of Detoxify"),
        (
            lambda loaded: loaded["config"]["arch"]["args"].pop("num_classes"),
            "not a checkpoint of Detoxify.*num_classes",
        ),
        (lambda loaded: loaded["config"]["arch"]["args"].update(model_name="os"), "not a checkpoint of Detoxify.*os"),
        (
            lambda loaded: loaded["config"]["dataset"]["args"].update(classes=["a", "b", "c", "toxic"]),
            "'toxic' is class 4, but its model has 3 outputs",
        ),
        (
            lambda loaded: loaded["state_dict"].update({"classifier.bias": torch.zeros(5)}),
            "its tensors have other shapes",
        ),
    ],
)
def test_checkpoints_that_are_almost_right(change, message, scorer, tiny_bert, tmp_path):
    path = checkpoint(tiny_bert, tmp_path / "almost.ckpt")
    loaded = torch.load(path, weights_only=True)
    change(loaded)
    torch.save(loaded, path)
    with pytest.raises(ConfigError, match=message):
        scorer(checkpoint=path).score_texts(["a"])


@pytest.mark.parametrize("content", [b"", b"{}", b"junk", b"PK\x03\x04junk"])
def test_files_of_another_kind_are_refused_without_advice_to_run_them(content, scorer, tmp_path):
    (tmp_path / "other.ckpt").write_bytes(content)
    with pytest.raises(ConfigError, match="cannot be read as tensors and plain values") as raised:
        scorer(checkpoint=str(tmp_path / "other.ckpt")).score_texts(["a"])
    assert "weights_only" not in str(raised.value)
