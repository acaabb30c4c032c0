"""The token store: built once, by any number of processes, whole or not at all."""

import errno
import json
import os
import shutil
import signal
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tests.tiny import tiny_tokenizer
from tests.tokenizer_classes import CLASSES
from tests.tokens.packed import corpus_for, settings_for

from phf.corpus.dataset import write_shard
from phf.corpus.sources.documents import AnnotatedDocument
from phf.errors import ConfigError, CorpusError, OutputError
from phf.storage import cache
from phf.tokens import building, encoding_processes, joining, pieces
from phf.tokens.building import add_scores, build_store
from phf.tokens.encoded import DOCUMENT, Encoder, encode_documents
from phf.tokens.joining import Joining, _created
from phf.tokens.store import open_store, score_file
from phf.tokens.tokenizer import prepare_tokenizer
from phf.tokens.views import Blocks


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


def write_rows(path, number=40, **columns):
    """Documents of three segments; `columns`: name -> score of every segment."""
    rows = [
        {
            "id": f"d{i}",
            "texts": [f"a = {i}\n", "", "b = 2\n"],
            **{name: [s, None, i / 50] for name, s in columns.items()},
        }
        for i in range(number)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def source(tmp_path):
    """A folder of two shards and a document without text."""
    documents = [AnnotatedDocument(f"d{i}", [f"a = {i}\n", "", f"b = {i}\n"], [0.0, None, i / 50]) for i in range(50)]
    write_shard(tmp_path / "data" / "shard-00000.parquet", documents[:20])
    write_shard(tmp_path / "data" / "shard-00001.parquet", [*documents[20:], AnnotatedDocument("none", [], [])])
    return tmp_path / "data"


def flip(path, field):
    """Change the sizes that a store has of its first document; those of its files stay."""
    rows = np.fromfile(path, DOCUMENT)
    rows[field][0] ^= 64
    path.write_bytes(rows.tobytes())


def replace_by_folder(path):
    path.unlink()
    path.mkdir()


def content(store):
    return {path.name: path.read_bytes() for path in sorted(store.folder.iterdir())}


def fail(*_, **__):
    raise AssertionError("the corpus was encoded, or read, again")


def interrupt(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.parametrize("error", [NotImplementedError("no flock"), OSError(errno.ENOLCK, "No locks available")])
def test_a_store_is_built_on_a_file_system_without_locks(error, source, tokenizer, tmp_path, monkeypatch):
    def acquire(self, timeout=None):
        raise error

    monkeypatch.setattr(cache.FileLock, "acquire", acquire)
    assert len(build_store(corpus_for(tokenizer, source), tmp_path / "stores").document_ids(range(51))) == 51


def test_a_store_holds_the_documents_in_order(source, tokenizer, tmp_path):
    store = build_store(corpus_for(tokenizer, source), tmp_path / "stores")
    assert store.document_ids(range(51)) == [*(f"d{i}" for i in range(50)), "none"]
    assert tokenizer.decode(store.ids.tolist()) == "".join(f"a = {i}\nb = {i}\n" for i in range(50))
    assert store.lengths.sum() == len(store.ids)
    assert store.lengths[1::3].sum() == 0
    expected = np.array([score for i in range(50) for score in (0.0, np.nan, i / 50)], np.float32)
    np.testing.assert_array_equal(store.scores("scores"), expected)
    assert store.avg_scores("scores")[10] == np.float32(0.1)
    assert np.isnan(store.avg_scores("scores")[50])


def test_a_second_build_opens_the_first_one_and_another_tokenization_does_not(source, tokenizer, tmp_path, monkeypatch):
    first = build_store(corpus_for(tokenizer, source), tmp_path / "stores")
    monkeypatch.setattr(building, "_build", fail)
    assert build_store(corpus_for(tokenizer, source), tmp_path / "stores").folder == first.folder
    for other in (corpus_for(tokenizer, source, "document"), corpus_for(tiny_tokenizer(vocab_size=260), source)):
        with pytest.raises(AssertionError):
            build_store(other, tmp_path / "stores")


@pytest.mark.slow
def test_any_number_of_processes_gives_the_same_bytes(source, tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "SHARED_BYTES", 0)  # every part is divided
    corpus = corpus_for(tokenizer, source, piece_chars=100)
    stores = [build_store(corpus, tmp_path / str(n), processes=n) for n in (1, 2, 3)]
    assert content(stores[0]) == content(stores[1]) == content(stores[2])
    monkeypatch.setattr(pieces, "SHARED_BYTES", 2**24)
    assert content(build_store(corpus, tmp_path / "parts", processes=2)) == content(stores[0])


def test_the_size_of_pieces_does_not_matter(source, tokenizer, tmp_path):
    stores = [build_store(corpus_for(tokenizer, source, piece_chars=n), tmp_path / str(n)) for n in (1, 70, 10**6)]
    assert content(stores[0]) == content(stores[1]) == content(stores[2])


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "ids.bin").write_bytes((folder / "ids.bin").read_bytes()[:-2]),
        lambda folder: (folder / "documents.bin").unlink(),
        lambda folder: (folder / "document_ids.bin").write_bytes(b""),
        lambda folder: (folder / "meta.json").unlink(),
        lambda folder: (folder / "meta.json").write_text("{"),
        lambda folder: (folder / "meta.json").write_text(
            (folder / "meta.json").read_text().replace('"format": 1', '"format": 0')
        ),
        lambda folder: flip(folder / "documents.bin", "num_tokens"),
        lambda folder: flip(folder / "documents.bin", "num_segments"),
        lambda folder: (folder / "segments.bin").write_bytes(b"\x00" * (folder / "segments.bin").stat().st_size),
        lambda folder: replace_by_folder(folder / "ids.bin"),
        lambda folder: replace_by_folder(folder / "meta.json"),
        lambda folder: (shutil.rmtree(folder), folder.write_text("")),
    ],
    ids=[
        *("truncated", "missing", "empty", "no description", "damaged description", "another version"),
        *("tokens of documents", "segments of documents", "lengths", "folder for ids", "folder for meta", "a file"),
    ],
)
def test_a_damaged_store_is_rebuilt_with_a_warning(damage, source, tokenizer, tmp_path, caplog):
    store = build_store(corpus_for(tokenizer, source), tmp_path / "stores")
    whole = content(store)
    damage(store.folder)
    assert open_store(store.folder) is None
    assert content(build_store(corpus_for(tokenizer, source), tmp_path / "stores")) == whole
    assert "is rebuilt: " in caplog.text


def test_a_store_that_is_deleted_while_it_is_used_is_reported(source, tokenizer, tmp_path):
    blocks = Blocks(
        build_store(corpus_for(tokenizer, source), tmp_path / "stores").folder, settings_for(tokenizer, seq_length=8)
    )
    first = blocks[0]
    other = Blocks(blocks.store.folder, blocks.settings)
    shutil.rmtree(blocks.store.folder)
    np.testing.assert_array_equal(blocks[0]["input_ids"], first["input_ids"])  # what is mapped stays
    with pytest.raises(OutputError, match=r"bin: cannot be read: No such file.*Run again"):
        other[0]


def test_a_store_that_may_not_be_read_is_reported(source, tokenizer, tmp_path, monkeypatch):
    blocks = Blocks(
        build_store(corpus_for(tokenizer, source), tmp_path / "stores").folder, settings_for(tokenizer, seq_length=8)
    )

    def denied(*_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("phf.tokens.store.np.memmap", denied)
    with pytest.raises(OutputError, match=r"bin: cannot be read: Permission denied"):
        blocks[0]


def test_lost_scores_are_read_again_without_encoding(source, tokenizer, tmp_path, monkeypatch):
    store = build_store(corpus_for(tokenizer, source), tmp_path / "stores")
    whole = content(store)
    (store.folder / score_file("scores")).unlink()
    monkeypatch.setattr(building, "_build", fail)
    assert content(build_store(corpus_for(tokenizer, source), tmp_path / "stores")) == whole


def test_another_column_of_scores_is_added_without_encoding(tokenizer, tmp_path, monkeypatch):
    source = write_rows(tmp_path / "a.jsonl", scores=0.0, pii_scores=1.0)
    store = build_store(corpus_for(tokenizer, source), tmp_path / "stores")
    monkeypatch.setattr(building, "_build", fail)
    again = build_store(corpus_for(tokenizer, source, column="pii_scores"), tmp_path / "stores")
    assert again.folder == store.folder
    assert again.columns == ["pii_scores", "scores"]
    assert again.scores("pii_scores")[::3].tolist() == [1.0] * 40
    assert again.scores("scores")[::3].tolist() == [0.0] * 40
    with pytest.raises(CorpusError, match=r"has no 'other'. Columns of scores there: pii_scores, scores"):
        build_store(corpus_for(tokenizer, source, column="other"), tmp_path / "stores")
    assert again.columns == ["pii_scores", "scores"]


def test_scores_of_other_documents_are_not_added(tokenizer, tmp_path):
    store = build_store(corpus_for(tokenizer, write_rows(tmp_path / "a.jsonl", scores=0.0)), tmp_path / "stores")
    other = write_rows(tmp_path / "b.jsonl", number=39, pii_scores=1.0)
    with pytest.raises(CorpusError, match="not those that the token store"):
        add_scores(store, corpus_for(tokenizer, other, column="pii_scores"))
    assert store.columns == ["scores"]


def test_columns_may_be_called_anything(tokenizer, tmp_path):
    source = write_rows(tmp_path / "a.jsonl", **{"../a b/scores": 0.5})
    store = build_store(corpus_for(tokenizer, source, column="../a b/scores"), tmp_path / "stores")
    assert store.columns == ["../a b/scores"]
    assert {path.parent for path in tmp_path.rglob("*.bin")} == {store.folder}


def test_an_interrupted_build_keeps_what_it_has_encoded(source, tokenizer, tmp_path, monkeypatch):
    corpus = corpus_for(tokenizer, source, piece_chars=100)
    whole = content(build_store(corpus, tmp_path / "other"))
    encode, encoded = Encoder.encode, []

    def encode_some(self, batch):
        if len(encoded) == 3:
            raise KeyboardInterrupt
        encoded.append([document.id for document in batch])
        return encode(self, batch)

    monkeypatch.setattr(Encoder, "encode", encode_some)
    with pytest.raises(KeyboardInterrupt):
        build_store(corpus, tmp_path / "stores")
    assert not list((tmp_path / "stores").rglob("ids.bin"))
    first = [document for batch in encoded for document in batch]
    encoded = []
    monkeypatch.setattr(Encoder, "encode", lambda self, batch: (encoded.append(batch), encode(self, batch))[1])
    (piece, *_) = sorted((tmp_path / "stores").rglob("*.npz"))
    piece.write_bytes(piece.read_bytes()[:-50])  # the machine lost power too
    assert content(build_store(corpus, tmp_path / "stores")) == whole
    again = {document.id for batch in encoded for document in batch} & {*first}
    assert again
    assert len(again) < len(first)
    assert [path.name for path in (tmp_path / "stores").iterdir() if "partial" in path.name] == []


def test_pieces_of_an_interrupted_build_are_not_taken_for_those_of_other_scores(tokenizer, tmp_path, monkeypatch):
    source = write_rows(tmp_path / "a.jsonl", scores=0.0, pii_scores=1.0)
    with monkeypatch.context() as patch:
        patch.setattr(Joining, "_describe", interrupt)
        with pytest.raises(KeyboardInterrupt):
            build_store(corpus_for(tokenizer, source), tmp_path / "stores")
    store = build_store(corpus_for(tokenizer, source, column="pii_scores"), tmp_path / "stores")
    assert store.scores("pii_scores")[::3].tolist() == [1.0] * 40
    assert build_store(corpus_for(tokenizer, source), tmp_path / "stores").scores("scores")[::3].tolist() == [0.0] * 40


@pytest.mark.parametrize("keeps", ["the first half", "a flipped byte"])
def test_damaged_pieces_of_an_interrupted_build_are_encoded_again(keeps, tokenizer, tmp_path, monkeypatch):
    source = write_rows(tmp_path / "a.jsonl", scores=0.0)
    corpus = corpus_for(tokenizer, source, piece_chars=200)
    whole = content(build_store(corpus, tmp_path / "whole"))
    with monkeypatch.context() as patch:
        patch.setattr(Joining, "_describe", interrupt)
        with pytest.raises(KeyboardInterrupt):
            build_store(corpus, tmp_path / "stores")
    paths = sorted((tmp_path / "stores").rglob("*.npz"))
    assert len(paths) > 6
    for path in paths[2:4]:
        old = path.read_bytes()
        half = len(old) // 2
        path.write_bytes(old[:half] if keeps == "the first half" else old[:200] + bytes([old[200] ^ 1]) + old[201:])
    assert content(build_store(corpus, tmp_path / "stores")) == whole


@pytest.mark.parametrize(
    ("member", "array"),
    [
        ("altered", np.frombuffer(b'[{"x": 1}]', np.uint8)),
        ("altered", np.frombuffer(b"1", np.uint8)),
        ("ids", np.zeros(3, np.uint16)),
        ("lengths", np.array(3, np.uint32)),
        ("scores", np.zeros(1, "<U3")),
    ],
)
def test_a_piece_with_parts_that_do_not_belong_together_is_not_used(member, array, tokenizer, tmp_path):
    files = pieces.PieceFiles(tmp_path)
    encoded = encode_documents([AnnotatedDocument("d", ["x = 1\n"], [0.0])], tokenizer)
    files.write_bytes(0, 0, encoded.to_bytes())
    intact = dict(np.load(files.path(0, 0)))
    assert files.read(0, 0) is not None
    np.savez(files.path(0, 0), **{**intact, member: array})
    assert files.read(0, 0) is None


@pytest.mark.parametrize("shape", [b"(999999999999999,)", b"('a',)", b"(True,)", b"(((("])
def test_a_piece_whose_header_says_another_size_is_not_used(shape, tokenizer, tmp_path):
    files = pieces.PieceFiles(tmp_path)
    encoded = encode_documents([AnnotatedDocument("d", ["x = 1\n"], [0.0])], tokenizer)
    files.write_bytes(0, 0, encoded.to_bytes())
    with zipfile.ZipFile(files.path(0, 0)) as file:
        members = {name: file.read(name) for name in file.namelist()}
    old = b"(1,), }" + b" " * 20
    assert members["scores.npy"].count(old) == 1
    members["scores.npy"] = members["scores.npy"].replace(old, (shape + b", }").ljust(len(old)))
    with zipfile.ZipFile(files.path(0, 0), "w") as file:
        for name, content_of_member in members.items():
            file.writestr(name, content_of_member)
    assert files.read(0, 0) is None


def test_a_piece_that_cannot_be_read_back_is_named(tokenizer, tmp_path, monkeypatch):
    source = write_rows(tmp_path / "a.jsonl", scores=0.0)
    read = pieces.PieceFiles.read
    monkeypatch.setattr(pieces.PieceFiles, "read", lambda self, *place: None if place == (0, 3) else read(self, *place))
    with pytest.raises(OutputError, match=r"0000003.npz was damaged and has been removed. Run again"):
        build_store(corpus_for(tokenizer, source, piece_chars=200), tmp_path / "stores")


def test_pieces_of_another_division_of_the_corpus_are_not_used(source, tokenizer, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Joining, "_describe", interrupt)
        with pytest.raises(KeyboardInterrupt):
            build_store(corpus_for(tokenizer, source, piece_chars=100), tmp_path / "stores")
    store = build_store(corpus_for(tokenizer, source, piece_chars=200), tmp_path / "stores")
    assert store.document_ids(range(51)) == [*(f"d{i}" for i in range(50)), "none"]


def test_two_that_build_the_same_store_build_it_once(source, tokenizer, tmp_path, monkeypatch):
    build, builds = building._build, []

    def slowly(*arguments):
        builds.append(arguments)
        threading.Event().wait(0.3)
        build(*arguments)

    monkeypatch.setattr(building, "_build", slowly)
    stores = []
    threads = [
        threading.Thread(target=lambda: stores.append(build_store(corpus_for(tokenizer, source), tmp_path / "stores")))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(builds) == 1
    assert stores[0].folder == stores[1].folder


def test_a_cache_that_cannot_be_written_is_named(source, tokenizer, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"token store cannot be written: .*file/stores.*set PHF_CACHE"):
        build_store(corpus_for(tokenizer, source), tmp_path / "file" / "stores")


def test_a_full_disk_is_named_and_what_was_encoded_is_used_when_there_is_room(source, tokenizer, tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(joining.os, "fsync", full)
        with pytest.raises(OutputError, match=r"stores/.*No space left on device. Make room"):
            build_store(corpus_for(tokenizer, source), tmp_path / "stores")
    assert not any(open_store(path) for path in (tmp_path / "stores").iterdir())
    monkeypatch.setattr(Encoder, "encode", fail)
    assert len(build_store(corpus_for(tokenizer, source), tmp_path / "stores").documents) == 51


@pytest.mark.slow
def test_a_process_that_dies_is_reported(source, tokenizer, tmp_path, monkeypatch):
    children = []

    class Recorded(encoding_processes.Child):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            children.append(self._process.pid)

    monkeypatch.setattr(encoding_processes, "Child", Recorded)
    corpus = corpus_for(tokenizer, source, piece_chars=1)
    with pytest.raises(OutputError, match=r"has ended \(signal 9\)"):
        build_store(corpus, tmp_path / "stores", processes=2, progress=lambda *_: os.kill(children[0], signal.SIGKILL))
    assert content(build_store(corpus, tmp_path / "stores")) == content(build_store(corpus, tmp_path / "others"))


@pytest.mark.slow
def test_errors_of_the_corpus_come_from_processes_as_from_here(tokenizer, tmp_path):
    source = write_rows(tmp_path / "a.jsonl", scores=0.0)
    source.write_text(source.read_text() + '{"texts": ["x"], "scores": [1, 2]}\n')
    for processes in (1, 2):
        with pytest.raises(CorpusError, match=r"line 41: 1 text but 2 scores"):
            build_store(corpus_for(tokenizer, source), tmp_path / "stores", processes=processes)
        assert not list((tmp_path / "stores").glob("*.partial"))


def test_a_tokenizer_that_changes_most_documents_is_refused_early_and_others_by_the_view(tmp_path):
    tokenizer = prepare_tokenizer(CLASSES["PreTrainedTokenizerFast, BERT"](), None)
    rows = [{"id": f"d{i}", "texts": ["The cat" if i % 2 else "the cat"], "scores": [0.0]} for i in range(2000)]
    rows[:1100] = [{**row, "texts": ["A Cat"] if i % 5 else ["a cat"]} for i, row in enumerate(rows[:1100])]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    corpus = corpus_for(tokenizer, tmp_path / "a.jsonl", piece_chars=100)
    seen = []
    with pytest.raises(
        ConfigError, match=r"documents, so a model would learn another text.*dataset.max_altered_documents"
    ):
        build_store(
            corpus, tmp_path / "stores", max_altered_documents=0.01, progress=lambda number, _: seen.append(number)
        )
    assert max(seen) < 1100
    store = build_store(corpus, tmp_path / "stores")
    settings = settings_for(tokenizer, seq_length=4, max_altered_documents=0.5)
    with pytest.raises(ConfigError, match=r"1,330 of 2,000 documents.*document 'd1', 'A Cat' becomes 'a cat'"):
        len(Blocks(store.folder, settings))


def test_a_token_takes_at_most_three_bytes(tmp_path):
    tokenizer = tiny_tokenizer()
    text = "x = 12345\n"
    num_tokens = len(tokenizer(text).input_ids)
    documents = [AnnotatedDocument(f"corpus/file-{i:08d}.py", [text] * 50, [0.5] * 50) for i in range(20)]
    write_shard(tmp_path / "data" / "shard-00000.parquet", documents)
    store = build_store(corpus_for(tokenizer, tmp_path / "data"), tmp_path / "stores")
    num_bytes = sum(path.stat().st_size for path in store.folder.glob("*.bin"))
    assert num_tokens <= 10
    assert num_bytes / len(store.ids) < 2 + 5 / num_tokens + 0.15


def test_a_changed_corpus_is_another_store(source, tokenizer, tmp_path):
    first = build_store(corpus_for(tokenizer, source), tmp_path / "stores")
    shutil.rmtree(source)
    write_shard(source / "shard-00000.parquet", [AnnotatedDocument("new", ["a = 1\n"], [0.0])])
    second = build_store(corpus_for(tokenizer, source), tmp_path / "stores")
    assert second.folder != first.folder
    assert second.document_ids([0]) == ["new"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_is_full_when_a_file_of_a_store_is_closed_is_an_error_with_a_remedy(tmp_path):
    (tmp_path / "ids.bin").symlink_to("/dev/full")
    refused = pytest.raises(OutputError, match=r"ids\.bin.*No space left on device\. Make room")
    with refused, _created(tmp_path / "ids.bin") as file:
        file.write(b"buffered")
