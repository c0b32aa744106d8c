"""A generated registry is what the node itself would have written, row for row, and answers as one.

What was generated is read back through the stored queries and submitted to another registry by the node's own
code; then the rows of both are compared. Numbers of rows and of codes are each registry's own, so that what
they stand for is compared.
"""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from bench import content, copies, load, population
from bench.population import Population
from tests.blackbox import messages as m
from tests.blackbox.wire import NS, SUCCESS, send
from tests.nodes import Node
from tests.registry.conftest import Desk
from xds.metadata import names
from xds.metadata.model import RegistryObject
from xds.registry import facets
from xds.store import schema
from xds.store.bodies import unpack
from xds.store.database import Database

#: In two steps, as a registry grows, the second by two processes where there may be several.
SIZES = {150: 1, 400: 2}
#: XDSDocumentEntry.uniqueId (ITI TF-3 4.2.5.2).
UNIQUE_ID = "urn:uuid:2e82c1f6-a085-4c72-9da3-8640a32e42ab"


@pytest.fixture
def grown(database_url: str) -> tuple[str, Population]:
    """The database's URL, and who is in it."""
    database = Database(database_url)
    masters = copies.masters(database, 5)
    database.close()
    people = Population()
    for size, processes in SIZES.items():
        load.grow(database_url, masters, people, size, lambda _: None, processes)
    return database_url, people


@pytest.mark.parametrize("documents", [1, 7, 2_000, 10_000, 90_000, 4_000_000])
def test_a_step_has_as_many_documents_as_are_asked_for(documents: int) -> None:
    """And each patient's submissions hold all of the patient's documents, one of 25 of them replaced."""
    classes = population.classes(documents)
    assert sum(size * count for size, count in classes.items()) == documents
    if documents <= 10_000:
        step = Population().next(documents)
        came: Counter[int] = Counter()
        replaced: Counter[int] = Counter()
        replacements: Counter[int] = Counter()
        for part in range(2):
            for patient, kind in step.submissions(part, 2):
                assert patient % 2 == part
                came[patient] += abs(kind) or 1
                replaced[patient] += kind < 0
                replacements[patient] += kind == population.REPLACEMENT
                assert 0 <= replaced[patient] - replacements[patient] <= 1
        sizes = [size for size, count in classes.items() for _ in range(count)]
        assert [came[patient] for patient in range(step.patients)] == sizes
        assert [replacements[patient] for patient in range(step.patients)] == [each // 25 for each in sizes]


def test_the_rows_are_those_that_a_registry_writes(grown: tuple[str, Population], tmp_path: Path) -> None:
    """All that was generated, submitted again in the order of its sets, makes the same rows."""
    url, people = grown
    own, other = Desk(Database(url)), Desk(Database(f"sqlite:///{tmp_path}/other.db"))
    other.database.migrate()
    for submission in _submissions(own, people):
        assert other.submit(submission)
    for table in copies.TABLES:
        if table != "stored_document":
            ours, theirs = _told(own.database, table), _told(other.database, table)
            assert len(ours) > 10
            assert ours == theirs, table
    own.database.close()
    other.database.close()


def _submissions(desk: Desk, people: Population) -> Iterator[list[RegistryObject]]:
    """What was submitted, in the order in which it was."""
    found: dict[bytes, list[RegistryObject]] = {}
    for patient in range(people.patients):
        objects = desk.ask(
            m.GET_ALL,
            patientId=f"'{content.pid(patient)}'",
            XDSDocumentEntryStatus=f"('{names.APPROVED}','{names.DEPRECATED}')",
            XDSSubmissionSetStatus=f"('{names.APPROVED}')",
            XDSFolderStatus=f"('{names.APPROVED}')",
        )
        of_set = {
            each.attributes["targetObject"]: each.attributes["sourceObject"]
            for each in objects
            if each.attributes.get("associationType") == names.HAS_MEMBER
        }
        groups = defaultdict(list)
        for each in objects:
            if each.kind == "RegistryPackage":
                groups[each.id].insert(0, each)
            elif each.kind == "ExtrinsicObject":
                groups[of_set[each.id]].append(each)
            else:
                source = each.attributes["sourceObject"]
                groups[of_set.get(source, source)].append(each)
        found |= {bytes.fromhex(key[9:].replace("-", "")): group for key, group in groups.items()}
    with desk.database.read() as connection:
        sets = connection.execute(
            select(schema.submission_set.c.entry_uuid).order_by(schema.submission_set.c.set_pk)
        ).scalars()
        for uuid in sets:
            yield found.pop(bytes(uuid))
    assert not found


#: Columns that are numbers of a registry's own: left out, or what they stand for is told.
_OWN = {"doc_pk", "set_pk", "assoc_pk", "fingerprint"}
_CODES = {
    "class_code", "type_code", "practice_code", "facility_code", "format_code", "repo_pk", "mime_pk",
    "home_pk", "source_pk", "content_type", "code_pk",
}  # fmt: skip


def _told(database: Database, table: str) -> list[tuple[tuple[str, Any], ...]]:
    """The rows of a table in words that are the same in every registry, in some order."""
    with database.read() as connection:
        codes = {
            row.code_pk: f"{row.code}^^{row.scheme}" for row in connection.execute(select(schema.code))
        } | {None: None}
        pids = {row.patient_pk: row.pid for row in connection.execute(select(schema.patient))}
        objects = {
            row[1]: bytes(row[0])
            for each, key in ((schema.document_entry, "doc_pk"), (schema.submission_set, "set_pk"))
            for row in connection.execute(select(each.c.entry_uuid, each.c[key]))
        }
        rows = connection.execute(select(copies.TABLES[table])).mappings().all()
    return sorted((_words(row, codes, pids, objects) for row in rows), key=repr)


def _words(
    row: Mapping[str, Any], codes: Mapping[int | None, str | None], pids: Mapping[int, str], objects: Any
) -> tuple[tuple[str, Any], ...]:
    told: dict[str, Any] = {}
    for name, value in row.items():
        if name in _OWN:
            continue
        if name in ("patient_pk", "survivor_pk"):
            told[name] = pids[value]
        elif name == "obj_pk":
            told[name] = objects[value]
        elif name in _CODES:
            told[name] = codes[value]
        elif name == "facets":
            told[name] = [
                (letter, codes[int(each)] if letter in "ce" else each)
                for letter in "cearo"
                for each in facets.values(value, letter)
            ]
        elif name == "body":
            told[name] = unpack([bytes(value)])[0]
        else:
            told[name] = bytes(value) if isinstance(value, memoryview) else value
    return tuple(told.items())


def test_the_node_answers_as_it_does_from_its_own_rows(grown: tuple[str, Population], tmp_path: Path) -> None:
    """FindDocuments, GetDocuments and GetAll, by the schemas; and it goes on writing beside those rows."""
    url, people = grown
    node = Node(tmp_path, store__database=url)
    node.start()
    try:
        patient, size = _largest(people)
        pid = content.pid(patient)
        found = _answer(node, m.find_documents(pid))
        assert len(found) == size - size // population.REPLACED
        everything = _answer(
            node,
            m.query(
                m.GET_ALL,
                {
                    "$patientId": f"'{pid}'",
                    "$XDSDocumentEntryStatus": f"('{names.APPROVED}','{names.DEPRECATED}')",
                    "$XDSSubmissionSetStatus": f"('{names.APPROVED}')",
                    "$XDSFolderStatus": f"('{names.APPROVED}')",
                },
            ),
        )
        kinds = Counter(each.tag.rpartition("}")[2] for each in everything)
        assert kinds["ExtrinsicObject"] == size
        assert kinds["Association"] == size + size // population.REPLACED
        unique_ids = [
            each.find(f"rim:ExternalIdentifier[@identificationScheme='{UNIQUE_ID}']", NS).get("value")
            for each in found
        ]
        by_unique_id = m.query(
            m.GET_DOCUMENTS, {"$XDSDocumentEntryUniqueId": [f"('{each}')" for each in unique_ids]}
        )
        assert _ids(_answer(node, by_unique_id)) == _ids(found)
        # The numbers of codes go on where the generated ones end, and nothing else clashes.
        document = m.Document()
        assert send(node, m.mtom([document], m.new_oid())).outcome == SUCCESS
        assert len(_answer(node, m.get_documents(document.unique_id))) == 1
    finally:
        node.stop()
    with Database(url).read() as connection:
        stored = connection.execute(select(schema.stored_document)).mappings().all()
    shapes = {
        tuple(re.sub("[0-9a-f]", "x", each) if isinstance(each, str) else type(each) for each in values)
        for row in stored
        for values in [(row["blob_key"], bytes(row["sha1"]), bytes(row["sha256"]), row["size"])]
    }
    assert len(stored) == people.documents + 1
    assert len(shapes) == 1, "the node's own row looks like the others"


def _largest(people: Population) -> tuple[int, int]:
    """A patient with as many documents as anybody, and the number of these."""
    step = people.steps[0]
    size, _ = next(iter(step.classes.items()))
    return step.first, size


def _answer(node: Node, query: str) -> list[Any]:
    reply = send(node, m.plain(query, "ITI-18"))
    assert reply.outcome == SUCCESS
    return list(reply.content().find("rim:RegistryObjectList", NS))


def _ids(objects: list[Any]) -> set[str]:
    return {each.get("id") for each in objects}


def test_what_is_remembered_is_there(grown: tuple[str, Population]) -> None:
    """UUIDs to ask about are of documents, and patients drawn have as many documents as was asked."""
    url, people = grown
    uuids = people.some_documents(100, random.Random(1))
    assert len(set(uuids)) == 100
    drawn = people.of(5, 1_000, random.Random(1))
    assert len(drawn) == len(set(drawn)) == sum(step.classes.get(5, 0) for step in people.steps)
    d, p = schema.document_entry, schema.patient
    with Database(url).read() as connection:
        known = {bytes(each) for each in connection.execute(select(d.c.entry_uuid)).scalars()}
        owned = Counter(
            connection.execute(select(p.c.pid).join_from(d, p, d.c.patient_pk == p.c.patient_pk)).scalars()
        )
    assert set(uuids) <= known
    assert len(known) == people.documents
    assert {owned[content.pid(each)] for each in drawn} == {5}
    assert len(owned) == people.patients
