"""$validate: what would be wrong with a resource if it were published, and nothing else.

It reads a resource as ITI-65 and ITI-105 do and stores nothing; what only the registry knows (ids that are
taken, documents that are named) is not asked. Whoever may publish may validate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from xds.access.gate import Access
from xds.access.policy import Action
from xds.audit.facts import Deed, for_each_patient
from xds.audit.trail import Trail
from xds.errors import RegistryError, RegistryFailure
from xds.fhir import provide, publish
from xds.fhir.interaction import Answer, Interaction, Request
from xds.fhir.outcomes import Issue, Refused, issue_of, outcome
from xds.transactions.transaction import Node, always


@dataclass(frozen=True, slots=True)
class Judged:
    """What is to be said of a resource."""

    issues: tuple[Issue, ...]
    reference: str


_WELL: Final = Issue("informational", "Nothing is wrong with it.", severity="information")
READERS: Final = {"Bundle": provide.read, "DocumentReference": publish.read}


def read(node: Node, request: Request) -> Judged:
    """Everything that is wrong. Raises Refused only for what is no resource."""
    received = request.body()
    resource = received.resource
    if resource.get("resourceType") == "Parameters":  # the operation's own form: a parameter `resource`
        parameters = resource.get("parameter")
        given = [
            each.get("resource")
            for each in (parameters if isinstance(parameters, list) else ())
            if isinstance(each, dict) and each.get("name") == "resource"
        ]
        resource = given[0] if len(given) == 1 and isinstance(given[0], dict) else resource
    kind = request.path.partition("/")[0]
    if resource.get("resourceType") != kind:
        raise Refused(400, Issue("structure", f"What is validated here is a {kind}."))
    again = replace(request, body=lambda: replace(received, resource=resource))
    found = judged(node, again, READERS[kind])
    issues = tuple(each if isinstance(each, Issue) else issue_of(each) for each in found)
    return Judged(issues or (_WELL,), request.reference)


def judged(
    node: Node, request: Request, reader: Callable[[Node, Request], provide.Asked]
) -> Sequence[RegistryError | Issue]:
    """Everything that is wrong, warnings too: errors of XDS, or issues where a resource is not R4."""
    try:
        return reader(node, request).warnings
    except RegistryFailure as failure:
        return failure.errors
    except Refused as refused:
        return refused.issues


def tell(node: Node, judged: Judged, access: Access, trail: Trail) -> Answer:
    """The outcome, with HTTP 200 whatever it says (FHIR R4, $validate)."""
    trail.seen(*for_each_patient(Deed(), trail.patients))
    return Answer(outcome(judged.issues, judged.reference))


INTERACTIONS: Final = tuple(
    Interaction(
        number="validate",
        method="POST",
        path=f"{kind}/$validate",
        code="$validate",
        read=read,
        asks=always(Action.CREATE),
        do=tell,
    )
    for kind in READERS
)
