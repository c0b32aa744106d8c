"""ITI-62 and ITI-86 over HTTP: metadata and documents go, each by itself, and nothing else does."""

from __future__ import annotations

import http.client
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from xml.sax.saxutils import escape

import pytest
import sqlalchemy

from tests.blackbox import messages as m
from tests.blackbox.messages import Document
from tests.blackbox.state import counts, published, rows
from tests.blackbox.wire import (
    FAILURE,
    LCM,
    PARTIAL,
    RIM,
    SOAP11,
    SOAP12,
    SUCCESS,
    XDS,
    Reply,
    Request,
    send,
)
from tests.nodes import Node
from xds.store.schema import stored_document

DELETE = "urn:ihe:iti:2010:DeleteDocumentSet"
REMOVE = "urn:ihe:iti:2017:RemoveDocuments"
RMD = "urn:ihe:iti:rmd:2017"
UNKNOWN = "urn:uuid:00000000-0000-4000-8000-00000000dead"
SCOPE = ' deletionScope="urn:oasis:names:tc:ebxml-regrep:DeletionScopeType:DeleteAll"'
MB = 1_000_000


def delete(*ids: str) -> str:
    """The body of ITI-62."""
    listed = "".join(f'<rim:ObjectRef id="{each}"/>' for each in ids)
    return wrapped(f"<rim:ObjectRefList>{listed}</rim:ObjectRefList>")


def wrapped(content: str, attributes: str = "") -> str:
    """A RemoveObjectsRequest with any content."""
    return (
        f'<lcm:RemoveObjectsRequest xmlns:lcm="{LCM}" xmlns:rim="{RIM}"{attributes}>{content}'
        "</lcm:RemoveObjectsRequest>"
    )


def remove(*unique_ids: str, repository: str = m.REPOSITORY_ID, home: str = "") -> str:
    """The body of ITI-86."""
    return erase([(repository, each) for each in unique_ids], home)


def erase(documents: Sequence[tuple[str, str]], home: str = "") -> str:
    """The body of ITI-86 for (repository, document)."""
    community = f"<xds:HomeCommunityId>{home}</xds:HomeCommunityId>" if home else ""
    requests = "".join(
        f"<xds:DocumentRequest>{community}<xds:RepositoryUniqueId>{repository}</xds:RepositoryUniqueId>"
        f"<xds:DocumentUniqueId>{escape(each)}</xds:DocumentUniqueId></xds:DocumentRequest>"
        for repository, each in documents
    )
    return (
        f'<rmd:RemoveDocumentsRequest xmlns:rmd="{RMD}" xmlns:xds="{XDS}">{requests}'
        "</rmd:RemoveDocumentsRequest>"
    )


def ask(node: Node, body: str, soap: str = SOAP12) -> Reply:
    """Send one of these bodies with its action; no answer may hold anything about a person."""
    action, path = (REMOVE, m.REPOSITORY) if "RemoveDocumentsRequest" in body else (DELETE, m.REGISTRY)
    reply = send(node, Request(path, m.media_type(soap), m.envelope(body, action, soap=soap)))
    assert (reply.status, reply.version) == (200, soap)
    assert reply.header("Action") == action + "Response"
    assert not [marker for marker in m.MARKERS if marker.encode() in reply.body]
    return reply


def codes(reply: Reply) -> list[tuple[str, str, str]]:
    """(code, rule, location) of each error."""
    return [(error.code, error.rule, error.location) for error in reply.errors]


def submit(node: Node, *documents: Document) -> list[str]:
    """Provide documents in one submission; the ids of all its objects."""
    unique_id = m.new_oid()
    assert send(node, m.mtom(documents, unique_id)).outcome == SUCCESS
    asked = m.query(m.GET_SET_AND_CONTENTS, {"$XDSSubmissionSetUniqueId": f"'{unique_id}'"}, "ObjectRef")
    found = send(node, m.plain(asked, "ITI-18")).content().iterfind(f".//{{{RIM}}}ObjectRef")
    return [each.get("id") for each in found]


def fetched(node: Node, *unique_ids: str) -> dict[str, bytes]:
    """The documents among these that the repository hands out."""
    return send(node, m.mtom_retrieve(*unique_ids)).documents()


def registered(node: Node, unique_id: str) -> int:
    """How many entries GetDocuments finds."""
    found = send(node, m.plain(m.get_documents(unique_id, return_type="ObjectRef"), "ITI-18")).content()
    return len(found.findall(f".//{{{RIM}}}ObjectRef"))


# -- ITI-62 --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("soap", [SOAP12, SOAP11])
def test_metadata_goes_and_the_document_stays(node: Node, soap: str) -> None:
    """The registry's part and the repository's part are two requests."""
    before = counts(node)
    document = Document()
    ids = submit(node, document)
    assert len(ids) == 3
    assert ask(node, delete(*ids), soap).outcome == SUCCESS
    assert registered(node, document.unique_id) == 0
    assert fetched(node, document.unique_id) == {document.unique_id: document.content}
    after = counts(node)
    kept = {"stored_document", "documents/", "patient", "code"}
    assert {name for name in after if after[name] != before[name]} <= kept


def test_a_request_in_mtom_is_read_and_answered_plainly(node: Node) -> None:
    """ITI-62 and ITI-86 are plain SOAP; MTOM without attachments says the same."""
    document = Document()
    for body, action, path in (
        (delete(*submit(node, document)), DELETE, m.REGISTRY),
        (remove(document.unique_id), REMOVE, m.REPOSITORY),
    ):
        content_type, package = m.multipart(m.envelope(body, action))
        reply = send(node, Request(path, content_type, package))
        assert (reply.outcome, reply.mtom) == (SUCCESS, False)


def test_a_removal_that_is_repeated_finds_nothing(node: Node) -> None:
    """There is nothing to recognise a repeat by: the objects are unknown now."""
    ids = submit(node, Document())
    assert ask(node, delete(*ids)).outcome == SUCCESS
    again = ask(node, delete(*ids))
    assert again.outcome == FAILURE
    assert codes(again) == [("UnresolvedReferenceException", "remove-known", each) for each in ids]
    assert all(each in error.context for each, error in zip(ids, again.errors, strict=True))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            wrapped(f'<rim:ObjectRefList><rim:ObjectRef id="{UNKNOWN}"/></rim:ObjectRefList>', SCOPE),
            [("XDSRegistryMetadataError", "remove-scope", "RemoveObjectsRequest/deletionScope")],
        ),
        (
            wrapped("", SCOPE),
            [
                ("XDSRegistryMetadataError", "remove-scope", "RemoveObjectsRequest/deletionScope"),
                ("XDSRegistryMetadataError", "remove-ids", "RemoveObjectsRequest/ObjectRefList"),
            ],
        ),
        (wrapped(""), [("XDSRegistryMetadataError", "remove-ids", "RemoveObjectsRequest/ObjectRefList")]),
        (delete(), [("XDSRegistryMetadataError", "remove-ids", "RemoveObjectsRequest/ObjectRefList")]),
        (delete("set"), [("UnresolvedReferenceException", "remove-known", "set")]),
    ],
    ids=["deletionScope", "deletionScope and no list", "no list", "empty list", "no UUID"],
)
def test_a_removal_that_asks_wrongly_is_refused(
    node: Node, body: str, expected: list[tuple[str, str, str]]
) -> None:
    """Each with its code, and nothing is removed."""
    before = counts(node)
    reply = ask(node, body)
    assert (reply.outcome, codes(reply)) == (FAILURE, expected)
    assert counts(node) == before


def test_a_removal_by_query_is_refused_by_the_schema(node: Node) -> None:
    """It could take more than was meant."""
    query = '<rim:AdhocQuery id="urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d"/>'
    listed = f'<rim:ObjectRefList><rim:ObjectRef id="{UNKNOWN}"/></rim:ObjectRefList>'
    reply = ask(node, wrapped(query + listed))
    assert reply.outcome == FAILURE
    assert {(error.code, error.rule) for error in reply.errors} == {("XDSRegistryMetadataError", "schema")}


def test_a_removal_that_leaves_something_broken_removes_nothing(node: Node) -> None:
    """Every error at once; the good ids beside it change nothing."""
    one, two = Document(), Document()
    ids = submit(node, one)
    whole = submit(node, two)
    before = counts(node)
    reply = ask(node, delete(*whole, ids[0], UNKNOWN))
    assert reply.outcome == FAILURE
    assert {error.code for error in reply.errors} >= {"UnresolvedReferenceException"}
    assert len(reply.errors) >= 2
    assert counts(node) == before
    assert registered(node, one.unique_id) == registered(node, two.unique_id) == 1


# -- ITI-86 --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("soap", [SOAP12, SOAP11])
def test_documents_go_and_their_metadata_stay(node: Node, soap: str) -> None:
    """Row and bytes are gone, the entry is still found, and fetching says that there is no such document."""
    gone, kept = [Document(content=b"a"), Document(content=b"b", id="Document02")], Document()
    submit(node, *gone)
    submit(node, kept)
    before = counts(node)
    assert ask(node, remove(*(each.unique_id for each in gone)), soap).outcome == SUCCESS
    after = counts(node)
    changed = {name: before[name] - after[name] for name in after if after[name] != before[name]}
    assert changed == {"stored_document": 2, "documents/": 2}
    assert registered(node, gone[0].unique_id) == 1
    reply = send(node, m.mtom_retrieve(*(each.unique_id for each in (*gone, kept))))
    assert reply.outcome == PARTIAL
    assert [error.code for error in reply.errors] == ["XDSDocumentUniqueIdError"] * 2
    assert reply.documents() == {kept.unique_id: kept.content}


def test_a_document_asked_for_twice_is_removed_once(node: Node) -> None:
    """Success: it was there, and is gone."""
    document = Document()
    submit(node, document)
    assert ask(node, remove(document.unique_id, document.unique_id, home="urn:oid:1.2.3")).outcome == SUCCESS


def test_what_cannot_be_removed_does_not_hinder_the_rest(node: Node) -> None:
    """PartialSuccess when some were removed, each of the others with its own code; then Failure for none."""
    document = Document()
    submit(node, document)
    unknown, elsewhere = m.new_oid(), Document()
    submit(node, elsewhere)
    body = erase(
        [(m.REPOSITORY_ID, unknown), (m.REPOSITORY_ID, document.unique_id), ("1.2.3", elsewhere.unique_id)]
    )
    expected = [
        ("XDSDocumentUniqueIdError", "remove-document-known", "DocumentRequest[1]/DocumentUniqueId"),
        ("XDSUnknownRepositoryId", "remove-document-repository", "DocumentRequest[3]/RepositoryUniqueId"),
    ]
    reply = ask(node, body)
    assert (reply.outcome, codes(reply)) == (PARTIAL, expected)
    assert unknown in reply.errors[0].context
    assert fetched(node, document.unique_id, elsewhere.unique_id) == {elsewhere.unique_id: elsewhere.content}
    reply = ask(node, body)
    own = ("XDSDocumentUniqueIdError", "remove-document-known", "DocumentRequest[2]/DocumentUniqueId")
    assert (reply.outcome, codes(reply)) == (FAILURE, [expected[0], own, expected[1]])


def test_a_request_for_no_document_is_refused_by_the_schema(node: Node) -> None:
    """With the repository's code, as it is a repository that answers."""
    reply = ask(node, remove())
    assert reply.outcome == FAILURE
    assert {(error.code, error.rule) for error in reply.errors} == {("XDSRepositoryMetadataError", "schema")}


def test_a_document_can_be_provided_again_after_it_was_removed(node: Node) -> None:
    """The same bytes at once, as a second entry; other bytes when the metadata are gone too (ITI-62)."""
    first = Document(content=b"first")
    ids = submit(node, first)
    assert ask(node, remove(first.unique_id)).outcome == SUCCESS
    other = Document(content=b"other", unique_id=first.unique_id)
    assert [error.code for error in send(node, m.mtom([other])).errors] == ["XDSNonIdenticalHash"]
    ids += submit(node, Document(content=b"first", unique_id=first.unique_id))
    assert fetched(node, first.unique_id) == {first.unique_id: b"first"}
    assert ask(node, remove(first.unique_id)).outcome == SUCCESS
    assert ask(node, delete(*ids)).outcome == SUCCESS
    submit(node, other)
    assert fetched(node, first.unique_id) == {first.unique_id: b"other"}


def test_a_document_that_is_being_fetched_arrives_whole(node: Node) -> None:
    """Its removal in the middle of the answer does not reach a file that is open."""
    document = Document(content=random.Random(86).randbytes(60 * MB))
    submit(node, document)
    request = m.mtom_retrieve(document.unique_id)
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=60)
    connection.request("POST", request.path, request.body, {"Content-Type": request.content_type})
    response = connection.getresponse()
    begun = response.read(MB)
    assert ask(node, remove(document.unique_id)).outcome == SUCCESS
    assert fetched(node, document.unique_id) == {}
    whole = Reply(response.status, response.headers, begun + response.read())
    connection.close()
    assert whole.documents() == {document.unique_id: document.content}


def test_providing_and_removing_one_document_at_once_leaves_no_row_without_bytes(node: Node) -> None:
    """Whoever comes first: what is there in the end can be fetched, and what is not has left no bytes."""
    for _ in range(15):
        document = Document(content=b"contested")
        submit(node, document)
        before = len(published(node))
        with ThreadPoolExecutor(4) as pool:
            provided = [pool.submit(send, node, m.mtom([document])) for _ in range(2)]
            removed = [pool.submit(ask, node, remove(document.unique_id)) for _ in range(2)]
        assert {each.result().outcome for each in provided} == {SUCCESS}
        assert {each.result().outcome for each in removed} <= {SUCCESS, FAILURE}
        there = fetched(node, document.unique_id)
        assert there in ({}, {document.unique_id: document.content})
        keys = {key for (key,) in rows(node, "SELECT blob_key FROM stored_document")}
        assert keys <= published(node)
        assert len(published(node)) - before == len(there) - 1


def test_bytes_that_a_crash_left_go_with_the_sweep(node: Node) -> None:
    """A crash after the commit leaves a file without a row: nobody can fetch it, and the sweep finds it."""
    document = Document(content=b"left behind")
    before = published(node)
    submit(node, document)
    (key,) = published(node) - before
    _without_row(node, document.unique_id)
    assert fetched(node, document.unique_id) == {}
    swept = node.command("sweep", "--all", "--grace-hours", "0")
    assert swept.returncode == 0, swept.stderr
    assert key not in published(node)


def _without_row(node: Node, unique_id: str) -> None:
    gone_row = sqlalchemy.delete(stored_document).where(stored_document.c.doc_uid == unique_id)
    with sqlalchemy.create_engine(node.database_url, poolclass=sqlalchemy.NullPool).begin() as connection:
        assert connection.execute(gone_row).rowcount == 1


@pytest.mark.embedded
def test_bytes_that_cannot_be_deleted_are_told(node: Node) -> None:
    """The document is out of reach, but the administrator must know that its bytes are still there."""
    document = Document(content=b"stays")
    before = published(node)
    submit(node, document)
    (key,) = published(node) - before
    path = node.documents / "documents" / key
    path.unlink()
    path.mkdir()  # deleting a folder as a file fails for root too
    try:
        reply = ask(node, remove(document.unique_id))
    finally:
        path.rmdir()
    assert reply.outcome == FAILURE
    assert codes(reply) == [
        ("XDSRemoveDocumentsError", "remove-document-bytes", "DocumentRequest[1]/DocumentUniqueId")
    ]
    assert document.unique_id in reply.errors[0].context
    assert fetched(node, document.unique_id) == {}
    assert f"{reply.errors[0].reference} ITI-86 not deleted" in node.log.read_text()
