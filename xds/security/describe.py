"""A `Caller` for people to read: `xds ticket show` prints it as lines, or as JSON.

Numbers of people are shown in full, for whoever has the ticket has them. It must never be used for logs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

from xds.metadata.model import Code
from xds.security.caller import Caller, Decision, Identifier, Unit

#: What is shown of a Caller, in this order: the label, and the field.
_LINES: Final = (
    ("Kind", "kind"),
    ("Person", "person"),
    ("Name", "name"),
    ("HPR number", "hpr"),
    ("Role", "role"),
    ("Organisation", "organisation"),
    ("Unit", "unit"),
    ("Department", "department"),
    ("Purpose", "purpose"),
    ("Purpose details", "purpose_details"),
    ("Health service", "health_service"),
    ("Decision", "decision"),
    ("Patient", "patient"),
    ("Patient's unit", "patient_unit"),
    ("Patient's department", "patient_department"),
    ("Access policy", "acp"),
    ("Consent document", "consent_document"),
    ("Security level", "security_level"),
    ("Scopes", "scopes"),
    ("Client", "client"),
    ("Home community", "home"),
    ("Issuer", "issuer"),
    ("Issuer kind", "issuer_kind"),
    ("Ticket id", "ticket_id"),
    ("Subject", "subject"),
    ("Attested at", "attested_at"),
    ("Expires at", "expires_at"),
)


def describe(caller: Caller) -> str:
    """Aligned lines, `Kind: personnel` first, without what the ticket did not say; times are in UTC."""
    shown = [(label, _shown(getattr(caller, field))) for label, field in _LINES]
    width = max(len(label) for label, text in shown if text) + 2
    return "\n".join(f"{label + ':':{width}}{text}" for label, text in shown if text)


def as_json(caller: Caller) -> dict[str, Any]:
    """The fields of Caller by name, without the empty ones; times as `2026-01-15T12:00:00Z`, sets sorted."""
    return dict(_plain(caller))


def _shown(value: Any) -> str:
    text = next((write(value) for kind, write in _WRITERS.items() if isinstance(value, kind)), "")
    # A token's text is not cleaned when it is read, and a terminal obeys control characters.
    return "".join([c if c.isprintable() else " " for c in text])


def _coded(code: Code) -> str:
    return " ".join(filter(None, (code.code, f"({code.scheme})" if code.scheme else "", code.display)))


def _numbered(number: Identifier) -> str:
    return f"{number.value} ({number.authority})" if number.authority else number.value


def _placed(unit: Unit) -> str:
    return ", ".join(filter(None, (unit.name, _numbered(unit.identifier) if unit.identifier else "")))


def _decided(decision: Decision) -> str:
    how = {True: "selected by the user", False: "not selected by the user", None: ""}[decision.user_selected]
    return ", ".join(filter(None, (decision.id, how, decision.description)))


def _time(moment: datetime) -> str:
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:  # the first or the last day of the calendar
        return moment.isoformat()
    return moment.isoformat().replace("+00:00", "Z")


_WRITERS: Final[dict[type, Callable[[Any], str]]] = {
    str: str,
    int: str,
    frozenset: lambda words: " ".join(sorted(words)),
    Code: _coded,
    Identifier: _numbered,
    Unit: _placed,
    Decision: _decided,
    datetime: _time,
}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        inside = {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
        return {name: each for name, each in inside.items() if each not in (None, "", [])}
    if isinstance(value, datetime):
        return _time(value)
    if isinstance(value, frozenset):
        return sorted(value)
    return value.value if isinstance(value, Enum) else value
