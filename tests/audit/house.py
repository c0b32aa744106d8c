"""What this product asks of each of its own events, beyond R4, Norway and IHE.

`tests/audit/profiles.py` calls it. These rules are ours and may be stricter than any source: an identifier
says what it is of, national numbers stand only where a reader of the log expects them and a view can take
them away, and what a gateway asks of others can be followed to their logs.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator

from tests.audit import ihe
from tests.audit import vocabulary as v
from tests.audit.reading import Check, Node, code, everywhere, found, nodes, text, texts

_ABSOLUTE = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:\S+$")
_IDENTIFIER = re.compile(r"(?:^|\.)(?:identifier(?:\[\d+\])?|valueIdentifier)$")
# Not within a longer run: among the digits of a UUID or an OID any eleven may look like somebody's.
_ELEVEN = re.compile(r"(?<![0-9A-Za-z])[0-9]{11}(?![0-9A-Za-z])")

# Where a national number belongs. A contained resource stands here by its type, an entity by its kind.
PLACES = (
    re.compile(r"^(?:Patient|Practitioner|RelatedPerson)\.identifier\[\d+\]\.value$"),
    # The NameID or subject of a ticket is the user's national number (norwegian-profile 4.12).
    re.compile(r"^agent\[\d+\]\.who\.identifier\.value$"),
    re.compile(r"^agent\[\d+\]\.extension\[\d+\]\.valueIdentifier\.value$"),
    re.compile(r"^person\.what\.identifier\.value$"),
    re.compile(r"^query\.query$"),
    re.compile(r"^consent\.detail\[\d+\]\.valueString$"),
)


def _identifiers(event: Node) -> Iterator[str]:
    # BALP asks only for the value of a request id, and it comes from the sender: no system is asked for
    # there.
    request_ids = {
        f"entity[{place}].what.identifier"
        for place, entity in enumerate(nodes(event, "entity"))
        if code(entity.get("type")) == v.REQUEST_ID
    }
    for path, value in everywhere(event):
        if not _IDENTIFIER.search(path) or not isinstance(value, dict):
            continue
        if not text(value, "value"):
            yield f"{path}: an identifier without value"
        if not text(value, "system"):
            if path not in request_ids:
                yield f"{path}: an identifier without system"
        elif not _ABSOLUTE.match(text(value, "system")):
            yield f"{path}: an identifier with a system that is no URI"


def is_national(digits: str) -> bool:
    """Whether eleven digits are a national number: day, month, with their additions, and check digits."""
    numbers = [int(digit) for digit in digits]
    # D-numbers have day + 40; synthetic numbers month + 40, + 65 or + 80.
    day = int(digits[:2]) % 40
    month = int(digits[2:4])
    if not (1 <= day <= 31 and any(1 <= month - added <= 12 for added in (0, 40, 65, 80))):
        return False
    for weights in ((3, 7, 6, 1, 8, 9, 4, 5, 2, 1), (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)):
        if sum(weight * number for weight, number in zip(weights, numbers, strict=False)) % 11:
            return False
    return True


def _strings(event: Node) -> Iterator[tuple[str, str, str]]:
    """Each string with its path for a reader, its path for the table of places, and itself."""
    kinds = {
        ("contained", place): text(resource, "resourceType")
        for place, resource in enumerate(nodes(event, "contained"))
    }
    for number, entity in enumerate(nodes(event, "entity")):
        if code(entity.get("type")) == v.PERSON:
            kinds["entity", number] = "person"
        elif code(entity.get("type")) == v.CONSENT:
            kinds["entity", number] = "consent"
        elif "query" in entity:
            kinds["entity", number] = "query"
    for path, value in everywhere(event):
        if not isinstance(value, str):
            continue
        match = re.match(r"^(contained|entity)\[(\d+)\]", path)
        kind = kinds.get((match[1], int(match[2]))) if match else None
        place = path if match is None or kind is None else f"{kind}{path[len(match[0]) :]}"
        yield path, place, value


def _decoded(path: str, value: str) -> str:
    """What a base64 value holds: a number in it is as readable as in plain text."""
    if not path.endswith(("query", "valueBase64Binary")):
        return value
    try:
        return base64.b64decode(value, validate=True).decode("utf-8", "replace")
    except binascii.Error:
        return ""


def _national_numbers(event: Node) -> Iterator[str]:
    for path, place, value in _strings(event):
        if any(allowed.match(place) for allowed in PLACES):
            continue
        for digits in _ELEVEN.findall(_decoded(path, value)):
            if is_national(digits):
                yield f"{path}: a national number"


def _systems_of_codes(event: Node) -> Iterator[str]:
    for path, value in everywhere(event):
        if path.endswith(".system") and isinstance(value, str) and "/ValueSet/" in value:
            yield f"{path}: the address of a value set"


def _profiles_are_said_once(event: Node) -> Iterator[str]:
    claimed = texts(event, "meta.profile")
    if len(claimed) != len(set(claimed)):
        yield "meta.profile: a profile is claimed twice"


_TRACE = re.compile(r"(?!0{32})[0-9a-f]{32}")


def _ways_to_other_logs(event: Node) -> Iterator[str]:
    # Message ids join two logs, the trace-id joins all (W3C Trace Context; what else is in it changes).
    told: dict[str, list[str]] = {}
    for entity in nodes(event, "entity"):
        if code(entity.get("type")) == v.REQUEST_ID:
            told.setdefault(text(entity, "description"), []).append(text(entity, "what.identifier.value"))
    for name, ids in told.items():
        if name and len(ids) > 1:
            yield f"entity: {len(ids)} request ids called {name}"
    if any(not _TRACE.fullmatch(each) for each in told.get("trace", ())):
        yield "entity: a trace that is no trace-id"
    asks = ihe.asks_another(event)
    if asks and "trace" not in told:
        yield "entity: another community was asked, and there is no trace"
    if asks != ("message to the community" in told):
        yield "entity: a message to the community, and only where one was asked"


CHECKS = (
    Check("every identifier has value and system", _identifiers),
    Check("national numbers only where they belong; TR ATT-8", _national_numbers),
    Check("a system is a code system; fhir-rules 2.1, traps", _systems_of_codes),
    Check("claims", _profiles_are_said_once),
    Check("one request in all logs; docs/audit-events.md", _ways_to_other_logs),
)


def problems(event: Node) -> list[str]:
    """What the rules of this product find wrong with an event."""
    return found(CHECKS, event)
