"""What `xds validate` says of a message is what the node says of it: the same rules at the same places.

The node answers each bad message of the black-box tests, and the vectors of tickets say what gate 1 answers.
What is wrong only with what is registered, or with the node it came to, no desk can know: such cases are left
out by their rule (`by_state`).
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.blackbox import bad, bad_registry
from tests.blackbox import messages as m
from tests.blackbox.bad import Case, NotAccepted, Partial, Refused
from tests.security.vectors import MALFORMED, PUBLISHED, Vector
from xds.registry.update_rules import RULES as registry_rules
from xds.transport.limits import Limits
from xds.validate.desk import Settings
from xds.validate.judging import Report, judge

SMALL = Settings(patients="open", limits=Limits(**bad.LIMITS))
DESKS = {"feed": replace(SMALL, patients="feed", authorities=frozenset({m.AUTHORITY}))}
#: Rules about what is registered or stored, or which node it is.
BY_STATE = re.compile(
    "registry-.*|update-resolved|remove-(known|referenced|orphan|source|versions)|retrieve-(repository|document|size|on-demand.*)|remove-document-.*|restricted-home"
    "|community-(own|known|record|unreached)|query-(home|too-many|single-patient)|document-same-bytes"
)
#: Those that a message can break by itself too: with what is registered, where a case sends something before.
SOMETIMES = {"update-association-ends", "update-status-target"}
CASES = [
    each
    for each in (*bad.CASES, *bad_registry.CASES)
    if isinstance(each.expected, Refused | NotAccepted | Partial)
]


def http(request: Any) -> bytes:
    """A request as it is on the wire."""
    body = request.body if isinstance(request.body, bytes) else b"".join(request.body)
    head = f"POST {request.path} HTTP/1.1\r\nHost: x\r\n"
    if request.content_type:
        head += f"Content-Type: {request.content_type}\r\n"
    return head.encode() + b"\r\n" + body


def told(report: Report) -> set[str]:
    """The rules of its errors and warnings."""
    return {each.rule for each in report.findings if each.severity != "information"}


def rules_of(case: Case) -> set[str]:
    """The rules that the node's answer must have, by the table."""
    found = case.expected.details if isinstance(case.expected, NotAccepted) else case.expected.errors
    return {each[2] for each in found}


def by_state(case: Case, rule: str) -> bool:
    """Whether only a registry can know it."""
    return (
        rule in registry_rules
        or BY_STATE.fullmatch(rule) is not None
        or (rule in SOMETIMES and bool(case.before))
    )


def judgeable() -> list[Case]:
    """The cases that the desk must judge as the node does."""
    return [case for case in CASES if not any(by_state(case, rule) for rule in rules_of(case))]


@pytest.mark.parametrize("case", judgeable(), ids=[case.name for case in judgeable()])
def test_a_bad_message_breaks_the_same_rules_at_the_desk(case: Case) -> None:
    """The table's rules, which test_bad_input.py holds the node to, are those that are found."""
    assert rules_of(case) == told(judge(case.name, http(case.request()), DESKS.get(case.node, SMALL)))


def test_few_are_left_out() -> None:
    """Most of the bad messages are judged here."""
    assert len(judgeable()) > 100


PUBLISHED_TRUST = Path(__file__).parents[2] / "conformance" / "vectors" / "tickets" / "trust.toml"
#: Replay is the node's memory; one is no message at all.
OURS = [each for each in PUBLISHED if each["sends"] == 1 and each["expected"] != MALFORMED]


def saved(vector: Vector) -> bytes:
    """A vector as it is on the wire."""
    if vector["kind"] == "saml":
        return f"POST / HTTP/1.1\r\nContent-Type: {vector['content_type']}\r\n\r\n".encode() + vector.content
    lines = "".join(f"{name}: {value}\r\n" for name, value in vector.headers)
    return f"{vector['method']} {vector['url']} HTTP/1.1\r\n{lines}\r\n".encode()


@pytest.mark.parametrize("vector", OURS, ids=str)
def test_a_ticket_is_refused_for_the_same_reason_as_by_the_gate(vector: Vector) -> None:
    """With the trust file, at the vector's time."""
    settings = Settings(trust=PUBLISHED_TRUST, at=vector.at, patients="open")
    found = {
        each
        for each in told(judge(str(vector), saved(vector), settings))
        if each.startswith(("ticket", "token", "proof", "timestamp"))
    }
    assert found == (set() if vector.is_good else {vector["expected"]})
