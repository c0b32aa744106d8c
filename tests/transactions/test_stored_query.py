"""ITI-18 and ITI-51 over HTTP: told apart by action, cut off at the limit, for this community only."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.blackbox import messages as m
from tests.blackbox.wire import SUCCESS, Reply, Request, send
from tests.metadata import samples as s
from tests.nodes import Node
from xds.metadata import names

ACTIONS = {
    "ITI-18": "urn:ihe:iti:2007:RegistryStoredQuery",
    "ITI-51": "urn:ihe:iti:2009:MultiPatientStoredQuery",
}
COMMUNITY = "2.16.578.1.12.4.5.100.1.1"


@pytest.fixture(scope="module")
def small(new_node: Callable[..., Node]) -> Iterator[Node]:
    """A node whose answers hold two objects; it has two documents of one patient and one of another."""
    node = new_node(registry__results=2, node__home_community_id=COMMUNITY)
    register(node, 1, s.PATIENT, 2)
    register(node, 2, s.OTHER_PATIENT, 1)
    yield node
    node.stop()


def register(node: Node, number: int, patient: str, count: int) -> None:
    """Register some documents of a patient."""
    documents = [
        s.document_entry(
            entry_uuid=f"Document{each}", unique_id=f"1.2.51.{number}.{each}", patient_id=patient
        )
        for each in range(count)
    ]
    of = s.submission_set(unique_id=f"1.2.52.{number}", patient_id=patient)
    body = m.envelope(s.message(s.submission(*documents, of=of)).decode(), "ITI-42")
    reply = send(node, Request(m.REGISTRY, m.media_type(m.SOAP12), body))
    assert reply.content().get("status") == SUCCESS


def ask(node: Node, transaction: str, query: str) -> Reply:
    """One query; its answer follows the schema and has the action that belongs to the request's."""
    envelope = m.envelope(query, ACTIONS[transaction])
    reply = send(node, Request(m.REGISTRY, m.media_type(m.SOAP12), envelope))
    assert reply.status == 200
    assert reply.header("Action") == ACTIONS[transaction] + "Response"
    return reply


def patients(*given: str) -> str:
    """FindDocumentsForMultiplePatients."""
    listed = ",".join(f"'{each}'" for each in given)
    parameters = {
        "$XDSDocumentEntryPatientId": f"({listed})",
        "$XDSDocumentEntryStatus": f"('{names.APPROVED}')",
    }
    return m.query(m.FIND_FOR_MULTIPLE_PATIENTS, parameters)


def outcome(reply: Reply) -> tuple[str, list[tuple[str, str]], int]:
    """Status, (code, severity) of errors and warnings, and the number of objects."""
    answer = reply.content()
    errors = [(e.get("errorCode", ""), e.get("severity", "")) for e in answer.iter("{*}RegistryError")]
    objects = answer.find("{*}RegistryObjectList")
    assert objects is not None
    return answer.get("status", ""), errors, len(objects)


def test_what_fits_is_answered_with_a_warning(small: Node) -> None:
    """Two of three, PartialSuccess and XDSTooManyResults; two of two are simply the answer."""
    warning = ("XDSTooManyResults", names.SEVERITY_WARNING)
    cut = ask(small, "ITI-51", patients(s.PATIENT, s.OTHER_PATIENT))
    assert outcome(cut) == (names.PARTIAL_SUCCESS, [warning], 2)
    assert outcome(ask(small, "ITI-51", patients(s.PATIENT))) == (names.SUCCESS, [], 2)


def test_the_query_of_one_transaction_is_unknown_to_the_other(small: Node) -> None:
    """Both come to the same address, with the same element in the Body."""
    unknown = (names.FAILURE, [("XDSUnknownStoredQuery", names.SEVERITY_ERROR)], 0)
    assert outcome(ask(small, "ITI-18", patients(s.PATIENT))) == unknown
    assert outcome(ask(small, "ITI-51", m.find_documents())) == unknown


@pytest.mark.parametrize("transaction", ACTIONS)
@pytest.mark.parametrize(
    ("home", "status"),
    [(f"urn:oid:{COMMUNITY}", names.SUCCESS), ("urn:oid:1.2.3", names.FAILURE)],
)
def test_only_this_community_is_asked_here(small: Node, transaction: str, home: str, status: str) -> None:
    """AdhocQuery/@home is its own, or XDSUnknownCommunity."""
    query = patients(s.OTHER_PATIENT) if transaction == "ITI-51" else m.find_documents()
    reply = ask(small, transaction, query.replace("<rim:AdhocQuery ", f'<rim:AdhocQuery home="{home}" '))
    assert outcome(reply)[0] == status
    if status == names.FAILURE:
        assert outcome(reply)[1] == [("XDSUnknownCommunity", names.SEVERITY_ERROR)]
