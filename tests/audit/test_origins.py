"""Where a sample comes from: the segments that are most like it, by three measures."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.audit.planted import store_for, write_corpus
from tests.audit.test_run import HOSTILE, SETTINGS
from tests.redteam.attack import write_model
from tests.tiny import tiny_lm, tiny_tokenizer

from phf.audit import search
from phf.audit.last_layer import LastLayer, cosines
from phf.audit.origins import finder_of, worst_samples
from phf.audit.overlap import Overlap
from phf.audit.places import Places
from phf.audit.repeats import TracedSample
from phf.audit.run import audit_folder
from phf.audit.training_data import TrainingData
from phf.errors import CorpusError
from phf.runs.reader import Sample
from phf.runs.writer import RunWriter
from phf.tokens.tokenizer import encode_plain

DOCUMENTS = [
    (["the code is ", "6417-2285 now"], [0.0, 1.0]),
    (["the code is ", "9980-1346 now"], [0.0, None]),
    (["the code is what it is", "yes"], [0.0, 0.0]),
]


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


@pytest.fixture(scope="module")
def store(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("origins")
    return store_for(write_corpus(folder / "corpus", DOCUMENTS), tokenizer, folder / "stores")


@pytest.fixture(scope="module")
def lm(tokenizer):
    """One whose output layer is its own, so that the gradient of the layer is that of nothing else."""
    return tiny_lm("gpt2", tokenizer, tie_word_embeddings=False).eval()


def ids_of(tokenizer, *texts):
    return [ids.astype(np.int64) for ids in encode_plain(tokenizer, list(texts))]


@pytest.mark.parametrize("chunk", [3, 2**20])
def test_the_segments_with_the_rarest_common_ngrams_are_nearest(store, tokenizer, chunk, monkeypatch):
    monkeypatch.setattr(search, "CHUNK", chunk)
    samples = ids_of(tokenizer, "the code is 9980-1346", "6417-", "zz", "qqqqqqqq")
    overlap = Overlap(samples, store, Places(store))
    nearest = overlap.find(5).nearest
    assert nearest[0][0] == 3, "what occurs once outweighs what begins every document"
    assert set(nearest[0]) == {0, 3, 4}, "segment 2 is equal to the first"
    assert nearest[1:] == [[1], [], []]
    assert overlap.find(1).nearest[0] == [3]


def test_the_share_of_ngrams_is_weighted_by_how_rare_they_are(store, tokenizer):
    """Of the n-grams "6417", "417-" and " now" of one sample, each weighs log2(tokens / occurrences)."""
    total = store.meta["num_tokens"]
    overlap = Overlap(ids_of(tokenizer, "6417-", " now", "zz"), store, Places(store))
    (own,) = ids_of(tokenizer, "a 6417")
    assert overlap.share(0, own) == pytest.approx(0.5), "one of two that occur once"
    assert overlap.share(0, ids_of(tokenizer, "a 6417- b")[0]) == 1
    assert overlap.share(1, own) == 0
    assert overlap.share(2, own) is None
    both = Overlap(ids_of(tokenizer, "7-2285 now"), store, Places(store))
    # "7-22", "-228", "2285", "285 ", "85 n", "5 no" occur once, " now" twice
    expected = np.log2(total / 2) / (6 * np.log2(total) + np.log2(total / 2))
    assert both.share(0, ids_of(tokenizer, "6 now")[0]) == pytest.approx(expected)


def test_products_of_gradients_are_those_of_the_output_layer(lm, tokenizer):
    texts = ids_of(tokenizer, "the code is", "6417-2285")
    last_layer = LastLayer(lm, [0], 2)
    gradients = []
    for text in texts:
        ids = torch.tensor([[0, *text.tolist()]])
        loss = torch.nn.functional.cross_entropy(lm(input_ids=ids).logits[0, :-1], ids[0, 1:], reduction="sum")
        (gradient,) = torch.autograd.grad(loss, lm.lm_head.weight)
        gradients.append(gradient)
    one, other = (last_layer.gradient(text) for text in texts)
    assert one.dot(other) == pytest.approx(float((gradients[0] * gradients[1]).sum()), rel=1e-4)
    assert one.dot(one) == pytest.approx(float((gradients[0] ** 2).sum()), rel=1e-4)


def test_embeddings_do_not_depend_on_the_batch_and_are_of_what_fits(lm, tokenizer):
    texts = [*ids_of(tokenizer, "the code is", "6", "9980-1346 now yes"), np.arange(80, dtype=np.int64)]
    together = LastLayer(lm, [0, 1], 4).embeddings(texts)
    for text, embedded in zip(texts, together, strict=True):
        np.testing.assert_allclose(LastLayer(lm, [0, 1], 1).embeddings([text])[0], embedded, atol=1e-5)
    np.testing.assert_allclose(LastLayer(lm, [0, 1], 1).embeddings([texts[3][:62]])[0], together[3], atol=1e-5)
    hidden = lm(input_ids=torch.tensor([[0, 1, *texts[0].tolist()]]), output_hidden_states=True).hidden_states[-1]
    np.testing.assert_allclose(together[0], hidden[0, 2:].mean(0).detach().numpy(), atol=1e-5)


def test_cosines_are_of_what_differs_from_the_mean():
    keys = np.array([[101.0, 0.0], [99.0, 0.0], [100.0, 1.0], [100.0, -1.0]])
    similar = cosines(np.array([[107.0, 7.0], [100.0, 0.0]]), keys)
    half = np.sqrt(0.5)
    np.testing.assert_allclose(similar, [[half, -half, half, -half], [0, 0, 0, 0]], atol=1e-9)


def sample(text, score, *spans):
    return Sample("", text, score, [text], [score], [list(spans)])


UNKNOWN = TrainingData((), None, "", None, False)


def find(store, tokenizer, lm, *samples, num_embedded=100, data=UNKNOWN):
    """What is found of samples."""
    finder = finder_of(store, data, tokenizer, LastLayer(lm, [0], 8), scores_column="scores", num_embedded=num_embedded)
    return finder.find([TracedSample("plain", number, one) for number, one in enumerate(samples)])


def test_the_worst_samples_are_distinct():
    samples = {"a": [sample("x", 0.1), sample("y", 0.9), sample("u", None)], "b": [sample("y", 0.9), sample("z", 0.5)]}
    worst = worst_samples(samples, 2)
    assert [(scenario, number, one.score) for scenario, number, one in worst] == [("a", 1, 0.9), ("b", 1, 0.5)]
    assert len(worst_samples(samples, 9)) == 3


def test_a_copy_is_traced_to_its_segment_by_all_measures(store, lm, tokenizer):
    (origin,) = find(store, tokenizer, lm, sample("9980-1346 now", 0.7), num_embedded=2)
    nearest = origin["neighbours"][0]
    assert (origin["score"], nearest["text"], nearest["document"], nearest["score"]) == (
        0.7,
        "9980-1346 now",
        "d1",
        None,
    )
    assert [nearest[key] for key in ("overlap", "hidden", "gradient")] == pytest.approx([1, 1, 1], abs=1e-4)
    assert all(other["overlap"] < 1 and other["gradient"] < 1 for other in origin["neighbours"][1:])


def test_what_was_detected_is_looked_for_however_it_is_encoded(tokenizer, lm, tmp_path):
    """The tokenizer has " def" and "def" as different tokens, and others for the letters in between."""
    texts = ["call def12\n", "<def12>", "def12", "xdef12", "def13 "]
    store = store_for(
        write_corpus(tmp_path / "data", [([text], [0.0]) for text in texts]), tokenizer, tmp_path / "stores"
    )
    one = sample(
        "my def12, my def13 and 987654", 0.5, (3, 8, "a"), (13, 18, "b"), (23, 29, "c"), (4, 6, "inside the first")
    )
    (origin,) = find(store, tokenizer, lm, one)
    detected = {row["text"]: (row["label"], row["occurrences"], row["document"]) for row in origin["detections"]}
    assert detected["def13"] == ("b", 1, "d4")
    assert detected["987654"] == ("c", 0, None)
    assert detected["def12"][1:] == (3, "d0"), "after a space, after <, and at the beginning"
    assert list(detected) == ["def12", "def13", "987654"]


def test_a_part_of_a_longer_word_or_address_is_not_what_was_detected(tokenizer, lm, tmp_path):
    texts = ["x-bo@ex.de", "bo@ex.dev", "abo@ex.de", "bo@ex.de_", "bo@ex.de7", "b", "o@ex.de"]
    whole = ["bo@ex.de", "to bo@ex.de.", "<bo@ex.de>", "(bo@ex.de)", "bo@ex.de/a"]
    documents = [([text], [0.0]) for text in [*texts, *whole]]
    store = store_for(write_corpus(tmp_path / "data", documents), tokenizer, tmp_path / "stores")
    one = sample("bo@ex.de or +49 30", 0.5, (0, 8, "email"), (12, 18, "phone"))
    (origin,) = find(store, tokenizer, lm, one)
    assert [row["occurrences"] for row in origin["detections"]] == [len(whole), 0]
    assert origin["detections"][0]["document"] == f"d{len(texts)}"
    assert origin["longest"]["occurrences"] == 10, "a span may be a part of a word"


def test_the_longest_span_is_within_a_segment_and_counted_in_all(tokenizer, lm, tmp_path):
    documents = [(["xx 6417", "-2285 yy"], [0.0, 1.0]), (["code 2285 yy", "code 2285 yz"], [0.0, 0.0])]
    store = store_for(write_corpus(tmp_path / "data", documents), tokenizer, tmp_path / "stores")
    (origin,) = find(store, tokenizer, lm, sample("a 6417-2285 y", 0.5))
    longest = origin["longest"]
    assert (longest["text"], longest["num_tokens"], longest["occurrences"]) == ("-2285 y", 7, 1)
    assert (longest["start"], longest["end"], longest["document"]) == (6, 13, "d0")
    (nearest,) = [one for one in origin["neighbours"] if one["text"] == "-2285 yy"]
    assert nearest["common"] == {"num_tokens": 7, "start": 0, "end": 7}
    (origin,) = find(store, tokenizer, lm, sample("zzz", 0.5))
    assert origin["longest"] is None


def test_what_was_held_out_is_not_where_a_sample_comes_from(store, tokenizer, lm):
    class Held(TrainingData):
        def documents_trained_on(self, store):
            return np.array([True, False, True])

    data = Held((), True, "", None, True)
    one = sample("9980-1346 now", 0.7, (0, 9, "code"))
    (origin,) = find(store, tokenizer, lm, one, data=data)
    assert {row["document"] for row in origin["neighbours"]} <= {"d0", "d2"}
    assert origin["detections"][0]["occurrences"] == 0
    assert origin["longest"]["text"] == " now"
    (origin,) = find(store, tokenizer, lm, one)
    assert origin["detections"][0] == {
        "start": 0, "end": 9, "label": "code", "text": "9980-1346", "occurrences": 1, "document": "d1",
    }  # fmt: skip


def test_a_search_can_be_ended(store, tokenizer, lm):
    finder = finder_of(store, UNKNOWN, tokenizer, LastLayer(lm, [0], 8), scores_column="scores", num_embedded=9)
    traced = [TracedSample("plain", 0, sample("the code", 0.5))]
    for most in range(1, 8):
        checks = iter(range(most))  # the one after these ends the search

        def check(left=checks):
            if next(left, None) is None:
                raise InterruptedError

        with pytest.raises(InterruptedError):
            finder.find(traced, check)
    assert len(finder.find(traced)) == 1


def test_segments_shorter_than_an_ngram_are_like_nothing(tokenizer, lm, tmp_path):
    store = store_for(write_corpus(tmp_path / "data", [(["ab", "cd"], [0.0, 0.0])]), tokenizer, tmp_path / "stores")
    (origin,) = find(store, tokenizer, lm, sample("abcd", 0.5))
    assert (origin["neighbours"], origin["longest"]) == ([], None)


def test_equal_segments_take_only_one_of_the_places(tokenizer, lm, tmp_path):
    documents = [(["code 6417 now", "see code 64", "other 9980"], [1.0, 0.0, 0.0])] + [(["code 6417 now"], [1.0])] * 40
    store = store_for(write_corpus(tmp_path / "data", documents), tokenizer, tmp_path / "stores")
    (origin,) = find(store, tokenizer, lm, sample("code 6417 now", 0.7))
    assert [one["text"] for one in origin["neighbours"]] == ["code 6417 now", "see code 64", "other 9980"]


def run_with_samples(folder, *samples):
    writer = RunWriter(folder)
    folder.mkdir()
    writer.append_metrics(1, 64, {"train/loss": 1.0})
    lines = [
        {"prompt": "", "continuation": text, "score": score, "segments": [text], "segment_scores": [score]}
        for text, score in samples
    ]
    writer.write_samples("plain", 1, lines)
    return folder


def test_the_worst_samples_of_a_run_are_shown_with_what_they_are_like(tmp_path):
    model = write_model(tmp_path / "model")
    corpus = write_corpus(tmp_path / "data", [(["See: ", HOSTILE], [0.0, 1.0])])
    run = run_with_samples(tmp_path / "run", (HOSTILE, 0.8), ("x", 0.1))
    settings = replace(SETTINGS, max_spans=0, num_samples=0, num_traced=1)
    record = audit_folder(model, [corpus], tmp_path / "out", settings, samples_of=run)
    (origin,) = record["origins"]
    assert (origin["scenario"], origin["number"], origin["text"]) == ("plain", 0, HOSTILE)
    assert (record["samples_of"], record["training_data"]["is_trained_on"]) == ("run", None)
    assert (origin["neighbours"][0]["text"], origin["neighbours"][0]["score"]) == (HOSTILE, 1.0)
    page = (tmp_path / "out" / "audit.html").read_text()
    assert "Where the worst samples come from" in page
    assert "<script>f(1)" not in page
    audit_folder(model, [corpus], tmp_path / "out", replace(settings, mask=True), samples_of=run)
    assert "9876" not in (tmp_path / "out" / "audit.json").read_text()
    assert json.loads((tmp_path / "out" / "audit.json").read_text())["origins"][0]["text"] == origin["text"].replace(
        "script", "••••••"
    ).replace("f(1)", "•(•)").replace("9876", "••••").replace("m", "•")


def test_a_folder_without_scored_samples_is_refused(tmp_path):
    model = write_model(tmp_path / "model")
    corpus = write_corpus(tmp_path / "data", [(["See: ", HOSTILE], [0.0, 1.0])])
    run = run_with_samples(tmp_path / "run", ("x", None))
    with pytest.raises(CorpusError, match=r"--samples-of .*run: it has no scored samples"):
        audit_folder(model, [corpus], tmp_path / "out", SETTINGS, samples_of=run)
