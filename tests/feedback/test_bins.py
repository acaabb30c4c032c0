"""Graded control tokens: bins of equally many segments, merged where scores are equal, and conditional training at two."""

import json

import numpy as np
import pytest
from tests.tiny import losses, tiny_config

from phf.config import load_config
from phf.corpus.dataset import write_shard
from phf.corpus.sources.documents import AnnotatedDocument
from phf.errors import ConfigError, CorpusError
from phf.feedback import Prompting, method_of, with_prompting
from phf.feedback.conditioning import ScoreQuantiles
from phf.feedback.thresholds import tentative_method_of
from phf.training.data import prepare_data, resolve_percentiles
from phf.training.run import train

SECTION = "dataset.conditioning"


def scored(folder, scores):
    """A dataset of 20 documents whose segments have these scores, in turn."""
    documents = [
        AnnotatedDocument(str(i), [f"x{j} = {i}\n" for j in range(len(scores))], list(scores)) for i in range(20)
    ]
    write_shard(folder / "shard.parquet", documents)
    return str(folder)


def quantiles(source, num_bins, **changes):
    return tiny_config(source, **{SECTION: {"kind": "quantiles", "num_bins": num_bins}, **changes})


def resolved(config):
    return resolve_percentiles(config, lambda message: None)


@pytest.fixture(scope="module")
def tenths(tmp_path_factory):
    return scored(tmp_path_factory.mktemp("tenths"), [i / 10 for i in range(10)])


def test_bins_have_equally_many_segments(tenths):
    config, percentiles = resolved(quantiles(tenths, 5, **{"dataset.eval_fraction": 0.0}))
    assert config.dataset.conditioning.model_extra == {"edges": [0.1, 0.3, 0.5, 0.7, 0.9]}
    assert percentiles["dataset.conditioning.edges.0"] == "p20 = 0.1"
    counts = prepare_data(config, lambda message: None).train.counts
    assert counts.num_tagged_segments == [40] * 5


def test_a_score_above_all_of_the_training_data_is_in_the_worst_bin():
    tags = ScoreQuantiles([0.1, 0.3, 0.9]).tags(np.array([-1, 0.1, 0.2, 0.3, 0.9, 7], np.float32))
    assert tags.tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("edges", [[], [0.5], [0.1, 0.1, 0.2], [0.2, 0.1], [0.1, 0.1 + 1e-12]])
def test_edges_that_leave_a_bin_empty_are_refused(edges):
    with pytest.raises(ConfigError, match="edges must be two or more different numbers in ascending order"):
        ScoreQuantiles(edges)


def test_bins_of_equal_scores_are_merged_and_reported(tmp_path):
    source = scored(tmp_path, [0.0] * 7 + [0.1, 0.2, 0.2])
    said = []
    config, percentiles = resolve_percentiles(quantiles(source, 5), said.append)
    section = config.dataset.conditioning
    assert section.control_tokens == ["<|quantile1|>", "<|quantile4|>", "<|quantile5|>"]
    assert section.model_extra == {"edges": [0.0, 0.1, 0.2]}
    merged = (
        "3 of 5 bins are left, because many scores are equal: <|quantile1|>, <|quantile2|>, <|quantile3|> end at the "
        "score 0 and are one bin, <|quantile1|>"
    )
    assert f"dataset.conditioning: {merged}" in said
    assert percentiles["dataset.conditioning"] == merged
    counts = prepare_data(config.model_copy(), lambda message: None).train.counts
    assert all(counts.num_tagged_segments)  # no bin is empty


def test_a_worst_bin_above_the_largest_score_is_merged_too(tmp_path):
    source = scored(tmp_path, [0.0, 0.1, 1.0, 1.0])
    section = resolved(quantiles(source, 4))[0].dataset.conditioning
    assert section.control_tokens == ["<|quantile1|>", "<|quantile2|>", "<|quantile3|>"]
    assert section.model_extra == {"edges": [0.0, 0.1, 1.0]}


def test_scores_that_are_all_equal_cannot_be_divided(tmp_path):
    with pytest.raises(CorpusError, match=r"have the score 0\.5, so they cannot be divided into 5 bins"):
        resolved(quantiles(scored(tmp_path, [0.5, None]), 5))


def test_a_scenario_that_starts_with_a_merged_token_is_refused(tmp_path):
    source = scored(tmp_path, [0.0] * 7 + [0.1, 0.2, 0.2])
    prefix = {"generation.scenario_configs.0.prefix": "<|quantile2|>"}
    with pytest.raises(ConfigError, match=r"'<\|quantile2\|>', whose bin was merged with that of '<\|quantile1\|>'"):
        resolved(quantiles(source, 5, **prefix))
    resolved(quantiles(source, 5, **{"generation.scenario_configs.0.prefix": "<|quantile4|>"}))


def test_a_phase_whose_tokens_the_last_one_has_merged_is_refused(tmp_path):
    """Nine segments of ten have the same score, but all documents have different averages."""
    documents = [AnnotatedDocument(str(i), ["x\n"] * 10, [0.0] * 9 + [i / 60]) for i in range(60)]
    write_shard(tmp_path / "shard.parquet", documents)

    def phases(*placements):
        section = {"kind": "quantiles", "num_bins": 5}
        methods = [
            {
                "name": placement,
                "dataset": {"conditioning": {**section, "placement": placement}},
                "objective": {"name": "MLE"},
            }
            for placement in placements
        ]
        return tiny_config(str(tmp_path), None, schedule=[{"until": 0.5, **methods[0]}, methods[1]])

    with pytest.raises(ConfigError, match=r"bins of 'on_change' were merged, .*But 'before_document' has"):
        resolved(phases("before_document", "on_change"))
    config, _ = resolved(phases("on_change", "before_document"))
    assert len(config.dataset.conditioning.control_tokens) == 5, "all that either has"


def test_a_plan_needs_no_data(tenths):
    method = tentative_method_of(quantiles(tenths, 5))
    assert len(method.control_tokens) == 5
    assert method.prompting.prefix == "<|quantile1|>"
    assert method.prompting.away_from(method.prompting.prefix) == "<|quantile5|>"


def test_held_out_text_gets_the_tokens_of_the_training_bins(tenths, tmp_path):
    method = method_of(resolved(quantiles(tenths, 5))[0])
    method.prompting.save(tmp_path, ["<|endoftext|>"])
    again = method_of(with_prompting(tiny_config(tenths), Prompting.load(tmp_path)))
    values = np.linspace(-1, 2, 50, dtype=np.float32)
    assert np.array_equal(again.tags(values), method.tags(values))
    assert again.control_tokens == method.control_tokens


@pytest.mark.slow
def test_two_bins_are_conditional_training_with_the_edge_as_threshold(tenths, tmp_path):
    names = ["<|aligned|>", "<|misaligned|>"]
    drop = {"drop_token_fraction": 0.1, "tag_every_segment_when_sampling": False}
    both = {
        "conditional": tiny_config(
            tenths,
            "conditional",
            **{
                f"dataset.conditional_training_config.{key}": value
                for key, value in {**drop, "threshold": "p50"}.items()
            },
        ),
        "quantiles": tiny_config(
            tenths, **{SECTION: {"kind": "quantiles", "num_bins": 2, "control_tokens": names, **drop}}
        ),
    }
    ids, logged, threshold = {}, {}, {}
    for name, config in both.items():
        train(config, tmp_path / name)
        data = prepare_data(resolved(config)[0], lambda message: None, tmp_path / name / "tokenizer")
        ids[name] = np.concatenate([data.train.block(i)[0] for i in range(len(data.train))])
        logged[name] = losses(tmp_path / name)
        threshold[name] = json.loads((tmp_path / name / "model" / "phf.json").read_text())["threshold"]
    assert np.array_equal(ids["conditional"], ids["quantiles"])
    assert logged["conditional"] == logged["quantiles"]
    assert threshold == {"conditional": 0.4, "quantiles": 0.4}
    saved = load_config(config=tmp_path / "quantiles" / "config.yaml")[0]
    assert saved.dataset.conditioning.model_extra == {"edges": [0.4, 0.9]}
    record = json.loads((tmp_path / "quantiles" / "model" / "phf.json").read_text())
    assert record["conditioning"] == {"class_name": "ScoreQuantiles", "edges": [0.4, 0.9]}
    train(both["quantiles"], tmp_path / "quantiles", resume=True)  # the same run, however it is written
