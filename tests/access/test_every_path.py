"""Every way to a document is walked, as people who may not see it: for them it is as if it had never been.

A record is asked in every way before something confidential is filed in it, by the ids that are still to
come too, and again afterwards: the answers must be the same, byte for byte. Whoever may see it gets other
answers to the very same questions, so that it is no walk along walls. The ways are the registry and the
repository themselves, and the two gateways in front of them.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import pytest
from lxml import etree

from tests.access.people import number
from tests.blackbox import messages as m
from tests.blackbox.wire import NS, PARTIAL, SUCCESS, Reply, send
from tests.nodes import Node
from xds.demo.tickets import CLINICIAN, TicketService
from xds.metadata.confidentiality import LEVELS, REFUSALS
from xds.registry.queries import MULTI_PATIENT_QUERIES, PATIENT_QUERIES, STORED_QUERIES
from xds.security.denials import WSSE

TODAY = datetime.now(UTC).date()
CHILD = number(TODAY.replace(year=TODAY.year - 5, month=1, day=1), 7)
#: Everybody whom a rule lets see may do everything: what is in the way here is the rules alone.
POLICY = """
[[policy]]
id = "all"
effect = "permit"
actions = ["read-list", "read-document", "create", "update", "delete"]
callers = ["citizen", "representative", "personnel"]

[[policy]]
id = "systems"
effect = "permit"
actions = ["read-list", "read-document", "create", "update", "delete"]
callers = ["machine"]
patient = "any"
"""
#: What nobody may find who may not see: it stands in every confidential document and nowhere else.
SECRET = "Hemmelighet"
REFERENCE = "2026-1^^^&2.16.578.1.12.4.5.480.9&ISO^urn:ihe:iti:xds:2013:order"
NORMAL, BLOCKED = ("N", LEVELS), ("NORS", REFUSALS)


@dataclass(frozen=True)
class Marked(m.Document):
    """A document of a code, with a secret in its title where it is confidential."""

    code: tuple[str, str] = NORMAL

    def xml(self) -> str:
        """With the code in the place of N."""

        def classified(code: str, system: str) -> str:
            return f'nodeRepresentation="{code}">{m.slot("codingScheme", system)}'

        text = super().xml()
        assert text.count(classified(*NORMAL)) == 1
        return text.replace(classified(*NORMAL), classified(*self.code))


@dataclass(frozen=True)
class Filing:
    """What is filed with one submission, under ids that are known beforehand."""

    documents: tuple[m.Document, ...]
    folders: tuple[str, ...] = ()
    links: tuple[tuple[str, str, str], ...] = ()
    set_uuid: str = field(default_factory=m.new_uuid)
    set_unique_id: str = field(default_factory=m.new_oid)
    folder_unique_id: str = field(default_factory=m.new_oid)

    @property
    def uuids(self) -> tuple[str, ...]:
        """The entryUUIDs of the documents."""
        return tuple(each.id for each in self.documents)

    def body(self, patient: str) -> str:
        """The body of ITI-41."""
        more = "".join(m.folder(each, self.folder_unique_id, patient) for each in self.folders)
        more += "".join(
            m.association(m.new_uuid(), m.HAS_MEMBER, m.SET, each) for each in self.folders
        ) + "".join(m.association(m.new_uuid(), *each) for each in self.links)
        # A link that files something in a folder is itself a member of the set (ITI TF-3 4.2.2.1.3).
        more = _with_members_of_links(more)
        text = m.provide(self.documents, m.inline(self.documents), self.set_unique_id, patient)
        text = text.replace("</rim:RegistryObjectList>", more + "</rim:RegistryObjectList>", 1)
        return text.replace(m.SET, self.set_uuid)


def _with_members_of_links(objects: str) -> str:
    filed = [
        re.search(r'id="(\S+?)"', each)[1]  # type: ignore[index]
        for each in re.findall(r"<rim:Association .*?</rim:Association>", objects)
        if m.HAS_MEMBER in each and f'sourceObject="{m.SET}"' not in each
    ]
    return objects + "".join(m.association(m.new_uuid(), m.HAS_MEMBER, m.SET, each) for each in filed)


class Record:
    """A patient with an open record, and what is confidential and comes later."""

    def __init__(self, patient: str, code: tuple[str, str]) -> None:
        self.patient = patient
        self.pid = m.PATIENT.replace(m.NUMBER, patient)
        first, second = (Marked(id=m.new_uuid(), patient=self.pid) for _ in range(2))
        self.folder = m.new_uuid()
        self.open = Filing(
            (first, second),
            (self.folder,),
            ((m.HAS_MEMBER, self.folder, first.id), (m.APPEND, second.id, first.id)),
        )
        alone, appended, transformed, replacing = (
            Marked(
                f"{SECRET} {each}".encode(),
                id=m.new_uuid(),
                patient=self.pid,
                title=f"{SECRET} {each}",
                mime_type="text/plain",
                slots={"urn:ihe:iti:xds:2013:referenceIdList": REFERENCE},
                code=code,
            )
            for each in range(4)
        )
        self.hidden_folder = m.new_uuid()
        self.confidential = Filing(
            (alone, appended, transformed),
            (self.hidden_folder,),
            (
                (m.HAS_MEMBER, self.hidden_folder, alone.id),
                (m.HAS_MEMBER, self.folder, alone.id),
                (m.APPEND, appended.id, first.id),
                (m.TRANSFORM, transformed.id, alone.id),
            ),
        )
        self.newer = Filing((replacing,), (), ((m.REPLACE, replacing.id, transformed.id),))
        self.filings = (self.open, self.confidential, self.newer)

    @property
    def secrets(self) -> tuple[m.Document, ...]:
        """The confidential documents."""
        return (*self.confidential.documents, *self.newer.documents)


#: A query's parameters: a value, or several.
Parameters = Mapping[str, str | Sequence[str]]


def _all(ids: Iterable[str]) -> list[str]:
    """Each in a rim:Value of its own, which may have 256 characters."""
    return [f"('{each}')" for each in ids]


def questions(record: Record) -> Iterator[tuple[str, Parameters]]:
    """(query id, parameters): each stored query by all ids there are and will be."""
    documents = [each for filing in record.filings for each in filing.documents]
    uuids = [each.id for each in documents]
    unique_ids = [each.unique_id for each in documents]
    sets = [filing.set_uuid for filing in record.filings]
    folders = [record.folder, record.hidden_folder]
    states = _all((m.APPROVED, m.DEPRECATED))
    types = _all((m.STABLE, m.ON_DEMAND))
    patient = f"'{record.pid}'"
    several: dict[str, list[Parameters]] = {
        "FindDocuments": [
            {
                "$XDSDocumentEntryPatientId": patient,
                "$XDSDocumentEntryStatus": states,
                "$XDSDocumentEntryType": types,
            }
        ],
        "FindDocumentsByReferenceId": [
            {
                "$XDSDocumentEntryPatientId": patient,
                "$XDSDocumentEntryStatus": states,
                "$XDSDocumentEntryReferenceIdList": f"('{REFERENCE}')",
            }
        ],
        "FindSubmissionSets": [{"$XDSSubmissionSetPatientId": patient, "$XDSSubmissionSetStatus": states}],
        "FindFolders": [{"$XDSFolderPatientId": patient, "$XDSFolderStatus": states}],
        "GetAll": [
            {
                "$patientId": patient,
                "$XDSDocumentEntryStatus": states,
                "$XDSSubmissionSetStatus": states,
                "$XDSFolderStatus": states,
                "$XDSDocumentEntryType": types,
            }
        ],
        "GetDocuments": [
            {"$XDSDocumentEntryEntryUUID": _all(uuids)},
            {"$XDSDocumentEntryUniqueId": _all(unique_ids)},
            {"$XDSDocumentEntryLogicalID": _all(uuids), "$MetadataLevel": "2"},
        ],
        "GetFolders": [{"$XDSFolderEntryUUID": _all(folders)}],
        "GetAssociations": [
            {"$uuid": _all([*uuids, *sets, *folders])},
            *({"$uuid": _all([e])} for e in uuids),
        ],
        "GetDocumentsAndAssociations": [
            {"$XDSDocumentEntryEntryUUID": _all(uuids)},
            {"$XDSDocumentEntryUniqueId": _all(unique_ids)},
        ],
        "GetSubmissionSets": [{"$uuid": _all([*uuids, *folders])}, *({"$uuid": _all([e])} for e in uuids)],
        "GetSubmissionSetAndContents": [{"$XDSSubmissionSetEntryUUID": f"'{each}'"} for each in sets],
        "GetFolderAndContents": [{"$XDSFolderEntryUUID": f"'{each}'"} for each in folders],
        "GetFoldersForDocument": [{"$XDSDocumentEntryEntryUUID": f"'{each}'"} for each in uuids],
        "GetRelatedDocuments": [
            {
                "$XDSDocumentEntryUniqueId": f"'{each}'",
                "$AssociationTypes": _all((m.APPEND, m.TRANSFORM, m.REPLACE, m.HAS_MEMBER)),
            }
            for each in unique_ids
        ],
    }
    multiple: dict[str, list[Parameters]] = {
        "FindDocumentsForMultiplePatients": [
            {"$XDSDocumentEntryPatientId": f"({patient})", "$XDSDocumentEntryStatus": states}
        ],
        "FindFoldersForMultiplePatients": [
            {"$XDSFolderPatientId": f"({patient})", "$XDSFolderStatus": states}
        ],
    }
    for queries, known in ((STORED_QUERIES, several), (MULTI_PATIENT_QUERIES, multiple)):
        assert {module.NAME for module in queries.values()} == set(known), "a query that is not walked"
        for query_id, module in queries.items():
            for parameters in known[module.NAME]:
                yield query_id, parameters


HOME = "2.16.578.1.12.4.5.100.7"
HOME_URN = f"urn:oid:{HOME}"


@dataclass(frozen=True)
class Way:
    """An address of the node where its registry can be asked a stored query and its repository a document.

    `path` is empty where the transactions say it. `home` is named in every request for something by its id,
    with `of_patients` also in a query about a patient.
    """

    query: str = "ITI-18"
    retrieve: str = "ITI-43"
    path: str = ""
    home: str = ""
    of_patients: bool = False

    def __str__(self) -> str:
        """As answers are named."""
        return f"{self.query}{self.path}"


DIRECT = Way()
RESPONDING = Way("ITI-38", "ITI-39", home=HOME_URN, of_patients=True)
#: The gateway of this same community, which joins its own registry whether it is named or not.
INITIATING = Way(path=m.INITIATING, home=HOME_URN)
WAYS = (DIRECT, RESPONDING, INITIATING)
#: What is asked for: the kind of answer, and the metadata level.
KINDS = (("LeafClass", "1"), ("LeafClass", "2"), ("ObjectRef", "2"))
#: Requests on their way at the same time: those that are only a look share a commit of the access log.
AT_ONCE = 4


class Walk:
    """A node that wants tickets, and the ways to a record."""

    def __init__(self, node: Node, service: TicketService) -> None:
        self.node = node
        self.service = service

    def ask(self, ticket: str, transaction: str, body: str, *, path: str = "", header: str = "") -> Reply:
        """One request with a ticket, to the transaction's address if no other is given."""
        header += f'<w:Security xmlns:w="{WSSE}" s:mustUnderstand="1">{ticket}</w:Security>'
        request = m.plain(body, transaction, header=header)
        return send(self.node, replace(request, path=path or request.path))

    def query(
        self, ticket: str, way: Way, query_id: str, parameters: Parameters, kind: str = "LeafClass"
    ) -> Reply:
        """A stored query of ITI-18 by one of the ways."""
        home = way.home if way.of_patients or query_id not in PATIENT_QUERIES else ""
        return self.ask(ticket, way.query, m.query(query_id, parameters, kind, home=home), path=way.path)

    def fetch(self, ticket: str, way: Way, *unique_ids: str) -> Reply:
        """Documents by one of the ways."""
        return self.ask(ticket, way.retrieve, m.retrieve(*unique_ids, home=way.home), path=way.path)

    def file(self, record: Record, *filings: Filing) -> None:
        """As a clinician in an emergency, who sees everything."""
        ticket = self.service.saml("personnel", patient=record.patient, purpose="ETREAT")
        for filing in filings:
            reply = self.ask(ticket, "ITI-41", filing.body(record.pid))
            assert reply.outcome == SUCCESS, reply.errors

    def answers(
        self, ticket: str, record: Record, kinds: Sequence[tuple[str, str]] = KINDS
    ) -> Mapping[str, bytes]:
        """What each question gives by each way, full and as references, at both metadata levels.

        A name begins with the query and the way.
        """

        def ask(asked: tuple[str, list[Parameters]]) -> Mapping[str, bytes]:
            query_id, several = asked
            name = (STORED_QUERIES | MULTI_PATIENT_QUERIES)[query_id].NAME
            given = {}
            for parameters, (kind, level) in product(several, kinds):
                for way in WAYS if query_id in STORED_QUERIES else (Way("ITI-51"),):
                    reply = self.query(ticket, way, query_id, {"$MetadataLevel": level, **parameters}, kind)
                    assert reply.status == 200, reply.fault.reason
                    given[f"{name} {way} {kind} {level} {sorted(parameters.items())}"] = _same(reply.body)
            return given

        # One after the other of each query, so that the node makes no statement twice at the same time.
        by_query: dict[str, list[Parameters]] = {}
        for query_id, parameters in questions(record):
            by_query.setdefault(query_id, []).append(parameters)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return {name: body for some in pool.map(ask, by_query.items()) for name, body in some.items()}

    def by_known_id(self, ticket: str, record: Record) -> Mapping[str, bytes]:
        """What comes of an attempt to fetch, replace, append to, change or remove each confidential document,
        and to repeat what was filed with other content.
        """
        found = {}
        for each in record.secrets:
            new = Marked(patient=record.pid, unique_id="1.2.3")
            for way in WAYS:
                found[f"fetch by {way} {each.title}"] = _same(self.fetch(ticket, way, each.unique_id).body)
            attempts = {
                f"{what} by {transaction}": (transaction, _about(new, record.pid, kind, each.id))
                for what, kind in (("append", m.APPEND), ("replace", m.REPLACE))
                for transaction in ("ITI-41", "ITI-80")
            } | {
                "deprecate": (
                    "ITI-57",
                    m.submit(
                        m.submission_set("1.2.4", record.pid),
                        m.association(
                            "as1",
                            m.UPDATE_STATUS,
                            m.SET,
                            each.id,
                            NewStatus=m.DEPRECATED,
                            OriginalStatus=m.APPROVED,
                        ),
                    ),
                ),
                "remove metadata": ("ITI-62", m.remove_metadata(each.id)),
                "remove": ("ITI-86", m.remove_documents(each.unique_id)),
            }
            for what, (transaction, body) in attempts.items():
                header = m.home_block(HOME_URN) if transaction == "ITI-80" else ""
                reply = self.ask(ticket, transaction, body, header=header)
                found[f"{what} {each.title}"] = _same(reply.body)
        return found


def _about(new: m.Document, pid: str, kind: str, target: str) -> str:
    text = m.provide([new], m.inline([new]), "1.2.5", pid)
    link = m.association("as9", kind, new.id, target)
    return text.replace("</rim:RegistryObjectList>", link + "</rim:RegistryObjectList>", 1)


def _same(answer: bytes) -> bytes:
    """Without what differs between two answers to one question: ids of messages, times of answers.

    A folder's lastUpdateTime tells that something was filed in it: known, and in docs/access-rules.md.
    """
    answer = re.sub(rb"reference [0-9a-f]{12}", b"", answer)
    answer = re.sub(rb"<(\w+:(?:MessageID|RelatesTo))>[^<]*</\1>", b"", answer)
    answer = re.sub(rb'requestId="[^"]*"', b"", answer)
    return re.sub(rb'<rim:Slot name="lastUpdateTime">.*?</rim:Slot>', b"", answer, flags=re.DOTALL)


@pytest.fixture(scope="module")
def walk(new_node: Callable[..., Node], tmp_path_factory: pytest.TempPathFactory) -> Walk:
    """A node with a policy of these tests, which is its own gateway and knows no other community."""
    folder: Path = tmp_path_factory.mktemp("walk")
    policy, communities = folder / "policy.toml", folder / "communities.toml"
    policy.write_text(POLICY)
    communities.write_text("")
    service = TicketService(folder)
    node = new_node(
        access__ticket="required",
        access__policy=policy,
        trust=service.trust,
        node__home_community_id=HOME,
        communities=communities,
    )
    return Walk(node, service)


def _done(command: subprocess.CompletedProcess[str]) -> None:
    assert command.returncode == 0, command.stderr


# ---- who may not see, and why


@dataclass(frozen=True)
class Case:
    """Somebody from whom a code or a setting hides what is filed."""

    name: str
    kind: str
    patient: str
    code: tuple[str, str] = NORMAL
    acp: str = ""
    refused: str = ""

    def ticket(self, service: TicketService) -> str:
        """The ticket that they show."""
        if self.kind == "citizen":
            return service.saml("citizen", person=self.patient)
        return service.saml(self.kind, patient=self.patient, acp=self.acp)


def _patient(which: int) -> str:
    return number(TODAY.replace(year=1950, month=1, day=2), which)


HIDING = [
    Case("a citizen, refused because of danger", "citizen", _patient(0), ("NORN_FFL", REFUSALS)),
    Case("a citizen, by a setting", "citizen", _patient(3), refused="citizen"),
    Case("a parent", "representative", CHILD, ("NORN_FORANS", REFUSALS), acp="1"),
]


@pytest.mark.parametrize("case", HIDING, ids=lambda case: case.name)
def test_what_is_hidden_might_as_well_not_be_there(case: Case, walk: Walk):
    """No query, by whatever id, tells of it; nor does an attempt to fetch or change it."""
    record, ticket = Record(case.patient, case.code), case.ticket(walk.service)
    walk.file(record, record.open)
    seeing = walk.service.saml("personnel", patient=case.patient, purpose="ETREAT")
    before, tried, seen = (
        walk.answers(ticket, record),
        walk.by_known_id(ticket, record),
        walk.answers(seeing, record, KINDS[1:2]),
    )
    walk.file(record, record.confidential, record.newer)
    if case.refused:
        for each in record.secrets:
            _done(
                walk.node.command(
                    *("privacy", "refuse", "--patient", case.patient, "--whom", case.refused),
                    *("--document", each.id),
                )
            )
    after, tried_after = walk.answers(ticket, record), walk.by_known_id(ticket, record)
    assert [question for question in before if before[question] != after[question]] == []
    assert [attempt for attempt in tried if tried[attempt] != tried_after[attempt]] == []
    assert not any(SECRET.encode() in answer for answer in (*after.values(), *tried_after.values()))
    # Whoever may see it gets another answer to nearly all of these questions, by each way.
    seen_after = walk.answers(seeing, record, KINDS[1:2])
    changed = {tuple(question.split()[:2]) for question in seen if seen[question] != seen_after[question]}
    assert changed == {(module.NAME, str(way)) for module in STORED_QUERIES.values() for way in WAYS} | {
        (module.NAME, "ITI-51") for module in MULTI_PATIENT_QUERIES.values()
    }
    for way in WAYS:
        told = [answer for question, answer in seen_after.items() if question.split()[1] == str(way)]
        assert any(SECRET.encode() in answer for answer in told)
        for each in record.secrets:
            assert walk.fetch(seeing, way, each.unique_id).documents() == {each.unique_id: each.content}


@pytest.mark.parametrize("setting", ["reserve", "refuse"])
def test_a_record_that_is_closed_to_somebody_is_like_one_that_is_empty(setting: str, walk: Walk):
    """A reservation against health personnel, a refusal against this one person: nothing of it is seen."""
    patient = _patient(10 if setting == "reserve" else 11)
    record, ticket = Record(patient, NORMAL), walk.service.saml("personnel", patient=patient)
    before, tried = walk.answers(ticket, record), walk.by_known_id(ticket, record)
    walk.file(record, *record.filings)
    whom = () if setting == "reserve" else ("--whom", f"person:{CLINICIAN}")
    _done(walk.node.command("privacy", setting, "--patient", patient, *whom))
    after, tried_after = walk.answers(ticket, record), walk.by_known_id(ticket, record)
    assert [question for question in before if before[question] != after[question]] == []
    assert [attempt for attempt in tried if tried[attempt] != tried_after[attempt]] == []


def test_what_is_blocked_is_listed_without_anything_of_it(walk: Walk):
    """In every answer: the entry by itself, masked. No link, set or folder is there for its sake, and it is
    not changed or removed by its id.
    """
    record = Record(_patient(12), BLOCKED)
    ticket = walk.service.saml("personnel", patient=record.patient)
    walk.file(record, record.open)
    before, tried = walk.answers(ticket, record), walk.by_known_id(ticket, record)
    walk.file(record, record.confidential, record.newer)
    after, tried_after = walk.answers(ticket, record), walk.by_known_id(ticket, record)
    listed = 0
    for question, answer in after.items():
        assert SECRET.encode() not in answer, question
        others, masked = _without_masked(answer, record)
        assert others == _without_masked(before[question], record)[0], question
        listed += masked
    assert listed > 150
    for attempt, answer in tried_after.items():
        assert SECRET.encode() not in answer
        if attempt.startswith("fetch"):
            assert b"retrieve-blocked" in answer
        else:
            assert answer == tried[attempt], attempt


def _without_masked(answer: bytes, record: Record) -> tuple[bytes, int]:
    """The answer without the masked entries (and the references to them), and how many they were."""
    root = etree.fromstring(answer)
    of_record = {each.id for each in record.secrets}
    found = [each for each in root.iter("{*}ExtrinsicObject", "{*}ObjectRef") if each.get("id") in of_record]
    for each in found:
        if each.tag.endswith("ExtrinsicObject"):
            assert each.find("rim:Name/rim:LocalizedString", NS).get("value") == "Sperret"
        each.getparent().remove(each)
    return etree.tostring(root, method="c14n"), len(found)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_blocked_and_hidden_documents_do_not_keep_the_others_from_being_delivered(way: Way, walk: Walk):
    """One request for three: the open one comes, the blocked one is denied by name, the hidden one is like
    one that nobody has; PartialSuccess (ITI TF-3 4.2.4.2).
    """
    patient = _patient(40 + WAYS.index(way))
    record = Record(patient, BLOCKED)
    walk.file(record, *record.filings)
    hidden, unknown = record.secrets[1], m.new_oid()
    _done(
        walk.node.command(
            *("privacy", "refuse", "--patient", patient, "--whom", f"person:{CLINICIAN}"),
            *("--document", hidden.id),
        )
    )
    (good, _), blocked = record.open.documents, record.secrets[0]
    reply = walk.fetch(
        walk.service.saml("personnel", patient=patient),
        way,
        *(blocked.unique_id, hidden.unique_id, good.unique_id, unknown),
    )
    assert reply.outcome == PARTIAL
    assert reply.documents() == {good.unique_id: good.content}
    by_id = {
        document: [each for each in reply.errors if document in each.context]
        for document in (blocked.unique_id, hidden.unique_id, unknown)
    }
    assert [(e.code, e.rule) for e in by_id[blocked.unique_id]] == [
        ("XDSRepositoryError", "retrieve-blocked")
    ]
    (of_hidden,), (of_unknown,) = by_id[hidden.unique_id], by_id[unknown]
    assert (of_hidden.code, of_hidden.rule) == ("XDSDocumentUniqueIdError", "retrieve-document")
    assert (of_unknown.code, of_unknown.rule) == (of_hidden.code, of_hidden.rule)
    assert SECRET.encode() not in reply.body


def test_the_ticket_is_for_one_patient(walk: Walk):
    """Another patient's record is refused when it is named, and not there when only ids are; in a query for
    several, one is enough to refuse all.
    """
    own, another = Record(_patient(14), NORMAL), Record(_patient(15), NORMAL)
    walk.file(own, own.open)
    ticket = walk.service.saml("personnel", patient=own.patient, purpose="ETREAT")
    before, tried = walk.answers(ticket, another), walk.by_known_id(ticket, another)
    walk.file(another, *another.filings)
    assert walk.answers(ticket, another) == before
    assert walk.by_known_id(ticket, another) == tried
    named = [question for question in before if another.pid in question]
    assert named
    assert all(b"[access-patient" in before[question] for question in named)
    several = m.query(
        m.FIND_FOR_MULTIPLE_PATIENTS,
        {
            "$XDSDocumentEntryPatientId": [f"('{own.pid}')", f"('{another.pid}')"],
            "$XDSDocumentEntryStatus": f"('{m.APPROVED}')",
        },
    )
    reply = walk.ask(ticket, "ITI-51", several)
    assert [(each.code, each.rule) for each in reply.errors] == [("XDSRegistryError", "access-patient")]
    assert b"ExtrinsicObject" not in reply.body


def test_a_blocked_document_is_not_fetched_as_somebody_elses(walk: Walk):
    """Registered again for another patient, by uniqueId, hash and size of the masked entry: its bytes stay
    with whom they came for, and the true record is as it was.
    """
    record, another = Record(_patient(16), BLOCKED), Record(_patient(17), NORMAL)
    walk.file(record, *record.filings)
    secret = record.secrets[0]
    false = Marked(
        id=m.new_uuid(),
        patient=another.pid,
        unique_id=secret.unique_id,
        mime_type="text/plain",
        slots={"hash": secret.sha1, "size": str(len(secret.content))},
    )
    ticket = walk.service.saml("personnel", patient=another.patient)
    assert walk.ask(ticket, "ITI-42", m.register([false], None, another.pid)).outcome == SUCCESS
    for way in WAYS:
        reply = walk.fetch(ticket, way, secret.unique_id)
        assert (reply.documents(), [each.rule for each in reply.errors]) == ({}, ["retrieve-document"])
    seeing = walk.service.saml("personnel", patient=record.patient, purpose="ETREAT")
    assert walk.ask(seeing, "ITI-43", m.retrieve(secret.unique_id)).documents() == {
        secret.unique_id: secret.content
    }


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("TypeCode", "('A03-2^^2.16.578.1.12.4.1.1.9602')"),
        ("PracticeSettingCode", "('S03^^2.16.578.1.12.4.1.1.8655')"),
        ("FormatCode", "('urn:ihe:iti:xds:2017:mimeTypeSufficient^^1.3.6.1.4.1.19376.1.2.3')"),
        ("AuthorPerson", f"('%{m.FAMILY}%')"),
    ],
)
def test_a_filter_does_not_ask_a_masked_entry_what_it_hides(parameter: str, value: str, walk: Walk):
    """Else an author's name could be read letter by letter; a filter on what is shown finds it."""
    record = Record(_patient(18 + len(parameter)), BLOCKED)
    walk.file(record, *record.filings)
    ticket = walk.service.saml("personnel", patient=record.patient)
    asked = {"$XDSDocumentEntryPatientId": f"'{record.pid}'", "$XDSDocumentEntryStatus": f"('{m.APPROVED}')"}

    def found(way: Way, more: Mapping[str, str]) -> set[str]:
        reply = walk.query(ticket, way, m.FIND_DOCUMENTS, asked | dict(more))
        return {each.get("id") for each in reply.content().iter("{*}ExtrinsicObject")}

    masked = {each.id for each in record.secrets}
    for way in WAYS:
        assert found(way, {f"$XDSDocumentEntry{parameter}": value}) == set(record.open.uuids)
        assert found(way, {"$XDSDocumentEntryClassCode": "('A00-1^^2.16.578.1.12.4.1.1.9602')"}) & masked
