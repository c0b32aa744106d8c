"""What of an event a reader is shown: all of it, or what patients and personnel may see of the same log.

fhir/audit_events.py puts every event through `shown` before it goes out; what is stored is never changed. A
patient reads who, from where, when and why, and nobody's national number but their own; documents that gate 2
does not open to a reader are not in their log either, nor is what was done to those alone. Of documents that
other communities keep gate 2 can say nothing here: that somebody asked for them is shown, and where, but
neither which they were nor how many.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from xds.audit.search import Event
from xds.metadata import national
from xds.metadata.confidentiality import Restriction, restrictions
from xds.metadata.model import Code


class View(Enum):
    """Whose eyes: a data controller's, a patient's, whoever's stands for them, or personnel's own deeds."""

    ALL = "all"
    PATIENT = "patient"
    REPRESENTATIVE = "representative"
    OWN = "own"


@dataclass(frozen=True, slots=True)
class Documents:
    """What gate 2 says of documents that events name, by identifier as events write it.

    `opened` may be seen, `known` are there at all. Of one that is not there any more the codes that it had
    decide: `hidden` are those that hide from this reader.
    """

    opened: frozenset[str]
    known: frozenset[str]
    hidden: Restriction

    def shows(self, identifier: str, codes: Restriction) -> bool:
        """Whether an event may name the document, or tell that it was one that is gone."""
        return identifier in self.opened or (identifier not in self.known and not codes & self.hidden)


_REPORT: Final = "3"
#: What events about privacy settings are called (event.KINDS).
SETTINGS: Final = frozenset(("PVK", "privacy", "explain"))
_REDACTED: Final = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "REDACTED",
    "display": "redacted",
}
#: Details of a list that are entryUUIDs.
_LISTS: Final = ("shown", "masked")
#: What names the community of a document, and of a query; and the repository that has a document.
_HOMES: Final = ("ihe:homeCommunityID", "urn:ihe:iti:xca:2010:homeCommunityId")
_REPOSITORY: Final = "Repository Unique Id"
#: Not in the midst of an id in hexadecimal digits.
_NUMBER: Final = re.compile(r"(?<![0-9A-Fa-f-])[0-9]{11}(?![0-9A-Fa-f-])")


def named(events: Iterable[Event]) -> tuple[set[str], set[str]]:
    """The documents that events name: one by one, by identifier, and in lists, by 32 digits of entryUUIDs."""
    single, listed = set(), set()
    for event in events:
        for entity in event.get("entity", ()):
            if _is_document(entity):
                single.add(_name(entity))
            for detail in entity.get("detail", ()):
                if detail["type"] in _LISTS:
                    listed.update(detail["valueString"].split())
    return single, listed


def _is_document(entity: Mapping[str, Any]) -> bool:
    return bool(entity.get("role", {}).get("code") == _REPORT)


def _name(entity: Mapping[str, Any]) -> str:
    return str(entity.get("what", {}).get("identifier", {}).get("value", ""))


def shown(event: Event, view: View, documents: Documents, own: Sequence[str] = ()) -> Event | None:
    """The event as this reader sees it, None when it is not for them.

    `own` are the numbers that a patient may see: their own.
    """
    if view is View.ALL:
        return event
    if view is View.REPRESENTATIVE and (_is_patients_own(event) or _is_about_settings(event)):
        # What somebody looks at in their own record is theirs, and so is against whom they have blocked it.
        return None
    entities: list[dict[str, Any]] = []
    hidden = False
    for entity in event.get("entity", ()):
        elsewhere = _elsewhere(entity, event)
        if _is_document(entity):
            if not documents.shows(_name(entity), _codes(entity) if elsewhere is None else Restriction(0)):
                hidden = True
                continue
            if _name(entity) not in documents.opened:
                entity = _nameless(entity, elsewhere)
                if elsewhere is not None and entity in entities:
                    continue  # how many there were would tell of those that are hidden there
        entities.append(_without_lists(entity, documents.opened if elsewhere is None else frozenset()))
    if hidden and not any(map(_is_document, entities)):
        return None
    event = {**event, "entity": entities}
    return event if view is View.OWN else _for_patients(event, own)


def _elsewhere(entity: Mapping[str, Any], event: Event) -> Mapping[str, Any] | None:
    """The detail that says which other community has the document, or was asked the query; None: no other.

    The node is its community, or where it has none its repository: what that has is not elsewhere. Nor is
    what our registry gave the codes of, whatever community a request for it has named.
    """
    own = event["source"]["observer"]["identifier"]["value"]
    details = entity.get("detail", ())
    if "securityLabel" in entity or any(
        each["type"] == _REPOSITORY and _urn(each) == own for each in details
    ):
        return None
    home = next((each for each in details if each["type"] in _HOMES), None)
    return None if home is None or home["valueString"] == own else home


def _urn(detail: Mapping[str, Any]) -> str:
    return f"urn:oid:{str(detail['valueString']).removeprefix('urn:oid:')}"


def _nameless(entity: Mapping[str, Any], elsewhere: Mapping[str, Any] | None) -> dict[str, Any]:
    """A document that is not here, of which nothing is told but where it is."""
    found = {name: entity[name] for name in ("type", "role") if name in entity}
    if elsewhere is None:
        return found | {"description": "no longer here"}
    return found | {"description": "kept by another community", "detail": [elsewhere]}


def _is_patients_own(event: Event) -> bool:
    return any(each["requestor"] and each["who"].get("reference") == "#pat" for each in event["agent"])


def _is_about_settings(event: Event) -> bool:
    return any(each["code"] in SETTINGS for each in event.get("subtype", ()))


def _codes(entity: Mapping[str, Any]) -> Restriction:
    labels = entity.get("securityLabel", ())
    return restrictions([Code(each.get("code", ""), each.get("system", "")) for each in labels])


def _without_lists(entity: Mapping[str, Any], opened: frozenset[str]) -> dict[str, Any]:
    """A list without what may not be seen of it; how many there were is said for those that may."""
    details = []
    lists = {
        each["type"]: each["valueString"].split()
        for each in entity.get("detail", ())
        if each["type"] in _LISTS
    }
    for detail in entity.get("detail", ()):
        if detail["type"] in lists:
            left = [each for each in lists[detail["type"]] if each in opened]
            if left:
                details.append({**detail, "valueString": " ".join(left)})
        elif detail["type"] != "resultCount":
            details.append(detail)
    found = {name: value for name, value in entity.items() if name != "detail"}
    return found | {"detail": details} if details else found


def _for_patients(event: Event, own: Sequence[str]) -> Event:
    """Names and places stay, numbers of people go; the query's text may hold anything, so it goes too."""
    event = _numberless(event, frozenset(own))
    meta = {name: value for name, value in event.get("meta", {}).items() if name != "profile"}
    event["meta"] = meta | {"security": [_REDACTED]}
    event["contained"] = [_anonymous(each) for each in event.get("contained", ())]
    event["agent"] = [_without_ticket(each) for each in event["agent"]]
    event["entity"] = [
        {name: value for name, value in each.items() if name != "query"} for each in event["entity"]
    ]
    return {name: value for name, value in event.items() if value not in ([], {})}


def _anonymous(resource: Mapping[str, Any]) -> dict[str, Any]:
    people = resource["resourceType"] in ("Practitioner", "RelatedPerson")
    return {name: value for name, value in resource.items() if not (people and name == "identifier")}


def _without_ticket(agent: Mapping[str, Any]) -> dict[str, Any]:
    """Whoever asked, without what their issuer and their system call them."""
    found = {name: value for name, value in agent.items() if name not in ("policy", "extension")}
    if agent["requestor"] and "reference" in agent["who"]:
        found["who"] = {name: value for name, value in agent["who"].items() if name != "identifier"}
    return found


def _numberless(value: Any, own: frozenset[str]) -> Any:
    """Whatever place a national number has got into: somebody may have written it into a name."""

    def replaced(match: re.Match[str]) -> str:
        return match[0] if match[0] in own or not national.has_control_digits(match[0]) else "…"

    return _mapped(value, lambda text: _NUMBER.sub(replaced, text))


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_mapped(each, change) for each in value]
    if isinstance(value, dict):
        return {name: _mapped(each, change) for name, each in value.items()}
    return value
