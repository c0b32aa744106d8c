"""A `Caller` as people and programs read it."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone

import pytest

from xds.metadata.model import Code
from xds.metadata.national import NATIONAL
from xds.security.caller import Caller, CallerKind, Decision, Identifier, Unit
from xds.security.describe import as_json, describe

FULL = Caller(
    kind=CallerKind.PERSONNEL,
    issuer="urn:xds:test:kjernejournal",
    issuer_kind="kjernejournal",
    ticket_id="_1",
    subject="01815510093",
    expires_at=datetime(2026, 1, 15, 14, tzinfo=timezone(timedelta(hours=1))),
    person=Identifier("01815510093", NATIONAL),
    name="Kari Østby",
    hpr="7000010",
    role=Code("LE", "2.16.578.1.12.4.1.1.9060", "Lege"),
    organisation=Unit(Identifier("100000024", "2.16.578.1.12.4.1.4.101"), "Eksempel kommune"),
    unit=Unit(name="Eksempel sjukeheim"),
    department=Unit(Identifier("17")),
    purpose=Code("TREAT", "2.16.840.1.113883.1.11.20448", "Treatment"),
    purpose_details=Code("3", ""),
    health_service=Code("KP01", "2.16.578.1.12.4.1.1.8663"),
    decision=Decision("a-1", user_selected=True, description="Innlagt"),
    security_level=4,
    patient=Identifier("02825510012", NATIONAL),
    patient_unit=Unit(name="Legevakt"),
    patient_department=Unit(name="Post 1"),
    acp="2.16.578.1.12.4.1.7.2.1.8",
    consent_document="2.16.578.1.12.4.1.7.2.2.1",
    scopes=frozenset({"b", "a"}),
    client="client-1",
    home="2.16.578.1.12.4.1.7.1.1",
    attested_at=datetime(2026, 1, 15, 11, 58, 0, 500_000, tzinfo=UTC),
)
BARE = Caller(
    kind=CallerKind.MACHINE,
    issuer="urn:xds:test:system",
    ticket_id="_2",
    subject="feed",
    expires_at=datetime(2026, 1, 15, 13, tzinfo=UTC),
)


def test_a_full_caller_is_shown_line_by_line():
    """Codes with their system and name, units by name and number, times in UTC."""
    expected = """\
Kind:                 personnel
Person:               01815510093 (2.16.578.1.12.4.1.4.1)
Name:                 Kari Østby
HPR number:           7000010
Role:                 LE (2.16.578.1.12.4.1.1.9060) Lege
Organisation:         Eksempel kommune, 100000024 (2.16.578.1.12.4.1.4.101)
Unit:                 Eksempel sjukeheim
Department:           17
Purpose:              TREAT (2.16.840.1.113883.1.11.20448) Treatment
Purpose details:      3
Health service:       KP01 (2.16.578.1.12.4.1.1.8663)
Decision:             a-1, selected by the user, Innlagt
Patient:              02825510012 (2.16.578.1.12.4.1.4.1)
Patient's unit:       Legevakt
Patient's department: Post 1
Access policy:        2.16.578.1.12.4.1.7.2.1.8
Consent document:     2.16.578.1.12.4.1.7.2.2.1
Security level:       4
Scopes:               a b
Client:               client-1
Home community:       2.16.578.1.12.4.1.7.1.1
Issuer:               urn:xds:test:kjernejournal
Issuer kind:          kjernejournal
Ticket id:            _1
Subject:              01815510093
Attested at:          2026-01-15T11:58:00.500000Z
Expires at:           2026-01-15T13:00:00Z"""
    assert describe(FULL) == expected


def test_what_the_ticket_did_not_say_has_no_line():
    """The labels are then no wider than they must be."""
    assert describe(BARE) == (
        "Kind:       machine\n"
        "Issuer:     urn:xds:test:system\n"
        "Ticket id:  _2\n"
        "Subject:    feed\n"
        "Expires at: 2026-01-15T13:00:00Z"
    )


def test_every_field_is_shown():
    """A field that Caller gets later must not be forgotten here."""
    assert len(describe(FULL).splitlines()) == len(fields(Caller)) == len(as_json(FULL))


@pytest.mark.parametrize(
    ("user_selected", "expected"),
    [
        (True, "a, selected by the user"),
        (False, "a, not selected by the user"),
        (None, "a"),
    ],
)
def test_a_decision_says_who_selected_it(user_selected: bool | None, expected: str):
    """No is an answer too."""
    shown = describe(Caller(**_changed(decision=Decision("a", user_selected))))
    assert f"Decision:   {expected}\n" in shown


def test_control_characters_do_not_reach_the_terminal():
    """A token may have any text in a name."""
    shown = describe(Caller(**_changed(name="Kari\x1b[31m\n\u202eØstby", scopes=frozenset({"a\nb"}))))
    assert "Kari [31m  Østby\n" in shown
    assert "a b\n" in shown


def test_times_at_the_end_of_the_calendar_are_shown_as_they_are():
    """They cannot be moved to UTC."""
    last = datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))
    assert "9999-12-31T23:59:59.999999-01:00" in describe(Caller(**_changed(expires_at=last)))


def test_a_full_caller_as_json():
    """The fields by name; what is empty is left out, and JSON can write the rest."""
    said = as_json(FULL)
    assert json.loads(json.dumps(said)) == said
    assert said["kind"] == "personnel"
    assert said["person"] == {"value": "01815510093", "authority": NATIONAL}
    assert said["role"] == {"code": "LE", "scheme": "2.16.578.1.12.4.1.1.9060", "display": "Lege"}
    assert said["unit"] == {"name": "Eksempel sjukeheim"}
    assert said["department"] == {"identifier": {"value": "17"}}
    assert said["purpose_details"] == {"code": "3"}
    assert said["decision"] == {"id": "a-1", "user_selected": True, "description": "Innlagt"}
    assert (said["security_level"], said["scopes"]) == (4, ["a", "b"])
    assert said["expires_at"] == "2026-01-15T13:00:00Z"


def test_a_bare_caller_as_json():
    """Nothing but what every ticket says."""
    assert as_json(BARE) == {
        "kind": "machine",
        "issuer": "urn:xds:test:system",
        "ticket_id": "_2",
        "subject": "feed",
        "expires_at": "2026-01-15T13:00:00Z",
    }
    assert as_json(Caller(**_changed(decision=Decision("a", False))))["decision"] == {
        "id": "a",
        "user_selected": False,
    }


def _changed(**more: object) -> dict[str, object]:
    return {each.name: getattr(BARE, each.name) for each in fields(Caller)} | more
