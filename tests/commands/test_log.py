"""`xds log` and its commands, on the database of a real node that has something to tell."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.access.test_every_path import Marked
from tests.blackbox import messages as m
from tests.blackbox.wire import SUCCESS, send
from tests.nodes import Node
from xds.demo.tickets import CLINICIAN, PATIENT, TicketService
from xds.security.denials import WSSE

PID = m.PATIENT.replace(m.NUMBER, PATIENT)


@pytest.fixture(scope="module")
def document() -> Marked:
    """What was filed."""
    return Marked(patient=PID)


@pytest.fixture(scope="module")
def node(new_node: Callable[..., Node], tmp_path_factory: pytest.TempPathFactory, document: Marked) -> Node:
    """Somebody filed a document, fetched it, asked wrongly, and came without a ticket."""
    service = TicketService(tmp_path_factory.mktemp("tickets"))
    node = new_node(
        access__ticket="required", trust=service.trust, node__name="ward-7", audit__keep_days="3650"
    )
    ticket = service.saml("personnel", patient=PATIENT)
    header = f'<w:Security xmlns:w="{WSSE}" s:mustUnderstand="1">{ticket}</w:Security>'
    for transaction, body, head, status in (
        ("ITI-41", m.provide([document], m.inline([document]), patient=PID), header, SUCCESS),
        ("ITI-43", m.retrieve(document.unique_id), header, SUCCESS),
        ("ITI-43", m.retrieve("1.2.3"), header, ""),
        ("ITI-18", m.find_documents(PID), "", ""),
    ):
        reply = send(node, m.plain(body, transaction, header=head))
        assert not status or reply.outcome == status
    return node


def said(node: Node, *arguments: str, code: int = 0) -> str:
    """What a command prints."""
    done = node.command("log", *arguments)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done.stdout + done.stderr


def test_the_log_in_plain_words(node: Node, document: Marked) -> None:
    """Who, from where, when, why, what; the newest first."""
    lines = said(node, "--patient", PATIENT).splitlines()
    assert re.split(r"  +", lines[0].strip()) == [
        *("WHEN (UTC)", "WHO", "FROM WHERE", "WHY", "WHAT", "PATIENT", "HOW IT WENT", "ID")
    ]
    own = [line for line in lines[1:] if "ITI" not in line and "Audit Log" not in line]
    failed, fetched, filed = own[-3:]
    assert "Retrieve Document Set" in failed
    assert "refused" in failed
    assert "retrieve-document" in failed
    for word in ("Tuva Fjell (LE)", "treatment", f"urn:oid:{document.unique_id}", PATIENT, "done"):
        assert word in fetched
    assert "registered: Provide and Register Document Set-b" in filed


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (("--person", CLINICIAN, "--transaction", "ITI-43"), 2),
        (("--transaction", "ITI-41"), 1),
        (("--failed",), 2),
        (("--transaction", "ITI-43", "--limit", "1"), 1),
        (("--until", "2020-01-01", "--since", "2019-01-01"), 0),
    ],
)
def test_what_is_asked_for(node: Node, arguments: tuple[str, ...], count: int) -> None:
    """As AuditEvents, one on a line."""
    events = [json.loads(line) for line in said(node, "--json", *arguments).splitlines()]
    assert len(events) == count
    assert all(each["resourceType"] == "AuditEvent" for each in events)


def test_a_request_is_found_by_its_ids(node: Node, document: Marked) -> None:
    """The document's uniqueId leads to it, and so does the reference number in an error."""
    events = [json.loads(x) for x in said(node, "--json", "--about", document.unique_id).splitlines()]
    assert {each["subtype"][0]["code"] for each in events} == {"ITI-41", "ITI-43"}
    reference = next(
        each["what"]["identifier"]["value"]
        for each in events[0]["entity"]
        if each.get("description") == "reference"
    )
    (found,) = said(node, "--json", "--about", reference).splitlines()
    assert json.loads(found)["id"] == events[0]["id"]
    assert reference in node.log.read_text()


def test_reading_at_the_terminal_is_on_record(node: Node) -> None:
    """With the name of whoever is logged in."""
    said(node, "--patient", PATIENT)
    event = json.loads(said(node, "--json", "--transaction", "log", "--limit", "1"))
    (user,) = [each for each in event["agent"] if each["requestor"]]
    assert user["who"]["display"]
    assert (event["type"]["code"], event["action"], event["outcome"]) == ("110101", "R", "0")


def test_verify_prints_a_head_that_holds_later(node: Node) -> None:
    """Whole; a noted head holds; a false one does not."""
    text = said(node, "verify")
    head = re.search(r"head (ward-7:\d+:[0-9a-f]{64})", text)
    assert head
    assert "whole" in text
    said(node, "--patient", PATIENT)
    said(node, "verify", "--head", head[1])
    false = f"{head[1][:-4]}0000"
    assert "NOT WHOLE" in said(node, "verify", "--head", false, code=1)
    assert "node:number:hash" in said(node, "verify", "--head", "x", code=1)


def test_nothing_to_resend_without_a_receiver(node: Node) -> None:
    """And it says which settings there are."""
    assert "audit.fhir_receiver" in said(node, "resend", "--since", "2020-01-01", code=1)
    assert "Nothing waits" in said(node, "outbox")


def test_nothing_young_expires(node: Node) -> None:
    """Ten years are kept here."""
    assert said(node, "expire") == "0 events older than 3650 days were deleted.\n"


@pytest.mark.embedded
def test_verify_finds_a_row_that_was_changed(node: Node, tmp_path: Path) -> None:
    """In a copy of the database."""
    copy = tmp_path / "xds.db"
    own = node.database_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(own)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
        target.execute("UPDATE audit_event SET pid = NULL WHERE seq = 2")
        target.commit()
    kept = node.environment["XDS_STORE__DATABASE"]
    node.environment["XDS_STORE__DATABASE"] = f"sqlite:///{copy}"
    try:
        assert "number 2 of" in said(node, "verify", code=1)
    finally:
        node.environment["XDS_STORE__DATABASE"] = kept
