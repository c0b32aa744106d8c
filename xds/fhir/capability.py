"""What the FHIR side can do, as it says itself: the CapabilityStatement at [base]/metadata.

routes.py answers it to everybody, before any gate: it tells nothing but what stands in the documentation. It
is made of the tables of those who do it, so that it cannot promise anything else.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Final

from xds.audit import search

#: FHIR's own definitions of the parameters (R4); ITI-81 and we add those with a dot, and `purpose`.
_DEFINITIONS: Final = "http://hl7.org/fhir/SearchParameter/AuditEvent-"
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


def _parameters() -> list[dict[str, str]]:
    kinds = (
        [(name, "date") for name in search.DATES]
        + [(name, "token") for name in ("_id", *search.TOKENS)]
        + [(name, "reference") for name in search.REFERENCES]
        + [(name, "string") for name in search.STRINGS]
    )
    found = []
    for name, kind in sorted(kinds):
        said = {"name": name, "type": "uri" if name == "policy" else kind}
        if name in _CORE:
            said["definition"] = _DEFINITIONS + name
        if name == "date":
            said["documentation"] = "At least one is required."
        found.append(said)
    return found


def statement(base: str) -> dict[str, Any]:
    """The CapabilityStatement of the node at this [base]."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2026-11-29",
        "kind": "instance",
        "software": {"name": "xds", "version": version("xds")},
        "implementation": {"description": "xds, a document-sharing node", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "rest": [
            {
                "mode": "server",
                "security": {
                    "service": [
                        {
                            "coding": [
                                {
                                    "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
                                    "code": "OAuth",
                                }
                            ]
                        }
                    ],
                    "description": "An access token of HelseID with DPoP, or a SAML assertion as a bearer"
                    " token (IUA, SAML Token option).",
                },
                "resource": [
                    {
                        "type": "AuditEvent",
                        "documentation": "The access log (ITI-81). A citizen reads that of their own record,"
                        " personnel their own deeds, a data controller all.",
                        "interaction": [{"code": "read"}, {"code": "search-type"}],
                        "versioning": "no-version",
                        "searchParam": _parameters(),
                    }
                ],
            }
        ],
    }
