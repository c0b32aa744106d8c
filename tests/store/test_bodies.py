"""Stored bodies: what goes in comes out, and old ones stay readable."""

from __future__ import annotations

import hashlib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.metadata import samples
from xds.metadata import names
from xds.metadata.ebrim import stored_body
from xds.metadata.entries import registry_object
from xds.store import bodies


@given(st.binary(max_size=2000))
def test_any_bytes_come_back(body: bytes) -> None:
    """Compression loses nothing."""
    assert bodies.unpack(bodies.pack(body)) == body


def test_a_document_entry_takes_a_seventh_of_its_size() -> None:
    """6 kB of ebRIM take less than 900 bytes."""
    body = stored_body(
        registry_object(samples.document_entry(title="En annen tittel", unique_id="2.999.77")),
        ids={},
        own_id="urn:uuid:01234567-89ab-4def-8123-456789abcdef",
        version=1,
        omit_identifier=names.DOCUMENT_PATIENT_ID,
    )
    assert len(body) > 6000
    assert len(bodies.pack(body)) < 900


def test_the_dictionary_is_the_one_that_stored_bodies_need() -> None:
    """A changed dictionary makes every stored body unreadable: make a new one beside it, with the next number."""
    data = (Path(bodies.__file__).parent / "dictionary-1.xml").read_bytes()
    assert hashlib.sha256(data).hexdigest() == "d0889c71ca85818e3cee001dd08fd56d412d1a77bd428f30656d2fc9ba11d6d7"


def test_a_body_of_the_first_version_is_read() -> None:
    """Bytes as version 1 wrote them."""
    stored = bytes.fromhex("0128b52ffd20589500000878040098800cae08e39e0686872d100804")
    assert bodies.unpack(stored) == b'<rim:Slot name="hash"><rim:ValueList><rim:Value>x</rim:Value></rim:ValueList></rim:Slot>'
