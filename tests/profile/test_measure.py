"""The profile of a dataset small enough to work out by hand."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from phf.annotate.runner import annotate
from phf.corpus.dataset import write_shard
from phf.corpus.duplicates import DuplicateCounter, hash_of_text
from phf.corpus.sources.documents import AnnotatedDocument
from phf.errors import ConfigError, CorpusError
from phf.profile.histogram import histogram
from phf.profile.measure import profile_dataset
from phf.tokens.tokenizer import train_tokenizer

DOCUMENTS = [
    AnnotatedDocument("a", ["aaaa\n", "b\n"], [0.0, 0.5], {"pile_set_name": "web"}),  # averages 0.25
    AnnotatedDocument("b", ["cc\n", "dd\n"], [0.25, None], {"pile_set_name": "code"}),  # averages 0.25
    AnnotatedDocument("c", ["aaaa\nb\n"], [0.125], {"pile_set_name": "web"}),  # the text of a
    AnnotatedDocument("d", ["e\n"], [None], {"pile_set_name": "code"}),
    AnnotatedDocument("e", [], [], {}),
    AnnotatedDocument("f", [], [], {}),
]


@pytest.fixture
def dataset(tmp_path):
    write_shard(tmp_path / "shard-0.parquet", DOCUMENTS[:3])
    write_shard(tmp_path / "shard-1.parquet", DOCUMENTS[3:])
    return str(tmp_path)


def test_counts_quantiles_and_shares_by_hand(dataset):
    profile = profile_dataset(dataset, threshold=0.125, percentiles=[50], levels=["segment"])
    segments, documents = profile.levels["segment"], profile.levels["document"]
    assert (segments.scored.count, segments.scored.characters) == (4, 5 + 2 + 3 + 7)
    assert (segments.unscored.count, segments.unscored.characters) == (2, 3 + 2)
    assert (segments.at_or_below.count, segments.at_or_below.characters) == (2, 5 + 7)
    assert (documents.scored.count, documents.unscored.count) == (3, 3)
    assert (documents.at_or_below.count, documents.at_or_below.characters) == (1, 7)
    assert segments.quantiles["p25"] == 0.0
    assert segments.quantiles["p50"] == 0.125
    assert segments.quantiles["p99"] == 0.5
    assert documents.quantiles["p50"] == 0.25
    (percentile,) = segments.percentiles
    assert (percentile.threshold, percentile.at_or_below.count) == (0.125, 2)
    assert documents.percentiles == []
    assert (segments.mean, segments.minimum, segments.maximum) == (0.21875, 0.0, 0.5)
    assert segments.num_sampled is None
    assert segments.scored.tokens is None
    assert profile.num_empty_documents == 2
    assert profile.num_partly_unscored_documents == 2
    assert profile.num_duplicate_documents == 1  # c; empty documents are not duplicates
    assert profile.is_duplicate_count_exact


def test_groups_by_the_only_key_of_meta(dataset):
    profile = profile_dataset(dataset, threshold=0.125)
    assert profile.grouped_by == "pile_set_name"
    groups = {group.name: group for group in profile.groups}
    assert set(groups) == {"web", "code", "(none)"}
    web, code = groups["web"], groups["code"]
    assert (web.num_documents, web.num_segments, web.num_segments_above) == (2, 3, 1)
    assert (web.num_characters, web.num_characters_above) == (14, 2)
    assert web.mean_score == pytest.approx((0 + 0.5 + 0.125) / 3)
    assert (code.num_segments, code.num_unscored_segments, code.mean_score) == (3, 2, 0.25)
    assert (groups["(none)"].num_documents, groups["(none)"].mean_score) == (2, None)


def test_groups_by_file_where_meta_does_not_say(tmp_path):
    for number in (0, 1):
        write_shard(
            tmp_path / f"shard-{number}.parquet", [AnnotatedDocument("x", ["a"], [0.5], {"one": 1, "two": number})]
        )
    assert [group.name for group in profile_dataset(str(tmp_path)).groups] == ["shard-0.parquet", "shard-1.parquet"]
    assert [group.name for group in profile_dataset(str(tmp_path), by="two").groups] == ["0", "1"]
    with pytest.raises(CorpusError, match=r"No document has 'tow' in its meta\. Did you mean 'two'\? Known: one, two"):
        profile_dataset(str(tmp_path), by="tow")


def test_groups_of_an_annotated_folder_are_the_sources_while_they_are_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("code").mkdir()
    for name in ("a", "b"):
        Path("code", f"{name}.py").write_text("x=1\n")
    Path("empty.jsonl").write_text("")
    for number in range(2):
        rows = [json.dumps({"text": f"y = {i}\n"}) + "\n" for i in range(1100)]  # two shards
        Path(f"{number}.jsonl").write_text("".join(rows))
    annotate(["code", "empty.jsonl", "*.jsonl"], {"class_name": "PEP8Scorer"}, None, Path("out"))
    profile = profile_dataset("out")
    assert profile.grouped_by == "source"
    counts = {"0.jsonl": 1100, "1.jsonl": 1100, "code": 2}
    assert {group.name: group.num_documents for group in profile.groups} == counts
    with Path("0.jsonl").open("a") as file:
        file.write(rows[0])
    profile = profile_dataset("out")
    assert profile.grouped_by == "file"
    assert sorted(group.num_documents for group in profile.groups) == [2, 1100, 1100]
    assert profile.groups[-1].name == "shard-00000-*.parquet"


def test_files_with_the_same_name_and_values_with_the_same_beginning_are_distinguished(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # long names are cut, and that of a temporary folder may be long
    for number in "12":
        (tmp_path / number).mkdir()
        write_shard(tmp_path / number / "a.parquet", [AnnotatedDocument("x", ["a"], [0.5], {"p": "/" * 90 + number})])
    assert [group.num_documents for group in profile_dataset("*/a.parquet").groups] == [1, 1]
    for number in "12":
        write_shard(tmp_path / number / "a.parquet", [AnnotatedDocument("x", ["a"], [0.5])])
    names = [group.name for group in profile_dataset("*/a.parquet").groups]
    assert names == ["1/a.parquet", "2/a.parquet"]


def test_grouping_by_a_key_without_any_meta_says_so(tmp_path):
    write_shard(tmp_path / "a.parquet", [AnnotatedDocument("x", ["a"], [0.5])])
    with pytest.raises(CorpusError, match="No document has meta"):
        profile_dataset(str(tmp_path), by="source")


def test_tokens_are_counted_with_a_tokenizer(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(["z"], 257).save_pretrained(folder)  # no merges: a token a byte
    profile = profile_dataset(dataset, threshold=0.125, tokenizer=str(folder))
    segments = profile.levels["segment"]
    assert (segments.at_or_below.tokens, segments.scored.tokens, segments.unscored.tokens) == (12, 17, 5)
    assert {group.name: group.num_tokens_above for group in profile.groups}["web"] == 2
    with pytest.raises(ConfigError, match="--tokenizer: 'no/such/folder' cannot be loaded"):
        profile_dataset(dataset, tokenizer="no/such/folder")


def test_examples_are_segments_near_the_quantiles(dataset):
    examples = profile_dataset(dataset).examples
    assert [(e.quantiles, e.score) for e in examples][::2] == [
        ("p1-p25", 0),
        ("p50", 0.125),
        ("p75", 0.25),
        ("p90-p99", 0.5),
    ]
    assert (examples[0].document, examples[0].text) == ("a", "aaaa\\n")


def test_another_column_and_json_lines(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"texts": ["a"], "scores": [0.1], "pii_scores": [0.2]}) + "\n")
    assert profile_dataset(str(path), scores_column="pii_scores").levels["segment"].maximum == pytest.approx(0.2)
    with pytest.raises(CorpusError, match="has no 'toxicity_scores'"):
        profile_dataset(str(path), scores_column="toxicity_scores")
    path.write_text("")
    with pytest.raises(CorpusError, match="nothing to profile"):
        profile_dataset(str(path))


def test_a_dataset_without_any_score_has_no_quantiles(tmp_path):
    write_shard(tmp_path / "a.parquet", [AnnotatedDocument("x", ["a"], [None])])
    level = profile_dataset(str(tmp_path), percentiles=[50]).levels["segment"]
    assert (level.mean, level.minimum, level.quantiles, level.percentiles, level.histogram) == (None, None, {}, [], [])


def test_duplicates_are_counted_the_same_by_text_and_by_hash():
    by_text, by_hash = DuplicateCounter(), DuplicateCounter()
    for counter, add in (
        (by_text, by_text.add_all),
        (by_hash, lambda texts: by_hash.add_hashes(map(hash_of_text, texts))),
    ):
        assert (counter.num_duplicates, counter.is_exact) == (0, True)
        add(["a", "b", "a"])
        assert (counter.num_duplicates, counter.num_texts) == (1, 3)
        add([str(i % 50_000) for i in range(70_000)])  # so many are merged
        add(["b", "7"])
        assert (counter.num_duplicates, counter.num_texts, counter.is_exact) == (20_003, 70_005, True)


def test_duplicates_beyond_the_cap_are_estimated():
    exact, estimated = DuplicateCounter(), DuplicateCounter(max_hashes=500)
    for i in range(20_000):
        for counter in (exact, estimated):
            counter.add(str(i % 12_000))  # 8,000 texts come twice
    assert (exact.num_duplicates, exact.is_exact) == (8000, True)
    assert not estimated.is_exact
    assert estimated.num_duplicates == pytest.approx(8000, rel=0.15)


@pytest.mark.parametrize(
    "scores",
    [[0.0], [0.5], [0.5] * 3, [0.0, 0.5], [0.1, 0.2], [-1.0, 2.0], [1e-5, 0.9], [0.0, 1e-5, 0.9], [1.0] * 500 + [9.0]],
)
def test_bins_hold_every_score_once(scores, tmp_path):
    write_shard(tmp_path / "a.parquet", [AnnotatedDocument("x", ["a"] * len(scores), scores)])
    bins = profile_dataset(str(tmp_path)).levels["segment"].histogram
    assert sum(bin.share for bin in bins) == pytest.approx(1)
    assert all(low.high <= high.low for low, high in pairwise(bins))
    assert bins[0].low <= min(scores) + 1e-6
    assert bins[-1].high >= max(scores) - 1e-6


def test_histogram_of_nothing_is_empty():
    from phf.corpus.distribution import Distribution

    assert histogram(Distribution()) == []
