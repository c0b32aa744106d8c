"""An event in plain words, for an operator at a terminal: when, who, from where, why, what, and how it went.

`xds log` prints what comes from here. It says no more than the event does, and what it says is about people:
it goes to the terminal and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from xds.audit.event import BREAK_GLASS
from xds.audit.search import Event

_OUTCOMES: Final = {"0": "done", "4": "refused", "8": "failed", "12": "failed"}
_VERBS: Final = {
    "C": "registered",
    "R": "fetched",
    "U": "changed",
    "D": "removed",
    "E": "asked for",
}
#: What is asked of other communities: Destination and Source, and what it is called.
_ASKED: Final = {"ITI-38": ("110152", "asked"), "ITI-39": ("110153", "fetched from")}
#: What is done over FHIR, by transaction and by interaction, where IHE's name alone does not say it.
_RESTFUL: Final = {
    ("ITI-66", "read"): "A submission set or folder",
    ("ITI-67", "read"): "Metadata of a document",
    ("ITI-68", "read"): "A document",
    ("ITI-105", "create"): "A document with its metadata",
    ("ITI-106", "operation"): "A document, with metadata from its header",
}
_PURPOSES: Final = {
    "TREAT": "treatment",
    "ETREAT": "emergency treatment",
    "BTG": "emergency (glass broken)",
    "COC": "coordination of care",
    "PATRQT": "own request",
    "FAMRQT": "for a child or a relative",
    "PWATRNY": "by power of attorney",
    "HOPERAT": "management",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One event, in the columns of a table; `at` is UTC to the second."""

    at: str
    who: str
    place: str
    why: str
    what: str
    patient: str
    outcome: str
    id: str


def line(event: Event) -> Line:
    """The event in words."""
    user = next((each for each in event["agent"] if each["requestor"]), event["agent"][0])
    return Line(
        at=event["recorded"][:19].replace("T", " "),
        who=_who(user),
        place=_place(event, user),
        why=_why(event),
        what=_what(event),
        patient=" ".join(_patients(event)),
        outcome=" ".join(filter(None, (_OUTCOMES[event["outcome"]], event.get("outcomeDesc", "")))),
        id=event["id"],
    )


def _who(user: Mapping[str, Any]) -> str:
    name = (
        user.get("name") or user["who"].get("display") or user["who"].get("identifier", {}).get("value", "")
    )
    roles = [each["code"] for role in user.get("role", ()) for each in role["coding"]]
    return f"{name} ({', '.join(roles)})" if roles else name


def _place(event: Event, user: Mapping[str, Any]) -> str:
    """Where they work, else the address that the request came from."""
    contained = {each["id"]: each for each in event.get("contained", ())}
    place = contained.get("poc-org", contained.get("legal", {}))
    return str(place.get("name") or next(_addresses(event), ""))


def _addresses(event: Event) -> Iterator[str]:
    for each in event["agent"]:
        if each.get("network", {}).get("type") == "2":
            yield each["network"]["address"]


def _why(event: Event) -> str:
    codes = [each["code"] for purpose in event.get("purposeOfEvent", ()) for each in purpose["coding"]]
    return ", ".join(_PURPOSES.get(each, each) for each in codes)


def _what(event: Event) -> str:
    subtypes = event.get("subtype", ())
    name = next((each.get("display", each["code"]) for each in reversed(subtypes) if "code" in each), "")
    name = next(
        (
            each["display"]
            for each in subtypes
            if each["code"].startswith("ITI-") and each["code"] != "ITI-40"
        ),
        name,
    )
    codes = [each["code"] for each in subtypes]
    name = next((said for (both, how), said in _RESTFUL.items() if both in codes and how in codes), name)
    told = []
    for entity in event.get("entity", ()):
        details = {each["type"]: each.get("valueString", "") for each in entity.get("detail", ())}
        if entity.get("role", {}).get("code") == "3":
            told.append(entity["what"]["identifier"]["value"])
        if "description" in entity and "query" in entity:
            told.append(entity["description"])
        for list_ in ("shown", "masked"):
            if list_ in details:
                told.append(f"{len(details[list_].split())} {list_}")
    more = (
        " (opened what is closed to others)" if any(each["code"] == BREAK_GLASS for each in subtypes) else ""
    )
    return f"{_verb(event)}: {name} {' '.join(told)}".strip() + more


def _verb(event: Event) -> str:
    """What was done; of what this node as a gateway has asked of another community, and of which."""
    transactions = (each["code"] for each in event.get("subtype", ()))
    role, verb = next((_ASKED[each] for each in transactions if each in _ASKED), ("", ""))
    for agent in event["agent"] if role else ():
        community = agent["who"].get("identifier", {}).get("value", "")
        is_asked = role in [each["code"] for each in agent.get("type", {}).get("coding", ())]
        if is_asked and community != event["source"]["observer"]["identifier"]["value"]:
            return f"{verb} {community}"
    return _VERBS[event["action"]]


def _patients(event: Event) -> Iterator[str]:
    for each in event.get("contained", ()):
        if each["resourceType"] == "Patient":
            for identifier in each.get("identifier", ()):
                yield identifier["value"]
