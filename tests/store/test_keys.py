"""Keys: growing, unique, and UUIDs both ways."""

from __future__ import annotations

import uuid

from xds.store.keys import new_key, unique_id_key, uuid_bytes, uuid_urn


def test_keys_are_distinct_and_fit_the_column() -> None:
    """63 bits, whatever the pace."""
    keys = [new_key() for _ in range(10_000)]
    assert len(set(keys)) == 10_000
    assert all(0 < key < 2**63 for key in keys)


def test_a_uuid_survives_its_bytes() -> None:
    """Upper case comes back as the standard writes it, lower."""
    text = f"urn:uuid:{uuid.uuid4()}"
    assert uuid_urn(uuid_bytes(text)) == text
    assert uuid_urn(uuid_bytes(text.upper().replace("URN:UUID:", "urn:uuid:"))) == text


def test_a_unique_id_key_is_the_head_of_its_sha256() -> None:
    """The key of stored rows must never come out differently."""
    assert unique_id_key("1.2.3").hex() == "c47f5b18b8a430e698b9fe15e51f6119"
