"""Uploading: what is sent, what the card says, and what is said when the Hub does not answer."""

import json
import re

import huggingface_hub
import pytest
import yaml
from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled
from typer.testing import CliRunner

from phf.annotate import hub
from phf.annotate.hub import dataset_card, push_dataset
from phf.annotate.runner import annotate
from phf.cli.app import app
from phf.errors import ConfigError, CorpusError, OutputError, SecretError
from phf.storage.hub_upload import check_repository, hub_errors

TOKEN = "hf_a_secret_that_is_never_shown"


@pytest.fixture
def dataset(tmp_path):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "a.py").write_text("x=1\ny = 2\n")
    (corpus / "b.py").write_text("z = 3\n")
    annotate([str(corpus)], {"class_name": "PEP8Scorer"}, None, tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def calls(monkeypatch):
    """What the client was asked to do, instead of doing it."""
    requests = []

    class Api:
        def __init__(self, token):
            requests.append(("token", token))

        def create_repo(self, repo_id, **arguments):
            requests.append(("create", repo_id, arguments))

        def upload_folder(self, **arguments):
            requests.append(("upload", arguments))

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return requests


def test_shards_manifest_and_card_are_uploaded_and_nothing_else(dataset, calls):
    assert push_dataset(dataset, "me/stdlib") == "https://huggingface.co/datasets/me/stdlib"
    (_, token), (_, repo_id, created), (_, uploaded) = calls
    assert token == TOKEN
    assert (repo_id, created["repo_type"], created["private"]) == ("me/stdlib", "dataset", True)
    names = sorted(path.name for path in dataset.iterdir())
    shards = [name for name in names if name.endswith(".parquet")]
    assert sorted(uploaded["allow_patterns"]) == sorted(["README.md", "manifest.json", *shards])
    assert uploaded["folder_path"] == str(dataset)
    assert TOKEN not in "".join(path.read_text(errors="replace") for path in dataset.iterdir())


def test_a_card_that_a_person_wrote_is_kept(dataset, calls):
    (dataset / "README.md").write_text("---\nlicense: mit\n---\n")
    push_dataset(dataset, "me/stdlib", private=False)
    assert (dataset / "README.md").read_text() == "---\nlicense: mit\n---\n"
    assert calls[1][2]["private"] is False


def test_a_card_of_ours_is_rewritten_for_another_name_and_kept_once_a_person_has_changed_it(dataset, calls):
    push_dataset(dataset, "me/try")
    push_dataset(dataset, "me/final")
    card = (dataset / "README.md").read_text()
    assert 'load_dataset("me/final"' in card
    assert "me/try" not in card
    (dataset / "README.md").write_text(card.replace("# license", "license: mit #"))
    push_dataset(dataset, "me/third")
    assert "license: mit" in (dataset / "README.md").read_text()


def test_nothing_scored_has_no_thresholds(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": ""}\n')
    annotate([str(tmp_path / "a.jsonl")], {"class_name": "PEP8Scorer"}, None, tmp_path / "out")
    assert "| `scores`, segments |" + " - |" * 9 in dataset_card(tmp_path / "out", "me/x")


def test_text_of_strangers_cannot_end_a_line_or_a_cell_of_the_card(dataset):
    manifest = json.loads((dataset / "manifest.json").read_bytes())
    del manifest["sha256"]  # as in a dataset of an older version
    hostile = "x\n\n# Best dataset\n| a | [b](https://example.org) <b>` \x1b[31m"
    manifest |= {"segmenter": hostile, "phf_version": hostile, "unscored_reasons": {hostile: 1}, "sources": [hostile]}
    scorer = {"class_name": hostile, "version": hostile, "settings": {hostile: hostile}}
    (dataset / "manifest.json").write_text(json.dumps(manifest | {"scorer": scorer, "scorers": {"scores": scorer}}))
    card = dataset_card(dataset, "me/stdlib")
    assert "\x1b" not in card
    for line in card.splitlines():
        assert not line.startswith(("# Best", "| a |"))
        assert "[b](" not in re.sub("`[^`]*`", "", line)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("scorer", {"version": "1", "settings": {}}),
        ("scorer", {"class_name": 1, "version": "1", "settings": {}}),
        ("scorers", {"scores": {"class_name": "A", "version": "1", "settings": []}}),
        ("num_documents", 1.5),
        ("num_segments", -1),
        ("num_unscored", True),
        ("unscored_reasons", {"a": "1"}),
        ("segmenter", None),
    ],
)
def test_a_manifest_with_a_value_of_another_type_is_named_with_its_key(key, value, dataset):
    manifest = json.loads((dataset / "manifest.json").read_bytes())
    del manifest["sha256"]
    (dataset / "manifest.json").write_text(json.dumps(manifest | {key: value}))
    with pytest.raises(CorpusError, match=rf"manifest\.json: '{key}"):
        dataset_card(dataset, "me/stdlib")


def test_the_card_says_what_the_dataset_is(dataset):
    card = dataset_card(dataset, "me/stdlib")
    _, front, text = card.split("---\n", 2)
    header = yaml.safe_load(front)
    assert "license" not in header
    assert header["size_categories"] == ["n<1K"]
    assert header["configs"] == [{"config_name": "default", "data_files": "*.parquet"}]
    assert "# stdlib" in text
    assert "| `scores` | `list<element: float>` | score of each segment by `PEP8Scorer` |" in text
    assert "- `scores`: `PEP8Scorer`, version `2+pycodestyle-" in text
    assert "2 documents, 3 segments, 0 unscored." in text
    # E225 in 4 characters; the averages are 0.125 and 0
    assert "| `scores`, segments | 0 | 0 | 0 | 0 | 0 | 0.25 | 0.25 | 0.25 | 0.25 |" in text
    assert "| `scores`, documents | 0 | 0 | 0 | 0 | 0 | 0.125 | 0.125 | 0.125 | 0.125 |" in text
    assert 'load_dataset("me/stdlib", split="train")' in text
    assert str(dataset.parent) not in card  # no path of this machine


def test_an_unfinished_or_damaged_dataset_is_not_uploaded(dataset, calls):
    shard = next(dataset.glob("*.parquet"))
    shard.write_bytes(shard.read_bytes() + b"x")
    with pytest.raises(CorpusError, match=r"is missing or does not match manifest\.json"):
        push_dataset(dataset, "me/stdlib")
    (dataset / "manifest.json").unlink()
    with pytest.raises(CorpusError, match="no finished annotation"):
        push_dataset(dataset, "me/stdlib")
    assert [call for call in calls if call[0] != "token"] == []


def test_without_a_token_or_with_a_wrong_name_nothing_is_scored(tmp_path, monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    (tmp_path / "a.py").write_text("x=1\n")
    arguments = ["annotate", str(tmp_path / "a.py"), "--scorer", "PEP8Scorer", "--output", str(tmp_path / "out")]
    result = CliRunner().invoke(app, [*arguments, "--push-to-hub", "me/x"])
    assert result.exit_code != 0
    assert "HF_TOKEN" in result.output + str(result.exception)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    result = CliRunner().invoke(app, [*arguments, "--push-to-hub", "no name!"])
    assert "is not the name of a repository" in result.output + str(result.exception)
    assert not (tmp_path / "out").exists()


def test_on_the_command_line(tmp_path, calls):
    (tmp_path / "a.py").write_text("x=1\n")
    arguments = ["annotate", str(tmp_path / "a.py"), "--scorer", "PEP8Scorer", "--output", str(tmp_path / "out")]
    result = CliRunner().invoke(app, [*arguments, "--workers", "1", "--push-to-hub", "me/x"])
    assert result.exception is None
    assert "Uploaded to https://huggingface.co/datasets/me/x" in result.output
    assert TOKEN not in result.output


class _Response:
    def __init__(self, status):
        self.status_code, self.headers, self.request = status, {}, None


@pytest.mark.parametrize(
    ("error", "expected", "message"),
    [
        (HfHubHTTPError(TOKEN, response=_Response(401)), OutputError, r"refused.*HTTP 401.*HF_TOKEN.*finished on disk"),
        (HfHubHTTPError(TOKEN, response=_Response(403)), OutputError, "may not write"),
        (HfHubHTTPError(TOKEN, response=_Response(500)), OutputError, "HTTP 500"),
        (OfflineModeIsEnabled(TOKEN), OutputError, "HF_HUB_OFFLINE is set"),
        (HTTPError(TOKEN), OutputError, "cannot be reached"),
        (ConnectionResetError(TOKEN), OutputError, r"cannot be reached \(ConnectionResetError\)"),
    ],
)
def test_what_the_hub_refuses_is_reported_without_the_token(error, expected, message):
    with pytest.raises(expected, match=message) as caught, hub_errors("me/x", hub.KEPT):
        raise error
    assert TOKEN not in str(caught.value)


def test_the_real_client_refuses_a_wrong_name_before_any_request(dataset, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with pytest.raises(ConfigError, match=r"--push-to-hub a/b/c: is not the name of a repository"):
        push_dataset(dataset, "a/b/c")


def test_a_name_with_a_password_in_it_is_not_shown():
    with pytest.raises(SecretError, match=r"^training\.hub_model_id is not the name of a repository") as caught:
        check_repository("user:" + "hunter2@example.org", "training.hub_model_id")
    assert "hunter2" not in str(caught.value)


def test_a_page_of_html_with_status_200_is_one_line(dataset, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)

    class Portal:
        def __init__(self, token):
            pass

        def create_repo(self, *_, **__):
            json.loads("<html>Sign in</html>")

    monkeypatch.setattr(huggingface_hub, "HfApi", Portal)
    with pytest.raises(
        OutputError, match=r"answer is not JSON, .* me/stdlib was not uploaded\..*run the same command"
    ) as error:
        push_dataset(dataset, "me/stdlib")
    assert "\n" not in str(error.value)
