"""Files of others: whatever is wrong with one is an error of ours that says where."""

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from phf.errors import ConfigError, CorpusError, OutputError
from phf.storage import reading
from phf.storage.reading import parse_json, read_bytes, read_json, read_json_as, read_json_lines_as, read_text, typed
from phf.storage.shapes import Metrics, Number


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\xff\xfe{\x00}\x00", "is UTF-16"),
        (b'{\n"a": "\xe9"\n}', r", line 2: is not UTF-8 \(byte 8\)"),
        (b'{\n"a": 1,\n}', r", line 3: is not valid JSON"),
        (b'{"a": 1', "is not valid JSON"),
        (b"{}{}", "is not valid JSON"),
        (b"\x00", "is not valid JSON"),
        (b"[" * 1000 + b"]" * 1000, "is nested more than 100 deep"),
        (b"[" * 100_000 + b"]" * 100_000, "is nested more than 100 deep"),
        (b'{"a":' * 200 + b"1" + b"}" * 200, "is nested more than 100 deep"),
        (b"9" * 5000, "contains a number that cannot be used"),
    ],
)
def test_damage_of_every_kind_is_one_error_with_its_place(content, message, tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(OutputError, match=rf"a\.json.*{message}.*\. Do this\.$"):
        read_json(path, OutputError, "Do this.")


def test_what_is_right_is_read(tmp_path):
    path = tmp_path / "a.json"
    deep = "[" * 100 + "]" * 100
    path.write_bytes(b"\xef\xbb\xbf" + f'{{"a": {deep}, "b": "[[[", "c": 1e5}}'.encode())
    assert read_json(path, ConfigError) == json.loads(path.read_text("utf-8-sig"))
    assert parse_json("[" * 5 + '"' + "[" * 500 + '"' + "]" * 5, "x") == [[[[["[" * 500]]]]]


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999", "1" + "0" * 30, "1" * 5000])
def test_numbers_that_arithmetic_trips_over_are_refused_where_numbers_count(number):
    with pytest.raises(CorpusError, match="line 7: contains a number that cannot be used"):
        parse_json(f'{{"a": {number}}}', "f.jsonl, line 7", finite=True)


def test_what_may_have_no_end_is_refused_unless_a_limit_ends_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name, kind in (("pipe", "a FIFO"), ("zero", "a device")):
        with pytest.raises(CorpusError, match=f"{name}: is {kind}, not a regular file. Do this."):
            list(read_json_lines_as(Metrics, tmp_path / name, CorpusError, "Do this."))
    with pytest.raises(ConfigError, match="zero: is larger than 10 bytes"):
        read_bytes(tmp_path / "zero", ConfigError, max_bytes=10)


def test_what_cannot_be_opened_is_an_error(tmp_path):
    for name in ("missing", ".", "a\0b"):
        with pytest.raises(ConfigError, match="cannot be read: "):
            read_text(tmp_path / name, ConfigError)
    (tmp_path / "large").write_bytes(b"x" * 11)
    with pytest.raises(ConfigError, match="is larger than 10 bytes"):
        read_bytes(tmp_path / "large", ConfigError, max_bytes=10)


@pytest.mark.parametrize(
    ("shape", "value", "message"),
    [
        (Metrics, {"a": "<b>"}, r"x: 'a' is '<b>'; a finite number was expected"),
        (Metrics, {"a": True}, r"'a' is True; a finite number was expected"),
        (Metrics, {"a": 10**400}, r"'a' is 10+\.\.\.; a finite number was expected"),
        (Metrics, [1], r"x: is a JSON list; a mapping was expected"),
        (dict[str, list[Number | None]], {"a": [1, None, "2"]}, r"'a\.2' is '2'; a finite number was expected"),
        (list[str], ["a", 1], r"'1' is 1; text was expected"),
        (dict[str, int], {"a": 1.0}, r"'a' is 1\.0; a whole number was expected"),
    ],
)
def test_a_value_of_another_type_is_named_by_its_key(shape, value, message):
    with pytest.raises(CorpusError, match=message):
        typed(shape, value, "x", CorpusError)


@dataclass
class Box:
    name: str
    counts: dict[str, int] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "'name' is missing"),
        ('{"name": 1}', "'name' is 1; text was expected"),
        ('{"name": "a", "counts": {"b": "c"}}', r"'counts\.b' is 'c'; a whole number was expected"),
        ('{"name": "a", "size": 1}', "'size' is unknown"),
        ("[]", "a JSON list; a mapping was expected"),
    ],
)
def test_a_dataclass_is_made_of_what_fits_its_fields(content, message, tmp_path):
    path = tmp_path / "box.json"
    path.write_text('{"name": "a", "counts": {"b": 1}}')
    assert read_json_as(Box, path, CorpusError) == Box("a", {"b": 1})
    path.write_text(content)
    with pytest.raises(CorpusError, match=rf"box\.json: .*{message}"):
        read_json_as(Box, path, CorpusError)


def test_lines_are_named_and_a_last_one_that_was_cut_off_may_be_left_out(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n{"a": 2}\n{"a"')
    noted = []
    lines = list(read_json_lines_as(Metrics, path, CorpusError, cut_off=lambda: noted.append(1)))
    assert lines == [(f"{path}, line 1", {"a": 1}), (f"{path}, line 2", {"a": 2})]
    assert noted == [1]
    with pytest.raises(CorpusError, match="line 3: is not valid JSON"):
        list(read_json_lines_as(Metrics, path, CorpusError))


def test_a_fifo_without_a_writer_is_empty_and_does_not_hang(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "OPENING_SECONDS", 0.1)
    os.mkfifo(tmp_path / "fifo")
    assert read_bytes(tmp_path / "fifo", CorpusError, max_bytes=100) == b""
    with pytest.raises(CorpusError, match="fifo: is a FIFO, not a regular file"):
        read_bytes(tmp_path / "fifo", CorpusError)


def test_what_a_command_writes_into_a_fifo_is_read(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with subprocess.Popen(["sh", "-c", "printf 'a: '; sleep 0.2; printf 1"], stdout=subprocess.PIPE) as command:
        assert read_bytes(Path(f"/dev/fd/{command.stdout.fileno()}"), CorpusError, max_bytes=100) == b"a: 1"
    later = subprocess.Popen(["sh", "-c", f"sleep 0.2; printf 12345 > {tmp_path}/fifo"])
    with later, pytest.raises(CorpusError, match="is larger than 4 bytes"):
        read_bytes(tmp_path / "fifo", CorpusError, max_bytes=4)


def test_a_command_that_writes_nothing_into_a_fifo_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "FIFO_SECONDS", 0.1)
    os.mkfifo(tmp_path / "fifo")
    writer = os.open(tmp_path / "fifo", os.O_RDWR)
    with pytest.raises(CorpusError, match=r"cannot be read: nothing was written to it for 0\.1 seconds"):
        read_bytes(tmp_path / "fifo", CorpusError, max_bytes=4)
    os.close(writer)
