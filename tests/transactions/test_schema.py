"""Bodies that break the schema are told so in our words: where and what, never with a value of theirs."""

from __future__ import annotations

import time

import pytest

from tests.metadata import samples
from xds.transactions import schema

GOOD = samples.message(samples.submission())


def test_a_good_body_has_nothing_wrong() -> None:
    """The sample message follows the schema."""
    assert schema.check(samples.element(GOOD)) == []


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (b' id="Document01"', b"", "The element misses a required attribute (id)."),
        (b"<rim:ValueList>", b"<rim:Value>Kari</rim:Value><rim:ValueList>", "(ValueList)."),
        (
            b'nodeRepresentation="N"',
            b'nodeRepresentation="' + b"Kari" * 100 + b'"',
            "longer than its type allows.",
        ),
        (b' mimeType="', b' kari="Kari" mimeType="', "an attribute that it must not have."),
        (b"<rim:RegistryObjectList", b"Kari Nordmann<rim:RegistryObjectList", "The element holds text"),
    ],
)
def test_a_broken_body_is_described_without_its_values(old: bytes, new: bytes, sentence: str) -> None:
    """The sentence says what the schema wants; Kari, who is in the message, is not in it."""
    found = schema.check(samples.element(GOOD.replace(old, new, 1)))
    assert found
    assert any(sentence in said for _, said, _ in found), found
    assert all("Kari" not in where + said for where, said, _ in found)
    assert all(where.startswith("/") for where, _, _ in found)


def test_everything_wrong_is_told_up_to_a_bound() -> None:
    """Three slips are three errors; a thousand are fifty."""
    three = GOOD.replace(b"<rim:ValueList>", b"<rim:Valuelist>").replace(
        b"</rim:ValueList>", b"</rim:Valuelist>"
    )
    assert 3 < len(schema.check(samples.element(three))) <= 50


_LONG = 150_000


def _long(each: bytes, last: bytes = b"") -> bytes:
    return samples.message([]).replace(
        b"</rim:RegistryObjectList>", each * _LONG + last + b"</rim:RegistryObjectList>"
    )


LONG = {
    "all of it": (_long(b"<rim:ExtrinsicObject/>"), 50, "misses a required attribute"),
    "the first": (
        _long(b"<rim:ObjectRef id='a'/>").replace(b"<rim:ObjectRef id='a'/>", b"<rim:ObjectRef/>", 1),
        1,
        "misses a required attribute (id)",
    ),
    "the last": (_long(b"<rim:ObjectRef id='a'/>", b"<rim:ObjectRef/>"), 1, "Something in a long list"),
    "nothing": (_long(b"<rim:ObjectRef id='a'/>"), 0, ""),
}


@pytest.mark.parametrize("name", LONG)
def test_a_long_body_takes_no_longer_than_it_is_long(name: str) -> None:
    """However much of it is wrong; what is wrong at its beginning has its place."""
    message, number, sentence = LONG[name]
    body = samples.element(message)
    began = time.process_time()
    found = schema.check(body)
    assert time.process_time() - began < 10
    assert len(found) == number
    assert all(sentence in each.sentence for each in found)
    assert len(body[0]) == _LONG + (name == "the last")  # and nothing was taken out of it
