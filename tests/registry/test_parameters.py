"""How values are written in a stored query (ITI TF-2 3.18.4.1.2.3.5), and what is tolerated."""

from __future__ import annotations

import pytest

from xds.errors import DataTypeError
from xds.registry import facets
from xds.registry.queries.parameters import values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'abc'", ["abc"]),
        ("('abc')", ["abc"]),
        ("('a','b')", ["a", "b"]),
        ("('a', 'b' )", ["a", "b"]),
        (" ( 'a' ,'b') ", ["a", "b"]),
        ("'Children''s Hospital'", ["Children's Hospital"]),
        ("''", [""]),
        ("20240101", ["20240101"]),
        ("('a,b','(c)')", ["a,b", "(c)"]),
        ("('a'", ["a"]),
        ("'a')", ["a"]),
        ('("a")', ["a"]),
        ("()", []),
        ("", []),
    ],
)
def test_values_are_read(text: str, expected: list[str]) -> None:
    """Quoted strings, lists, bare numbers, and the slips that senders make."""
    assert values(text) == expected


@pytest.mark.parametrize("text", ["'a", "('a' 'b')", "a b", "'a'b'", "('a',,'b')", "(('a'))"])
def test_what_cannot_be_read_is_refused(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(DataTypeError):
        values(text)


def test_no_value_can_pretend_to_be_another_facet() -> None:
    """A facet's letter is part of what is matched, and no value holds the separator: XML cannot carry it."""
    assert facets.pack([("c", 1), ("c", 2), ("a", "x")]) == "\x1fc1\x1fc2\x1fax\x1f"
    assert facets.pack([]) == ""
