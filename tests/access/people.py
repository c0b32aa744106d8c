"""Synthetic people of a wanted age, and callers of each kind, as a good ticket would make them.

Every number has its month raised by 80 (Tenor), so nobody has it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cache
from typing import Any

from xds.metadata.model import Code
from xds.metadata.national import NATIONAL, with_control_digits
from xds.security.caller import Caller, CallerKind, Identifier, Unit

#: The day of every decision in these tests, at noon.
DAY = date(2026, 6, 15)
NOON = datetime(2026, 6, 15, 10, 0, tzinfo=UTC)

ACP = "2.16.578.1.12.4.1.7.2.1."
ENTERPRISE = "2.16.578.1.12.4.1.4.101"
ORGANISATION, OTHER_ORGANISATION = "310000000", "310000019"
HPR, OTHER_HPR = "9144889", "9144897"
LEGAL_ROLE = Code("LE", "2.16.578.1.12.4.1.1.9060")


@cache
def number(born: date, which: int = 0) -> str:
    """A synthetic national number of somebody born on this day; `which` tells several apart."""
    individuals = range(500, 1000) if born.year >= 2000 else range(500)
    found = (with_control_digits(f"{born:%d}{born.month + 80:02}{born:%y}{each:03}") for each in individuals)
    return [each for each in found if each][which]


def person(born: date, which: int = 0) -> Identifier:
    """The number as a ticket has it."""
    return Identifier(number(born, which), NATIONAL)


def pid(who: Identifier) -> str:
    """The number as the registry has it."""
    return f"{who.value}^^^&{who.authority}&ISO"


def turning(years: int, days: int = 0) -> date:
    """The birth date of somebody whose birthday of so many years is `days` days before DAY."""
    return date.fromordinal(DAY.toordinal() - days).replace(year=DAY.year - years)


def caller(kind: CallerKind, who: Identifier | None, patient: Identifier | None, **more: Any) -> Caller:
    """A caller of level 4 with a role."""
    made = Caller(
        kind=kind,
        issuer="test",
        issuer_kind="xua",
        ticket_id="1",
        subject="1",
        expires_at=NOON,
        person=who,
        hpr=HPR if kind is CallerKind.PERSONNEL else "",
        organisation=Unit(Identifier(ORGANISATION, ENTERPRISE)),
        role=LEGAL_ROLE,
        patient=patient,
        security_level=4,
    )
    return replace(made, **more)
