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
    data = (Path(bodies.__file__).parent / "dictionary-1.zdict").read_bytes()
    assert hashlib.sha256(data).hexdigest() == "ad5e4338954b23497c83f12424bf2c051aa6fab9bfb8179f9a0ea14091960f7b"


def test_a_body_of_the_first_version_is_read() -> None:
    """Bytes as version 1 wrote them."""
    stored = bytes.fromhex("0128b52ffd236de50366588d0000087804fc88358768483c668129b3048748")
    assert bodies.unpack(stored) == b'<rim:Slot name="hash"><rim:ValueList><rim:Value>x</rim:Value></rim:ValueList></rim:Slot>'
