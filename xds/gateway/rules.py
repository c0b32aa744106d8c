"""The rules of the gateways: how communities are named, and what keeps one from answering.

The XCA transactions and this package report by these ids; docs/errors.md lists them. No sentence holds
anything from a message; which community it is stands in the error's location.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from xds.errors import Code, DataTypeError, RegistryError
from xds.metadata.datatypes import bare_oid, check_oid
from xds.metadata.rules import Rule

_QUERY: Final = "ITI TF-2 3.38.4.1.2.1"
_JOINED: Final = "ITI TF-2 3.18.4.1.3"


def _unavailable(sentence: str) -> Rule:
    return Rule(sentence, _JOINED, Code.UNAVAILABLE_COMMUNITY)


RULES: Final[Mapping[str, Rule]] = {
    # ---- as it is asked
    "community-named": Rule(
        "A query for objects by their ids must say whose they are: set home of the AdhocQuery to the"
        " homeCommunityId that came with the ids.",
        _QUERY,
        Code.MISSING_HOME_COMMUNITY_ID,
    ),
    "community-of-document": Rule(
        "Every DocumentRequest must have the HomeCommunityId that came with the document's ids.",
        "ITI TF-2 3.39.4.1.2",
        Code.MISSING_HOME_COMMUNITY_ID,
    ),
    "community-addressed": Rule(
        "The message must name the community that it is for: send xdr:homeCommunityBlock in the SOAP header,"
        " or a Slot homeCommunityId in rs:RequestSlotList.",
        "ITI TF-2 3.80.4.1.2",
        Code.MISSING_HOME_COMMUNITY_ID,
    ),
    "community-own": Rule(
        "The message names another community than this one: send it to that community's gateway, or ask"
        " through an initiating gateway.",
        "ITI TF-2 3.39.4.1.3",
        Code.UNKNOWN_COMMUNITY,
    ),
    "community-known": Rule(
        "This gateway knows no community with the given id: check it, or have the community put into the"
        " communities file.",
        _JOINED,
        Code.UNKNOWN_COMMUNITY,
    ),
    "community-once": Rule(
        "A query must name its communities by home of the AdhocQuery or by $targetCommunityIdList,"
        " not by both.",
        _QUERY,
        Code.REGISTRY_ERROR,
    ),
    "community-listed": Rule(
        "$targetCommunityIdList must hold homeCommunityIds as quoted texts in parentheses.",
        "ITI TF-2 3.18.4.1.2.3.5",
        Code.REGISTRY_ERROR,
    ),
    "community-patient": Rule(
        "A query about a patient must name one, by the parameter that the standard has for it and by an id"
        " that can be read: no other is sent on to other communities.",
        "ITI TF-2 3.18.4.1.2.3.5",
        Code.REGISTRY_ERROR,
    ),
    "community-query-known": Rule(
        "This gateway does not have this stored query, and sends none on of which it cannot tell whom it is"
        " about: use one of ITI-18.",
        _QUERY,
        Code.UNKNOWN_STORED_QUERY,
    ),
    "community-requests": Rule(
        "As many requests wait for other communities as may (all but a quarter of node.threads, or but"
        " eight): send it again later.",
        "ITI TF-3 table 4.2.4.1-2",
        Code.REGISTRY_BUSY,
        Code.REPOSITORY_BUSY,
    ),
    # ---- as another community answers
    "community-unreached": _unavailable(
        "The community could not be reached, or broke off; what it has is not in this answer. Ask again"
        " later."
    ),
    "community-late": _unavailable(
        "The community did not answer in the time that it has (communities file, query_seconds and"
        " retrieve_seconds); what it has is not in this answer. Ask again later."
    ),
    "community-resting": _unavailable(
        "The community has failed several times in a row and is not asked for some seconds; what it has is"
        " not in this answer. Ask again later."
    ),
    "community-busy": _unavailable(
        "This gateway has as many calls to the community under way as it may (communities file,"
        " connections); what it has is not in this answer. Ask again later."
    ),
    "community-record": _unavailable(
        "This gateway could not write down that an answer is to come later (asynchronous in the communities"
        " file), so the community was not asked, or its answer is lost. Ask again later."
    ),
    "community-secure": _unavailable(
        "No secure connection to the community came about, as a certificate of one side is not trusted; what"
        " it has is not in this answer. Tell the operator of this gateway."
    ),
    "community-size": _unavailable(
        "The community's answer is larger than this gateway takes (limits.root_bytes, limits.document_bytes,"
        " limits.total_bytes, registry.results); nothing of it is in this answer. Ask for less at a time."
    ),
    "community-room": _unavailable(
        "This gateway has no room for the community's answer; what it has is not in this answer. Tell the"
        " operator of this gateway, and ask again later."
    ),
    "community-readable": _unavailable(
        "The community answered with something that is no answer to the request; what it has is not in this"
        " answer. Tell its operator, with the reference number."
    ),
    "community-fault": _unavailable(
        "The community answered with a SOAP fault; what it has is not in this answer. It may not take the"
        " security ticket: tell its operator, with the reference number."
    ),
    "community-ticket": _unavailable(
        "No security ticket for the community could be had (gateway.ticket_exchange), so it was not asked."
        " Tell the operator of this gateway."
    ),
    "community-reason": _unavailable(
        "The community says that it could not answer, or not in full, and does not say why: tell its"
        " operator."
    ),
    "community-home": Rule(
        "The community's answer has objects without its homeCommunityId, or with another's: they are left"
        " out, as nobody could fetch what they describe. Tell its operator.",
        "ITI TF-2 3.38.4.1.3",
        Code.MISSING_HOME_COMMUNITY_ID,
    ),
    "community-query": Rule(
        "The community does not have this stored query (communities file, queries), so it was not asked.",
        _QUERY,
        Code.UNKNOWN_STORED_QUERY,
    ),
    "community-document": Rule(
        "The community answered without this document, and did not say why: tell its operator.",
        "ITI TF-2 3.39.4.1.3",
        Code.DOCUMENT_UNIQUE_ID_ERROR,
    ),
    # ---- as it is answered later
    "reply-room": Rule(
        "As many answers as may are waiting to be sent to the address in wsa:ReplyTo, so this request was not"
        " carried out: see to it that answers are taken there, and ask again; or ask for the answer on the"
        " same connection.",
        "ITI TF-2 V.3",
        Code.REGISTRY_BUSY,
        Code.REPOSITORY_BUSY,
    ),
}


def broken(
    rule_id: str, location: str = "", detail: str = "", *, transaction: str = "", warning: bool = False
) -> RegistryError:
    """The error of a broken rule at a location."""
    return RULES[rule_id].error(rule_id, location, transaction, detail, warning=warning)


def unknown(home: str, place: str = "") -> RegistryError:
    """The error of an id that no community has which this gateway knows.

    What is no OID does not come back: anything may have been written in its place.
    """
    try:
        check_oid(bare_oid(home))
    except DataTypeError:
        home = ""
    return broken("community-known", home or place, place and home and f"({place})")
