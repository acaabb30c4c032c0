"""Datasets of the Hub by name, and what is said of names that are nobody's."""

import os
import socket

import pyarrow as pa
import pytest
from tests.corpus.corpora import ids, put, read

from phf.corpus.dataset import read_annotated
from phf.corpus.sources.hub_datasets import HubName, parse_hub_name
from phf.errors import CorpusError
from phf.storage import hub as hub_reach

datasets = pytest.importorskip("datasets")
COLUMNS = {"text": ["a", "b"], "lang": ["en", "de"], "odd": pa.array([10**18, 1], pa.timestamp("us"))}


@pytest.fixture
def hub(monkeypatch):
    """Calls of `load_dataset`, which gives the same rows for every name."""
    calls = []
    rows = datasets.Dataset(pa.table(COLUMNS))

    def load_dataset(*names, **options):
        calls.append((*names, options))
        return rows.to_iterable_dataset()

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return calls


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("c4", HubName("c4", None, "train", None)),
        ("allenai/c4", HubName("allenai/c4", None, "train", None)),
        ("allenai/c4[en.noblocklist]", HubName("allenai/c4", "en.noblocklist", "train", None)),
        ("allenai/c4:validation", HubName("allenai/c4", None, "validation", None)),
        ("allenai/c4@refs/convert/parquet", HubName("allenai/c4", None, "train", "refs/convert/parquet")),
        ("a/b[en]:test@0a1b2c", HubName("a/b", "en", "test", "0a1b2c")),
    ],
)
def test_configuration_split_and_revision(hub, source, expected, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert parse_hub_name(source) == expected
    assert len(read(source)[0]) == 2
    ((name, options),) = hub
    assert (name, options.pop("split"), options.pop("streaming")) == (expected.name, expected.split, True)
    asked = {"name": expected.config, "revision": expected.revision}
    assert options == {key: value for key, value in asked.items() if value is not None}


def test_columns_that_are_not_asked_for_are_not_made_values(hub):
    documents, _, _ = read("user/name", keep=("lang",))
    assert [(document.id, document.text, document.meta["lang"]) for document in documents] == [
        ("name:0", "a", "en"),
        ("name:1", "b", "de"),
    ]
    with pytest.raises(CorpusError, match="user/name: has no column 'language', which --keep names"):
        read("user/name", keep=("language",))
    with pytest.raises(CorpusError, match="user/name, row 0: has no 'texts'"):
        next(read_annotated("user/name"))


def test_streams_whose_columns_are_not_known_beforehand(monkeypatch, tmp_path):
    put(tmp_path / "a.jsonl", '{"text": "a", "other": 1}\n{"text": "b", "other": 2}\n')
    stream = datasets.load_dataset("json", data_files=str(tmp_path / "a.jsonl"), split="train", streaming=True)
    monkeypatch.setattr(datasets, "load_dataset", lambda *names, **options: stream)
    assert ids("user/name") == ["name:0", "name:1"]


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("my_corpus", "but there is my-corpus. For a dataset of the Hub write my_corpus:train"),
        ("mycorpus/a.jsonl", "but there is my-corpus"),
        ("my-corpus/a.json", "but there is my-corpus/a.jsonl"),
        ("my-corpus/part", ": there is no part in my-corpus"),
        ("./mycorpus", "but there is my-corpus"),
        ("corpus.jsonl", "called 'corpus.jsonl', which is the name of a file and not of a dataset of the Hub."),
        ("{tmp}/my-corpse", "but there is {tmp}/my-corpus"),
        ("{tmp}/none/x", ": there is no none in {tmp}"),
        ("no/such/name", "called 'no/such/name'."),
        ("~/surely/not/there", "~/surely/not/there"),
        ("two words", "called 'two words'."),
        ("*.nothing", "Nothing here matches the glob '*.nothing'."),
        ("elsewhere/*.jsonl", "Nothing here matches the glob 'elsewhere/*.jsonl'"),
    ],
)
def test_a_mistyped_path_is_answered_at_once(hub, tmp_path, monkeypatch, source, hint):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hub_reach, "_is_reachable", lambda endpoint: pytest.fail("the Hub is asked"))
    put(tmp_path / "my-corpus" / "a.jsonl")
    with pytest.raises(CorpusError, match=r"no file, folder or glob here called|Nothing here matches") as error:
        read(source.replace("{tmp}", str(tmp_path)))
    assert hint.replace("{tmp}", str(tmp_path)) in str(error.value)
    assert hub == []


def test_a_hub_that_cannot_be_reached_is_not_waited_for(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hub_reach, "_is_reachable", lambda endpoint: False)
    before = datasets.config.HF_HUB_OFFLINE
    with pytest.raises(CorpusError, match="'user/name', nor could a Hugging Face dataset of that name be loaded"):
        read("user/name")
    assert before == datasets.config.HF_HUB_OFFLINE


def test_whether_a_host_answers(monkeypatch):
    for name in hub_reach.PROXIES:
        monkeypatch.delenv(name, raising=False)
    assert not hub_reach._is_reachable("http://127.0.0.1:1")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert hub_reach._is_reachable("http://127.0.0.1:1")  # it is for the proxy to say


def test_the_name_of_a_missing_file_is_not_looked_up(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        CorpusError, match=r"called 'emails\.jsonl', which is the name of a file and not of a dataset of the Hub\.$"
    ):
        parse_hub_name("emails.jsonl")


@pytest.mark.parametrize("kind", ["pipe.jsonl", "socket.jsonl", "loop.jsonl", "broken.jsonl", "/dev/null", "pipe"])
def test_what_is_neither_file_nor_folder_is_named_as_such(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.jsonl")
        os.mkfifo("pipe.jsonl")
        os.mkfifo("pipe")
        os.symlink("loop.jsonl", "loop.jsonl")
        os.symlink("nowhere.jsonl", "broken.jsonl")
        with pytest.raises(CorpusError, match=rf"^{kind}: is neither a file nor a folder, but a pipe"):
            parse_hub_name(kind)
