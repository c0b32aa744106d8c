"""What a sender does after a time-out, and what collides with what is known: ITI-41 and ITI-42 sent again."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from tests.blackbox import messages as m
from tests.blackbox.bad import edited
from tests.blackbox.messages import Document, Request
from tests.blackbox.state import counts
from tests.blackbox.wire import FAILURE, SUCCESS, Reply, send
from tests.nodes import Node


def _codes(reply: Reply) -> list[tuple[str, str]]:
    return sorted((error.code, error.location) for error in reply.errors)


def _entries(node: Node, unique_id: str) -> list[str]:
    """The entryUUIDs registered for a document."""
    reply = send(node, m.plain(m.get_documents(unique_id), "ITI-18"))
    assert reply.outcome == SUCCESS
    return [each.get("id") for each in reply.content().iterfind(".//{*}ExtrinsicObject")]


def _as_iti42(document: Document, unique_id: str) -> Request:
    return m.plain(m.register([document], unique_id), "ITI-42")


def _as_plain_iti41(document: Document, unique_id: str) -> Request:
    return m.plain(m.provide([document], m.inline([document]), unique_id), "ITI-41")


def _as_mtom(document: Document, unique_id: str) -> Request:
    return m.mtom([document], unique_id)


WAYS: dict[str, Callable[[Document, str], Request]] = {
    "ITI-41 MTOM": _as_mtom,
    "ITI-41 plain": _as_plain_iti41,
    "ITI-42": _as_iti42,
}
ways = pytest.mark.parametrize("send_as", WAYS.values(), ids=WAYS.keys())


@ways
def test_an_identical_repeat_gets_the_first_answer(
    send_as: Callable[[Document, str], Request], node: Node
) -> None:
    """The same bytes again, and again in a new envelope: Success, and nothing more is stored."""
    document, unique_id = Document(), m.new_oid()
    first = send_as(document, unique_id)
    assert send(node, first).outcome == SUCCESS
    before = counts(node)
    assert send(node, first).outcome == SUCCESS
    body = first.body
    assert isinstance(body, bytes)
    old = body.split(b"<a:MessageID>")[1].split(b"<")[0].decode()
    assert send(node, edited(first, (old, m.new_message_id()))).outcome == SUCCESS
    assert before == counts(node)
    assert len(_entries(node, document.unique_id)) == 1


def test_a_repeat_in_another_form_is_the_same_submission(node: Node) -> None:
    """MTOM first, then inline base64: the bytes and the metadata are the same, so is the answer."""
    document, unique_id = Document(), m.new_oid()
    first = m.mtom([document], unique_id)
    assert send(node, first).outcome == SUCCESS
    before = counts(node)
    assert isinstance(first.body, bytes)
    envelope = first.body.split(b"\r\n\r\n")[1].split(b"\r\n--")[0].decode()
    body = envelope.split("<s:Body>")[1].split("</s:Body>")[0]
    body = body.replace(m.include("cid:Document01@example.org"), m.inline([document])["Document01"])
    assert send(node, m.plain(body, "ITI-41")).outcome == SUCCESS
    assert before == counts(node)


CHANGES: dict[str, tuple[str, str]] = {
    "title": (m.TITLE, "Zygomorf epikrisf"),
    "code": ('nodeRepresentation="S03"', 'nodeRepresentation="S01"'),
    "time of the set": ("20260311100000", "20260311100001"),
    "name of the author of the set": ("^Tuva^", "^Tyra^"),
    "one blank in a comment": (f'value="{m.COMMENT}"', f'value="{m.COMMENT} "'),
}


@ways
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_known_set_with_one_attribute_changed_is_refused(
    send_as: Callable[[Document, str], Request], change: tuple[str, str], node: Node
) -> None:
    """The same SubmissionSet.uniqueId with anything else in it: XDSDuplicateUniqueIdInRegistry, nothing
    stored."""
    document, unique_id = Document(), m.new_oid()
    first = send_as(document, unique_id)
    assert send(node, first).outcome == SUCCESS
    before = counts(node)
    reply = send(node, edited(first, change))
    assert reply.outcome == FAILURE
    assert _codes(reply) == [("XDSDuplicateUniqueIdInRegistry", "SubmissionSet01/uniqueId")]
    assert unique_id in reply.errors[0].context, "codeContext names the value (ITI TF-2 3.42.4.1.3.3.7)"
    assert before == counts(node)


def test_a_known_set_with_one_byte_of_a_document_changed_is_refused(node: Node) -> None:
    """Both the set and the document are then not what they were: each is named, nothing is stored."""
    document, unique_id = Document(content=b"0123456789"), m.new_oid()
    assert send(node, m.mtom([document], unique_id)).outcome == SUCCESS
    before = counts(node)
    reply = send(node, m.mtom([replace(document, content=b"0123456780")], unique_id))
    assert reply.outcome == FAILURE
    assert _codes(reply) == [
        ("XDSDuplicateUniqueIdInRegistry", "SubmissionSet01/uniqueId"),
        ("XDSNonIdenticalHash", "Document01/uniqueId"),
    ]
    assert before == counts(node)


@ways
def test_a_known_document_in_a_new_set_is_a_second_entry(
    send_as: Callable[[Document, str], Request], node: Node
) -> None:
    """Same uniqueId, same hash: accepted; both entries are found, the bytes are stored once and still
    there."""
    document = Document()
    assert send(node, send_as(document, m.new_oid())).outcome == SUCCESS
    files = counts(node)["documents/"]
    assert send(node, send_as(document, m.new_oid())).outcome == SUCCESS
    assert len(set(_entries(node, document.unique_id))) == 2
    assert files == counts(node)["documents/"]
    if send_as is not _as_iti42:
        reply = send(node, m.mtom_retrieve(document.unique_id))
        assert reply.documents() == {document.unique_id: document.content}


def test_a_known_document_with_another_hash_is_refused(node: Node) -> None:
    """ITI-42 with another hash, another size, or both: each is told (ITI TF-2 3.42.4.1.3.3.1)."""
    document = Document(content=b"0123456789")
    assert send(node, _as_iti42(document, m.new_oid())).outcome == SUCCESS
    before = counts(node)
    where = "Document01/uniqueId"
    for content, slots, codes in (
        (b"0123456780", {}, ["XDSNonIdenticalHash"]),
        (b"0123456789", {"size": "11"}, ["XDSNonIdenticalSize"]),
        (b"01234567890", {}, ["XDSNonIdenticalHash", "XDSNonIdenticalSize"]),
    ):
        reply = send(node, _as_iti42(replace(document, content=content, slots=slots), m.new_oid()))
        assert _codes(reply) == [(code, where) for code in codes]
        assert all(document.unique_id in error.context for error in reply.errors)
    assert before == counts(node)


@ways
def test_a_known_entry_uuid_is_refused(send_as: Callable[[Document, str], Request], node: Node) -> None:
    """An entryUUID is given once, whatever case it is written in."""
    first = Document(id=m.new_message_id())
    assert send(node, send_as(first, m.new_oid())).outcome == SUCCESS
    assert _entries(node, first.unique_id) == [first.id]
    before = counts(node)
    code = "XDSRegistryMetadataError"
    reply = send(node, send_as(Document(id=first.id), m.new_oid()))
    assert (reply.outcome, _codes(reply)) == (FAILURE, [(code, f"{first.id}/entryUUID")])
    assert before == counts(node)


def test_the_unique_id_of_a_document_is_not_free_for_a_set(node: Node) -> None:
    """A SubmissionSet.uniqueId that any object has is refused (ITI TF-2 3.42.4.1.3.3.7)."""
    document = Document()
    assert send(node, m.mtom([document])).outcome == SUCCESS
    before = counts(node)
    reply = send(node, m.mtom([Document()], document.unique_id))
    assert _codes(reply) == [("XDSDuplicateUniqueIdInRegistry", "SubmissionSet01/uniqueId")]
    assert before == counts(node)


# -- at the same time ----------------------------------------------------------------------------------------


def _at_once(node: Node, requests: Sequence[Request]) -> list[Reply]:
    """Every request from a thread of its own, started together."""
    start = threading.Barrier(len(requests))
    replies: list[Reply | None] = [None] * len(requests)

    def run(index: int) -> None:
        start.wait()
        replies[index] = send(node, requests[index])

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(requests))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [reply for reply in replies if reply is not None]


@ways
def test_identical_repeats_at_the_same_time_are_one_registration(
    send_as: Callable[[Document, str], Request], node: Node
) -> None:
    """Eight senders of the same bytes: all hear Success, one entry and one document come of it."""
    for _ in range(4):
        document = Document()
        request = send_as(document, m.new_oid())
        before = counts(node)
        assert [each.outcome for each in _at_once(node, [request] * 8)] == [SUCCESS] * 8
        after = counts(node)
        stored = 0 if send_as is _as_iti42 else 1
        grown = {name: after[name] - before[name] for name in after if after[name] != before[name]}
        grown.pop("patient", None), grown.pop("code", None)
        expected = {"document_entry": 1, "submission_set": 1, "association": 1, "uid_claim": 2}
        assert grown == expected | ({"stored_document": 1, "documents/": 1} if stored else {})


def test_conflicting_submissions_at_the_same_time_have_one_winner(node: Node) -> None:
    """Eight documents with one uniqueId and eight contents: one is stored whole, seven hear why not."""
    for _ in range(4):
        unique_id = m.new_oid()
        contents = [f"version {number} of eight".encode() for number in range(8)]
        documents = [Document(content=content, unique_id=unique_id) for content in contents]
        replies = _at_once(node, [m.mtom([document]) for document in documents])
        assert Counter(each.outcome for each in replies) == {SUCCESS: 1, FAILURE: 7}
        for reply in replies:
            if reply.outcome == FAILURE:
                assert _codes(reply) == [("XDSNonIdenticalHash", "Document01/uniqueId")]
        winner = [
            document for document, reply in zip(documents, replies, strict=True) if reply.outcome == SUCCESS
        ]
        reply = send(node, m.mtom_retrieve(unique_id))
        assert reply.documents() == {unique_id: winner[0].content}
        assert len(_entries(node, unique_id)) == 1
        assert counts(node)["documents/"] == counts(node)["stored_document"], "a loser left its bytes"


def test_conflicting_sets_at_the_same_time_have_one_winner(node: Node) -> None:
    """Eight submissions under one SubmissionSet.uniqueId: one is registered, seven are refused."""
    for _ in range(4):
        unique_id = m.new_oid()
        documents = [Document() for _ in range(8)]
        replies = _at_once(node, [m.mtom([document], unique_id) for document in documents])
        assert Counter(each.outcome for each in replies) == {SUCCESS: 1, FAILURE: 7}
        assert {tuple(_codes(each)) for each in replies if each.outcome == FAILURE} == {
            (("XDSDuplicateUniqueIdInRegistry", "SubmissionSet01/uniqueId"),)
        }
        found = [len(_entries(node, document.unique_id)) for document in documents]
        assert sorted(found) == [0] * 7 + [1]
