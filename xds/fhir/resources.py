"""All that there is under /fhir: the resource types, their interactions and search parameters.

routes.py finds interactions here and capability.py tells of them. To add one, write it in the module of its
type and name it there; what is not in these tables cannot be reached.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from xds.audit import search
from xds.fhir import (
    audit_events,
    binaries,
    changes,
    document_references,
    lists,
    provide,
    publish,
    validate,
)
from xds.fhir.interaction import Interaction
from xds.fhir.parameters import Parameter

_MHD: Final = "https://profiles.ihe.net/ITI/MHD/StructureDefinition/IHE.MHD."


@dataclass(frozen=True, slots=True)
class ResourceType:
    """One resource type, for those who do it and for the CapabilityStatement."""

    name: str
    documentation: str
    interactions: tuple[Interaction, ...]
    parameters: tuple[Parameter, ...] = ()
    profiles: tuple[str, ...] = ()
    versioned: bool = False


#: FHIR's own definitions of the log's parameters (R4); ITI-81 and we add those with a dot, and `purpose`.
_OF_LOG: Final = "http://hl7.org/fhir/SearchParameter/AuditEvent-"
_CORE: Final = frozenset(
    (
        "action",
        "address",
        "agent",
        "agent-name",
        "agent-role",
        "date",
        "entity",
        "entity-role",
        "entity-type",
        "outcome",
        "patient",
        "policy",
        "site",
        "source",
        "subtype",
        "type",
    )
)


def _log_parameters() -> tuple[Parameter, ...]:
    kinds = (
        [(name, "date") for name in search.DATES]
        + [(name, "token") for name in ("_id", *search.TOKENS)]
        + [(name, "reference") for name in search.REFERENCES]
        + [(name, "string") for name in search.STRINGS]
    )
    return tuple(
        Parameter(
            name,
            "uri" if name == "policy" else kind,
            definition=f"{_OF_LOG}{name}" if name in _CORE else "",
            documentation="At least one is required." if name == "date" else "",
        )
        for name, kind in sorted(kinds)
    )


TYPES: Final = (
    ResourceType(
        "DocumentReference",
        "A document's metadata (ITI-67). The id is that of all its versions; versionId is the version.",
        (
            *document_references.INTERACTIONS,
            *publish.INTERACTIONS,
            *changes.INTERACTIONS,
            *(each for each in validate.INTERACTIONS if each.kind == "DocumentReference"),
        ),
        tuple(document_references.PARAMETERS.values()),
        (f"{_MHD}Comprehensive.DocumentReference",),
        versioned=True,
    ),
    ResourceType(
        "List",
        "Submission sets and folders (ITI-66).",
        lists.INTERACTIONS,
        tuple(lists.PARAMETERS.values()),
        (f"{_MHD}Comprehensive.SubmissionSet", f"{_MHD}Comprehensive.Folder"),
        versioned=True,
    ),
    ResourceType(
        "Binary",
        "A document's bytes as they are (ITI-68), in one piece or by Range; under the id of its"
        " DocumentReference.",
        binaries.INTERACTIONS,
    ),
    ResourceType(
        "Bundle",
        "A submission of documents (ITI-65) is posted to [base]; here one is only validated.",
        tuple(each for each in validate.INTERACTIONS if each.kind == "Bundle"),
        profiles=(f"{_MHD}Comprehensive.ProvideBundle",),
    ),
    ResourceType(
        "AuditEvent",
        "The access log (ITI-81). A citizen reads that of their own record, personnel their own deeds, a data"
        " controller all.",
        audit_events.INTERACTIONS,
        _log_parameters(),
    ),
)
#: Of no type: at [base] itself.
SYSTEM: Final[tuple[Interaction, ...]] = provide.INTERACTIONS

INTERACTIONS: Final = (*SYSTEM, *(each for type_ in TYPES for each in type_.interactions))
