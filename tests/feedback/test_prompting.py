"""How a model is asked: prefix, banned tokens, the token to steer away from; written, read back, and old files read."""

import json

import pytest
from tests.tiny import PLAIN, conditional_prompting, tiny_tokenizer

from phf.errors import ConfigError
from phf.feedback import ControlTokens, Prompting, method_of, with_prompting

THREE = ("<|good|>", "<|fair|>", "<|bad|>")


@pytest.mark.parametrize(
    ("repeats", "prefix", "banned"),
    [
        (False, "<|good|>", THREE),
        (False, "", THREE),
        (True, "<|good|>", ("<|fair|>", "<|bad|>")),
        (True, "<|fair|>", ("<|good|>", "<|bad|>")),
        (True, "", THREE),
        (True, None, THREE),
    ],
)
def test_all_control_tokens_are_banned_but_the_prefix_of_a_model_that_repeats_it(repeats, prefix, banned):
    prompting = conditional_prompting(*THREE, tags_every_segment=repeats)
    assert prompting.banned(prefix) == banned
    tokenizer = tiny_tokenizer(THREE)
    assert prompting.banned_ids(tokenizer, prefix) == sorted(tokenizer.convert_tokens_to_ids(list(banned)))
    good = tokenizer.convert_tokens_to_ids("<|good|>")
    assert prompting.repeated_ids(tokenizer) == ([good] if repeats else [])


def test_a_model_is_prompted_with_its_best_token_and_steered_away_from_its_worst():
    prompting = conditional_prompting(*THREE)
    assert (prompting.prefix, prompting.away_from("<|good|>"), prompting.can_steer) == ("<|good|>", "<|bad|>", True)
    assert (PLAIN.prefix, PLAIN.away_from(None), PLAIN.can_steer) == (None, None, False)
    assert not conditional_prompting("<|good|>").can_steer


def test_ids_are_found_by_name_wherever_they_stand():
    tokenizer = tiny_tokenizer(("<|x|>", *reversed(THREE), "<|y|>"))
    ids = ControlTokens(THREE).ids(tokenizer)
    assert tokenizer.convert_ids_to_tokens(ids) == list(THREE)
    with pytest.raises(ConfigError, match=r"'<\|goood\|>' is not a special token .*Did you mean '<\|good\|>'"):
        ControlTokens(("<|goood|>",)).ids(tokenizer)


def test_a_segment_is_judged_by_the_limit_of_the_preference_that_looks_at_the_column():
    preferences = [
        {"name": "pep8", "scores_column": "scores", "thresholds": [0.25]},
        {"name": "pii", "scores_column": "pii_scores", "edges": [0.5, 1.0]},
    ]
    several = Prompting(threshold=0.25, conditioning={"class_name": "ScorePreferences", "preferences": preferences})
    assert [several.threshold_for(column) for column in ("scores", "pii_scores", "others")] == [0.25, 0.5, 0.25]
    assert Prompting(threshold=0.1).threshold_for("scores") == 0.1
    assert Prompting().threshold_for("scores") is None


def test_what_is_saved_is_read_back(tmp_path):
    section = {"class_name": "my_module:ThreeWay", "low": 0.1, "high": 0.5}
    prompting = Prompting(control_tokens=ControlTokens(THREE), threshold=0.1, conditioning=section)
    prompting.save(tmp_path, ["<|endoftext|>"])
    read = Prompting.load(tmp_path)
    assert read.document_start == ("<|endoftext|>",)
    assert (read.control_tokens, read.threshold, read.conditioning) == (prompting.control_tokens, 0.1, section)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"control_tokens": None}, Prompting()),
        ({"control_tokens": ["a", "b"]}, conditional_prompting("a", "b")),
        ({"control_tokens": ["a", "b"], "threshold": 0.25}, conditional_prompting("a", "b", threshold=0.25)),
        ({"control_tokens": ["a", "b"], "threshold": None, "document_start": ["x"], "note": 1}, None),
    ],
)
def test_files_of_every_version_are_read(content, expected, tmp_path):
    (tmp_path / "phf.json").write_text(json.dumps({"tag_every_segment_when_sampling": False, **content}))
    read = Prompting.load(tmp_path)
    assert read == (expected or Prompting(control_tokens=ControlTokens(("a", "b")), document_start=("x",)))


@pytest.mark.parametrize(("threshold", "expected"), [(0.25, [0, 0, 1]), (None, [0, 1, 1])])
def test_text_is_tagged_for_an_old_export_as_its_threshold_says(threshold, expected, tmp_path):
    from tests.feedback.test_own_method import scores
    from tests.tiny import tiny_config

    content = {"control_tokens": ["a", "b"], "tag_every_segment_when_sampling": True, "threshold": threshold}
    (tmp_path / "phf.json").write_text(json.dumps(content))
    for method in ("mle", "conditional"):
        config = with_prompting(tiny_config("x", method), Prompting.load(tmp_path))
        assert method_of(config).control_tokens.names == ("a", "b")
        assert method_of(config).tags(scores(0.0, 0.25, 0.3)).tolist() == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"control_tok', r"phf\.json: is not valid JSON.*Export the model again"),
        ("[]", r"phf\.json"),
        ('{"control_tokens": null}', "tag_every_segment_when_sampling"),
        ('{"control_tokens": "ab", "tag_every_segment_when_sampling": false}', "control_tokens"),
        ('{"control_tokens": ["a", ""], "tag_every_segment_when_sampling": false}', "control_tokens"),
        ('{"control_tokens": ["a", "a"], "tag_every_segment_when_sampling": false}', "'control_tokens': .*different"),
        (
            '{"control_tokens": ["a", "b", "c"], "tag_every_segment_when_sampling": false}',
            "'control_tokens' are 3, and 'conditioning' does not say what chose among them",
        ),
        (
            '{"control_tokens": ["a"], "conditioning": {"low": 1}, "tag_every_segment_when_sampling": false}',
            r"'conditioning\.class_name' must name the class",
        ),
        ('{"control_tokens": null, "tag_every_segment_when_sampling": false, "threshold": NaN}', "threshold|NaN"),
        ('{"control_tokens": null, "tag_every_segment_when_sampling": false, "document_start": []}', "document_start"),
    ],
)
def test_a_damaged_file_is_refused_with_its_name_and_key(content, message, tmp_path):
    (tmp_path / "phf.json").write_text(content)
    with pytest.raises(ConfigError, match=message) as error:
        Prompting.load(tmp_path)
    assert str(tmp_path / "phf.json") in str(error.value)
