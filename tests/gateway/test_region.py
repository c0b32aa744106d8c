"""Three communities and a fourth that asks them: the way of Kjernejournal, on this machine.

Every community is a process of its own with its own database. What is expected follows from what was filed
where, and from ITI TF-2 3.38 and 3.39; documents are compared byte for byte.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests import nodes
from tests.audit.profiles import problems
from tests.blackbox import messages as m
from tests.blackbox.wire import FAILURE, PARTIAL, SUCCESS
from tests.gateway.region import (
    HOME,
    HOMES,
    INITIATING,
    RESPONDING,
    Region,
    community,
    entries,
    ids_of,
    query,
    retrieve,
    rules,
    transaction_of,
    urn,
)
from xds.demo.tickets import TicketService

PATIENT = m.PATIENT


def document(text: str) -> m.Document:
    """One with bytes and ids of its own."""
    return m.Document(content=text.encode() + secrets.token_bytes(8), id=m.new_uuid())


@dataclass(frozen=True)
class World:
    """Three communities with a document each, and the gateway's own with one."""

    region: Region
    gateway: nodes.Node
    communities: dict[str, nodes.Node]
    documents: dict[str, m.Document]


@pytest.fixture(scope="module")
def world(new_node: Callable[..., nodes.Node], tmp_path_factory: pytest.TempPathFactory) -> World:
    """All four, running."""
    folder = tmp_path_factory.mktemp("region")
    region = Region(TicketService(folder / "tickets"), new_node, folder)
    communities = {home: region.node(home) for home in HOMES[:3]}
    lines = "".join(community(home, node.url + RESPONDING) for home, node in communities.items())
    gateway = region.gateway(lines)
    documents = {home: document(home) for home in (HOME, *HOMES[:3])}
    for home, node in ({HOME: gateway} | communities).items():
        region.file(node, documents[home])
    return World(region, gateway, communities, documents)


ORDER = (HOME, *HOMES[:3])


def test_a_query_gives_the_union_in_the_order_of_the_file(world: World) -> None:
    """Own ones first, then as the communities stand in the file; each object says whose it is."""
    reply = world.region.ask(world.gateway, INITIATING, "ITI-18", m.find_documents())
    assert reply.outcome == SUCCESS
    assert rules(reply) == []
    assert entries(reply) == [(urn(home), world.documents[home].unique_id) for home in ORDER]
    assert reply.header("Action") == "urn:ihe:iti:2007:RegistryStoredQueryResponse"


def test_references_say_whose_they_are(world: World) -> None:
    """An ObjectRef has nothing but its id and its community."""
    reply = world.region.ask(world.gateway, INITIATING, "ITI-18", m.find_documents(return_type="ObjectRef"))
    found = [(each.get("home"), each.get("id")) for each in reply.content().iter("{*}ObjectRef")]
    assert found == [(urn(home), world.documents[home].id) for home in ORDER]


@pytest.mark.parametrize("mtom", [False, True])
def test_documents_of_all_come_byte_for_byte(world: World, mtom: bool) -> None:
    """One request for four documents in four places; in the order asked, in the form asked."""
    asked = [(urn(home), world.documents[home].unique_id) for home in reversed(ORDER)]
    reply = world.region.ask(world.gateway, INITIATING, "ITI-43", retrieve(*asked), mtom=mtom)
    assert reply.outcome == SUCCESS
    assert reply.mtom is mtom
    expected = {world.documents[home].unique_id: world.documents[home].content for home in ORDER}
    assert reply.documents() == expected
    homes = [each.text for each in reply.content().iter("{*}HomeCommunityId")]
    assert homes == [home for home, _ in asked]


def addresses_of(event: dict[str, Any]) -> list[str]:
    """The network addresses of an event's agents."""
    return [each["network"]["address"] for each in event["agent"] if "network" in each]


def test_the_log_of_each_community_tells_of_it_under_the_same_id(world: World) -> None:
    """Who asked is in each log; the trace-id is one, and a message's id is the same at both of its ends."""
    trace = secrets.token_hex(16)
    headers = (("traceparent", f"00-{trace}-00f067aa0ba902b7-01"),)
    ask = world.region.ask
    asked = [(urn(home), world.documents[home].unique_id) for home in ORDER]
    assert ask(world.gateway, INITIATING, "ITI-18", m.find_documents(), headers=headers).outcome == SUCCESS
    assert ask(world.gateway, INITIATING, "ITI-43", retrieve(*asked), headers=headers).outcome == SUCCESS

    def told(node: nodes.Node) -> list[dict[str, Any]]:
        found = [each for each in world.region.log(node) if ids_of(each).get("trace") == trace]
        for each in found:
            assert problems(each) == []
        return found

    own = told(world.gateway)
    assert sorted(map(transaction_of, own)) == sorted(["ITI-18", "ITI-43", *["ITI-38"] * 3, *["ITI-39"] * 3])
    for node in world.communities.values():
        there = {transaction_of(each): each for each in told(node)}
        assert set(there) == {"ITI-38", "ITI-39"}
        for number, event in there.items():
            (leg,) = [
                each
                for each in own
                if transaction_of(each) == number and node.url + RESPONDING in addresses_of(each)
            ]
            assert ids_of(leg)["message to the community"] == ids_of(event)["message"]
            people = [each["agent"][0]["name"] for each in (leg, event)]
            assert people[0] == people[1]
            patients = [each["entity"][0]["what"]["identifier"]["value"] for each in (leg, event)]
            assert patients == [m.NUMBER, m.NUMBER]


def test_a_query_by_ids_goes_to_its_community_alone(world: World) -> None:
    """With home to one community; without, and with a stranger's, it is refused."""
    home = HOMES[1]
    unique_id = world.documents[home].unique_id
    ask = world.region.ask
    body = m.get_documents(unique_id)
    before = len(world.region.log(world.communities[HOMES[0]]))
    reply = ask(world.gateway, INITIATING, "ITI-18", query(body, urn(home)))
    assert (reply.outcome, entries(reply)) == (SUCCESS, [(urn(home), unique_id)])
    assert len(world.region.log(world.communities[HOMES[0]])) == before + 1  # our reading of the log
    reply = ask(world.gateway, INITIATING, "ITI-18", query(body, urn(HOME)))
    assert (reply.outcome, entries(reply)) == (SUCCESS, [])
    reply = ask(world.gateway, INITIATING, "ITI-18", body)
    assert reply.outcome == FAILURE
    assert [(each.code, each.rule) for each in reply.errors] == [
        ("XDSMissingHomeCommunityId", "community-named")
    ]
    reply = ask(world.gateway, INITIATING, "ITI-18", query(body, "urn:oid:1.2.3.4"))
    assert reply.outcome == FAILURE
    assert rules(reply) == [("XDSUnknownCommunity", "urn:oid:1.2.3.4", "community-known")]


def test_a_patients_query_for_named_communities(world: World) -> None:
    """To those alone, whatever the order they are named in; strangers are errors beside what is found."""
    ask = world.region.ask
    some = [HOMES[2], HOMES[0]]
    reply = ask(
        world.gateway, INITIATING, "ITI-18", query(m.find_documents(), targets=[urn(each) for each in some])
    )
    assert reply.outcome == SUCCESS
    assert [home for home, _ in entries(reply)] == [urn(HOMES[0]), urn(HOMES[2])]
    reply = ask(world.gateway, INITIATING, "ITI-18", query(m.find_documents(), urn(HOMES[1])))
    assert [home for home, _ in entries(reply)] == [urn(HOMES[1])]
    reply = ask(
        world.gateway,
        INITIATING,
        "ITI-18",
        query(m.find_documents(), targets=[urn(HOMES[0]), "urn:oid:1.2.3"]),
    )
    assert reply.outcome == PARTIAL
    assert [home for home, _ in entries(reply)] == [urn(HOMES[0])]
    assert rules(reply) == [("XDSUnknownCommunity", "urn:oid:1.2.3", "community-known")]
    reply = ask(
        world.gateway,
        INITIATING,
        "ITI-18",
        query(m.find_documents(), urn(HOMES[0]), targets=[urn(HOMES[0])]),
    )
    assert (reply.outcome, [each.rule for each in reply.errors]) == (FAILURE, ["community-once"])


def test_what_is_wrong_with_a_retrieval_is_told_for_each_document(world: World) -> None:
    """Without a community, of a stranger's, and not there: beside the one that comes."""
    good = (urn(HOMES[0]), world.documents[HOMES[0]].unique_id)
    asked = [("", "1.2.3"), ("urn:oid:1.2.3.4", "1.2.3"), (urn(HOMES[1]), "1.2.3.99"), good]
    reply = world.region.ask(world.gateway, INITIATING, "ITI-43", retrieve(*asked))
    assert reply.outcome == PARTIAL
    assert list(reply.documents()) == [good[1]]
    assert [each[:2] for each in rules(reply)] == [
        ("XDSMissingHomeCommunityId", "DocumentRequest[1]/HomeCommunityId"),
        ("XDSUnknownCommunity", "urn:oid:1.2.3.4"),
        ("XDSDocumentUniqueIdError", urn(HOMES[1])),
    ]


def test_a_responding_gateway_puts_its_name_on_everything(world: World) -> None:
    """Objects and the location of each error (ITI TF-2 3.38.4.1.3); multipart if it was asked so."""
    home = HOMES[0]
    node, ask = world.communities[home], world.region.ask
    for mtom in (False, True):
        reply = ask(node, RESPONDING, "ITI-38", m.find_documents(), mtom=mtom)
        assert (reply.outcome, reply.mtom) == (SUCCESS, mtom)
        assert entries(reply) == [(urn(home), world.documents[home].unique_id)]
        assert reply.header("Action") == "urn:ihe:iti:2007:CrossGatewayQueryResponse"
        reply = ask(
            node, RESPONDING, "ITI-39", retrieve((urn(home), world.documents[home].unique_id)), mtom=mtom
        )
        assert (reply.outcome, reply.mtom) == (SUCCESS, mtom)
        assert reply.documents() == {world.documents[home].unique_id: world.documents[home].content}
    body = m.get_documents(world.documents[home].unique_id)
    for asked, code, rule in (
        (body, "XDSMissingHomeCommunityId", "community-named"),
        (query(body, urn(HOMES[1])), "XDSUnknownCommunity", "query-home"),
        (query(m.find_documents(), urn(HOMES[1])), "XDSUnknownCommunity", "query-home"),
        (
            m.query("urn:uuid:00000000-0000-4000-8000-000000000000", {}),
            "XDSUnknownStoredQuery",
            "query-known",
        ),
    ):
        reply = ask(node, RESPONDING, "ITI-38", asked)
        assert (reply.outcome, rules(reply)) == (FAILURE, [(code, urn(home), rule)])
    wanted = [
        ("", "1.2.3"),
        (urn(HOMES[1]), "1.2.3"),
        (urn(home), "1.2.3"),
        (home, world.documents[home].unique_id),
    ]
    reply = ask(node, RESPONDING, "ITI-39", retrieve(*wanted), mtom=True)
    assert (reply.outcome, reply.mtom) == (PARTIAL, True)
    assert rules(reply) == [
        ("XDSMissingHomeCommunityId", urn(home), "community-of-document"),
        ("XDSUnknownCommunity", urn(home), "community-own"),
        ("XDSDocumentUniqueIdError", urn(home), "retrieve-document"),
    ]
    assert list(reply.documents()) == [world.documents[home].unique_id]
