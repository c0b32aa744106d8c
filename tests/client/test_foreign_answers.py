"""The client against peers that answer otherwise than our node does: other codes, other bytes, nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.client import peer as peers
from tests.client.documents import SOURCE_ID, document, new_patient
from tests.client.peer import FAILURE, PARTIAL, SUCCESS, Peer
from xds.client import Client, ClientError, DocumentAddress, IncompleteFetch, PreparedSubmission, build

REPOSITORY = "1.2.3"
#: "abc" in base64.
ABC = "YWJj"


@pytest.fixture
def peer() -> Iterator[Peer]:
    """A peer that answers what the test says."""
    with peers.running() as peer:
        yield peer


@pytest.fixture
def client(peer: Peer) -> Iterator[Client]:
    """A client of the peer."""
    with Client(peer.url) as client:
        yield client


@pytest.fixture
def submission() -> PreparedSubmission:
    """A good submission of "abc"."""
    return build([document(b"abc", unique_id="1.2.3.4")], patient_id=new_patient(), source_id=SOURCE_ID)


def test_endpoints_may_have_any_address(peer: Peer, submission: PreparedSubmission):
    """Registry and repository of another make, each with its own URL."""
    peer.body = peers.registry_response(SUCCESS)
    with Client(registry="http://127.0.0.1:1/r", repository=f"{peer.url}/services/repo") as client:
        client.send(submission)
    assert len(peer.asked) == 1


def test_a_code_that_the_standard_does_not_know_is_shown(
    client: Client, peer: Peer, submission: PreparedSubmission
):
    """It is told in the text; `errors` has it as an error of the registry."""
    peer.body = peers.registry_response(FAILURE, peers.error("AcmeQuota", "Too much", "Document01"))
    with pytest.raises(ClientError, match=r"at Document01: \(AcmeQuota\) Too much") as caught:
        client.send(submission)
    assert [error.code for error in caught.value.errors] == ["XDSRegistryError"]


def test_what_a_peer_writes_cannot_drive_the_terminal(
    client: Client, peer: Peer, submission: PreparedSubmission
):
    """Line ends and the like are blanks (XML itself keeps ESC out), and a text has an end."""
    peer.body = peers.registry_response(
        FAILURE, peers.error("XDSRegistryError", "one&#10;two&#x9b;2J" + "x" * 5000)
    )
    with pytest.raises(ClientError) as caught:
        client.send(submission)
    text = str(caught.value)
    assert "one two 2Jxxx" in text
    assert text.count("\n") == 1
    assert len(text) < 1500


def test_a_failure_without_a_reason_is_a_failure(client: Client, peer: Peer, submission: PreparedSubmission):
    """A careless registry names no error."""
    peer.body = peers.registry_response(FAILURE)
    with pytest.raises(ClientError, match="without a reason"):
        client.send(submission)


@pytest.mark.parametrize("status", [FAILURE, PARTIAL, "", "Success"])
def test_only_success_is_success(client: Client, peer: Peer, submission: PreparedSubmission, status: str):
    """ITI-41 is all or nothing, so anything but the Success of the standard is a refusal."""
    peer.body = peers.registry_response(status)
    with pytest.raises(ClientError, match="refused the submission"):
        client.send(submission)


def test_a_peer_that_hangs_up_leaves_a_submission_that_can_be_sent_again(
    client: Client, peer: Peer, submission: PreparedSubmission
):
    """The second message says what the first one said: the same ids and hashes."""
    with pytest.raises(ClientError, match="broke off"):
        client.send(submission)
    peer.body = peers.registry_response(SUCCESS)
    receipt = client.send(submission)
    assert receipt.unique_ids == ("1.2.3.4",)
    assert len(peer.asked) == 2
    entry = submission.document_entries[0]
    for message in peer.asked:
        assert entry.entry_uuid.encode() in message
        assert receipt.submission_set_unique_id.encode() in message
        assert b"a9993e364706816aba3e25717850c26c9cd0d89d" in message


@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        (404, "text/html", "<html>Not found</html>"),
        (200, "text/html", "<html>Log in</html>"),
        (302, "text/html", ""),
        (200, "application/soap+xml", "no XML"),
        (200, "application/soap+xml", "<a/>"),
        (503, "text/plain", "busy"),
    ],
)
def test_what_is_no_soap_answer_is_an_error_in_words(
    client: Client, peer: Peer, submission: PreparedSubmission, status: int, content_type: str, body: str
):
    """A portal's page, a proxy's error: the sentence names the host, never a trace."""
    peer.enveloped, peer.status, peer.content_type, peer.body = False, status, content_type, body
    with pytest.raises(ClientError, match=r"127\.0\.0\.1"):
        client.send(submission)


@pytest.mark.parametrize(
    ("status", "severities", "refused"),
    [
        (SUCCESS, [], False),
        (SUCCESS, ["Warning"], False),
        (PARTIAL, ["Warning", "Warning"], False),
        (PARTIAL, ["Warning", "Error"], True),
        (PARTIAL, [], True),
        (FAILURE, ["Warning"], True),
    ],
)
def test_an_answer_that_may_hide_documents_is_refused(
    client: Client, peer: Peer, status: str, severities: list[str], refused: bool
):
    """A gateway that could not ask everyone reports an error; one that only warns has answered."""
    errors = "".join(
        peers.error("XDSRegistryError", "A remark").replace("Type:Error", f"Type:{each}")
        for each in severities
    )
    peer.body = peers.queried(status, errors)
    if refused:
        with pytest.raises(ClientError, match=r"refused the query|could not ask everybody"):
            client.find("1^^^&1.2.3&ISO")
    else:
        warnings = client.find("1^^^&1.2.3&ISO").warnings
        assert [(each.context, each.warning) for each in warnings] == [("A remark", True)] * len(severities)


def test_another_transactions_answer_is_refused(client: Client, peer: Peer):
    """A query that is answered like a submission."""
    peer.body = peers.registry_response(SUCCESS)
    with pytest.raises(ClientError, match="the right endpoint"):
        client.find("1^^^&1.2.3&ISO")


def test_other_bytes_than_were_registered_are_not_kept(
    client: Client, peer: Peer, submission: PreparedSubmission, tmp_path: Path
):
    """The entry's SHA-1 is that of "abc"; "abd" comes, of the same size."""
    entry = replace(submission.document_entries[0], repository_unique_id=REPOSITORY)
    peer.body = peers.retrieved(SUCCESS, (REPOSITORY, "1.2.3.4", "YWJk"))
    with pytest.raises(IncompleteFetch, match=r"1\.2\.3\.4: other bytes came"):
        client.fetch([entry], tmp_path)
    assert list(tmp_path.iterdir()) == []
    peer.body = peers.retrieved(SUCCESS, (REPOSITORY, "1.2.3.4", ABC))
    (fetched,) = client.fetch([entry], tmp_path)
    assert fetched.path.read_bytes() == b"abc"


def test_a_document_that_nobody_asked_for_is_not_kept(client: Client, peer: Peer, tmp_path: Path):
    """Another id, or the same document twice."""
    wanted = [DocumentAddress(REPOSITORY, "1"), DocumentAddress(REPOSITORY, "2")]
    peer.body = peers.retrieved(SUCCESS, (REPOSITORY, "1", ABC), (REPOSITORY, "1", ABC), ("9", "2", ABC))
    with pytest.raises(IncompleteFetch, match="1 of 2") as caught:
        client.fetch(wanted, tmp_path)
    assert [each.address for each in caught.value.fetched] == wanted[:1]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_part_that_is_missing_is_said(client: Client, peer: Peer, tmp_path: Path):
    """The answer names a MIME part that it does not have."""
    include = '<x:Include xmlns:x="http://www.w3.org/2004/08/xop/include" href="cid:none"/>'
    peer.body = peers.retrieved(SUCCESS, (REPOSITORY, "1", include))
    with pytest.raises(IncompleteFetch, match="1: its bytes are not in the answer"):
        client.fetch([DocumentAddress(REPOSITORY, "1")], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_documents_come_in_the_order_asked_for(client: Client, peer: Peer, tmp_path: Path):
    """Whatever order the repository answers in."""
    peer.body = peers.retrieved(SUCCESS, (REPOSITORY, "2", ABC), (REPOSITORY, "1", ABC))
    fetched = client.fetch([DocumentAddress(REPOSITORY, "1"), DocumentAddress(REPOSITORY, "2")], tmp_path)
    assert [each.address.document_unique_id for each in fetched] == ["1", "2"]


def test_a_home_community_is_asked_for_by_its_id(client: Client, peer: Peer, tmp_path: Path):
    """ITI TF-2 3.43.4.1.2: the entry's homeCommunityId goes into the request, first."""
    peer.body = peers.retrieved(SUCCESS, (REPOSITORY, "1", ABC))
    client.fetch([DocumentAddress(REPOSITORY, "1", "urn:oid:1.9")], tmp_path)
    asked = peer.asked[0]
    assert b"HomeCommunityId>urn:oid:1.9<" in asked
    assert asked.index(b"HomeCommunityId") < asked.index(b"RepositoryUniqueId")
