"""Migration 0003 gives the entries that are there what they would have been registered with.

A registry of today is the measure: its rows are copied to a database as revision 0002 had them, without the
new columns and without the organisations among the facets, and that database is migrated. Every row must then
be as it is in the registry of today, on both engines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import insert, select, text

from tests import postgres
from tests.metadata import samples as s
from tests.registry.conftest import Desk
from tests.registry.updates import member, message, register, send, uuid
from xds.metadata.confidentiality import LEVELS, REFUSALS, Restriction
from xds.metadata.model import Author, Code, Slot
from xds.metadata.validation import submission
from xds.registry.prepare import Reading
from xds.registry.registry import Options
from xds.registry.view import EVERYTHING
from xds.store import database as store
from xds.store.database import Database
from xds.store.schema import document_entry, metadata, privacy_setting

RELEASE = "urn:no:xds:releaseTime"
NEW = ("restrictions", "release_time")


@pytest.fixture
def older(engine: str, tmp_path: Path) -> Iterator[Database]:
    """An empty database of revision 0002."""
    if engine == "sqlite":
        url = f"sqlite:///{tmp_path}/older.db"
    else:
        url = postgres.new_database(template="template0")
    found = Database(url)
    migrate(found, "0002")
    yield found
    found.close()
    if engine == "postgresql":
        postgres.drop_database(url)


@pytest.fixture
def today(database_url: str) -> Iterator[Desk]:
    """A registry of today, which takes times from an extra slot."""
    found = Database(database_url)
    yield Desk(found, Options(patients="open", synthetic=True, reading=Reading(release_slot=RELEASE)))
    found.close()


def migrate(database: Database, revision: str) -> None:
    """Bring a database up to a revision, as Database.migrate brings it to the last."""
    with database._kind.migration() as connection:
        config = Config()
        config.set_main_option("script_location", str(store._MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def file(desk: Desk, number: int, **changes: Any) -> None:
    """Register a document as it is, valid or not: older versions of the node knew fewer rules."""
    entry = s.document_entry(
        **{"entry_uuid": uuid(number), "unique_id": f"1.2.3.{number}", "source_patient_info": ()} | changes
    )
    of = s.submission_set(unique_id=f"1.2.4.{number}", patient_id=entry.patient_id)
    prepared = desk.registry.prepare(submission(s.submission(entry, of=of)))
    assert desk.database.transact(lambda c: desk.registry.register(c, prepared, EVERYTHING))


def as_before(row: dict[str, Any]) -> dict[str, Any]:
    """A row of document_entry as revision 0002 had it."""
    facets = [each for each in row["facets"].split("\x1f") if each and not each.startswith("o")]
    packed = "\x1f".join(["", *facets, ""]) if facets else ""
    return {name: value for name, value in row.items() if name not in NEW} | {"facets": packed}


def carry(desk: Desk, older: Database) -> None:
    """Copy the registry to the older database, and migrate that."""
    with older.write() as connection:
        for table in metadata.sorted_tables:
            if table is privacy_setting:
                continue
            rows = [dict(row) for row in everything(desk.database, table)]
            if table is document_entry:
                rows = [as_before(row) for row in rows]
            if rows:
                connection.execute(insert(table), rows)
    assert not older.is_current()
    older.migrate()
    assert older.is_current()


def everything(database: Database, table: Any) -> list[dict[str, Any]]:
    """All rows of a table, in the order of their keys."""
    with database.read() as connection:
        rows = connection.execute(select(table).order_by(*table.primary_key.columns)).mappings()
        return [{name: _plain(value) for name, value in row.items()} for row in rows]


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


def said(database: Database) -> list[tuple[Restriction, int | None, list[str]]]:
    """What each document says, in the order of registering: restrictions, release time, organisations."""
    return [
        (
            Restriction(row["restrictions"]),
            row["release_time"],
            [each[1:] for each in row["facets"].split("\x1f") if each.startswith("o")],
        )
        for row in everything(database, document_entry)
    ]


def xon(name: str, *numbers: str) -> str:
    """An institution; what stands from its tenth component on."""
    return "^".join([name, "", "", "", "", "&2.16.578.1.12.4.1.4.101&ISO", "", "", "", *numbers])


def authored(*institutions: str) -> dict[str, Any]:
    """By an author of these institutions."""
    return {"authors": (replace(s.AUTHOR, institutions=institutions),)}


#: What is particular to a document of revision 0002, by what it is.
DOCUMENTS: dict[str, dict[str, Any]] = {
    "ordinary": {},
    "blocked": {"confidentiality_codes": (s.NORMAL, s.BLOCKED)},
    "blocked alone, by the FHIR name": {
        "confidentiality_codes": (
            Code("NORS", "http://helsedir.no/fhir/CodeSystem/no-kodeverk-9603", "Sperret"),
        )
    },
    "with urn:oid:": {"confidentiality_codes": (Code("V", f"urn:oid:{LEVELS}", "x"),)},
    "refused in every way": {
        "confidentiality_codes": tuple(
            Code(each.name or "", REFUSALS, "x")
            for each in Restriction
            if (each.name or "").startswith("NORN")
        )
    },
    "an inactive spelling": {"confidentiality_codes": (Code("NORN-ANG", REFUSALS, "x"),)},
    "N of 9603": {"confidentiality_codes": (Code("N", REFUSALS, "x"),)},
    "refuses all": {"confidentiality_codes": (s.NORMAL, Code("NORN_ALL", REFUSALS, "x"))},
    "no code": {"confidentiality_codes": ()},
    "a foreign code": {"confidentiality_codes": (s.NORMAL, Code("N", "1.2.3", "x"))},
    "a code without system": {"confidentiality_codes": (Code("N", "", "x"),)},
    "delayed": {"confidentiality_codes": (Code("NORU", REFUSALS, "x"),)},
    "event codes and references": {
        "event_codes": (Code("c", "1.2.3", "x"), Code("NORS", REFUSALS, "x")),
        "reference_ids": ("c1^^^&1.2&ISO^urn:ihe:iti:xds:2013:order",),
    },
    "nobody's": {"authors": ()},
    "an author without institution": authored(),
    "two authors": {
        "authors": (
            replace(s.AUTHOR, institutions=(xon("B", "310000019"),)),
            Author(person="1^Li", institutions=(xon("A", "310000000"), xon("B", "310000019"))),
        )
    },
    "a name only": authored("Eksempelsykehuset HF"),
    "a unit and a name with entities": authored(xon('Bø & Li <HF> "x"', "4201234"), xon("'ø'", "310000000")),
    "an empty number": authored(xon("A", "")),
    "a number with a component behind it": authored(xon("A", "310000000", "x")),
    "no number": authored(xon("A", "x310000000")),
    "a name like a slot": authored(xon("name=authorInstitution", "310000000")),
    "a name of digits": authored("310000000", "310000000^^^^^^^^310000000"),
    "a title like an institution": {"title": xon("A", "310000027"), "comments": xon("A", "310000027")},
}
#: Where the number has something behind it that belongs to it.
TAILS = {
    "letters": authored(xon("A", "310000000MVA")),
    "a blank": authored(xon("A", "310000000 ")),
    "points": authored(xon("A", "1.2.3.4")),
    "subcomponents": authored(xon("A", "310000000&x")),
}


def test_every_row_is_as_it_would_be_registered_today(today: Desk, older: Database) -> None:
    """All its columns, on both engines: restrictions, facets, and what was there before."""
    for number, changes in enumerate(DOCUMENTS.values(), 1):
        file(today, number, **changes)
    carry(today, older)
    migrated, expected = everything(older, document_entry), everything(today.database, document_entry)
    for name, one, other in zip(DOCUMENTS, migrated, expected, strict=True):
        assert one == other, name
    for table in metadata.sorted_tables:
        assert everything(older, table) == everything(today.database, table), table.name


def test_what_is_backfilled(today: Desk, older: Database) -> None:
    """Written out for some, so that two equal mistakes are seen."""
    chosen = {
        "ordinary": (Restriction.N, None, ["310000000", "4201234"]),
        "blocked": (Restriction.N | Restriction.NORS, None, ["310000000", "4201234"]),
        "refuses all": (Restriction.N | Restriction.NORN_ALL, None, ["310000000", "4201234"]),
        "no code": (Restriction.UNSTATED, None, ["310000000", "4201234"]),
        "a foreign code": (Restriction.N | Restriction.UNKNOWN, None, ["310000000", "4201234"]),
        "two authors": (Restriction.N, None, ["310000000", "310000019"]),
        "a unit and a name with entities": (Restriction.N, None, ["310000000", "4201234"]),
        "nobody's": (Restriction.N, None, []),
    }
    for number, name in enumerate(chosen, 1):
        file(today, number, **DOCUMENTS[name])
    carry(today, older)
    assert list(said(older)) == list(chosen.values())


def test_a_number_with_something_behind_it_is_none(today: Desk, older: Database) -> None:
    """Today's reading takes the tenth component when it is digits as a whole; so must the migration."""
    for number, changes in enumerate(TAILS.values(), 1):
        file(today, number, **changes)
    carry(today, older)
    assert {name: row[2] for name, row in zip(TAILS, said(older), strict=True)} == {
        name: [] for name in TAILS
    }


def test_the_newest_version_decides_about_the_old_ones(today: Desk, older: Database) -> None:
    """A document that was blocked by an update under 0002 does not become readable in its history."""
    register(today, s.document_entry(entry_uuid=uuid(1), unique_id="1.2.3.1"))
    new = s.document_entry(
        entry_uuid=uuid(2),
        unique_id="1.2.3.1",
        logical_id=uuid(1),
        confidentiality_codes=(s.NORMAL, s.BLOCKED),
    )
    assert send(today, message(new, member(uuid(2))))
    carry(today, older)
    expected = [Restriction.N | Restriction.NORS] * 2
    assert [row[0] for row in said(today.database)] == expected
    assert [row[0] for row in said(older)] == expected


def test_no_entry_says_when_delayed_access_ends(today: Desk, older: Database) -> None:
    """The slot is a setting that 0002 did not have: what is delayed stays hidden until a version says so."""
    file(today, 1, **DOCUMENTS["delayed"], extra_slots=(Slot(RELEASE, ("20200101",)),))
    carry(today, older)
    assert [row[:2] for row in said(today.database)] == [(Restriction.NORU, 20200101000000)]
    assert [row[:2] for row in said(older)] == [(Restriction.NORU, None)]


def test_more_entries_than_are_read_at_a_time_are_all_migrated(today: Desk, older: Database) -> None:
    """Of several patients, some of whom have many: none is left out, none is taken for another's."""
    file(today, 1, **DOCUMENTS["ordinary"])
    file(today, 2, **DOCUMENTS["blocked"])
    models = everything(today.database, document_entry)
    rows = [
        models[number % 2]
        | {"patient_pk": number * number % 7, "doc_pk": number, "entry_uuid": number.to_bytes(16, "big")}
        for number in range(1203)
    ]
    with today.database.write() as connection:
        connection.execute(text("DELETE FROM document_entry"))
        connection.execute(insert(document_entry), rows)
    carry(today, older)
    assert everything(older, document_entry) == everything(today.database, document_entry)


def test_an_empty_database_is_migrated(older: Database) -> None:
    """There is nothing to fill."""
    older.migrate()
    assert older.is_current()
    assert everything(older, document_entry) == everything(older, privacy_setting) == []


def test_a_row_that_nobody_filled_is_of_unknown_codes(today: Desk) -> None:
    """The default is the stricter side: hidden from citizens, masked for personnel."""
    file(today, 1)
    (row,) = everything(today.database, document_entry)
    del row["restrictions"]
    with today.database.write() as connection:
        connection.execute(text("DELETE FROM document_entry"))
        connection.execute(insert(document_entry), row)
    ((restrictions, _, _),) = said(today.database)
    assert restrictions is Restriction.UNKNOWN
