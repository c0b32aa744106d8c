"""ITI-66 on a real node: submission sets and folders as Lists, found and read.

Expected elements are those of MHD's Comprehensive profiles (MHD 2:3.66, 3:5.4.1), read from what was filed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.blackbox import messages as m
from tests.blackbox.wire import SUCCESS, send
from tests.conftest import nodes
from tests.fhir.shelf import Entry, Got, ask, file, ids, number_of, post, search, somebody
from tests.nodes import Node

MHD = "https://profiles.ihe.net/ITI/MHD"
TYPES = f"{MHD}/CodeSystem/MHDlistTypes"
PATIENT, OTHER = somebody(0), somebody(1)
OID = "urn:oid:2.16.578.1.12.4.1.1.9602"
SOURCE = "2.16.578.1.12.4.5.480.1.2"


@pytest.fixture(scope="module")
def node(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node of each engine."""
    with nodes(engine, tmp_path_factory) as make:
        yield make(node__home_community_id="2.999.1")


class Filed:
    """Three submissions of one patient: a document in a folder, one of another source, an old folder."""

    def __init__(self, node: Node) -> None:
        self.document = Entry(id=m.new_uuid(), patient=PATIENT)
        self.folder, self.folder_uid = m.new_uuid(), m.new_oid()
        self.set_uids = [m.new_oid() for _ in range(3)]
        in_folder = m.association(m.new_uuid(), m.HAS_MEMBER, self.folder, self.document.id)
        link = in_folder.partition('id="')[2].partition('"')[0]
        more = (
            m.folder(self.folder, self.folder_uid, PATIENT)
            + m.association(m.new_uuid(), m.HAS_MEMBER, m.SET, self.folder)
            + in_folder
            + m.association(m.new_uuid(), m.HAS_MEMBER, m.SET, link)
        )
        self._file(node, self.document, self.set_uids[0], more)
        self.other = Entry(id=m.new_uuid(), patient=PATIENT)
        self._file(
            node,
            self.other,
            self.set_uids[1],
            changes=(
                (SOURCE, "2.999.8"),
                ("20260311100000", "2025"),
                ("9144889^Kvakkelund^Tuva^^^^^^&amp;2.16.578.1.12.4.1.4.4&amp;ISO", "11^Bø^Kåre"),
                ('nodeRepresentation="A03-2"', 'nodeRepresentation="A04-2"'),
            ),
        )
        self.old_folder, self.old_uid = m.new_uuid(), m.new_oid()
        self.third = Entry(id=m.new_uuid(), patient=PATIENT)
        more = m.folder(self.old_folder, self.old_uid, PATIENT) + m.association(
            m.new_uuid(), m.HAS_MEMBER, m.SET, self.old_folder
        )
        self._file(node, self.third, self.set_uids[2], more)
        status = m.association(
            m.new_uuid(),
            m.UPDATE_STATUS,
            m.SET,
            self.old_folder,
            OriginalStatus=m.APPROVED,
            NewStatus=m.DEPRECATED,
        )
        self.update_uid = m.new_oid()
        body = m.submit(m.submission_set(self.update_uid, PATIENT), status)
        reply = send(node, m.plain(body, "ITI-57"))
        assert reply.outcome == SUCCESS, reply.errors
        file(node, Entry(patient=OTHER))

    def _file(
        self,
        node: Node,
        document: Entry,
        set_uid: str,
        more: str = "",
        changes: tuple[tuple[str, str], ...] = (),
    ) -> None:
        body = m.provide([document], m.inline([document]), set_uid, PATIENT)
        head, _, tail = body.partition("<rim:RegistryPackage")
        for was, now in changes:
            assert was in tail
            tail = tail.replace(was, now)
        body = f"{head}<rim:RegistryPackage{tail}".replace(
            "</rim:RegistryObjectList>", more + "</rim:RegistryObjectList>", 1
        )
        reply = send(node, m.plain(body, "ITI-41"))
        assert reply.outcome == SUCCESS, [(each.rule, each.context) for each in reply.errors]

    @property
    def names(self) -> dict[str, str]:
        """uniqueId -> a letter: sets are s, t, u and the update's v, folders are f and g (the old one)."""
        return dict(
            zip([*self.set_uids, self.update_uid, self.folder_uid, self.old_uid], "stuvfg", strict=True)
        )


@pytest.fixture(scope="module")
def filed(node: Node) -> Filed:
    """What is on the node."""
    return Filed(node)


def unique_id(of: dict[str, Any]) -> str:
    """Of a List."""
    (own,) = [each["value"] for each in of["identifier"] if each["use"] == "usual"]
    return str(own).removeprefix("urn:oid:")


def letters(got: Got, filed: Filed) -> str:
    """The Lists of a page, sorted; the total is their number."""
    found = "".join(sorted(filed.names.get(unique_id(each), "?") for each in got.matches))
    assert got.json["total"] == len(found)
    return found


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("code=submissionset", "stuv"),
        (f"code={TYPES}|submissionset", "stuv"),
        ("code=folder", "fg"),
        (f"code={TYPES}|folder", "fg"),
        ("code=submissionset,folder", "fgstuv"),
        ("code=folder,other", "fg"),
        ("code=http://example.org|submissionset", ""),
        ("code=|folder", ""),
        ("code=other", ""),
        ("code=submissionset&status=current", "stuv"),
        ("code=submissionset&status=superseded", ""),
        ("code=folder&status=current", "f"),
        ("code=folder&status=superseded", "g"),
        ("code=folder&status=retired", "g"),
        ("code=folder&status=current,superseded", "fg"),
        ("code=folder&status=entered-in-error", ""),
        ("code=folder&status:not=current", "g"),
        ("code=folder&status=http://hl7.org/fhir/list-status|current", "f"),
        ("code=submissionset&designationType=A03-2", "suv"),
        (f"code=submissionset&designationType={OID}|A04-2", "t"),
        ("code=submissionset&designationType:not=A03-2", "t"),
        ("code=folder&designationType=A03-2", "fg"),
        (f"code=folder&designationType={OID}|A04-2", ""),
        ("code=folder&designationType:not=A04-2", "fg"),
        ("code=submissionset&sourceId=2.999.8", "t"),
        ("code=submissionset&sourceId=urn:oid:2.999.8", "t"),
        ("code=submissionset&sourceId=urn:ietf:rfc:3986|urn:oid:2.999.8", "t"),
        (f"code=submissionset&sourceId={SOURCE},2.999.8", "stuv"),
        ("code=submissionset&sourceId=2.999.404", ""),
        ("code=folder&sourceId=2.999.404", "fg"),
        ("code=submissionset&source.family=kvakk", "suv"),
        ("code=submissionset&source.family=BØ", "t"),
        ("code=submissionset&source.family=bo", ""),
        ("code=submissionset&source.given=kare", "t"),
        ("code=submissionset&source.given:exact=Kåre", "t"),
        ("code=submissionset&source.given:contains=år&source.family:exact=Bø", "t"),
        ("code=submissionset&source:Practitioner.family=bø", "t"),
        ("code=folder&source.family=nobody&source.given=x&status=current", "f"),
        ("code=submissionset&date=2026-03-11", "suv"),
        ("code=submissionset&date=2026-03-11T10:00:00Z", "suv"),
        ("code=submissionset&date=2025", "t"),
        ("code=submissionset&date=lt2026", "t"),
        ("code=submissionset&date=ge2026-03-11T10:00Z", "suv"),
        ("code=submissionset&date=gt2026-03-11", ""),
        ("code=submissionset&date=ge2025&date=lt2026", "t"),
        ("code=folder&date=lt2026", ""),
        ("code=folder&date=ge2026", "fg"),
        ("code=folder&_lastUpdated=ge2026", "fg"),
        ("code=submissionset&_lastUpdated=lt2026", ""),
        ("code=submissionset&targetCommunityIdList=urn:oid:2.999.1", "stuv"),
    ],
)
@pytest.mark.parametrize("by", [search, post])
def test_lists_are_found(node: Node, filed: Filed, by: Any, asked: str, expected: str) -> None:
    """By GET and by POST."""
    assert letters(by(node, asked, PATIENT, kind="List"), filed) == expected


def test_lists_are_found_by_their_ids(node: Node, filed: Filed) -> None:
    """A set or a folder, with code and without, both at once, by patient or by nobody."""
    every = search(node, "code=submissionset,folder", PATIENT, "List").matches
    by_letter = {filed.names[unique_id(each)]: each for each in every}
    for letter, one in by_letter.items():
        uuid = next(each["value"] for each in one["identifier"] if each["use"] == "official")
        for asked in (
            f"identifier={uuid}",
            f"identifier=urn:ietf:rfc:3986|{uuid}",
            f"identifier={unique_id(one)}",
            f"identifier=urn:ietf:rfc:3986|urn:oid:{unique_id(one)}",
            f"_id={one['id']}",
        ):
            assert letters(search(node, asked, kind="List"), filed) == letter
            assert letters(search(node, asked, PATIENT, "List"), filed) == letter
            assert letters(search(node, asked, OTHER, "List"), filed) == ""
            wrong = "folder" if letter in "stuv" else "submissionset"
            assert letters(search(node, f"{asked}&code={wrong}", kind="List"), filed) == ""
    some = ",".join(by_letter[each]["id"] for each in "sgt")
    assert letters(search(node, f"_id={some}", kind="List"), filed) == "gst"
    assert letters(search(node, f"_id={some}&status=current", kind="List"), filed) == "st"
    assert letters(search(node, f"_id={some}&sourceId=2.999.8", kind="List"), filed) == "gt"
    assert search(node, f"_id={some}&_summary=count", kind="List").json["total"] == 3


@pytest.mark.parametrize("count", [1, 2, 3, 5, 6, 50])
@pytest.mark.parametrize("order", ["date", "-date"])
def test_both_kinds_are_on_the_same_pages(node: Node, filed: Filed, count: int, order: str) -> None:
    """In one order, each once, whatever is on a page."""
    asked = f"code=folder,submissionset&_count={count}&_sort={order}"
    got = search(node, asked, PATIENT, "List")
    found, sizes = [], []
    while True:
        found += got.matches
        sizes.append(len(got.matches))
        assert got.json["total"] == 6
        if "next" not in got.links:
            break
        got = ask(node, got.links["next"])
    times = [each["meta"]["lastUpdated"] for each in found]
    assert times == sorted(times, reverse=order == "-date")
    assert sorted(filed.names[unique_id(each)] for each in found) == list("fgstuv")
    assert sizes == [count] * (6 // count) + ([6 % count] if 6 % count else [])


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ("", "required"),
        ("status=current", "required"),
        ("code=", "required"),
        ("code=folder&code=submissionset", "value"),
        ("code:not=folder", "not-supported"),
        ("code=folder&status=final", "value"),
        ("code=folder&date=x", "value"),
        ("code=folder&designationType:text=x", "not-supported"),
        ("code=folder&sourceId:not=x", "not-supported"),
        ("code=folder&date:missing=true", "not-supported"),
        ("code=folder&targetCommunityIdList=urn:oid:2.999.2", "value"),
    ],
)
def test_what_is_missing_or_wrong_is_refused(node: Node, asked: str, code: str) -> None:
    """400: `code` says which kind of List a search by patient is for (MHD 2:3.66.4.1.2)."""
    got = search(node, asked, PATIENT, "List")
    assert (got.status, [each["code"] for each in got.outcome]) == (400, [code])


def one_of(node: Node, filed: Filed, letter: str) -> dict[str, Any]:
    """A List by its letter; reading it gives the same."""
    own = next(uid for uid, each in filed.names.items() if each == letter)
    (found,) = search(node, f"identifier={own}", kind="List").matches
    got = ask(node, f"/fhir/List/{found['id']}")
    assert (got.status, got.json, got.headers["ETag"]) == (200, found, 'W/"1"')
    return dict(found)


def extension(of: dict[str, Any], name: str) -> list[Any]:
    """The values of an extension of MHD."""
    found = [each for each in of.get("extension", ()) if each["url"] == f"{MHD}/StructureDefinition/{name}"]
    return [value for each in found for key, value in each.items() if key.startswith("value")]


def documents(node: Node, *some: Entry) -> list[str]:
    """References to these documents."""
    return [
        f"DocumentReference/{search(node, f'identifier={each.unique_id}').matches[0]['id']}" for each in some
    ]


def items(of: dict[str, Any]) -> list[str]:
    """What is in a List."""
    return [each["item"]["reference"] for each in of.get("entry", ())]


def test_a_submission_set_is_a_list(node: Node, filed: Filed) -> None:
    """Each element of MHD's SubmissionSet; its entries are its documents and folders."""
    found = one_of(node, filed, "s")
    (a_folder,) = ids([one_of(node, filed, "f")])
    assert found["code"]["coding"] == [{"system": TYPES, "code": "submissionset"}]
    assert (found["status"], found["mode"], found["date"]) == ("current", "working", "2026-03-11T10:00:00Z")
    assert found["subject"]["identifier"] == {"system": f"urn:oid:{m.AUTHORITY}", "value": number_of(PATIENT)}
    (designation,) = extension(found, "ihe-designationType")
    assert designation["coding"] == [{"system": OID, "code": "A03-2", "display": "A03-2"}]
    assert extension(found, "ihe-sourceId") == [{"system": "urn:ietf:rfc:3986", "value": f"urn:oid:{SOURCE}"}]
    assert extension(found, "ihe-HomeCommunityId") == ["urn:oid:2.999.1"]
    assert sorted(items(found)) == sorted([*documents(node, filed.document), f"List/{a_folder}"])
    (source,) = [each for each in found["contained"] if f"#{each['id']}" == found["source"]["reference"]]
    assert source["name"] == [{"family": m.FAMILY, "given": ["Tuva"]}]


def test_a_folder_is_a_list(node: Node, filed: Filed) -> None:
    """Each element of MHD's Folder; no source, and only documents in it."""
    found = one_of(node, filed, "f")
    assert found["code"]["coding"] == [{"system": TYPES, "code": "folder"}]
    assert (found["status"], found["mode"], found["title"]) == ("current", "working", m.TITLE)
    assert [each["coding"][0]["code"] for each in extension(found, "ihe-designationType")] == ["A03-2"]
    assert extension(found, "ihe-sourceId") == []
    assert "source" not in found
    assert items(found) == documents(node, filed.document)


def test_an_old_folder_is_retired(node: Node, filed: Filed) -> None:
    """List.status has no superseded; an empty folder has no entries."""
    found = one_of(node, filed, "g")
    assert found["status"] == "retired"
    assert items(found) == []


def test_a_set_that_changed_a_status_has_no_documents(node: Node, filed: Filed) -> None:
    """It is a List all the same."""
    assert items(one_of(node, filed, "v")) == []


def test_a_folder_has_the_latest_version_of_its_documents(node: Node) -> None:
    """One entry for a document that was updated, with the id that it has always had."""
    patient = somebody(2)
    document, folder = Entry(id=m.new_uuid(), patient=patient), m.new_uuid()
    link = m.new_uuid()
    more = (
        m.folder(folder, patient=patient)
        + m.association(m.new_uuid(), m.HAS_MEMBER, m.SET, folder)
        + m.association(link, m.HAS_MEMBER, folder, document.id)
        + m.association(m.new_uuid(), m.HAS_MEMBER, m.SET, link)
    )
    file(node, document, more=more)
    (before,) = search(node, "code=folder", patient, "List").matches
    new = Entry(id=m.new_uuid(), patient=patient, unique_id=document.unique_id, lid=document.id, title="Ny")
    update = m.submit(
        new.xml(), m.submission_set(patient=patient), m.member("as1", new.id, PreviousVersion="1")
    )
    assert send(node, m.plain(update, "ITI-57")).outcome == SUCCESS
    (after,) = search(node, "code=folder", patient, "List").matches
    assert items(after) == items(before) == documents(node, document)
    (version,) = search(node, "", patient).matches
    assert version["meta"]["versionId"] == "2"


def test_an_id_of_a_document_is_no_list_and_the_other_way_round(node: Node, filed: Filed) -> None:
    """404: each type has its own."""
    a_set, a_document = one_of(node, filed, "s")["id"], documents(node, filed.document)[0].partition("/")[2]
    for path in (f"List/{a_document}", f"DocumentReference/{a_set}", f"Binary/{a_set}"):
        got = ask(node, f"/fhir/{path}")
        assert (got.status, [each["code"] for each in got.outcome]) == (404, ["not-found"])
