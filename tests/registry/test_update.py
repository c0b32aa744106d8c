"""Metadata updates (XDS Metadata Update 3.57.4.1.3): versions, statuses, links, and what stops them."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from tests.metadata import samples as s
from tests.registry.conftest import Desk
from tests.registry.updates import (
    SET,
    contents,
    document,
    filed,
    folder,
    history,
    links,
    member,
    message,
    refused,
    register,
    rows,
    send,
    status,
    submitted,
    uuid,
)
from xds.errors import RegistryFailure
from xds.metadata import names, updates
from xds.metadata.entries import registry_object
from xds.metadata.model import Code, RegistryObject, Slot
from xds.registry import objects
from xds.registry.elements import slot_texts
from xds.registry.prepare import ASSOCIATION_TYPES
from xds.registry.queries import (
    find_documents,
    get_documents,
    get_folder_and_contents,
    get_related_documents,
)
from xds.store import schema
from xds.store.bodies import unpack
from xds.store.keys import uuid_urn

D1, D2, D3, D4 = map(uuid, (0xD1, 0xD2, 0xD3, 0xD4))
F1, F2 = map(uuid, (0xF1, 0xF2))
N1, N2, N3 = map(uuid, (0xA1, 0xA2, 0xA3))
A1, A2 = map(uuid, (0xB1, 0xB2))
UNKNOWN = uuid(0xDEAD)
DOCUMENTS, FOLDERS, LINKS = schema.document_entry, schema.folder, schema.association
HAS_MEMBER = ASSOCIATION_TYPES[names.HAS_MEMBER]
UPDATE, VERSION = "XDSMetadataUpdateError", "XDSMetadataVersionError"
OPERATION, RECONCILIATION = "XDSMetadataUpdateOperationError", "XDSPatientIDReconciliationError"
SHA1 = "0a0b0c0d0e0f101112131415161718191a1b1c1d"


def new(own: str = N1, of: str = D1, unique: int = 1, **changes: Any) -> Any:
    """A new version of a document."""
    return document(own, unique, logical_id=of, **changes)


def new_folder(own: str = N2, of: str = F1, unique: int = 1, **changes: Any) -> Any:
    """A new version of a folder."""
    return folder(own, unique, logical_id=of, **changes)


# -- new versions of documents -------------------------------------------------------------------------------


def test_a_new_version_follows_the_one_before(desk: Desk) -> None:
    """Old + 1, Approved; the version before is Deprecated and no longer the latest (5.2)."""
    register(desk, document(D1))
    assert send(desk, message(new(title="Rettet"), member(N1)))
    assert history(desk, DOCUMENTS, D1) == [(D1, 1, 0, "Deprecated"), (N1, 2, 1, "Approved")]
    assert send(desk, message(new(N2), member(N2, 2)))
    assert history(desk, DOCUMENTS, D1) == [
        (D1, 1, 0, "Deprecated"),
        (N1, 2, 0, "Deprecated"),
        (N2, 3, 1, "Approved"),
    ]


def test_a_new_version_says_which_one_it_is(desk: Desk) -> None:
    """Its element has the lid of the first version and its own VersionInfo."""
    register(desk, document(D1))
    send(desk, message(new(), member(N1)))
    (row,) = rows(desk, DOCUMENTS, entry_uuid=N1)
    (text,) = unpack([bytes(row.body)])
    assert f'lid="{D1}"'.encode() in text
    assert b'<rim:VersionInfo versionName="2"/>' in text


def test_the_version_before_is_not_rewritten(desk: Desk) -> None:
    """History is kept as it was, but for its status."""
    register(desk, document(D1))
    (before,) = rows(desk, DOCUMENTS, entry_uuid=D1)
    send(desk, message(new(title="Rettet"), member(N1)))
    (after,) = rows(desk, DOCUMENTS, entry_uuid=D1)
    changed = {name for name in before._fields if getattr(before, name) != getattr(after, name)}
    assert changed == {"latest", "status"}


def test_a_new_version_is_found_by_what_it_says(desk: Desk) -> None:
    """Search columns, listed codes and facets are those of the new version; its uniqueId claims nothing."""
    register(desk, document(D1))
    event = Code("X1", "1.2.3.4", "Hendelse")
    send(desk, message(new(type_code=s.NOTE, event_codes=(event,)), member(N1)))
    (old,) = rows(desk, DOCUMENTS, entry_uuid=D1)
    (row,) = rows(desk, DOCUMENTS, entry_uuid=N1)
    assert row.type_code != old.type_code
    assert row.uid_first == 0
    assert [each.obj_pk for each in rows(desk, schema.listed_code)] == [row.doc_pk]
    (claim,) = rows(desk, schema.uid_claim, kind=schema.KIND_DOCUMENT_ENTRY)
    assert claim.obj_pk == old.doc_pk


def test_symbolic_ids_are_given_uuids(desk: Desk) -> None:
    """A new version may have a symbolic id; its HasMember leads to the UUID it gets."""
    register(desk, document(D1))
    send(desk, message(new("Document01"), member("Document01")))
    own = history(desk, DOCUMENTS, D1)[1][0]
    assert own.startswith("urn:uuid:")
    assert [link[1:] for link in links(desk) if link[1] == own] == [(own, "Approved")]


def test_the_commands_are_carried_out_and_not_kept(desk: Desk) -> None:
    """What is stored of a status change is the set and the status."""
    register(desk, document(D1))
    before = len(rows(desk, LINKS))
    send(desk, message(status(D1)))
    assert len(rows(desk, LINKS)) == before
    assert len(rows(desk, schema.submission_set)) == 2


def test_documents_go_offline_and_come_back(desk: Desk) -> None:
    """documentAvailability is an attribute like any other; level 1 leaves offline documents out."""
    register(desk, document(D1))
    send(desk, message(new(document_availability=names.OFFLINE), member(N1)))
    assert [row.availability for row in rows(desk, DOCUMENTS, latest=1)] == [schema.OFFLINE]
    send(desk, message(new(N2, document_availability=names.ONLINE), member(N2, 2)))
    assert [row.availability for row in rows(desk, DOCUMENTS, latest=1)] == [schema.ONLINE]


def test_an_identical_repeat_succeeds_and_does_nothing(desk: Desk) -> None:
    """As at registration: the same set with the same content (docs/decisions/0007)."""
    register(desk, document(D1))
    objects = message(new(), member(N1))
    assert send(desk, objects) is True
    after = contents(desk)
    assert send(desk, objects) is False
    assert contents(desk) == after


def test_the_set_of_an_update_is_used_once(desk: Desk) -> None:
    """Other content under a uniqueId that is known is refused."""
    register(desk, document(D1))
    send(desk, message(status(D1), unique_id="1.2.9.0"))
    again = message(status(D1, names.DEPRECATED, names.APPROVED), unique_id="1.2.9.0")
    assert refused(desk, again) == [
        ("XDSDuplicateUniqueIdInRegistry", "registry-set-unique-id", f"{SET}/uniqueId")
    ]


def test_a_uuid_that_is_registered_is_not_new(desk: Desk) -> None:
    """A version's id must be its own."""
    register(desk, document(D1), document(D2, 2))
    assert refused(desk, message(new(D2), member(D2))) == [
        ("XDSRegistryMetadataError", "registry-entry-uuid-new", f"{D2}/entryUUID")
    ]


@pytest.mark.parametrize(
    ("entry", "link", "expected"),
    [
        (new(of=N1), member(N1), (UPDATE, "update-logical-id", f"{N1}/logicalID")),
        (document(N1), member(N1), (UPDATE, "update-logical-id", f"{N1}/logicalID")),
        (new(of="Document01"), member(N1), (UPDATE, "update-logical-id", f"{N1}/logicalID")),
        (new(), None, (UPDATE, "update-member", N1)),
        (new(), member(N1, None), (UPDATE, "update-previous-version", f"to-{N1}/PreviousVersion")),
        (new(), member(N1, "one"), (UPDATE, "update-previous-version", f"to-{N1}/PreviousVersion")),
        (new(), member(N1, 0), (UPDATE, "update-previous-version", f"to-{N1}/PreviousVersion")),
        (new(), member(N1, 1, "perhaps"), (UPDATE, "update-propagation", f"to-{N1}/AssociationPropagation")),
        (
            new(),
            member(N1, status="Reference"),
            ("XDSRegistryMetadataError", "member-status", f"to-{N1}/submissionSetStatus"),
        ),
        (new(of=UNKNOWN), member(N1), (VERSION, "update-logical-known", f"{N1}/logicalID")),
        (new(of=F1), member(N1), (VERSION, "update-logical-known", f"{N1}/logicalID")),
        (new(), member(N1, 2), (VERSION, "update-version", f"to-{N1}/PreviousVersion")),
        (new(unique=7), member(N1), (UPDATE, "update-unique-id", f"{N1}/uniqueId")),
        (
            new(object_type=names.ON_DEMAND, creation_time=None, hash=None, size=None),
            member(N1),
            (UPDATE, "update-object-type", f"{N1}/objectType"),
        ),
        (
            new(class_code=None),
            member(N1),
            ("XDSRegistryMetadataError", "DE-classCode-required", f"{N1}/classCode"),
        ),
        (
            new(hash=SHA1, size=7),
            member(N1),
            ("XDSNonIdenticalHash", "registry-document-same-hash", f"{N1}/uniqueId"),
        ),
    ],
)
def test_a_new_version_that_is_not_the_next_one_is_refused(
    desk: Desk, entry: Any, link: Any, expected: tuple[str, str, str]
) -> None:
    """Each check of table 5.2 on new versions, with its code and place."""
    register(desk, document(D1, hash="ab" * 20, size=7), folder(F1))
    if entry.hash == s.EMPTY_SHA1:
        entry = replace(entry, hash="ab" * 20, size=7)
    assert refused(desk, message(entry, *([link] if link else []))) == [expected]


def test_only_an_approved_version_is_followed(desk: Desk) -> None:
    """A deprecated document is approved again first."""
    register(desk, document(D1))
    send(desk, message(status(D1)))
    assert refused(desk, message(new(), member(N1))) == [(UPDATE, "update-approved", f"{N1}/logicalID")]


def test_one_object_has_one_new_version_in_a_request(desk: Desk) -> None:
    """Two versions of one logical document cannot both follow the same one."""
    register(desk, document(D1))
    both = message(new(), new(N2), member(N1), member(N2))
    assert refused(desk, both) == [
        ("XDSRegistryDuplicateUniqueIdInMessage", "uniqueId-message", f"{N2}/uniqueId"),
        (UPDATE, "update-once", f"{N2}/logicalID"),
    ]


def test_all_errors_come_at_once(desk: Desk) -> None:
    """Everything that the registry finds wrong is in one answer."""
    register(desk, document(D1), document(D2, 2))
    bad = message(new(), member(N1, 3), new(N2, D2, 9), member(N2), status(UNKNOWN), status(F1))
    assert refused(desk, bad) == [
        (VERSION, "update-version", f"to-{N1}/PreviousVersion"),
        (UPDATE, "update-unique-id", f"{N2}/uniqueId"),
        ("UnresolvedReferenceException", "update-resolved", f"status-{UNKNOWN}/targetObject"),
        ("UnresolvedReferenceException", "update-resolved", f"status-{F1}/targetObject"),
    ]


def test_errors_name_the_object(desk: Desk) -> None:
    """codeContext of a metadata update's error holds the id of what it is about."""
    register(desk, document(D1))
    with pytest.raises(RegistryFailure) as caught:
        send(desk, message(new(), member(N1, 2)))
    (error,) = caught.value.errors
    assert error.context.endswith(f"({N1})")


# -- bytes that become known later ---------------------------------------------------------------------------


def test_a_document_that_is_assembled_late_gets_its_hash(desk: Desk) -> None:
    """Delayed assembly: size, hash and creationTime by update; from then on they are the uniqueId's."""
    register(desk, document(D1))
    send(desk, message(new(hash=SHA1, size=99, creation_time="20260401"), member(N1)))
    (row,) = rows(desk, DOCUMENTS, latest=1)
    assert (bytes(row.hash).hex(), row.size) == (SHA1, 99)
    (claim,) = rows(desk, schema.uid_claim, kind=schema.KIND_DOCUMENT_ENTRY)
    assert (bytes(claim.hash).hex(), claim.size) == (SHA1, 99)
    register(desk, document(D2, hash=SHA1, size=99))
    assert desk.refused(s.submission(document(D3), of=s.submission_set(unique_id="1.2.8.0"))) == [
        ("XDSNonIdenticalHash", "registry-document-same-hash", f"{D3}/uniqueId"),
        ("XDSNonIdenticalSize", "registry-document-same-size", f"{D3}/uniqueId"),
    ]


def test_assembled_bytes_do_not_change_again(desk: Desk) -> None:
    """Neither to other bytes nor back to not assembled."""
    register(desk, document(D1))
    send(desk, message(new(hash=SHA1, size=99), member(N1)))
    for changes in ({"hash": "ab" * 20, "size": 98}, {}):
        assert [each[0] for each in refused(desk, message(new(N2, **changes), member(N2, 2)))] == [
            "XDSNonIdenticalHash",
            "XDSNonIdenticalSize",
        ]


def test_two_entries_of_one_document_are_assembled_to_the_same_bytes(desk: Desk) -> None:
    """Both were registered before the bytes were known; the first to be assembled decides."""
    register(desk, document(D1))
    register(desk, document(D2))
    send(desk, message(new(hash=SHA1, size=99), member(N1)))
    other = message(new(N2, D2, hash="ab" * 20, size=99), member(N2))
    assert refused(desk, other) == [("XDSNonIdenticalHash", "registry-document-same-hash", f"{N2}/uniqueId")]
    assert send(desk, message(new(N2, D2, hash=SHA1, size=99), member(N2)))


# -- folders -------------------------------------------------------------------------------------------------


def test_a_folder_gets_a_new_version_with_its_content(desk: Desk) -> None:
    """Approved documents through approved HasMembers; lastUpdateTime is carried over, whatever was sent."""
    register(
        desk,
        folder(F1),
        document(D1),
        document(D2, 2),
        document(D3, 3),
        links=[*filed(F1, D1, A1), *filed(F1, D2, A2), *filed(F1, D3, uuid(0xB3))],
    )
    send(desk, message(status(D2), status(A1)))
    with desk.database.write() as connection:
        connection.exec_driver_sql("UPDATE folder SET last_update_time = 20200101000000")
    send(
        desk,
        message(new_folder(title="Nytt navn", last_update_time="20300101000000"), member(N2, status=None)),
    )
    assert history(desk, FOLDERS, F1) == [(F1, 1, 0, "Deprecated"), (N2, 2, 1, "Approved")]
    assert {row.last_update_time for row in rows(desk, FOLDERS)} == {20200101000000}
    assert {link for link in links(desk, HAS_MEMBER) if link[0] in (F1, N2)} == {
        (F1, D1, "Deprecated"),
        (F1, D2, "Approved"),
        (F1, D3, "Approved"),
        (N2, D3, "Approved"),
    }


def test_what_is_filed_again_is_a_member_of_the_set(desk: Desk) -> None:
    """Every HasMember of a folder has its companion from the set that brought it (ITI TF-3 4.2.2.1.4)."""
    register(desk, folder(F1), document(D1), links=filed(F1, D1, A1))
    send(desk, message(new_folder(), member(N2, status=None)))
    new_set = uuid_urn(bytes(rows(desk, schema.submission_set)[1].entry_uuid))
    (copy,) = rows(desk, LINKS, source_uuid=N2)
    assert {link[1] for link in links(desk) if link[0] == new_set} == {N2, uuid_urn(bytes(copy.entry_uuid))}


@pytest.mark.parametrize(
    ("entry", "link", "expected"),
    [
        (new_folder(), member(N2, 2, status=None), (VERSION, "update-version", f"to-{N2}/PreviousVersion")),
        (new_folder(unique=9), member(N2, status=None), (UPDATE, "update-unique-id", f"{N2}/uniqueId")),
        (new_folder(of=D1), member(N2, status=None), (VERSION, "update-logical-known", f"{N2}/logicalID")),
        (
            new_folder(),
            member(N2, None, status=None),
            (UPDATE, "update-previous-version", f"to-{N2}/PreviousVersion"),
        ),
        (folder(N2), member(N2, status=None), (UPDATE, "update-logical-id", f"{N2}/logicalID")),
    ],
)
def test_a_folder_version_that_is_not_the_next_one_is_refused(
    desk: Desk, entry: Any, link: Any, expected: tuple[str, str, str]
) -> None:
    """The same checks as for documents."""
    register(desk, folder(F1), document(D1))
    assert refused(desk, message(entry, link)) == [expected]


def test_a_deprecated_folder_is_not_updated(desk: Desk) -> None:
    """It is approved again first."""
    register(desk, folder(F1))
    send(desk, message(status(F1)))
    assert refused(desk, message(new_folder(), member(N2, status=None))) == [
        (UPDATE, "update-approved", f"{N2}/logicalID")
    ]


def test_versions_do_not_run_out(desk: Desk) -> None:
    """An object may be updated at every visit: its version is no small number on any engine."""
    register(desk, document(D1), folder(F1))
    send(desk, message(new(), member(N1), new_folder(), member(N2)))
    with desk.database.write() as connection:
        for table in ("document_entry", "folder"):
            connection.exec_driver_sql(f"UPDATE {table} SET version = 32767 WHERE version = 2")
    later = new(N3), member(N3, 32767), new_folder(A1), member(A1, 32767)
    assert send(desk, message(*later))
    assert history(desk, DOCUMENTS, D1)[-1] == (N3, 32768, 1, "Approved")
    assert history(desk, FOLDERS, F1)[-1] == (A1, 32768, 1, "Approved")


# -- propagation ---------------------------------------------------------------------------------------------


def world(desk: Desk) -> None:
    """D1 in F1 and, deprecated, in F2; D2 appended to D1; D3 transformed from D1; D4 signs D2."""
    register(desk, document(D1), folder(F1), folder(F2, 2), links=[*filed(F1, D1, A1), *filed(F2, D1, A2)])
    register(desk, document(D2, 2), links=[s.association(names.APND, D2, D1, entry_uuid=uuid(0xC1))])
    register(desk, document(D3, 3), links=[s.association(names.XFRM, D3, D1, entry_uuid=uuid(0xC2))])
    register(desk, document(D4, 4), links=[s.association(names.SIGNS, D4, D2, entry_uuid=uuid(0xC3))])
    send(desk, message(status(A2), status(uuid(0xC2))))


def test_associations_follow_the_new_version(desk: Desk) -> None:
    """Approved links of folders and relationships are copied, deprecated ones not; the old ones stay."""
    world(desk)
    before = links(desk)
    send(desk, message(new(), member(N1)))
    added = {link for link in links(desk) - before if link[0] in (F1, F2, D1, D2, D3, D4)}
    assert added == {(F1, N1, "Approved"), (D2, N1, "Approved")}
    assert before <= links(desk)


def test_a_copy_says_what_the_original_said(desk: Desk) -> None:
    """Its slots and classifications are kept; only ids and ends are its own."""
    register(desk, document(D1))
    why = Code("E", "1.2.3", "Rettelse")
    extra = Slot("urn:example:note", ("a", "b"))
    apnd = s.association(names.APND, D2, D1, entry_uuid=uuid(0xC1), documentation=why, extra_slots=(extra,))
    register(desk, document(D2, 2), links=[apnd])
    send(desk, message(new(), member(N1)))
    (copy,) = rows(desk, LINKS, source_uuid=D2, target_uuid=N1)
    (text,) = unpack([bytes(copy.body)])
    assert slot_texts(copy.body, "urn:example:note") == [
        b"<rim:ValueList><rim:Value>a</rim:Value><rim:Value>b</rim:Value></rim:ValueList>"
    ]
    own = uuid_urn(bytes(copy.entry_uuid)).encode()
    assert text.count(b'="' + own + b'"') == 2  # its id, and the object that its Classification classifies
    assert b'nodeRepresentation="E"' in text
    assert D1.encode() not in text
    assert uuid(0xC1).encode() not in text


def test_a_folder_that_gains_a_version_is_touched(desk: Desk) -> None:
    """lastUpdateTime of the folders to which the new version was added, and of no other."""
    world(desk)
    with desk.database.write() as connection:
        connection.exec_driver_sql("UPDATE folder SET last_update_time = 20200101000000")
    send(desk, message(new(), member(N1)))
    assert rows(desk, FOLDERS, entry_uuid=F1)[0].last_update_time > 20200101000000
    assert rows(desk, FOLDERS, entry_uuid=F2)[0].last_update_time == 20200101000000


def test_without_propagation_the_old_links_stay_where_they_are(desk: Desk) -> None:
    """AssociationPropagation no: only the set's own HasMember is new."""
    world(desk)
    before = links(desk)
    send(desk, message(new(), member(N1, 1, "no")))
    assert {link[1:] for link in links(desk) - before} == {(N1, "Approved")}


def test_both_ends_in_one_request_are_linked_once(desk: Desk) -> None:
    """A relationship of two updated documents links their new versions; so does a folder its document."""
    world(desk)
    before = links(desk)
    send(
        desk,
        message(
            new(),
            new(N3, D2, 2),
            new_folder(),
            member(N1),
            member(N3),
            member(N2, status=None),
        ),
    )
    added = {link for link in links(desk) - before if link[0] in (F1, F2, N2, D1, D2, D3, D4, N1, N3)}
    assert added == {(N2, N1, "Approved"), (N3, N1, "Approved"), (D4, N3, "Approved")}


def test_a_partner_that_does_not_propagate_is_not_linked_anew(desk: Desk) -> None:
    """Its old version is superseded, and it asked to leave the link there."""
    world(desk)
    before = links(desk)
    send(desk, message(new(), new(N3, D2, 2), member(N1), member(N3, 1, "no")))
    added = {link for link in links(desk) - before if link[0] in (F1, F2, D1, D2, D3, D4, N1, N3)}
    assert added == {(F1, N1, "Approved")}


def test_old_versions_are_not_linked_to_new_ones(desk: Desk) -> None:
    """A second update carries over what belongs to the latest versions, not what belongs to history."""
    world(desk)
    send(desk, message(new(), member(N1)))
    send(desk, message(new(N3, D2, 2), member(N3)))
    assert {link for link in links(desk, ASSOCIATION_TYPES[names.APND]) if link[0] == N3} == {
        (N3, N1, "Approved")
    }


def test_a_replacement_keeps_its_link_to_what_it_replaced(desk: Desk) -> None:
    """The replaced document is Deprecated, but it is its latest version: RPLC is carried over."""
    register(desk, document(D1))
    register(desk, document(D2, 2), links=[s.association(names.RPLC, D2, D1)])
    send(desk, message(new(N1, D2, 2), member(N1)))
    assert links(desk, ASSOCIATION_TYPES[names.RPLC]) == {(D2, D1, "Approved"), (N1, D1, "Approved")}
    assert history(desk, DOCUMENTS, D1) == [(D1, 1, 1, "Deprecated")]


# -- statuses ------------------------------------------------------------------------------------------------


def test_statuses_change_without_a_new_version(desk: Desk) -> None:
    """Of a document, a folder, a folder's HasMember and a relationship, to and fro."""
    world(desk)
    relation = uuid(0xC1)
    targets = {D4: DOCUMENTS, F1: FOLDERS, A1: LINKS, relation: LINKS}
    send(desk, message(*map(status, targets)))
    for target, table in targets.items():
        assert [row.status for row in rows(desk, table, entry_uuid=target)] == [schema.STATUS_DEPRECATED]
    send(desk, message(*(status(each, names.DEPRECATED, names.APPROVED) for each in targets)))
    for target, table in targets.items():
        assert [row.status for row in rows(desk, table, entry_uuid=target)] == [schema.STATUS_APPROVED]
    assert history(desk, DOCUMENTS, D4) == [(D4, 1, 1, "Approved")]


@pytest.mark.parametrize("target", [D1, N1])
def test_a_status_goes_to_the_version_that_the_request_makes(desk: Desk, target: str) -> None:
    """The version is made first, the status set on it (ITI57-015); it may be named by old or new id."""
    register(desk, document(D1))
    send(desk, message(new(), member(N1), status(target)))
    assert history(desk, DOCUMENTS, D1) == [(D1, 1, 0, "Deprecated"), (N1, 2, 1, "Deprecated")]


def test_a_new_folder_version_can_be_deprecated_at_once(desk: Desk) -> None:
    """The same for folders."""
    register(desk, folder(F1))
    send(desk, message(new_folder(), member(N2, status=None), status(N2)))
    assert history(desk, FOLDERS, F1) == [(F1, 1, 0, "Deprecated"), (N2, 2, 1, "Deprecated")]


def test_an_association_can_be_submitted_deprecated(desk: Desk) -> None:
    """It is submitted Approved, then its status is changed, in one request."""
    register(desk, document(D1), document(D2, 2))
    send(desk, message(*submitted(names.APND, D2, D1), status("new")))
    assert links(desk, ASSOCIATION_TYPES[names.APND]) == {(D2, D1, "Deprecated")}


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (
            status(D1, names.DEPRECATED, names.APPROVED),
            (UPDATE, "update-original-status", f"status-{D1}/OriginalStatus"),
        ),
        (
            status(D1, names.APPROVED, names.APPROVED),
            (UPDATE, "update-status-values", f"status-{D1}/NewStatus"),
        ),
        (
            status(D1, names.APPROVED, "Deprecated"),
            (UPDATE, "update-status-values", f"status-{D1}/NewStatus"),
        ),
        (
            status(D1, "urn:oasis:names:tc:ebxml-regrep:StatusType:Submitted"),
            (UPDATE, "update-status-values", f"status-{D1}/OriginalStatus"),
        ),
        (
            status(D1, extra_slots=(Slot("OriginalStatus", (names.APPROVED,)),)),
            (UPDATE, "update-status-values", f"status-{D1}/NewStatus"),
        ),
        (
            status(UNKNOWN),
            ("UnresolvedReferenceException", "update-resolved", f"status-{UNKNOWN}/targetObject"),
        ),
        (
            status("Document01"),
            ("UnresolvedReferenceException", "update-resolved", "status-Document01/targetObject"),
        ),
        (status(SET), (UPDATE, "update-status-target", f"status-{SET}/targetObject")),
        (status(D1, source=D1), (UPDATE, "update-source", f"status-{D1}/sourceObject")),
    ],
)
def test_a_status_change_that_makes_no_sense_is_refused(
    desk: Desk, command: Any, expected: tuple[str, str, str]
) -> None:
    """Each check on UpdateAvailabilityStatus, with its code and place."""
    register(desk, document(D1))
    assert refused(desk, message(command)) == [expected]


def test_history_and_sets_keep_their_status(desk: Desk) -> None:
    """Neither an old version, nor a set, nor what a set brought is changed."""
    register(desk, document(D1), folder(F1), links=filed(F1, D1, A1))
    send(desk, message(new(), member(N1)))
    (own,) = rows(desk, schema.submission_set, fingerprint=rows(desk, schema.submission_set)[0].fingerprint)
    brought = [
        uuid_urn(bytes(row.entry_uuid))
        for row in rows(desk, LINKS, source_uuid=uuid_urn(bytes(own.entry_uuid)))
    ]
    for target in (uuid_urn(bytes(own.entry_uuid)), *brought):
        assert refused(desk, message(status(target))) == [
            (UPDATE, "update-status-target", f"status-{target}/targetObject")
        ]
    old = status(D1, names.DEPRECATED, names.APPROVED)
    assert refused(desk, message(old)) == [(UPDATE, "update-status-target", f"status-{D1}/targetObject")]


def test_an_object_changes_its_status_once_in_a_request(desk: Desk) -> None:
    """Neither two commands for one id, nor for the old and the new id of one document."""
    register(desk, document(D1))
    twice = message(status(D1), status(D1, entry_uuid="again"))
    assert refused(desk, twice) == [
        (UPDATE, "update-once", f"status-{D1}/targetObject"),
        (UPDATE, "update-once", "again/targetObject"),
    ]
    both = message(new(), member(N1), status(D1), status(N1))
    assert refused(desk, both) == [(UPDATE, "update-once", f"status-{N1}/targetObject")]


def test_the_status_of_somebody_elses_object_is_not_changed(desk: Desk) -> None:
    """An update is about the patient of its set."""
    register(desk, document(D1, patient_id=s.OTHER_PATIENT))
    assert refused(desk, message(status(D1))) == [
        ("XDSPatientIdDoesNotMatch", "update-patient", f"status-{D1}/targetObject")
    ]


# -- new associations ----------------------------------------------------------------------------------------


def test_an_association_is_submitted(desk: Desk) -> None:
    """A relationship between registered documents; nothing else happens to them, not even by RPLC."""
    register(desk, document(D1), document(D2, 2))
    send(desk, message(*submitted(names.RPLC, D2, D1)))
    assert links(desk, ASSOCIATION_TYPES[names.RPLC]) == {(D2, D1, "Approved")}
    assert history(desk, DOCUMENTS, D1) == [(D1, 1, 1, "Approved")]


def test_a_document_is_filed(desk: Desk) -> None:
    """A HasMember of a folder is submitted: the set gets its companion, the folder its time."""
    register(desk, document(D1), folder(F1))
    with desk.database.write() as connection:
        connection.exec_driver_sql("UPDATE folder SET last_update_time = 20200101000000")
    send(desk, message(*submitted(names.HAS_MEMBER, F1, D1, entry_uuid=A1)))
    assert (F1, D1, "Approved") in links(desk, HAS_MEMBER)
    new_set = uuid_urn(bytes(rows(desk, schema.submission_set)[1].entry_uuid))
    assert (new_set, A1, "Approved") in links(desk, HAS_MEMBER)
    assert rows(desk, FOLDERS)[0].last_update_time > 20200101000000


def test_an_association_may_be_submitted_for_a_new_version_by_hand(desk: Desk) -> None:
    """With AssociationPropagation no; with propagation it is refused (CP-ITI-1029)."""
    register(desk, document(D1), document(D2, 2))
    link = submitted(names.APND, N1, D2)
    assert refused(desk, message(new(), member(N1), *link)) == [
        (OPERATION, "update-manual-propagation", "new/sourceObject")
    ]
    assert send(desk, message(new(), member(N1, 1, "no"), *link))
    assert links(desk, ASSOCIATION_TYPES[names.APND]) == {(N1, D2, "Approved")}


@pytest.mark.parametrize(
    ("type", "source", "target", "expected"),
    [
        (names.HAS_MEMBER, D1, F1, [("sourceObject", UPDATE, "ends"), ("targetObject", UPDATE, "ends")]),
        (names.HAS_MEMBER, D1, D2, [("sourceObject", UPDATE, "ends")]),
        (names.APND, F1, D1, [("sourceObject", UPDATE, "ends")]),
        (names.APND, D1, D1, [("targetObject", UPDATE, "ends")]),
        (names.APND, D1, "Document01", [("targetObject", UPDATE, "ends")]),
        (names.IS_SNAPSHOT_OF, D1, D2, [("targetObject", UPDATE, "ends")]),
        (names.APND, D1, D3, [("targetObject", UPDATE, "approved")]),
        (names.HAS_MEMBER, F2, D1, [("sourceObject", UPDATE, "approved")]),
        (names.APND, D1, D4, [("targetObject", UPDATE, "patient")]),
        (names.HAS_MEMBER, F1, D2, [("targetObject", UPDATE, "once")]),
    ],
)
def test_an_association_between_the_wrong_objects_is_refused(
    desk: Desk, type: str, source: str, target: str, expected: list[tuple[str, str, str]]
) -> None:
    """Each check on submitted associations: D3 and F2 are deprecated, D4 another patient's, D2 in F1."""
    register(desk, document(D1), document(D3, 3), folder(F2, 2))
    register(desk, document(D2, 2), folder(F1), links=filed(F1, D2, A1))
    register(desk, document(D4, 4, patient_id=s.OTHER_PATIENT))
    send(desk, message(status(D3), status(F2)))
    assert refused(desk, message(*submitted(type, source, target))) == [
        (code, f"update-association-{rule}", f"new/{place}") for place, code, rule in expected
    ]


@pytest.mark.parametrize("type", [names.APND, names.SIGNS])
@pytest.mark.parametrize(("source", "target"), [(D1, D2), (D2, D1)])
def test_two_objects_are_linked_once(desk: Desk, type: str, source: str, target: str) -> None:
    """In either direction and by any type (XDS Metadata Update 3.57.4.1.3.3.6: between the two)."""
    register(desk, document(D1))
    register(desk, document(D2, 2), links=[s.association(names.APND, D2, D1, entry_uuid=A1)])
    new_link = message(*submitted(type, source, target))
    assert refused(desk, new_link) == [(UPDATE, "update-association-once", "new/targetObject")]
    send(desk, message(status(A1)))
    assert send(desk, new_link)


def test_two_associations_of_one_request_do_not_link_the_same(desk: Desk) -> None:
    """Not there and back either."""
    register(desk, document(D1), document(D2, 2))
    there, back = submitted(names.APND, D1, D2), submitted(names.SIGNS, D2, D1, entry_uuid="back")
    assert refused(desk, message(*there, *back)) == [(UPDATE, "update-association-once", "back/targetObject")]


def test_every_rule_that_an_end_breaks_is_reported(desk: Desk) -> None:
    """A deprecated document of another patient, which is not on demand."""
    register(desk, document(D1))
    register(desk, document(D4, 4, patient_id=s.OTHER_PATIENT))
    send(desk, message(status(D4), patient=s.OTHER_PATIENT))
    assert refused(desk, message(*submitted(names.IS_SNAPSHOT_OF, D1, D4))) == [
        (UPDATE, f"update-association-{rule}", "new/targetObject") for rule in ("ends", "approved", "patient")
    ]


def test_an_association_has_no_versions(desk: Desk) -> None:
    """Only documents and folders have: an association that names another as its lid is refused."""
    register(desk, document(D1), document(D2, 2), folder(F1), links=filed(F1, D1, A1))
    new_link, command = map(registry_object, submitted(names.HAS_MEMBER, F1, D2))
    versioned = replace(new_link, attributes={**new_link.attributes, "lid": A1})
    assert refused(desk, (*message(), versioned, command)) == [
        ("XDSRegistryMetadataError", "object-lid-first", "new/logicalID")
    ]


def test_an_association_needs_ends_that_are_there(desk: Desk) -> None:
    """Unknown UUIDs are unresolved references; a set is never an end."""
    register(desk, document(D1))
    assert refused(desk, message(*submitted(names.APND, D1, UNKNOWN))) == [
        ("UnresolvedReferenceException", "update-resolved", "new/targetObject")
    ]
    own = uuid_urn(bytes(rows(desk, schema.submission_set)[0].entry_uuid))
    assert refused(desk, message(*submitted(names.HAS_MEMBER, own, D1))) == [
        (UPDATE, "update-association-ends", "new/sourceObject")
    ]
    _, command = submitted(names.APND, D1, D2)
    assert refused(desk, message(command)) == [(UPDATE, "update-submitted", "submit-new/targetObject")]


def test_a_transformation_is_not_appended_to(desk: Desk) -> None:
    """As at registration."""
    register(desk, document(D1), document(D3, 3))
    register(desk, document(D2, 2), links=[s.association(names.XFRM, D2, D1)])
    assert refused(desk, message(*submitted(names.APND, D3, D2))) == [
        ("XDSRegistryMetadataError", "registry-addendum", "new/targetObject")
    ]


def test_a_version_that_is_superseded_by_the_request_is_no_end(desk: Desk) -> None:
    """The new version is to be named instead."""
    register(desk, document(D1), document(D2, 2))
    both = message(new(), member(N1, 1, "no"), *submitted(names.APND, D2, D1))
    assert refused(desk, both) == [(UPDATE, "update-association-approved", "new/targetObject")]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((), (OPERATION, "update-operation", SET)),
        ((s.association(names.APND, D2, D1, entry_uuid="alone"),), (OPERATION, "update-operation", "alone")),
        ((s.member(SET, D1, "Reference", entry_uuid="alone"),), (OPERATION, "update-operation", "alone")),
    ],
)
def test_what_belongs_to_no_operation_is_refused(
    desk: Desk, parts: tuple[Any, ...], expected: tuple[str, str, str]
) -> None:
    """An object that no operation accounts for, or no operation at all."""
    register(desk, document(D1), document(D2, 2))
    more = (status(D1),) if parts else ()
    assert refused(desk, message(*parts, *more)) == [expected]


# -- patients ------------------------------------------------------------------------------------------------


def test_a_document_moves_to_another_patient_alone(desk: Desk) -> None:
    """With its links left behind, or without any."""
    world(desk)
    moved = new(patient_id=s.OTHER_PATIENT)
    assert send(desk, message(moved, member(N1, 1, "no"), patient=s.OTHER_PATIENT))
    owners = {row.entry_uuid: row.patient_pk for row in rows(desk, DOCUMENTS, logical_uuid=D1)}
    assert len(set(owners.values())) == 2
    assert history(desk, DOCUMENTS, D1) == [(D1, 1, 0, "Deprecated"), (N1, 2, 1, "Approved")]


def test_a_move_must_not_leave_a_link_between_two_patients(desk: Desk) -> None:
    """F1 and D2 would stay with the one and be linked to a document of the other."""
    world(desk)
    moved = new(patient_id=s.OTHER_PATIENT)
    errors = refused(desk, message(moved, member(N1), patient=s.OTHER_PATIENT))
    assert errors == [(RECONCILIATION, "update-reconciliation", f"{N1}/patientId")] * 2


def test_what_is_linked_moves_together(desk: Desk) -> None:
    """Document and folder in one request: the copy of their link is the other patient's."""
    register(desk, document(D1), folder(F1), links=filed(F1, D1, A1))
    other = s.OTHER_PATIENT
    assert send(
        desk,
        message(
            new(patient_id=other),
            new_folder(patient_id=other),
            member(N1),
            member(N2, status=None),
            patient=other,
        ),
    )
    assert (N2, N1, "Approved") in links(desk, HAS_MEMBER)


def test_a_link_between_two_patients_is_not_approved_again(desk: Desk) -> None:
    """One end has moved away while the association was deprecated."""
    register(desk, document(D1), folder(F1), links=filed(F1, D1, A1))
    send(desk, message(status(A1)))
    moved = new(patient_id=s.OTHER_PATIENT)
    send(desk, message(moved, member(N1), patient=s.OTHER_PATIENT))
    assert send(desk, message(status(A1, names.DEPRECATED, names.APPROVED)))  # F1 to D1, both still his
    assert refused(desk, message(*submitted(names.HAS_MEMBER, F1, N1), patient=s.OTHER_PATIENT)) == [
        (UPDATE, "update-association-patient", "new/sourceObject")
    ]


def test_the_set_and_its_new_versions_have_one_patient(desk: Desk) -> None:
    """As in every submission."""
    register(desk, document(D1))
    assert refused(desk, message(new(patient_id=s.OTHER_PATIENT), member(N1))) == [
        ("XDSPatientIdDoesNotMatch", "patientId-message", f"{N1}/patientId")
    ]


def test_a_merged_patient_is_one_patient(desk: Desk) -> None:
    """What was registered under the old id is updated under the surviving one, with its links."""
    register(desk, document(D1), folder(F1), links=filed(F1, D1, A1))
    with desk.database.write() as connection:
        desk.registry.merge(connection, s.PATIENT, s.OTHER_PATIENT)
    assert refused(desk, message(new(), member(N1))) == [
        ("XDSUnknownPatientId", "registry-patient-merged", f"{SET}/patientId")
    ]
    other = s.OTHER_PATIENT
    assert send(desk, message(new(patient_id=other), member(N1), patient=other))
    assert (F1, N1, "Approved") in links(desk, HAS_MEMBER)
    again = restricted(new(N3, patient_id=other), member(N3, 2), patient=other)
    assert send(desk, again, "ITI-92")


# -- at once -------------------------------------------------------------------------------------------------


def at_once(desk: Desk, messages: list[tuple[RegistryObject, ...]]) -> list[str]:
    """What became of each of several updates that are sent at the same moment."""
    barrier = threading.Barrier(len(messages))
    outcomes = [""] * len(messages)

    def work(number: int) -> None:
        barrier.wait()
        try:
            outcomes[number] = "done" if send(desk, messages[number]) else "repeat"
        except RegistryFailure as failure:
            outcomes[number] = " ".join(sorted({str(error.code) for error in failure.errors}))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(messages))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return sorted(outcomes)


def test_of_two_updates_of_one_version_one_wins(desk: Desk) -> None:
    """The other learns that the version it read is not the latest any more."""
    for number in range(10):
        own = uuid(0x1000 + number)
        register(desk, document(own, 100 + number))
        both = [
            message(new(uuid(start + number), own, 100 + number), member(uuid(start + number)))
            for start in (0x2000, 0x3000)
        ]
        assert at_once(desk, both) == [VERSION, "done"]
        assert [row[1:] for row in history(desk, DOCUMENTS, own)] == [
            (1, 0, "Deprecated"),
            (2, 1, "Approved"),
        ]


def test_of_two_moves_that_cross_one_wins(desk: Desk) -> None:
    """Two requests that move the same document from and to the same two patients do not block each other."""
    for number in range(10):
        own = uuid(0x1000 + number)
        owner, other = (s.PATIENT, s.OTHER_PATIENT)[:: 1 if number % 2 else -1]
        register(desk, document(own, 100 + number, patient_id=owner))
        here, there = uuid(0x2000 + number), uuid(0x3000 + number)
        both = [
            message(new(here, own, 100 + number, patient_id=owner), member(here), patient=owner),
            message(new(there, own, 100 + number, patient_id=other), member(there), patient=other),
        ]
        assert at_once(desk, both) == [VERSION, "done"]


def test_an_identical_update_sent_twice_at_once_is_done_once(desk: Desk) -> None:
    """One does it, the other is told that it is done."""
    register(desk, document(D1))
    assert at_once(desk, [message(new(), member(N1), unique_id="1.2.9.0")] * 2) == ["done", "repeat"]


def test_of_two_who_assemble_one_document_the_first_decides(desk: Desk) -> None:
    """Two entries of one uniqueId, for two patients: the bytes can become known once."""
    for number in range(10):
        own, also = uuid(0x1000 + number), uuid(0x1100 + number)
        register(desk, document(own, 100 + number))
        register(desk, document(also, 100 + number, patient_id=s.OTHER_PATIENT))
        first, second = uuid(0x2000 + number), uuid(0x3000 + number)
        both = [
            message(new(first, own, 100 + number, hash=SHA1, size=1), member(first)),
            message(
                new(second, also, 100 + number, hash="ab" * 20, size=1, patient_id=s.OTHER_PATIENT),
                member(second),
                patient=s.OTHER_PATIENT,
            ),
        ]
        assert at_once(desk, both) == ["XDSNonIdenticalHash", "done"]


# -- restricted updates (ITI-92) -----------------------------------------------------------------------------


def restricted(*parts: Any, **more: Any) -> tuple[RegistryObject, ...]:
    """A message of ITI-92, whose set names the community."""
    return message(*parts, **({"home": s.HOME} | more))


def test_a_restricted_update_changes_what_is_said_of_a_document(desk: Desk) -> None:
    """Codes, title, authors and times may change; the links follow."""
    world(desk)
    changed = new(title="Rettet", type_code=s.NOTE, service_start_time="20260301", authors=())
    assert send(desk, restricted(changed, member(N1)), "ITI-92")
    assert history(desk, DOCUMENTS, D1) == [(D1, 1, 0, "Deprecated"), (N1, 2, 1, "Approved")]
    assert {(F1, N1, "Approved"), (D2, N1, "Approved")} <= links(desk)


def test_a_deprecated_document_may_be_corrected_and_stays_deprecated(desk: Desk) -> None:
    """CP-1190: the new version has the status of the version before."""
    register(desk, document(D1))
    send(desk, message(status(D1)))
    assert send(desk, restricted(new(), member(N1)), "ITI-92")
    assert history(desk, DOCUMENTS, D1) == [(D1, 1, 0, "Deprecated"), (N1, 2, 1, "Deprecated")]


def test_the_home_of_a_document_stays_in_a_restricted_update(desk: Desk) -> None:
    """A consumer sends the homeCommunityId that a gateway has added to its answer; it is not stored."""
    register(desk, document(D1))
    assert send(desk, restricted(new(home=s.HOME), member(N1)), "ITI-92")
    assert [row.home_pk for row in rows(desk, DOCUMENTS)] == [None, None]


@pytest.mark.parametrize(
    ("changes", "code", "rule", "attribute"),
    [
        ({"unique": 9}, "XDSMetadataIdentifierError", "unique-id", "uniqueId"),
        (
            {"object_type": names.ON_DEMAND, "creation_time": None, "hash": None, "size": None},
            "XDSObjectTypeError",
            "object-type",
            "objectType",
        ),
        (
            {"repository_unique_id": "1.2.3"},
            "UnmodifiableMetadataError",
            "unmodifiable",
            "repositoryUniqueId",
        ),
        (
            {"source_patient_id": s.OTHER_PATIENT},
            "UnmodifiableMetadataError",
            "unmodifiable",
            "sourcePatientId",
        ),
        (
            {"document_availability": names.OFFLINE},
            "UnmodifiableMetadataError",
            "unmodifiable",
            "documentAvailability",
        ),
        ({"hash": SHA1}, "UnmodifiableMetadataError", "unmodifiable", "hash"),
        ({"size": 9}, "UnmodifiableMetadataError", "unmodifiable", "size"),
        ({"home": "urn:oid:1.2.3"}, "UnmodifiableMetadataError", "unmodifiable", "homeCommunityId"),
        (
            {"availability_status": names.DEPRECATED},
            "UnmodifiableMetadataError",
            "unmodifiable",
            "availabilityStatus",
        ),
    ],
)
def test_a_restricted_update_does_not_change_what_identifies_the_document(
    desk: Desk, changes: dict[str, Any], code: str, rule: str, attribute: str
) -> None:
    """Each attribute of 5.4 that must stay, with its code."""
    register(desk, document(D1))
    errors = refused(desk, restricted(new(**changes), member(N1)), "ITI-92")
    assert (code, f"restricted-{rule}", f"{N1}/{attribute}") in errors
    # What makes an entry on-demand brings the absence of hash and size with it.
    assert {each[2] for each in errors} <= {f"{N1}/{attribute}", f"{N1}/hash", f"{N1}/size"}


def test_documentAvailability_online_is_the_same_as_none(desk: Desk) -> None:
    """An entry that says nothing is online."""
    register(desk, document(D1))
    assert send(desk, restricted(new(document_availability=names.ONLINE), member(N1)), "ITI-92")


def test_a_restricted_update_does_not_move_a_document(desk: Desk) -> None:
    """Another patient is XDSPatientIDReconciliationError."""
    register(desk, document(D1))
    moved = restricted(new(patient_id=s.OTHER_PATIENT), member(N1), patient=s.OTHER_PATIENT)
    assert refused(desk, moved, "ITI-92") == [(RECONCILIATION, "restricted-patient-id", f"{N1}/patientId")]


@pytest.mark.parametrize(
    ("parts", "more", "expected"),
    [
        (
            (new(), member(N1)),
            {"home": None},
            ("XDSMissingHomeCommunityId", "restricted-home-required", f"{SET}/homeCommunityId"),
        ),
        (
            (new(of=N1), member(N1)),
            {},
            ("XDSInvalidRequestException", "restricted-logical-id", f"{N1}/logicalID"),
        ),
        ((new(),), {}, ("XDSMetadataAnnotationError", "restricted-member", N1)),
        (
            (new(), member(N1, None)),
            {},
            ("XDSMetadataAnnotationError", "restricted-previous-version", f"to-{N1}/PreviousVersion"),
        ),
        (
            (new(), member(N1, 1, "no")),
            {},
            ("XDSMetadataAnnotationError", "restricted-propagation", f"to-{N1}/AssociationPropagation"),
        ),
        (
            (new(), member(N1), new_folder(), member(N2, status=None)),
            {},
            ("XDSObjectTypeError", "restricted-folder", N2),
        ),
        (
            (new(), member(N1), status(D2)),
            {},
            ("UnmodifiableMetadataError", "restricted-operation", f"status-{D2}"),
        ),
        ((), {}, ("XDSInvalidRequestException", "restricted-document", SET)),
        ((new(of=UNKNOWN), member(N1)), {}, (VERSION, "update-logical-known", f"{N1}/logicalID")),
        ((new(), member(N1, 2)), {}, (VERSION, "update-version", f"to-{N1}/PreviousVersion")),
    ],
)
def test_a_restricted_update_has_one_operation(
    desk: Desk, parts: tuple[Any, ...], more: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    """New versions of document entries, completely annotated, and nothing else."""
    register(desk, document(D1), document(D2, 2), folder(F1))
    assert refused(desk, restricted(*parts, **more), "ITI-92") == [expected]


# -- what other transactions do with versions ------------------------------------------------------------


def test_a_later_version_is_not_registered(desk: Desk) -> None:
    """ITI-41, 42 and 61 take first versions only: lid is absent or the id."""
    errors = updates.validation.check(message(new(), member(N1)), transaction="ITI-42")
    assert "object-lid-first" in {error.rule for error in errors}


def test_a_superseded_version_is_not_replaced(desk: Desk) -> None:
    """It is Deprecated; RPLC goes to the latest version."""
    register(desk, document(D1))
    send(desk, message(new(), member(N1)))
    late = s.submission(
        document(D2, 2), links=[s.association(names.RPLC, D2, D1)], of=s.submission_set(unique_id="1.2.8.0")
    )
    assert [error[1] for error in desk.refused(late)] == ["registry-document-approved"]
    register(desk, document(D3, 3), links=[s.association(names.RPLC, D3, N1)])
    assert history(desk, DOCUMENTS, D1)[1] == (N1, 2, 1, "Deprecated")


# -- what queries show of it -------------------------------------------------------------------------------


def found(desk: Desk, query: Any, **parameters: Any) -> dict[str, RegistryObject]:
    """What a query answers with, by id."""
    return {each.id: each for each in desk.ask(query.ID, **parameters)}


def test_queries_show_the_latest_version_and_on_request_the_history(desk: Desk) -> None:
    """$MetadataLevel 1 never returns an old version; level 2 returns each, also by the logical id."""
    register(desk, document(D1))
    send(desk, message(new(title="Rettet"), member(N1)))
    both = f"('{D1}','{N1}')"
    assert list(found(desk, get_documents, XDSDocumentEntryEntryUUID=both)) == [N1]
    assert list(found(desk, get_documents, XDSDocumentEntryUniqueId="('1.2.3.1')")) == [N1]
    versions = found(desk, get_documents, XDSDocumentEntryLogicalID=f"('{D1}')", MetadataLevel="2")
    assert {
        own: (each.attributes["lid"], each.version_info, each.attributes["status"].rpartition(":")[2])
        for own, each in versions.items()
    } == {
        D1: (D1, {"versionName": "1"}, "Deprecated"),
        N1: (D1, {"versionName": "2"}, "Approved"),
    }
    assert [text.value for text in versions[N1].name] == ["Rettet"]
    assert versions[D1].slots == versions[N1].slots


def test_a_folder_shows_the_current_version_of_what_is_in_it(desk: Desk) -> None:
    """GetFolderAndContents after updates of a document and then of its folder."""
    register(desk, document(D1), folder(F1), links=filed(F1, D1, A1))
    send(desk, message(new(), member(N1)))
    inside = found(desk, get_folder_and_contents, XDSFolderEntryUUID=f"'{F1}'")
    assert {own for own, each in inside.items() if each.kind != "Association"} == {F1, N1}
    send(desk, message(new_folder(), member(N2, status=None)))
    inside = found(desk, get_folder_and_contents, XDSFolderEntryUUID=f"'{N2}'")
    assert {own for own, each in inside.items() if each.kind != "Association"} == {N2, N1}
    (link,) = [each for each in inside.values() if each.kind == "Association"]
    assert (link.attributes["sourceObject"], link.attributes["targetObject"]) == (N2, N1)


def test_a_document_that_moved_is_found_under_its_new_patient_only(desk: Desk) -> None:
    """The versions before stay with the patient under whom they were registered."""
    register(desk, document(D1))
    send(desk, message(new(patient_id=s.OTHER_PATIENT), member(N1), patient=s.OTHER_PATIENT))
    statuses = f"('{names.APPROVED}','{names.DEPRECATED}')"
    for patient, level, expected in (
        (s.PATIENT, "1", []),
        (s.PATIENT, "2", [D1]),
        (s.OTHER_PATIENT, "2", [N1]),
    ):
        assert (
            list(
                found(
                    desk,
                    find_documents,
                    XDSDocumentEntryPatientId=f"'{patient}'",
                    XDSDocumentEntryStatus=statuses,
                    MetadataLevel=level,
                )
            )
            == expected
        )


def test_related_documents_are_those_of_the_current_versions(desk: Desk) -> None:
    """GetRelatedDocuments follows the links that were carried over."""
    register(desk, document(D1))
    register(desk, document(D2, 2), links=[s.association(names.APND, D2, D1)])
    send(desk, message(new(), member(N1)))
    related = found(
        desk,
        get_related_documents,
        XDSDocumentEntryEntryUUID=f"'{N1}'",
        AssociationTypes=f"('{names.APND}')",
    )
    assert {own for own, each in related.items() if each.kind == "ExtrinsicObject"} == {N1, D2}


def test_an_update_searches_by_indexes(desk: Desk) -> None:
    """No statement of an update reads a whole table (SQLite's plan says SEARCH, not SCAN)."""
    if desk.database.engine.dialect.name != "sqlite":
        pytest.skip("the plan's words are SQLite's; the indexes are the same")
    looks = objects.looking_at("version"), objects.latest_versions("version")
    statements = (*looks, *objects.TOUCHING)
    for statement in statements:
        compiled = statement.compile(dialect=desk.database.engine.dialect)
        ready = compiled.construct_expanded_state({"uuids": [b"x", b"y"]})
        with desk.database.read() as connection:
            plan = connection.exec_driver_sql(
                f"EXPLAIN QUERY PLAN {ready.statement}", tuple(ready.positional_parameters)
            )
            assert [line[-1] for line in plan if line[-1].startswith("SCAN")] == []
