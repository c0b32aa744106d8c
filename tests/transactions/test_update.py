"""ITI-57 and ITI-92 over HTTP: updates arrive by their own actions, and the answers follow the schemas."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.blackbox import messages as m
from tests.blackbox.wire import FAILURE, SOAP11, SOAP12, SUCCESS, Reply, Request, send
from tests.metadata import samples as s
from tests.nodes import Node
from tests.registry.updates import SET, document, folder, member, message, status, submitted, uuid
from xds.metadata import names
from xds.metadata.model import RegistryObject

REGISTER = "urn:ihe:iti:2007:RegisterDocumentSet-b"
UPDATE = "urn:ihe:iti:2010:UpdateDocumentSet"
RESTRICTED = "urn:ihe:iti:2018:RestrictedUpdateDocumentSet"
COMMUNITY = "2.16.578.1.12.4.5.100.1.1"
_ids = iter(range(0x1000, 0x100000, 0x10))


@pytest.fixture(scope="module")
def community(new_node: Callable[..., Node]) -> Iterator[Node]:
    """A node that knows its own homeCommunityId."""
    node = new_node(node__home_community_id=COMMUNITY)
    yield node
    node.stop()


def ask(node: Node, objects: tuple[RegistryObject, ...], action: str, soap: str = SOAP12) -> Reply:
    """Send objects by one of the actions."""
    body = m.envelope(s.message(objects).decode(), action, soap=soap)
    reply = send(node, Request(m.REGISTRY, m.media_type(soap), body))
    assert (reply.status, reply.version) == (200, soap)
    assert reply.header("Action") == action + "Response"
    return reply


def errors(reply: Reply) -> list[tuple[str, str]]:
    """(errorCode, location) of a Failure."""
    answer = reply.content()
    assert answer.get("status") == FAILURE
    return [(each.get("errorCode", ""), each.get("location", "")) for each in answer.iter("{*}RegistryError")]


def registered(node: Node) -> tuple[str, int]:
    """A new document's entryUUID and the number in its uniqueId."""
    number = next(_ids)
    objects = s.submission(document(uuid(number), number), of=s.submission_set(unique_id=f"1.2.7.{number}"))
    assert ask(node, objects, REGISTER).content().get("status") == SUCCESS
    return uuid(number), number


@pytest.mark.parametrize("soap", [SOAP12, SOAP11])
def test_an_update_is_answered(node: Node, soap: str) -> None:
    """All operations in one request, then the same request again, then one too late."""
    own, number = registered(node)
    other, _ = registered(node)
    new = uuid(number + 1)
    objects = message(
        document(new, number, logical_id=own),
        member(new, 1, "no"),
        *submitted(names.APND, new, other),
        status(other),
        unique_id=f"1.2.6.{number}",
    )
    assert ask(node, objects, UPDATE, soap).content().get("status") == SUCCESS
    assert ask(node, objects, UPDATE, soap).content().get("status") == SUCCESS
    late = message(
        document(uuid(number + 2), number, logical_id=own),
        member(uuid(number + 2)),
        unique_id=f"1.2.6.{number}.1",
    )
    assert errors(ask(node, late, UPDATE, soap)) == [
        ("XDSMetadataVersionError", f"to-{uuid(number + 2)}/PreviousVersion")
    ]


def test_the_errors_of_an_update_name_the_object(node: Node) -> None:
    """In codeContext (XDS Metadata Update 3.57.4.1.3), whatever is wrong with what brings its new version."""
    own, number = registered(node)
    new = uuid(number + 1)
    objects = message(document(new, number, logical_id=own), member(new, None, "perhaps", status="Reference"))
    reply = ask(node, objects, UPDATE)
    assert sorted(errors(reply)) == [
        ("XDSMetadataUpdateError", f"to-{new}/AssociationPropagation"),
        ("XDSMetadataUpdateError", f"to-{new}/PreviousVersion"),
        ("XDSRegistryMetadataError", f"to-{new}/submissionSetStatus"),
    ]
    found = reply.content().iter("{*}RegistryError")
    assert all(f"({new})" in each.get("codeContext", "") for each in found)


def test_the_action_decides_what_a_message_is(node: Node) -> None:
    """The same Body is no registration, and a registration is no update."""
    own, number = registered(node)
    new = uuid(number + 1)
    update = message(document(new, number, logical_id=own), member(new), unique_id=f"1.2.6.{number}")
    assert ("XDSRegistryMetadataError", f"{new}/logicalID") in errors(ask(node, update, REGISTER))
    first = s.submission(document(new, number + 1), of=s.submission_set(unique_id=f"1.2.6.{number}"))
    assert ("XDSMetadataUpdateError", f"{new}/logicalID") in errors(ask(node, first, UPDATE))


@pytest.mark.parametrize("home", [f"urn:oid:{COMMUNITY}", COMMUNITY])
def test_a_restricted_update_is_answered(community: Node, home: str) -> None:
    """For this community, however it writes its id."""
    own, number = registered(community)
    new = uuid(number + 1)
    objects = message(
        document(new, number, logical_id=own, title="Rettet"),
        member(new),
        home=home,
        unique_id=f"1.2.6.{number}",
    )
    assert ask(community, objects, RESTRICTED).content().get("status") == SUCCESS


@pytest.mark.parametrize(
    ("home", "code"),
    [("urn:oid:1.2.3", "XDSUnknownCommunity"), (None, "XDSMissingHomeCommunityId")],
)
def test_a_restricted_update_of_another_community_is_refused(
    community: Node, home: str | None, code: str
) -> None:
    """It is not forwarded."""
    own, number = registered(community)
    new = uuid(number + 1)
    objects = message(document(new, number, logical_id=own), member(new), home=home)
    assert errors(ask(community, objects, RESTRICTED)) == [(code, f"{SET}/homeCommunityId")]


def test_a_node_without_a_community_takes_no_restricted_update(node: Node) -> None:
    """It cannot tell that it is meant."""
    own, number = registered(node)
    new = uuid(number + 1)
    objects = message(document(new, number, logical_id=own), member(new), home=s.HOME)
    reply = ask(node, objects, RESTRICTED)
    assert errors(reply) == [("XDSUnknownCommunity", f"{SET}/homeCommunityId")]
    assert b"node.home_community_id" in reply.body


def test_a_restricted_update_has_documents_only(community: Node) -> None:
    """A folder is refused by its own code, together with all else that is wrong."""
    own, number = registered(community)
    new, other = uuid(number + 1), uuid(number + 2)
    parts: list[Any] = [
        document(new, number, logical_id=own),
        folder(other, number, logical_id=uuid(number + 3)),
        member(new, None),
        member(other, status=None),
    ]
    assert errors(ask(community, message(*parts, home=s.HOME), RESTRICTED)) == [
        ("XDSMetadataAnnotationError", f"to-{new}/PreviousVersion"),
        ("XDSObjectTypeError", other),
    ]
