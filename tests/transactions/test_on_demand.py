"""On-demand documents at ITI-43: made, bounded, kept, replaced (ITI TF-2 3.43.4.1.3); the page's example."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.audit.trails import trail
from tests.metadata import samples as s
from tests.registry.updates import member, message
from xds.access.gate import UNASKED
from xds.metadata import names, updates
from xds.metadata.code_rules import CodeRules
from xds.metadata.codesystems import built_in
from xds.metadata.ebrim import read_object_list
from xds.metadata.model import RegistryObject, Slot
from xds.metadata.validation import check, submission
from xds.registry.queries import find_documents, get_all
from xds.registry.registry import Options, Registry, StoredQuery
from xds.registry.view import EVERYTHING
from xds.repository import on_demand
from xds.repository.documents import Repository
from xds.repository.files import FolderStore
from xds.repository.on_demand import OnDemand, OnDemandDocument, OnDemandRequest
from xds.store.database import Database
from xds.transactions import iti43_retrieve_document_set as iti43
from xds.transactions.transaction import Node
from xds.transport.limits import Limits
from xds.transport.message import Attachment

UNIQUE_ID = "1.2.3.4.5"
ENTRY = "urn:uuid:00000000-0000-4000-8000-000000000001"
Function = Callable[[OnDemandRequest], Any]


class Desk:
    """A node without an endpoint: what ITI-43 does, and what is registered afterwards."""

    def __init__(self, url: str, folder: Path, function: Function | None, **limits: int) -> None:
        database = Database(url)
        store = FolderStore(folder / "documents")
        self.node = Node(
            database=database,
            registry=Registry(database, Options(patients="open")),
            repository=Repository(s.REPOSITORY, database, store),
            limits=Limits(**limits),
            codes=CodeRules(built_in(), "ihe"),
            on_demand=OnDemand(function, 20) if function else None,
        )
        self.adopted: list[Any] = []

    def register(self, uuid: str = ENTRY, unique_id: str = UNIQUE_ID, **changes: Any) -> None:
        """An on-demand entry, as ITI-61 registers it."""
        values = {"object_type": names.ON_DEMAND, "creation_time": None, "hash": None, "size": None}
        links = changes.pop("links", ())
        entry = s.document_entry(entry_uuid=uuid, unique_id=unique_id, **values | changes)
        objects = s.submission(
            entry,
            links=links,
            of=s.submission_set(unique_id=f"1.2.9.{int(uuid[-4:], 16)}", patient_id=entry.patient_id),
        )
        assert check(objects, transaction="ITI-61") == ()
        prepared = self.node.registry.prepare(submission(objects))
        self.node.database.transact(
            lambda connection: self.node.registry.register(connection, prepared, EVERYTHING)
        )

    def fetch(self, *unique_ids: str) -> iti43.Retrieved:
        wanted = unique_ids or (UNIQUE_ID,)
        requests = tuple(iti43.DocumentRequest(None, s.REPOSITORY, each) for each in wanted)
        asked = iti43.Retrieve(requests, "ref", self.adopted.append)
        return iti43.do(self.node, asked, UNASKED, trail(self.node.database, "ITI-43"))

    def got(self, *unique_ids: str) -> tuple[bytes, str, str, str]:
        """Bytes, MIME type, NewDocumentUniqueId and NewRepositoryUniqueId of the one document asked for."""
        retrieved = self.fetch(*unique_ids)
        assert retrieved.errors == ()
        ((_, content),) = retrieved.documents
        data = b"".join(content.attachment.chunks())
        assert len(data) == content.attachment.size
        return (
            data,
            content.attachment.content_type,
            content.new_document_unique_id,
            content.new_repository_unique_id,
        )

    def refused(self) -> list[tuple[str, str]]:
        retrieved = self.fetch()
        assert retrieved.documents == ()
        return [(str(error.code), error.rule) for error in retrieved.errors]

    def objects(self, query: str = get_all.ID) -> list[RegistryObject]:
        """All there is for the patient."""
        both = f"('{names.APPROVED}','{names.DEPRECATED}')"
        types = f"('{names.STABLE}','{names.ON_DEMAND}')"
        slots = [
            Slot("$patientId", (f"'{s.PATIENT}'",)),
            *(Slot(f"$XDS{kind}Status", (both,)) for kind in ("DocumentEntry", "SubmissionSet", "Folder")),
            Slot("$XDSDocumentEntryType", (types,)),
        ]
        answer = b"".join(
            chain.from_iterable(
                self.node.registry.query(StoredQuery(query, slots, "LeafClass"), EVERYTHING).elements
            )
        )
        return list(
            read_object_list(s.element(b'<r xmlns:rim="' + names.RIM.encode() + b'">' + answer + b"</r>"))
        )

    def snapshots(self) -> list[RegistryObject]:
        """The stable entries."""
        return [each for each in self.objects() if each.attributes.get("objectType") == names.STABLE]

    def staged(self) -> int:
        return len(list(self.node.repository.store.staging.path.iterdir()))

    def stored(self) -> int:
        return len([p for p in self.node.repository.store.root.glob("documents/**/*") if p.is_file()])  # type: ignore[attr-defined]


@pytest.fixture
def desk(database_url: str, tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    """Make a desk with a function; with its entry registered."""
    made: list[Desk] = []

    def make(function: Function | None, **limits: int) -> Desk:
        one = Desk(database_url, tmp_path, function, **limits)
        one.register()
        made.append(one)
        return one

    yield make
    for each in made:
        each.node.database.close()


def gives(content: Any, **more: Any) -> Function:
    return lambda request: OnDemandDocument(content, **more)


def texts(obj: RegistryObject) -> dict[str, tuple[str, ...]]:
    return {slot.name: slot.values for slot in obj.slots}


def unique_id(obj: RegistryObject) -> str:
    return next(
        i.attributes["value"]
        for i in obj.external_identifiers
        if i.attributes["identificationScheme"] == names.DOCUMENT_UNIQUE_ID
    )


# -- made and handed out -------------------------------------------------------------------------------------


def test_a_document_is_made_when_it_is_fetched(desk: Callable[..., Desk]) -> None:
    """From pieces, with a NewDocumentUniqueId, and without a NewRepositoryUniqueId: it is not kept."""
    asked: list[OnDemandRequest] = []

    def function(request: OnDemandRequest) -> OnDemandDocument:
        asked.append(request)
        return OnDemandDocument(iter((b"a", b"", b"bc")))

    one = desk(function)
    data, mime_type, new_id, new_repository = one.got()
    assert (data, mime_type, new_repository) == (b"abc", "application/pdf", "")
    assert re.fullmatch(r"2\.25\.\d+", new_id)
    assert [each.entry.unique_id for each in asked] == [UNIQUE_ID]
    assert asked[0].entry.patient_id == s.PATIENT
    assert one.snapshots() == []
    assert one.stored() == 0


def test_the_same_content_has_the_same_id_and_no_other(desk: Callable[..., Desk]) -> None:
    """A NewDocumentUniqueId never means other bytes (ITI TF-2 3.43.4.1.3.2)."""
    contents = iter([b"a", b"a", b"b"])
    one = desk(lambda request: OnDemandDocument(next(contents)))
    first, second, third = (one.got()[2] for _ in range(3))
    assert first == second != third


def test_what_was_staged_for_the_answer_is_handed_to_the_message(desk: Callable[..., Desk]) -> None:
    """The endpoint removes it when the answer has been sent."""
    one = desk(gives(b"abc"))
    one.got()
    assert one.staged() == len(one.adopted) == 1
    for staged in one.adopted:
        staged.discard()
    assert one.staged() == 0


def test_a_document_that_is_asked_for_twice_is_made_once(desk: Callable[..., Desk]) -> None:
    """Each request has its answer, with one content."""
    made: list[OnDemandRequest] = []
    one = desk(lambda request: made.append(request) or OnDemandDocument(b"x"))  # type: ignore[func-returns-value]
    retrieved = one.fetch(UNIQUE_ID, UNIQUE_ID)
    assert (len(retrieved.documents), len(made)) == (2, 1)


def test_of_several_entries_with_a_unique_id_the_newest_is_made(desk: Callable[..., Desk]) -> None:
    """They are one document to whoever fetches it."""
    one = desk(lambda request: OnDemandDocument(request.entry.entry_uuid.encode()))
    newer = ENTRY[:-1] + "2"
    one.register(newer)
    assert one.got()[0] == newer.encode()


@pytest.mark.parametrize(
    "changes", [{"repository_unique_id": "1.2.3.99"}, {"document_availability": names.OFFLINE}]
)
def test_an_entry_that_is_not_ours_to_make_is_unknown(
    desk: Callable[..., Desk], changes: dict[str, str]
) -> None:
    """Another repository's entry, and one that is offline."""
    one = desk(gives(b"x"))
    one.register(ENTRY[:-1] + "2", "1.2.3.6", **changes)
    retrieved = one.fetch("1.2.3.6")
    assert [error.rule for error in retrieved.errors] == ["retrieve-document"]


def test_what_several_patients_have_is_nobodys(desk: Callable[..., Desk]) -> None:
    """ITI-43 names no patient: neither's document is made, and asking again later would not help."""
    one = desk(gives(b"x"))
    one.register(ENTRY[:-1] + "2", patient_id=s.OTHER_PATIENT)
    assert one.refused() == [("XDSDocumentUniqueIdError", "retrieve-on-demand-patient")]


def test_a_deprecated_entry_is_not_made(desk: Callable[..., Desk]) -> None:
    """Only approved entries promise a document."""
    one = desk(gives(b"x"))
    newer = ENTRY[:-1] + "2"
    one.register(newer, "1.2.3.6", links=[s.association(names.RPLC, newer, ENTRY)])
    assert one.refused() == [("XDSDocumentUniqueIdError", "retrieve-document")]
    assert one.got("1.2.3.6")[0] == b"x"


def test_the_answer_names_the_new_ids_in_the_order_of_the_schema(desk: Callable[..., Desk]) -> None:
    """Ids as asked, then NewRepositoryUniqueId, NewDocumentUniqueId, mimeType, Document."""
    one = desk(gives(b"x", keep=True))
    body = iti43.write(one.fetch())
    text = b"".join(piece for piece in body if isinstance(piece, bytes)).decode()
    assert any(isinstance(piece, Attachment) for piece in body)
    assert re.findall(r"<xds:(\w+)>", text)[:6] == [
        "DocumentResponse",
        "RepositoryUniqueId",
        "DocumentUniqueId",
        "NewRepositoryUniqueId",
        "NewDocumentUniqueId",
        "mimeType",
    ]


# -- what can go wrong ---------------------------------------------------------------------------------------


def _raise(request: OnDemandRequest) -> OnDemandDocument:
    raise ValueError(request.entry.patient_id)


def _broken_pieces() -> Iterator[bytes]:
    yield b"a"
    raise ValueError("Test" + "person")  # in two: a trace shows lines of source


MADE = ("XDSRepositoryError", "retrieve-on-demand-made")


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (None, ("XDSDocumentUniqueIdError", "retrieve-on-demand")),
        (lambda request: None, ("XDSDocumentUniqueIdError", "retrieve-on-demand-content")),
        (_raise, MADE),
        (lambda request: exit(1), MADE),
        (lambda request: OnDemandDocument(_broken_pieces()), MADE),
        (lambda request: b"bytes alone", MADE),
        (gives("text"), MADE),
        (gives(["text"]), MADE),
        (gives(7), MADE),
        (gives(b"x", mime_type="pdf"), MADE),
    ],
)
def test_what_the_function_does_wrong_ends_in_one_error(
    desk: Callable[..., Desk],
    caplog: pytest.LogCaptureFixture,
    function: Function | None,
    expected: tuple[str, str],
) -> None:
    """Nothing stays behind, and nothing of its own words is told or logged."""
    one = desk(function)
    assert one.refused() == [expected]
    assert (one.staged(), one.stored(), one.snapshots()) == (0, 0, [])
    assert not [word for word in ("17855599120", "Testperson") if word in caplog.text]


def test_a_document_that_fails_does_not_hinder_the_others(desk: Callable[..., Desk]) -> None:
    """PartialSuccess, as with stored documents."""

    def function(request: OnDemandRequest) -> OnDemandDocument:
        if request.entry.unique_id == UNIQUE_ID:
            raise ValueError
        return OnDemandDocument(b"x")

    one = desk(function)
    one.register(ENTRY[:-1] + "2", "1.2.3.6")
    retrieved = one.fetch(UNIQUE_ID, "1.2.3.6")
    assert [error.rule for error in retrieved.errors] == ["retrieve-on-demand-made"]
    assert [each.document_unique_id for each, _ in retrieved.documents] == ["1.2.3.6"]


@pytest.mark.parametrize("limits", [{"document_bytes": 10}, {"total_bytes": 10}])
def test_too_much_is_cut_off(desk: Callable[..., Desk], limits: dict[str, int]) -> None:
    """An endless document ends at the limit, and its iterator is closed."""
    closed: list[bool] = []

    def endless() -> Iterator[bytes]:
        try:
            while True:
                yield b"abc"
        finally:
            closed.append(True)

    one = desk(lambda request: OnDemandDocument(endless()), **limits)
    assert one.refused() == [("XDSTooManyResults", "retrieve-size")]
    assert (one.staged(), closed) == (0, [True])


def test_documents_of_one_answer_share_its_limit(desk: Callable[..., Desk]) -> None:
    """The second has what the first left."""
    one = desk(gives(b"123456"), total_bytes=10)
    one.register(ENTRY[:-1] + "2", "1.2.3.6")
    retrieved = one.fetch(UNIQUE_ID, "1.2.3.6")
    assert [each.document_unique_id for each, _ in retrieved.documents] == [UNIQUE_ID]
    assert [error.rule for error in retrieved.errors] == ["retrieve-size"]


def test_a_function_that_does_not_come_back_is_left_behind(desk: Callable[..., Desk]) -> None:
    """The client hears so; what comes in the end is thrown away; the place is free again afterwards."""
    go_on, ended = threading.Event(), threading.Event()

    def slow() -> Iterator[bytes]:
        try:
            yield b"a"
            go_on.wait(20)
            yield b"b"
        finally:
            ended.set()

    one = desk(lambda request: OnDemandDocument(slow()))
    one.node.on_demand.seconds = 0.05  # type: ignore[union-attr]
    assert one.refused() == [("XDSRepositoryBusy", "retrieve-on-demand-time")]
    go_on.set()
    assert ended.wait(20)
    deadline = time.monotonic() + 20
    while one.staged() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert one.staged() == 0


def test_so_many_calls_are_under_way_at_once_and_no_more(desk: Callable[..., Desk]) -> None:
    """Functions that hang do not pile up threads without end."""
    go_on = threading.Event()
    running = threading.Semaphore(0)

    def hang(request: OnDemandRequest) -> OnDemandDocument:
        running.release()
        go_on.wait(20)
        return OnDemandDocument(b"x")

    one = desk(hang)
    found: list[iti43.Retrieved] = []
    threads = [threading.Thread(target=lambda: found.append(one.fetch())) for _ in range(on_demand.AT_ONCE)]
    for each in threads:
        each.start()
    for _ in threads:
        assert running.acquire(timeout=20)
    assert one.refused() == [("XDSRepositoryBusy", "retrieve-on-demand-time")]
    go_on.set()
    for each in threads:
        each.join()
    assert [len(each.documents) for each in found] == [1] * on_demand.AT_ONCE
    assert one.got()[0] == b"x"


# -- kept ----------------------------------------------------------------------------------------------------


def test_a_kept_document_is_a_snapshot_that_can_be_fetched_again(desk: Callable[..., Desk]) -> None:
    """A stable entry with IsSnapshotOf, in a set of its own, is there before the answer."""
    one = desk(gives(b"abc", keep=True, mime_type="text/plain"))
    data, mime_type, new_id, new_repository = one.got()
    assert (data, mime_type, new_repository) == (b"abc", "text/plain", s.REPOSITORY)
    (snapshot,) = one.snapshots()
    assert unique_id(snapshot) == new_id
    assert snapshot.attributes["mimeType"] == "text/plain"
    slots = texts(snapshot)
    assert slots["hash"] == ("a9993e364706816aba3e25717850c26c9cd0d89d",)  # SHA-1 of "abc", FIPS 180
    assert (slots["size"], slots["repositoryUniqueId"]) == (("3",), (s.REPOSITORY,))
    links = [each.attributes for each in one.objects() if each.kind == "Association"]
    assert [each["targetObject"] for each in links if each["associationType"] == names.IS_SNAPSHOT_OF] == [
        ENTRY
    ]
    assert one.got(new_id)[0] == b"abc"
    assert one.staged() == 0


def test_a_snapshot_says_what_its_entry_says(desk: Callable[..., Desk]) -> None:
    """Codes, author, title and the source's own slots are the on-demand entry's."""
    one = desk(gives(b"abc", keep=True))
    own = Slot("urn:example:arkivdel", ("A",))
    one.register(ENTRY[:-1] + "2", "1.2.3.6", extra_slots=(own,), title="Legemiddelliste")
    one.got("1.2.3.6")
    (snapshot,) = one.snapshots()
    assert own in snapshot.slots
    assert [text.value for text in snapshot.name] == ["Legemiddelliste"]
    entry = next(each for each in one.objects() if each.id == ENTRY[:-1] + "2")

    def codes(obj: RegistryObject) -> list[tuple[str, str]]:
        return sorted(
            (c.attributes["classificationScheme"], c.attributes["nodeRepresentation"])
            for c in obj.classifications
        )

    assert codes(snapshot) == codes(entry)


def test_the_same_content_is_kept_once(desk: Callable[..., Desk]) -> None:
    """A second fetch changes nothing and names the same snapshot."""
    one = desk(gives(b"abc", keep=True))
    assert one.got() == one.got()
    assert (len(one.snapshots()), one.stored(), one.staged()) == (1, 1, 0)


def test_other_content_replaces_the_snapshot_before(desk: Callable[..., Desk]) -> None:
    """RPLC; the old one is deprecated and can still be fetched; older content that comes back is current."""
    contents = iter([b"a", b"b", b"a"])
    one = desk(lambda request: OnDemandDocument(next(contents), keep=True))
    first, second, third = one.got()[2], one.got()[2], one.got()[2]
    assert first == third != second
    there = sorted((unique_id(each), each.attributes["status"]) for each in one.snapshots())
    expected = [(first, names.APPROVED), (first, names.DEPRECATED), (second, names.DEPRECATED)]
    assert there == sorted(expected)
    assert (one.got(first)[0], one.got(second)[0]) == (b"a", b"b")
    replaced = {
        each.attributes["targetObject"]
        for each in one.objects()
        if each.attributes.get("associationType") == names.RPLC
    }
    deprecated = names.DEPRECATED
    assert replaced == {each.id for each in one.snapshots() if each.attributes["status"] == deprecated}


def test_an_update_of_the_entry_while_it_is_made_does_no_harm(desk: Callable[..., Desk]) -> None:
    """The snapshot is of the version that there is by then, and the same bytes stay the same document."""

    def function(request: OnDemandRequest) -> OnDemandDocument:
        entry = request.entry
        version = replace(
            entry,
            entry_uuid=f"version-{(entry.version or 1) + 1}",
            title="Ny tittel",
            availability_status=None,
            logical_id=ENTRY,
            version=None,
        )
        changed = message(
            version,
            member(version.entry_uuid, entry.version or 1),
            unique_id=f"1.2.77.{entry.version or 1}",
        )
        assert updates.check(changed, transaction="ITI-57") == ()
        request = updates.update(changed, transaction="ITI-57")
        prepared = one.node.registry.prepare_update(request)
        assert one.node.database.transact(
            lambda connection: one.node.registry.update(connection, request, prepared, EVERYTHING)
        )
        return OnDemandDocument(b"as of now", keep=True)

    one = desk(function)
    assert one.got()[0] == b"as of now"
    first = one.got()[2]
    assert one.got()[2] == first
    assert [unique_id(each) for each in one.snapshots()] == [first]


def test_snapshots_made_at_the_same_moment_leave_one_current(desk: Callable[..., Desk]) -> None:
    """Of many fetches, with a few contents between them, each gets its own and the last one stands."""
    together = threading.Barrier(8)
    contents = iter([b"a", b"b", b"c", b"a"] * 2)

    def function(request: OnDemandRequest) -> OnDemandDocument:
        own = next(contents)
        together.wait(20)
        return OnDemandDocument(own, keep=True)

    one = desk(function)
    got: list[tuple[bytes, str]] = []

    def run() -> None:
        data, _, new_id, _ = one.got()
        got.append((data, new_id))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(data for data, _ in got) == [b"a"] * 4 + [b"b"] * 2 + [b"c"] * 2
    for data, new_id in got:
        assert one.got(new_id)[0] == data
    status = [each.attributes["status"].rpartition(":")[2] for each in one.snapshots()]
    assert status.count("Approved") == 1
    assert (one.stored(), one.staged()) == (3, 0)


def test_a_snapshot_whose_bytes_were_damaged_is_mended(desk: Callable[..., Desk]) -> None:
    """The function made them again, so they need not stay damaged."""
    one = desk(gives(b"abc", keep=True))
    new_id = one.got()[2]
    (file,) = [p for p in one.node.repository.store.root.glob("documents/**/*") if p.is_file()]  # type: ignore[attr-defined]
    file.write_bytes(b"abd")
    assert one.got()[0] == b"abc"
    assert one.got(new_id)[0] == b"abc"
    assert (len(one.snapshots()), one.stored()) == (1, 1)


def test_others_snapshots_are_not_replaced(desk: Callable[..., Desk]) -> None:
    """Only a snapshot that lies in this repository is this node's to replace."""
    one = desk(gives(b"abc", keep=True))
    theirs = s.document_entry(unique_id="1.2.3.77", repository_unique_id="1.2.3.99")
    link = s.association(names.IS_SNAPSHOT_OF, "Document01", ENTRY)
    prepared = one.node.registry.prepare(submission(s.submission(theirs, links=[link])))
    one.node.database.transact(
        lambda connection: one.node.registry.register(connection, prepared, EVERYTHING)
    )
    one.got()
    assert {each.attributes["status"] for each in one.snapshots()} == {names.APPROVED}
    assert len(one.snapshots()) == 2


# -- the page ------------------------------------------------------------------------------------------------


def test_the_example_of_the_page_works(desk: Callable[..., Desk]) -> None:
    """docs/on-demand.md shows a function that runs as it stands."""
    page = (Path(__file__).parents[2] / "docs" / "on-demand.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    module = ModuleType("example")
    exec(compile(code, "on-demand.md", "exec"), module.__dict__)
    one = desk(module.medication_list)
    data, mime_type, _, new_repository = one.got()
    assert data == b'[\n"paracetamol 500 mg",\n"ibuprofen 200 mg"\n]\n'
    assert (mime_type, new_repository) == ("application/json", s.REPOSITORY)
    nobody = SimpleNamespace(patient_id="1^^^&1.2.3&ISO")
    assert module.medication_list(SimpleNamespace(entry=nobody)) is None


def test_find_documents_shows_the_snapshot_and_not_the_promise(desk: Callable[..., Desk]) -> None:
    """A consumer that knows nothing of on-demand documents finds the stable one only."""
    one = desk(gives(b"abc", keep=True))
    one.got()
    slots = [
        Slot("$XDSDocumentEntryPatientId", (f"'{s.PATIENT}'",)),
        Slot("$XDSDocumentEntryStatus", (f"('{names.APPROVED}')",)),
    ]
    asked = StoredQuery(find_documents.ID, slots, "LeafClass")
    found = b"".join(chain.from_iterable(one.node.registry.query(asked, EVERYTHING).elements))
    assert found.count(b"<rim:ExtrinsicObject") == 1
