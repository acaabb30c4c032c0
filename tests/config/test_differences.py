"""Where two settings differ."""

import pytest

from phf.config.differences import differences


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({"a": 1}, {"a": 1}, ""),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, "a.c: 2 -> 3"),
        ({"a": 1}, {"b": 1}, "b: nothing -> 1; a: 1 -> nothing"),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, "a.1.b: 2 -> 3"),
        ({"a": [1]}, {"a": [1, 2]}, "a: [1] -> [1, 2]"),
        ({"a": True}, {"a": 1}, "a: True -> 1"),
        ({"a": None}, {"a": {"b": 1}}, "a: None -> {'b': 1}"),
        ({"a": "x" * 200}, {"a": 1}, f"a: '{'x' * 76}... -> 1"),
        ({str(n): n for n in range(10)}, {}, "; ".join(f"{n}: {n} -> nothing" for n in range(8)) + "; and 2 more"),
        ([1], {"a": 1}, "all: [1] -> {'a': 1}"),
    ],
)
def test_differences_are_named_by_their_keys(before, now, expected):
    assert differences(before, now) == expected
