"""What the FHIR side can do, as it says itself: the CapabilityStatement at [base]/metadata.

routes.py answers it to everybody, before any gate: it tells nothing but what stands in the documentation. It
is made of the tables of those who do it (resources.py), so that it cannot promise anything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Any, Final

from xds.fhir.interaction import Interaction
from xds.fhir.parameters import Parameter
from xds.fhir.resources import SYSTEM, TYPES, ResourceType

_MHD: Final = "https://profiles.ihe.net/ITI/MHD/CapabilityStatement/"
_INSTANTIATES: Final = (
    f"{_MHD}IHE.MHD.DocumentRecipient.Comprehensive",
    f"{_MHD}IHE.MHD.DocumentRecipient.Simplified",
    f"{_MHD}IHE.MHD.DocumentRecipient.Generate",
)
_OAUTH: Final = {
    "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
    "code": "OAuth",
}


def statement(base: str) -> dict[str, Any]:
    """The CapabilityStatement of the node at this [base]."""
    rest: dict[str, Any] = {
        "mode": "server",
        "security": {
            "service": [{"coding": [_OAUTH]}],
            "description": "An access token of HelseID with DPoP, or a SAML assertion as a bearer token"
            " (IUA, SAML Token option).",
        },
        "resource": [_resource(each) for each in TYPES],
    }
    if codes := _codes(SYSTEM):
        rest["interaction"] = codes
    if operations := _operations(SYSTEM):
        rest["operation"] = operations
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2026-11-29",
        "kind": "instance",
        "instantiates": list(_INSTANTIATES),
        "software": {"name": "xds", "version": version("xds")},
        "implementation": {"description": "xds, a document-sharing node", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "application/fhir+xml"],
        "rest": [rest],
    }


def _resource(of: ResourceType) -> dict[str, Any]:
    found: dict[str, Any] = {"type": of.name}
    if of.profiles:
        found["supportedProfile"] = list(of.profiles)
    found["documentation"] = of.documentation
    if codes := _codes(of.interactions):
        found["interaction"] = codes
    found["versioning"] = "versioned" if of.versioned else "no-version"
    if of.parameters:
        found["searchParam"] = [_parameter(each) for each in of.parameters]
    if operations := _operations(of.interactions):
        found["operation"] = operations
    return found


def _codes(interactions: Iterable[Interaction]) -> list[dict[str, str]]:
    codes = dict.fromkeys(each.code for each in interactions if not each.code.startswith("$"))
    return [{"code": each} for each in codes]


def _operations(interactions: Iterable[Interaction]) -> list[dict[str, str]]:
    return [
        {"name": each.code.removeprefix("$"), "definition": OPERATIONS[each.code]}
        for each in interactions
        if each.code.startswith("$")
    ]


OPERATIONS: Final = {
    "$validate": "http://hl7.org/fhir/OperationDefinition/Resource-validate",
    "$generate-metadata": "https://profiles.ihe.net/ITI/MHD/OperationDefinition/IHE.MHD.GenerateMetadata",
}


def _parameter(of: Parameter) -> dict[str, str]:
    found = {"name": of.name, "type": of.type}
    if of.definition:
        found["definition"] = of.definition
    if of.documentation:
        found["documentation"] = of.documentation
    return found


def endpoints(interactions: Sequence[Interaction]) -> list[str]:
    """The methods and addresses, for the documentation and its test."""
    return [f"{each.method} /fhir{'/' if each.path else ''}{each.path}" for each in interactions]
