"""The attribute tables against the standard's."""

from __future__ import annotations

import dataclasses

import pytest

from tests.metadata.expected import EXPECTED, Expected
from xds.metadata import attributes, model
from xds.metadata.attributes import Coding

CODINGS = {
    "xml": Coding.XML,
    "slot": Coding.SLOT,
    "name": Coding.NAME,
    "description": Coding.DESCRIPTION,
    "version": Coding.VERSION,
    "code": Coding.CODE,
    "author": Coding.AUTHOR,
    "node": Coding.NODE,
    "identifier": Coding.IDENTIFIER,
}


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda e: f"{e.prefix}-{e.name}")
def test_attribute_is_coded_and_used_as_the_standard_says(expected: Expected) -> None:
    """Place, key, cardinality and the five columns of each attribute are those of ITI TF-3."""
    table = next(t for t in attributes.TABLES if t.prefix == expected.prefix)
    attribute = next(a for a in table.attributes if a.name == expected.name)
    assert (CODINGS[expected.coding], expected.key) == (attribute.coding, attribute.key)
    assert (expected.many, expected.use) == (attribute.many, attribute.use)


def test_tables_hold_nothing_but_the_standards_attributes() -> None:
    """Each table has every attribute once and no other."""
    found = sorted((t.prefix, a.name) for t in attributes.TABLES for a in t.attributes)
    assert sorted((e.prefix, e.name) for e in EXPECTED) == found


@pytest.mark.parametrize("table", attributes.TABLES, ids=lambda t: t.name)
def test_every_field_of_the_model_is_filled_from_one_attribute(table: attributes.Table) -> None:
    """Model and table name the same things, so that no value can be lost between them."""
    fields = {f.name for f in dataclasses.fields(getattr(model, table.name))} - {"extra_slots", "received"}
    assert fields == {a.field for a in table.attributes if a.field}
