"""Samples in compressed chunks: what the page's script finds in them."""

import base64
import json
import zlib

import pytest

from phf.errors import ConfigError
from phf.report.page import write_report
from phf.report.sample_chunks import LARGEST_CHUNK, MAX_CHARS, WORST, SampleSet, pack
from phf.runs.reader import Sample


def unpacked(text):
    return json.loads(zlib.decompress(base64.b64decode(text)).decode())


def one(score=0.0, prompt="p", segments=("text",), scores=None, spans=(), continuation=None):
    scores = [score] * len(segments) if scores is None else scores
    whole = "".join(segments)
    return Sample(prompt, whole if continuation is None else continuation, score, list(segments), scores, list(spans))


def a_set(samples, model="mle", threshold=0.0, scorer="PIIScorer"):
    return SampleSet(model, "unconditional", samples, threshold, scorer, False)


def test_samples_scores_and_prompts_by_hand():
    mle = [
        one(0.25, "a", ["x", "y"], [0.5, None], [[(0, 1, "email")], []]),
        one(None, "b"),
        one(0.125, "a", ["a", "z"], [0.0, 0.25], continuation="z"),
    ]
    packed = pack([a_set(mle), a_set([one(1, "c"), one(0, "a")], "ul", 0.5)], 1e6)
    index = unpacked(packed.index)
    first, second = index["sets"]
    assert first == {
        "model": "mle", "scenario": "unconditional", "threshold": 0, "scorer": "PIIScorer", "isCode": False, "total": 3,
        "chunks": [0], "scores": [0.25, 0.125, None], "prompts": [0, 0, 1], "occurrences": [0, 1, 0],
    }  # fmt: skip
    assert (second["chunks"], second["scores"], second["prompts"]) == ([1], [1, 0], [2, 0])
    assert index["prompts"] == [[0, 0], [2, 1]]
    chunk, other = map(unpacked, packed.chunks)
    assert chunk["prompts"] == [["a", 0], ["b", 0]]
    assert other["prompts"] == [["c", 0]]
    assert chunk["samples"] == [
        [["x", "y"], [0.5, None], [[0, 0, 1, "email"]], 0, 0],
        [["a", "z"], [0, 0.25], [], 0, 1],
        [["text"], [None], [], 0, 0],
    ]
    assert (packed.num_samples, packed.num_included) == (5, 5)


def test_what_does_not_fit_is_left_out_evenly_and_the_worst_and_the_same_prompts_are_kept():
    length = 5 * LARGEST_CHUNK
    scores = {model: [(i * step % length) / length for i in range(length)] for model, step in (("a", 7), ("b", 11))}
    sets = [a_set([one(s, f"prompt {i}") for i, s in enumerate(scores[model])], model) for model in scores]
    whole = pack(sets, 1e9)
    assert (whole.num_included, len(whole.chunks)) == (2 * length, 10)
    part = pack(sets, sum(map(len, whole.chunks[:4])) + 1)
    assert (part.num_samples, part.num_included, len(part.chunks)) == (2 * length, 4 * LARGEST_CHUNK, 4)
    assert part.chunks == whole.chunks[:4]
    described = unpacked(part.index)["sets"]
    for each in described:
        assert (each["total"], len(each["scores"])) == (length, 2 * LARGEST_CHUNK)
        assert each["scores"][:WORST] == sorted(scores[each["model"]], reverse=True)[:WORST]
    shared = set(described[0]["prompts"]) & set(described[1]["prompts"])
    assert len(shared) >= 2 * LARGEST_CHUNK - 2 * WORST
    nothing = pack(sets, 0)
    assert (nothing.num_included, nothing.chunks) == (0, [])
    assert [each["total"] for each in unpacked(nothing.index)["sets"]] == [length, length]


def test_many_models_are_all_there_before_the_limit_is_reached():
    sets = [a_set([one(i / 40, f"{i}") for i in range(40)], f"model {number}") for number in range(300)]
    packed = pack(sets, 0.75 * sum(map(len, pack(sets, 1e9).chunks)))
    assert 300 * 40 > packed.num_included > 300 * 20
    assert min(len(each["scores"]) for each in unpacked(packed.index)["sets"]) >= 10


def test_long_texts_are_cut_and_what_is_left_out_is_counted():
    long = one(
        0.5, "p" * (MAX_CHARS + 5), ["a" * (MAX_CHARS - 1), "bcd", "e"], [0.0, 1.0, 0.5], [[], [], [(0, 1, "x")]]
    )
    chunk = unpacked(pack([a_set([long])], 1e6).chunks[0])
    assert chunk["samples"] == [[["a" * (MAX_CHARS - 1), "b"], [0, 1], [], 3, 0]]
    assert chunk["prompts"] == [["p" * MAX_CHARS, 5]]


def test_offsets_count_as_javascript_does():
    sample = one(0.5, "", ["é😀 a@b.co"], [0.5], [[(0, 2, "x"), (3, 9, "email")]])
    (row,) = unpacked(pack([a_set([sample])], 1e6).chunks[0])["samples"]
    assert row[2] == [[0, 0, 3, "x"], [0, 4, 10, "email"]]
    assert row[0][0].encode("utf-16-le")[2 * 4 : 2 * 10].decode("utf-16-le") == "a@b.co"


@pytest.mark.parametrize(
    ("score", "threshold", "kept"),
    [
        (0.123456, 0.5, 0.1235),
        (0.100004, 0.1, 0.100004),
        (0.09999999, 0.1, 0.1),
        (3.0, 0.0, 3),
        (-1e-9, 0.0, -1e-9),
        (100004, 100003, 100004),
    ],
)
def test_scores_have_four_digits_unless_that_takes_them_across_the_threshold(score, threshold, kept):
    index = unpacked(pack([a_set([one(score)], threshold=threshold)], 1e6).index)
    assert index["sets"][0]["scores"] == [kept]


def test_half_a_character_and_a_backslash_survive():
    text = "\\\ud800 \x00\u202e</script>"
    packed = pack([a_set([one(0.5, text, [text])])], 1e6)
    chunk = unpacked(packed.chunks[0])
    assert (chunk["prompts"], chunk["samples"][0][0]) == ([[text, 0]], [text])


def test_colours_go_from_the_lowest_score_to_nearly_the_highest_of_a_scorer():
    scores = [i / 100 for i in range(101)]
    sets = [
        a_set([one(s) for s in scores]),
        a_set([one(-2.0), one(2.0)], "b", scorer="R"),
        a_set([one(None)], "c", 0, ""),
    ]
    assert unpacked(pack(sets, 1e6).index)["scales"] == {"PIIScorer": [0, 0.95], "R": [-2, 2], "": [0, 1]}


@pytest.mark.parametrize("samples_mb", [-1, float("nan")])
def test_a_limit_that_is_not_one_is_refused_before_runs_are_read(samples_mb, tmp_path):
    with pytest.raises(ConfigError, match="It must be 0 or a larger number of megabytes"):
        write_report([tmp_path / "nowhere"], tmp_path / "report.html", samples_mb=samples_mb)
