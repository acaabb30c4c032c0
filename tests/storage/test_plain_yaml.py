"""YAML of others: plain values, or an error with the line."""

import time

import pytest

from phf.errors import ConfigError
from phf.storage.plain_yaml import parse_yaml, read_yaml


def unfolding(levels: int) -> str:
    """Ten aliases of ten aliases of ...: 10 ** levels values."""
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x [*x]", "it contains itself"),
        ("b: 1\na: &x {y: {z: *x}}", "line 2: .*it contains itself"),
        (unfolding(9), "line 5: .*it expands to more than 50,000 values"),
        ("a: " + "[" * 1000, "nested more than 100 deep"),
        ("a: " + "{a: " * 150 + "1" + "}" * 150, "nested more than 100 deep"),
        ("a: 1\nb: 2\na: 3", "line 3: .*'a' occurs twice"),
        ("? [1]\n: 2", r"the key \[1\] is not text"),
        ("a: 1\non: 2", "line 2: .*the key True is not text"),
        ("1.5: 2", "the key 1.5 is not text"),
        ("a: !!python/object/apply:os.system [id]", "the tag .*os.system is not supported"),
        ("a: !!python/name:os.system", "is not supported"),
        ("a: !!set {x, y}", "is not supported"),
        ("a: !!binary aGk=", "is not supported"),
        ("a: &a {x: 1}\nb: {<<: *a}", r"line 2: .*merge keys \(<<\)"),
        ("a: !!int x", "x cannot be read as a value"),
        ("a: !!map x", "a mapping was expected"),
        ("a: " + "9" * 5000, "cannot be read as a value"),
        ("a: 1" + "0" * 30, "has more than 64 bits"),
        ("a: .nan", ".nan is not a number"),
        ("a: b\n\x00", r"line 2: .*U\+0000"),
        ("a: *b", "undefined alias"),
        ("a: [", "is not valid YAML"),
        ("a: 1\n---\nb: 2", "another document"),
    ],
)
def test_what_is_not_a_plain_value_is_an_error_with_its_line(text, message):
    start = time.monotonic()
    with pytest.raises(ConfigError, match=rf"^FILE.*{message}"):
        parse_yaml(text, "FILE", ConfigError)
    assert time.monotonic() - start < 20  # ten to the ninth values would take hours


def test_plain_values():
    text = "a: 5e-4\nb: [1, 0x10, yes, null, .inf]\nc: {d: 2024-01-01, 0: x}\ne: &e [1]\nf: [*e, *e]\ng: '1'"
    assert parse_yaml(text, "FILE", ConfigError) == {
        "a": 5e-4,
        "b": [1, 16, True, None, float("inf")],
        "c": {"d": "2024-01-01", 0: "x"},
        "e": [1],
        "f": [[1], [1]],
        "g": "1",
    }


def test_files(tmp_path):
    path = tmp_path / "a.yml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read_yaml(path, ConfigError) == {"a": 1}
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(ConfigError, match=r"a\.yml, line 2: is not UTF-8"):
        read_yaml(path, ConfigError)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_yaml(tmp_path, ConfigError)
