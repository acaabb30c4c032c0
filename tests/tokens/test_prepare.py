"""What a configuration makes of its data, and what is said about it."""

import json

import pytest
from tests.tiny import tiny_config, tiny_tokenizer
from tests.tokens.packed import CONTROL

from phf.errors import ConfigError, CorpusError
from phf.tokens import building
from phf.tokens.prepare import held_out_blocks, training_blocks, view_settings

ALL_HELD_OUT = {"dataset.max_eval_tokens": 10**6}


def silent(_):
    pass


def write_corpus(path, number=80, number_of_ids=80):
    rows = [
        {"id": str(i % number_of_ids), "texts": [f"x = {i}\n", "y=1\n"] * 5, "scores": [0.0, i / 100] * 5}
        for i in range(number)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setenv("PHF_CACHE", str(tmp_path / "cache"))
    return write_corpus(tmp_path / "a.jsonl")


def test_methods_seeds_lengths_and_held_out_shares_share_one_store(source, monkeypatch):
    config = tiny_config(source)
    first = training_blocks(config, tiny_tokenizer(), [source], silent)
    monkeypatch.setattr(building, "_build", None)  # building again would raise
    changes = {"dataset.seq_length": 32, "training.seed": 7, "dataset.eval_fraction": 0.4}
    for method in ("mle", "filtering", "conditional", "ul", "awr", "rwr"):
        tokenizer = tiny_tokenizer(CONTROL if method == "conditional" else None)
        other = training_blocks(tiny_config(source, method, **changes), tokenizer, [source], silent)
        assert other.store.folder == first.store.folder
        assert other[0]["input_ids"].shape == (32,)


def test_held_out_blocks_are_neither_filtered_nor_dropped(source):
    config = tiny_config(
        source,
        "conditional",
        **{"dataset.eval_fraction": 0.4, "dataset.filter_threshold": 0.2, "dataset.skip_tokens": 50, **ALL_HELD_OUT},
    )
    assert config.dataset.conditional_training_config.drop_token_fraction > 0
    tokenizer = tiny_tokenizer(CONTROL)
    train = training_blocks(config, tokenizer, [source], silent)
    held_out = held_out_blocks(config, tokenizer, [source], silent)
    assert train.counts.num_documents_filtered > 0
    assert train.counts.num_documents_skipped > 0
    assert sum(train.counts.num_tagged_segments) > train.counts.num_control_tokens
    assert held_out.counts.num_documents_filtered == held_out.counts.num_documents_skipped == 0
    assert held_out.counts.num_control_tokens == held_out.counts.num_segments
    others = {document for _, document in held_out.packed_documents()}
    assert not others & {document for _, document in train.packed_documents()}
    assert (
        len(others)
        + train.counts.num_documents_filtered
        + train.counts.num_documents_skipped
        + (train.counts.num_documents)
        == 80
    )


def test_held_out_datasets_are_taken_as_they_stand(source, tmp_path):
    other = write_corpus(tmp_path / "b.jsonl", number=30)
    changes = {"dataset.eval_fraction": 0.0, "dataset.eval_datasets": [other], "dataset.filter_threshold": 0.0}
    config = tiny_config(source, "conditional", **changes, **ALL_HELD_OUT)
    held_out = held_out_blocks(config, tiny_tokenizer(CONTROL), [source], silent)
    assert held_out.counts.num_documents == 30
    assert held_out.counts.num_control_tokens == 300


def test_documents_of_one_id_are_pointed_out_where_some_are_held_out(source, tmp_path, caplog):
    source = write_corpus(tmp_path / "c.jsonl", number_of_ids=60)
    training_blocks(tiny_config(source, **{"dataset.eval_fraction": 0.0}), tiny_tokenizer(), [source], silent)
    assert "earlier one" not in caplog.text
    training_blocks(tiny_config(source, **{"dataset.eval_fraction": 0.5}), tiny_tokenizer(), [source], silent)
    assert "20 of 80 documents have the id of an earlier one" in caplog.text


def test_banned_words_must_be_control_tokens_of_this_tokenizer(source):
    scenario = "generation.scenario_configs.0.generate_kwargs.bad_words_ids"
    config = tiny_config(source, "conditional", **{scenario: [[5]]})
    with pytest.raises(ConfigError, match=r"bad_words_ids has \[5\].*Leave bad_words_ids out"):
        view_settings(config, tiny_tokenizer(CONTROL))


def test_altered_documents_up_to_the_allowed_share_are_announced(tmp_path, monkeypatch):
    from tests.tokenizer_classes import llama

    from phf.tokens.tokenizer import prepare_tokenizer

    monkeypatch.setenv("PHF_CACHE", str(tmp_path / "cache"))
    rows = [{"id": str(i), "texts": ["the cat"] * 8, "scores": [0.0] * 8} for i in range(9)]
    rows.append({"id": "sign", "texts": ["a ▁ b"] * 8, "scores": [0.0] * 8})  # the sign for a space is decoded as one
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source, said = str(tmp_path / "a.jsonl"), []
    config = tiny_config(source, **{"dataset.eval_fraction": 0.0, "dataset.max_altered_documents": 0.2})
    training_blocks(config, prepare_tokenizer(llama(), None), [source], said.append)
    assert said == [
        "The tokenizer changes the text of 1 of 10 training documents (characters that it lacks, or its sign for a space)"
    ]


def grouped(path, groups):
    """A corpus of documents each with the group of its number, or without one."""
    rows = [
        {
            "id": str(i),
            "texts": [f"x = {i}\n"] * 10,
            "scores": [0.0] * 10,
            "meta": {} if group is None else {"package": group},
        }
        for i, group in enumerate(groups)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def split_ids(config, source):
    """Ids of the documents that are trained on, and of those held out."""
    blocks = (
        training_blocks(config, tiny_tokenizer(), [source], silent),
        held_out_blocks(config, tiny_tokenizer(), [source], silent),
    )
    return [{id for _, id in some.packed_documents()} for some in blocks]


@pytest.mark.parametrize("streaming", [False, True])
def test_documents_of_one_group_are_held_out_together(tmp_path, monkeypatch, streaming):
    monkeypatch.setenv("PHF_CACHE", str(tmp_path / "cache"))
    groups = [f"package{i % 12}" for i in range(120)]
    source = grouped(tmp_path / "a.jsonl", groups)
    settings = {"dataset.eval_fraction": 0.4, "dataset.streaming": streaming, **ALL_HELD_OUT}
    train, held_out = split_ids(tiny_config(source, **settings, **{"dataset.eval_group": "package"}), source)
    packages_of = lambda ids: {groups[int(id)] for id in ids}  # noqa: E731
    assert train | held_out == set(map(str, range(120)))
    assert packages_of(train).isdisjoint(packages_of(held_out))
    assert packages_of(held_out)
    sampled = split_ids(
        tiny_config(source, **settings | {"dataset.max_eval_tokens": 500, "dataset.eval_group": "package"}), source
    )
    assert sampled[0] == train
    assert set() < sampled[1] < held_out
    by_ids = split_ids(tiny_config(source, **settings), source)
    assert packages_of(by_ids[0]) & packages_of(by_ids[1]), "without groups, each document is by itself"


def test_blocks_that_are_streamed_hold_no_group_that_is_held_out(tmp_path, monkeypatch):
    monkeypatch.setenv("PHF_CACHE", str(tmp_path / "cache"))
    source = grouped(tmp_path / "a.jsonl", [f"package{i % 12}" for i in range(120)])
    settings = {"dataset.eval_fraction": 0.4, "dataset.eval_group": "package"}
    stored, streamed = (
        training_blocks(
            tiny_config(source, **settings, **{"dataset.streaming": streaming}), tiny_tokenizer(), [source], silent
        )
        for streaming in (False, True)
    )
    ids = [
        sorted(bytes(item["input_ids"]) for item in items)
        for items in (map(stored.__getitem__, range(len(stored))), streamed.epoch(0))
    ]
    assert ids[0] == ids[1]


@pytest.mark.parametrize("streaming", [False, True])
def test_what_is_held_out_by_groups_is_announced(tmp_path, monkeypatch, streaming):
    monkeypatch.setenv("PHF_CACHE", str(tmp_path / "cache"))
    source = grouped(tmp_path / "a.jsonl", [f"package{i % 12}" for i in range(120)])
    settings = {"dataset.eval_fraction": 0.25, "dataset.eval_group": "package", "dataset.streaming": streaming}
    said = []
    training_blocks(tiny_config(source, **settings), tiny_tokenizer(), [source], said.append)
    assert said == ["Held out by package: 3 of 12 values, 24.8% of the text"]


def test_a_document_without_its_group_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("PHF_CACHE", str(tmp_path / "cache"))
    for name, group in (("none", None), ("empty", "")):
        source = grouped(tmp_path / f"{name}.jsonl", ["a", "b"] * 20 + [group])
        config = tiny_config(source, **{"dataset.eval_fraction": 0.4, "dataset.eval_group": "package"})
        with pytest.raises(
            CorpusError, match=r"Document '40' has no value of 'package' in its meta .*dataset\.eval_group"
        ):
            training_blocks(config, tiny_tokenizer(), [source], silent)
    # nothing is held out of what is read here
    config = tiny_config(source, **{"dataset.eval_fraction": 0, "dataset.eval_group": "package"})
    training_blocks(config, tiny_tokenizer(), [source], silent)
