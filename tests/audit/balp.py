"""What IHE's basic audit patterns (BALP 1.1.4) ask of an event that claims to record a ticket or token.

`tests/audit/profiles.py` calls it. Only the four patterns of a token are known here; another BALP pattern in
meta.profile is reported as unknown, so that no claim goes unjudged.

BALP fixes system and code of each agent that a pattern is about, and leaves all other agents open. Each row
below is one slice of a pattern, as its StructureDefinition states it (fhir-rules 2.3).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.audit import vocabulary as v
from tests.audit.reading import (
    Check,
    Node,
    agents_of,
    code,
    codes,
    extensions,
    found,
    nodes,
    numbered,
    text,
    texts,
    values,
)

_NEVER_OF_A_GROUP = ("role", "altId", "name", "location", "policy", "media", "network", "purposeOfUse")


@dataclass(frozen=True, slots=True)
class Slice:
    """What a pattern says of the agents of one type."""

    name: str
    profiles: tuple[str, ...]
    kind: tuple[str, str]
    least: int = 0
    most: int | None = None
    there: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    requestor: bool | None = None
    one_policy: bool = False


SLICES = (
    Slice(
        name="SAML user",
        profiles=(v.SAML_MINIMAL, v.SAML_COMPREHENSIVE),
        kind=v.USER_SAML,
        least=1,
        # BALP has who.identifier.system 0..1; ours is always the ticket's Issuer.
        there=("who", "who.identifier.value", "who.identifier.system"),
        never=("altId", "media", "network"),
        requestor=True,
        one_policy=True,
    ),
    Slice(
        name="SAML organisation",
        profiles=(v.SAML_COMPREHENSIVE,),
        kind=v.PROVIDER,
        there=("who.identifier.value", "who.display"),
        never=_NEVER_OF_A_GROUP,
        requestor=False,
    ),
    Slice(
        name="SAML home community",
        profiles=(v.SAML_COMPREHENSIVE,),
        kind=v.HOME_COMMUNITY,
        there=("who.identifier",),
        never=_NEVER_OF_A_GROUP,
        requestor=False,
    ),
    Slice(
        name="OAuth user",
        profiles=(v.OAUTH_MINIMAL,),
        kind=v.USER_OAUTH,
        least=1,
        never=("media", "network"),
        requestor=True,
        one_policy=True,
    ),
    Slice(
        name="OAuth client",
        profiles=(v.OAUTH_COMPREHENSIVE,),
        kind=v.APPLICATION,
        least=1,
        most=1,
        there=("who.identifier.value",),
        never=("media",),
    ),
    # 0..1 in BALP: a token of a machine has no user.
    Slice(
        name="OAuth user",
        profiles=(v.OAUTH_COMPREHENSIVE,),
        kind=v.RECIPIENT,
        most=1,
        there=("who.identifier", "who.identifier.system", "who.identifier.value"),
        never=("media", "network"),
        requestor=True,
        one_policy=True,
    ),
)
PATTERNS = frozenset(profile for row in SLICES for profile in row.profiles)
OTHER_ID_KINDS = ((v.OTHER_ID_TYPES, "SAML-subject-id"), (v.V2_0203, "NPI"), (v.V2_0203, "PRN"))
JTI = "urn:ietf:params:oauth:jti:"


def _unknown_patterns(event: Node) -> Iterator[str]:
    for profile in texts(event, "meta.profile"):
        if profile.startswith(v.BALP) and profile not in PATTERNS:
            yield f"meta.profile: {profile} is no pattern that is known here"


def _slices(event: Node) -> Iterator[str]:
    claimed = set(texts(event, "meta.profile"))
    for row in SLICES:
        if not claimed & set(row.profiles):
            continue
        agents = agents_of(event, row.kind)
        if len(agents) < row.least or (row.most is not None and len(agents) > row.most):
            wanted = f"{row.least}..{'*' if row.most is None else row.most}"
            yield f"agent: {len(agents)} of {row.name}, not {wanted}"
        for path, agent in agents:
            yield from _slice(row, path, agent)


def _slice(row: Slice, path: str, agent: Node) -> Iterator[str]:
    for element in row.there:
        if not values(agent, element):
            yield f"{path}: {row.name} without {element}"
    for element in row.never:
        if element in agent:
            yield f"{path}: {row.name} with {element}"
    if row.requestor is not None and agent.get("requestor") is not row.requestor:
        yield f"{path}: {row.name} with requestor not {str(row.requestor).lower()}"
    if row.one_policy and len(values(agent, "policy")) != 1:
        yield f"{path}: {row.name} with {len(values(agent, 'policy'))} policies, not one token id"


def _jti(event: Node) -> Iterator[str]:
    # The prefix is a SHALL of OAuth Minimal; Comprehensive only says "jti". Ours has it in both: fhir-rules
    # 2.3.
    if {v.OAUTH_MINIMAL, v.OAUTH_COMPREHENSIVE} & set(texts(event, "meta.profile")):
        for path, agent in [*agents_of(event, v.USER_OAUTH), *agents_of(event, v.RECIPIENT)]:
            for policy in texts(agent, "policy"):
                if not policy.startswith(JTI) or policy == JTI:
                    yield f"{path}.policy: not {JTI} and the token's id"


def _token_kind(event: Node) -> Iterator[str]:
    kinds = {kind for kind in (v.USER_SAML, v.USER_OAUTH) if agents_of(event, kind)}
    if len(kinds) > 1:
        yield "agent: a SAML user and an OAuth user in one event"


def _assurance(event: Node) -> Iterator[str]:
    for path, agent in numbered(event, "agent"):
        for extension in extensions(agent, v.ASSURANCE_LEVEL):
            if not codes(extension.get("valueCodeableConcept")) and not text(
                extension, "valueCodeableConcept.text"
            ):
                yield f"{path}: ihe-assuranceLevel without a valueCodeableConcept"


def _other_ids(event: Node) -> Iterator[str]:
    for path, agent in numbered(event, "agent"):
        for extension in extensions(agent, v.OTHER_ID):
            if not text(extension, "valueIdentifier.value"):
                yield f"{path}: ihe-otherId without valueIdentifier.value"
            if not any(
                codes(kind) & set(OTHER_ID_KINDS) for kind in nodes(extension, "valueIdentifier.type")
            ):
                yield f"{path}: ihe-otherId without a type of SAML-subject-id, NPI or PRN"


def _consents(event: Node) -> Iterator[str]:
    for path, entity in numbered(event, "entity"):
        if code(entity.get("type")) != v.CONSENT:
            continue
        for kind in ("urn:ihe:iti:xua:2012:acp", "urn:oasis:names:tc:xacml:2.0:resource:resource-id"):
            there = [detail for detail in nodes(entity, "detail") if detail.get("type") == kind]
            if len(there) > 1:
                yield f"{path}: {kind} more than once"
            if any(not text(detail, "valueString") for detail in there):
                yield f"{path}: {kind} is no valueString"


def _request_ids(event: Node) -> Iterator[str]:
    for path, entity in numbered(event, "entity"):
        if code(entity.get("type")) == v.REQUEST_ID and not text(entity, "what.identifier.value"):
            yield f"{path}: a request id without what.identifier.value"


CHECKS = (
    Check("BALP", _unknown_patterns),
    Check("BALP token patterns; fhir-rules 2.3", _slices),
    Check("BALP OAUTHaccessTokenUse.Minimal: policy", _jti),
    Check("BALP UserAgentTypes", _token_kind),
    Check("BALP ihe-assuranceLevel", _assurance),
    Check("BALP ihe-otherId", _other_ids),
    Check("BALP SAMLaccessTokenUse.Comprehensive: consent", _consents),
    Check("BALP: transaction", _request_ids),
)


def problems(event: Node) -> list[str]:
    """What the patterns that an event claims find wrong with it."""
    return found(CHECKS, event)
