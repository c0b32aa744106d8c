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
    assert bodies.unpack([bodies.pack(body)]) == [body]


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
    """A changed dictionary makes every stored body unreadable: put a new one beside it."""
    data = (Path(bodies.__file__).parent / "dictionary-1.zdict").read_bytes()
    assert (
        hashlib.sha256(data).hexdigest() == "06d8c2ba2861cf8c203b0166634b5107a5467e93609bcebe14d56a42f29069dd"
    )


def test_a_body_of_the_first_version_is_read() -> None:
    """Bytes as version 1 wrote them."""
    stored = bytes.fromhex(
        "0128b52ffd236899227058dd00003078536c6f743e06fcc3c790dc89708228979f58ae4b214cb25c18"
    )
    body = b'<rim:Slot name="hash"><rim:ValueList><rim:Value>x</rim:Value></rim:ValueList></rim:Slot>'
    assert bodies.unpack([stored]) == [body]
