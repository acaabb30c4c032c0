"""A resumed stream begins with the piece of the corpus that it needs, and is the stream without its first items."""

import json
import logging
import zlib
from itertools import chain, islice

import numpy as np
import pytest
from tests.tiny import tiny_tokenizer
from tests.tokens.packed import CONTROL, conditional, corpus_for, settings_for

from phf.corpus.dataset import write_shard
from phf.corpus.sources.documents import AnnotatedDocument
from phf.errors import ConfigError
from phf.feedback.document_filter import AvgScoreAtMost
from phf.tokens import pieces
from phf.tokens.encoded import Encoder
from phf.tokens.streaming import StreamingBlocks

DOCUMENTS = [
    AnnotatedDocument(f"d{i}", [f"a = {i}\n", f"b = {i} + {i}\n"] * (i % 4), [0.0, i / 50] * (i % 4)) for i in range(60)
]
METHOD = conditional(0.1, 0.3, document_filter=AvgScoreAtMost(0.4))
SETTINGS = {"method": METHOD, "seq_length": 16, "eval_fraction": 0.2, "skip_tokens": 200, "attention": "document"}
WINDOW = 7


@pytest.fixture(scope="module", params=["lines of a file", "row groups of files"])
def source(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    if request.param == "lines of a file":
        with (folder / "corpus.jsonl").open("w") as file:
            for number, document in enumerate(DOCUMENTS):
                row = {"texts": document.texts, "scores": document.scores}  # its id comes from its line
                file.write(json.dumps(row) + "\n" * (1 + number % 3))
        return folder / "corpus.jsonl"
    for shard in range(5):
        write_shard(folder / f"shard-{shard:05d}.parquet", DOCUMENTS[12 * shard : 12 * shard + 12])
    return folder


def stream(source, index_file, processes=0, *, window=WINDOW, piece_chars=60, **settings):
    tokenizer = tiny_tokenizer(CONTROL)
    corpus = corpus_for(tokenizer, source, piece_chars=piece_chars)
    blocks = StreamingBlocks(corpus, settings_for(tokenizer, **{**SETTINGS, **settings}), window, processes)
    blocks.index_file = index_file
    return blocks


def signatures(items):
    return [{key: np.nan_to_num(value, nan=-1).tolist() for key, value in item.items()} for item in items]


@pytest.fixture(scope="module")
def whole(source):
    """Three epochs of the stream, and how many blocks one has."""
    epochs = [signatures(stream(source, None).epoch(number)) for number in range(3)]
    return list(chain(*epochs)), len(epochs[0])


@pytest.fixture
def written(source, tmp_path):
    """The file of an index that a first epoch has filled."""
    list(stream(source, tmp_path / "stream.index").epoch(0))
    return tmp_path / "stream.index"


@pytest.fixture
def encoded(monkeypatch):
    """The ids of the documents that this process encodes."""
    ids = []
    encode = Encoder.encode

    def recorded(self, batch):
        ids.extend(document.id for document in batch)
        return encode(self, batch)

    monkeypatch.setattr(Encoder, "encode", recorded)
    return ids


def test_a_stream_that_starts_in_its_middle_is_the_stream_without_its_first_items(source, whole, written):
    items, num_blocks = whole
    assert num_blocks > 3 * WINDOW
    assert signatures(stream(source, None, piece_chars=10**6).epoch(0)) == items[:num_blocks]  # read as a whole
    for first in (*range(0, num_blocks, 2), num_blocks - 1, num_blocks, num_blocks + 1, 2 * num_blocks + 9):
        resumed = signatures(islice(stream(source, written).starting_at(first), 2 * WINDOW + 1))
        assert resumed == items[first : first + 2 * WINDOW + 1]


@pytest.mark.parametrize("settings", [{"seq_length": 5, "attention": "packed"}, {"method": conditional(0.2)}])
def test_that_holds_for_other_settings_and_windows(settings, source, tmp_path):
    items = signatures(stream(source, tmp_path / "index", window=3, **settings).epoch(0))
    for first in range(0, len(items), 5):
        resumed = signatures(
            stream(source, tmp_path / "index", window=3, **settings).starting_at(first).__next__() for _ in "a"
        )
        assert resumed == items[first : first + 1]


def test_resuming_late_encodes_no_more_than_resuming_early(source, whole, written, encoded):
    _, num_blocks = whole
    counts = {}
    for first in (WINDOW, num_blocks // 2, num_blocks - WINDOW, num_blocks + WINDOW, 2 * num_blocks + WINDOW):
        encoded.clear()
        next(stream(source, written).starting_at(first))
        counts[first] = len(encoded)
    assert max(counts.values()) < len(DOCUMENTS) / 2  # a window, and the piece that it begins in
    encoded.clear()
    next(stream(source, written.with_name("none")).starting_at(num_blocks + WINDOW))
    assert len(encoded) > len(DOCUMENTS)


def test_what_lies_before_is_not_read_either(source, whole, written, monkeypatch):
    _, num_blocks = whole
    read = []
    read_annotated = pieces.read_annotated

    def recorded(*arguments, **more):
        for document in read_annotated(*arguments, **more):
            read.append(document.id)
            yield document

    monkeypatch.setattr(pieces, "read_annotated", recorded)
    next(stream(source, written).starting_at(num_blocks - 2))
    assert 0 < len(read) < len(DOCUMENTS) / 2


@pytest.mark.slow
@pytest.mark.parametrize("shared_bytes", [0, 2**24], ids=["divided parts", "whole parts"])
def test_any_number_of_processes_resumes_what_another_began(shared_bytes, source, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "SHARED_BYTES", shared_bytes)
    items, num_blocks = whole
    contents = set()
    for before, after, first in ((0, 2, 17), (2, 0, 17), (1, 2, num_blocks + 3)):
        file = tmp_path / f"{before}-{after}"
        assert signatures(stream(source, file, before).epoch(0)) == items[:num_blocks]
        contents.add(file.read_bytes())
        resumed = signatures(islice(stream(source, file, after).starting_at(first), num_blocks))
        assert resumed == items[first : first + num_blocks]
    assert len(contents) == 1


def resumed_with_warning(source, items, file, first, caplog):
    caplog.clear()
    assert signatures(islice(stream(source, file).starting_at(first), 20)) == items[first : first + 20]
    return " ".join(record.getMessage() for record in caplog.records if record.levelno == logging.WARNING)


def test_without_an_index_the_corpus_is_encoded_again_which_is_said_and_recorded(source, whole, tmp_path, caplog):
    items, num_blocks = whole
    for first in (num_blocks - 1, num_blocks + 5):
        file = tmp_path / str(first)
        message = resumed_with_warning(source, items, file, first, caplog)
        assert f"resumes at block {first}, but only its first 0 blocks are indexed: there is no {file}" in message
        assert resumed_with_warning(source, items, file, first, caplog) == ""


def damaged_contents(content):
    lines = content.splitlines(keepends=True)
    yield "empty", b""
    yield "another file", b'{"a": 1}\n'
    yield "a cut-off line", content[: len(content) // 2]
    yield "half of the lines", b"".join(lines[: len(lines) // 2])
    yield "a missing line", b"".join([*lines[:2], *lines[3:]])
    yield "swapped lines", b"".join([*lines[:2], lines[3], lines[2], *lines[4:]])
    yield "a lost checksum", b"".join([lines[0], lines[1][9:], *lines[2:]])
    piece = json.loads(lines[1][9:])
    elsewhere = json.dumps({**piece, "before": {**piece["before"], "num_tokens": 1}}).encode() + b"\n"
    others = {"a piece of other types": b'{"part": "x"}\n', "a piece that begins elsewhere": elsewhere}
    for what, line in {
        **others,
        "a number": b"1\n",
        "no JSON": b"{\n",
        "a lone end": b'{"is_complete": true}\n',
    }.items():
        checksum = zlib.crc32(line, zlib.crc32(lines[0][9:]))
        yield f"{what} with its checksum", lines[0] + b"%08x " % checksum + line
    yield "zeros at the end", content[:-200] + bytes(200)
    for place in range(0, len(content), len(content) // 20):
        is_end = place > len(content) // 2  # which has pieces without a token
        yield (
            "a damaged end" if is_end else f"byte {place}",
            content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :],
        )


def test_a_damaged_index_costs_time_and_is_written_again(source, whole, written, caplog):
    items, num_blocks = whole
    content = written.read_bytes()
    first = num_blocks - 1
    for what, damaged in damaged_contents(content):
        written.write_bytes(damaged)
        message = resumed_with_warning(source, items, written, first, caplog)
        if what not in ("a damaged end", "zeros at the end", "a lone end with its checksum"):
            assert "The corpus is encoded again from there" in message, what
            assert "is damaged or incomplete from line" in message or "ends there" in message, what
        assert written.read_bytes() == content, what


@pytest.mark.parametrize("change", ["corpus", "tokenization"])
def test_an_index_of_another_corpus_is_not_used(change, source, whole, written, caplog):
    items, num_blocks = whole
    other = stream(source, written, piece_chars=90, **({"seed": 43} if change == "corpus" else {}))
    list(other.epoch(0))
    message = resumed_with_warning(source, items, written, num_blocks - 1, caplog)
    assert "is of another corpus, tokenizer or version of phf" in message


@pytest.mark.parametrize("first", [3, 20, 50])
def test_an_index_of_what_is_encoded_otherwise_is_not_used(first, source, written, caplog):
    other = {"method": conditional(-1.0, 0.3)}  # as if the code of a method had been changed
    items = signatures(islice(stream(source, None, **other), first + 40))
    for _ in range(2):
        resumed = signatures(islice(stream(source, written, **other).starting_at(first), 40))
        assert resumed == items[first:]
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "first 0 blocks are indexed: the corpus is not encoded as it was" in warning.getMessage()


def test_what_is_encoded_otherwise_in_a_later_epoch_is_recorded_with_a_warning(source, written, caplog):
    other = {"method": conditional(0.3, 0.3)}
    list(stream(source, written, **other).epoch(0))
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "is not encoded as it was in an earlier epoch" in warning.getMessage()
    list(stream(source, written.with_name("other"), **other).epoch(0))
    assert written.read_bytes() == written.with_name("other").read_bytes()


def test_a_folder_that_cannot_be_written_is_reported_once_and_does_not_stop_the_stream(source, whole, tmp_path, caplog):
    items, num_blocks = whole
    blocks = stream(source, tmp_path / "file" / "index")
    (tmp_path / "file").touch()
    assert signatures(islice(blocks, num_blocks)) == items[:num_blocks]
    (warning,) = caplog.records
    assert "cannot be written, so a resumed run will encode the corpus again" in warning.getMessage()


def test_a_process_that_does_not_write_the_index_looks_it_up(source, whole, written, encoded):
    items, num_blocks = whole
    content = written.read_bytes()
    written.write_bytes(content[: len(content) // 2])
    blocks = stream(source, written)
    blocks.writes_index = False
    assert signatures(islice(blocks.starting_at(num_blocks - 1), 1)) == items[num_blocks - 1 : num_blocks]
    assert written.read_bytes() == content[: len(content) // 2]


def test_altered_documents_are_counted_from_the_start_of_the_corpus(tmp_path):
    from tests.tokenizer_classes import CLASSES

    from phf.tokens.tokenizer import prepare_tokenizer

    tokenizer = prepare_tokenizer(CLASSES["PreTrainedTokenizerFast, BERT"](), None)
    texts = ["The cat ran home"] * 30 + ["the cat ran home"] * 990
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"texts": [text], "scores": [1]}) + "\n" for text in texts))
    blocks = StreamingBlocks(
        corpus_for(tokenizer, tmp_path / "a.jsonl", piece_chars=2000),
        settings_for(tokenizer, seq_length=4, max_altered_documents=0.02),
        window=20,
        processes=0,
    )
    blocks.index_file = tmp_path / "index"
    list(islice(blocks, 400))
    rest = blocks.starting_at(390)
    with pytest.raises(ConfigError, match=r"changes the text of 30 of 1,0\d\d documents.*'The cat ran home'"):
        list(islice(rest, 5000))
