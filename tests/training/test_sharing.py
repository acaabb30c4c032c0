"""`training.push_to_hub`: what is uploaded while training and after it, and that a run never depends on it."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import CommitInfo, RepoUrl
from tests.tiny import losses, tiny_config, tiny_corpus
from typer.testing import CliRunner

from phf.cli.app import app
from phf.config import TrainingConfig
from phf.errors import ConfigError, OutputError
from phf.models.exporting.upload import ModelRepository, tokens_tag
from phf.training.run import train
from phf.training.settings.keys import check_keys
from phf.training.sharing import Sharing
from phf.training.uploads import Uploads

TOKEN = "hf_a_secret_that_is_never_shown"


class Hub:
    """What the client was asked to do, instead of doing it; an upload fails with `problem`."""

    def __init__(self):
        self.created, self.uploaded, self.tags, self.problem = [], [], {}, None

    def __call__(self, token):
        assert token == TOKEN
        return self

    def create_repo(self, repo_id, **arguments):
        self.created.append((repo_id, arguments))
        return RepoUrl(f"https://huggingface.co/{repo_id if '/' in repo_id else f'me/{repo_id}'}")

    def upload_folder(self, repo_id, folder_path, commit_message):
        if self.problem is not None:
            raise self.problem
        files = {path.name: path.read_bytes() for path in Path(folder_path).iterdir()}
        self.uploaded.append((repo_id, files))
        return CommitInfo(
            f"https://huggingface.co/{repo_id}/commit/{len(self.uploaded)}", commit_message, "", f"{len(self.uploaded)}"
        )

    def create_tag(self, repo_id, tag, revision, exist_ok):
        self.tags[tag] = int(revision)


@pytest.fixture
def hub(monkeypatch):
    client = Hub()
    monkeypatch.setattr(huggingface_hub, "HfApi", client)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return client


def pushing(**changes):
    settings = {"push_to_hub": True, "hub_model_id": "me/model", "hub_strategy": "all_checkpoints", **changes}
    return {f"training.{key}": value for key, value in settings.items()}


@pytest.mark.slow
def test_checkpoints_are_uploaded_as_models_with_cards_and_tags_and_the_run_is_the_same(hub, tmp_path):
    (tmp_path / "corpus").mkdir()
    source, said = tiny_corpus(tmp_path / "corpus"), []
    train(tiny_config(source, "conditional", **{"generation.every_n_steps": 3}), tmp_path / "plain")
    train(
        tiny_config(source, "conditional", **pushing(), **{"generation.every_n_steps": 3}),
        tmp_path / "run",
        announce=said.append,
    )
    assert hub.created == [("me/model", {"private": True, "exist_ok": True})]
    assert hub.tags == {"tokens-512": 1, "tokens-1.024K": 2, "tokens-1.536K": 3}  # steps of 4 blocks of 64 tokens
    (_, first), _, (repo_id, last) = hub.uploaded
    assert repo_id == "me/model"
    assert {"README.md", "model.safetensors", "tokenizer.json", "generation_config.json", "phf.json"} <= first.keys()
    assert first["model.safetensors"] != last["model.safetensors"]
    assert last["model.safetensors"] == (tmp_path / "run" / "model" / "model.safetensors").read_bytes()
    assert b"A checkpoint of a run that has not ended: tokens-512." in first["README.md"]
    assert b"# model\n" in last["README.md"]
    assert b"<|misaligned|>` makes this model write misaligned text" in last["README.md"]
    assert not (tmp_path / "run" / "uploading").exists()
    assert "The model is at https://huggingface.co/me/model" in said
    assert losses(tmp_path / "run") == losses(tmp_path / "plain")
    plain, run = ((tmp_path / name / "samples" / "unconditional.jsonl").read_text() for name in ("plain", "run"))
    assert plain == run
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path


def connected(tmp_path, **changes):
    said = []
    sharing = Sharing(tiny_config("corpus", **pushing(**changes)), tmp_path / "my run", said.append)
    sharing.connect()
    return sharing, said


def test_without_a_token_one_line_says_so_and_how_to_upload_later(tmp_path, monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    sharing, (line,) = connected(tmp_path)
    assert line.startswith("Nothing will be uploaded. training.push_to_hub needs a token")
    assert line.endswith(f"phf export '{tmp_path}/my run' FOLDER --push-to-hub me/model")
    assert sharing._uploads is None


@pytest.mark.parametrize(
    ("changes", "created"),
    [
        ({"hub_private_repo": False}, ("me/model", {"private": False, "exist_ok": True})),
        ({"hub_model_id": None}, ("my-run", {"private": True, "exist_ok": True})),
    ],
)
def test_a_repository_is_private_and_called_as_the_run_unless_the_configuration_says_otherwise(
    changes, created, hub, tmp_path
):
    said = []
    Sharing(tiny_config("corpus", **pushing(**changes)), tmp_path / "my-run", said.append).connect()
    assert hub.created == [created]


@pytest.fixture
def server(monkeypatch):
    """A stand-in for the Hub, which answers every request with `status`."""

    class Handler(BaseHTTPRequestHandler):
        status = 403

        def do_POST(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(self.status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{http.server_port}")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield Handler
        http.shutdown()
        thread.join()


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_the_hub_refuses_is_reported_before_training_and_training_goes_on(status, server, tmp_path):
    server.status = status
    _, (line,) = connected(tmp_path)
    assert line.startswith(
        f"Nothing will be uploaded. The Hub refused to write me/model (HTTP {status}): the token in HF_TOKEN"
    )
    assert "phf export" in line
    assert TOKEN not in line


@pytest.mark.parametrize("variable", ["closed port", "offline"])
def test_without_a_network_the_line_says_that_the_hub_cannot_be_reached(variable, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", variable == "offline")
    _, (line,) = connected(tmp_path)
    reason = "ConnectError" if variable == "closed port" else "HF_HUB_OFFLINE is set"
    assert line.startswith(
        f"Nothing will be uploaded. The Hub cannot be reached ({reason}), so me/model was not uploaded."
    )


def test_an_upload_that_fails_is_reported_and_those_after_it_are_made(hub, tmp_path):
    said = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    hub.problem = ConnectionResetError(TOKEN)
    uploads = Uploads(ModelRepository("me/model", kept="Kept."), said.append)
    uploads.add(tmp_path / "first", "", "tokens-1K", is_temporary=True)
    while (tmp_path / "first").exists():
        threading.Event().wait(0.01)
    hub.problem = None
    uploads.add(tmp_path / "second", "", "tokens-2K", is_temporary=False)
    assert uploads.finish()
    assert said == [
        "tokens-1K was not uploaded: The Hub cannot be reached (ConnectionResetError), so me/model was not uploaded. Kept."
    ]
    assert hub.tags == {"tokens-2K": 1}
    assert (tmp_path / "second").exists()


def test_a_model_that_could_not_be_uploaded_is_reported_with_the_command_that_does_it_later(hub, tmp_path):
    sharing, said = connected(tmp_path)
    sharing.tokens_seen = lambda step: 1500
    (tmp_path / "my run" / "model").mkdir(parents=True)
    hub.problem = OSError("disk")
    sharing.finish(6, print)
    assert "tokens-1.5K was not uploaded: disk" in said
    assert said[-1] == (
        f"Not uploaded. The run does not depend on it; upload its model afterwards: phf export '{tmp_path}/my run' FOLDER "
        "--push-to-hub me/model"
    )


@pytest.mark.parametrize(
    ("tokens", "tag"),
    [
        (512, "tokens-512"),
        (1_500_000_000, "tokens-1.5B"),
        (3_300_000_000, "tokens-3.3B"),
        (2_998_272, "tokens-2.998272M"),
        (10_000, "tokens-10K"),
        (2 * 10**12, "tokens-2T"),
    ],
)
def test_a_tag_is_the_exact_number_of_tokens(tokens, tag):
    assert tokens_tag(tokens) == tag


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"push_to_hub": True, "hub_token": "hf_x"}, "training.hub_token cannot be set: secrets are not kept"),
        (
            {"push_to_hub": True, "hub_strategy": "checkpoint"},
            "training.hub_strategy is 'checkpoint': it must be end, every_save, all",
        ),
        ({"push_to_hub": True, "hub_strategy": "sometimes"}, "training.hub_strategy is 'sometimes'"),
        (
            {"push_to_hub": True, "hub_model_id": "a/b/c"},
            "training.hub_model_id a/b/c: is not the name of a repository",
        ),
        ({"push_to_hub": True, "hub_model_id": "no name!"}, "training.hub_model_id no name!: is not the name"),
    ],
)
def test_settings_that_cannot_be_are_refused_with_their_key(settings, message):
    with pytest.raises(ConfigError) as caught:
        check_keys(TrainingConfig.model_validate(settings))
    assert message in str(caught.value)
    assert "hf_x" not in str(caught.value)


def test_keys_of_the_hub_without_push_to_hub_are_reported():
    _, warnings = check_keys(TrainingConfig.model_validate({"hub_model_id": "me/model"}))
    assert warnings == ["training.hub_model_id has no effect without training.push_to_hub: true."]


def test_a_model_is_exported_and_uploaded_by_one_command(hub, tmp_path):
    from tests.models.test_export import export

    export(tmp_path / "m")
    arguments = ["export", str(tmp_path / "m"), str(tmp_path / "out"), "--license", "mit", "--push-to-hub", "me/model"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "Uploaded to https://huggingface.co/me/model" in result.output
    ((repo_id, files),) = hub.uploaded
    assert repo_id == "me/model"
    assert b"license: mit" in files["README.md"]
    assert b"# model\n" in files["README.md"]


def test_an_upload_by_command_that_fails_says_where_the_model_is(hub, tmp_path):
    from tests.models.test_export import export

    export(tmp_path / "m")
    hub.problem = ConnectionResetError("x")
    arguments = ["export", str(tmp_path / "m"), str(tmp_path / "out"), "--push-to-hub", "me/model"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == OutputError.exit_status
    assert f"hf upload me/model {tmp_path / 'out'}" in " ".join(result.stderr.split())
    assert (tmp_path / "out" / "model.safetensors").exists()


def test_trainer_itself_uploads_nothing(hub, tmp_path):
    from phf.training.settings.arguments import training_arguments

    training = tiny_config("corpus", **pushing()).training
    arguments, _, warnings = training_arguments(training, 64, tmp_path / "run")
    assert (arguments.push_to_hub, arguments.hub_model_id, warnings) == (False, None, [])
