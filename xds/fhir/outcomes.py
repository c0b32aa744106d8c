"""OperationOutcome: what a FHIR client reads when it does not get what it asked for (FHIR R4).

Every error answer under /fhir is written here, and here alone an error of XDS becomes an HTTP status and an
issue-type. Outcomes hold fixed sentences, rule ids and a reference number, never a value from the request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from xds.errors import Code, RegistryError, XdsError


@dataclass(frozen=True, slots=True)
class Issue:
    """`code` is of http://hl7.org/fhir/issue-type; `expression` is a FHIRPath, `error` an XDS error code."""

    code: str
    text: str
    expression: str = ""
    severity: str = "error"
    error: str = ""


class Refused(XdsError):
    """A request that is answered with an HTTP status and these issues."""

    def __init__(
        self, status: int, *issues: Issue, headers: Mapping[str, str] | None = None, reason: str = ""
    ) -> None:
        super().__init__(reason or " ".join(each.code for each in issues))
        self.status = status
        self.issues = issues
        self.headers = headers or {}


@dataclass(frozen=True, slots=True)
class Told:
    """How an XDS error is told over HTTP (fhir-rules 1.14)."""

    status: int
    code: str
    headers: Mapping[str, str] = field(default_factory=dict)


_AGAIN: Final = {"Retry-After": "1"}
_INVALID: Final = Told(422, "invalid")

#: What is not here is a failure of the node, or of its registry: 500.
STATUSES: Final[Mapping[Code, Told]] = {
    Code.STORED_QUERY_MISSING_PARAM: Told(400, "required"),
    Code.STORED_QUERY_PARAM_NUMBER: Told(400, "value"),
    Code.UNKNOWN_STORED_QUERY: Told(400, "not-supported"),
    Code.INVALID_REQUEST: Told(400, "invalid"),
    Code.MISSING_HOME_COMMUNITY_ID: Told(400, "required"),
    Code.UNKNOWN_COMMUNITY: Told(422, "value"),
    Code.UNAVAILABLE_COMMUNITY: Told(504, "transient"),
    Code.UNKNOWN_PATIENT_ID: Told(422, "not-found"),
    Code.TOO_MANY_RESULTS: Told(400, "too-costly"),
    Code.RESULT_NOT_SINGLE_PATIENT: Told(400, "multiple-matches"),
    Code.DOCUMENT_UNIQUE_ID_ERROR: Told(404, "not-found"),
    Code.UNKNOWN_REPOSITORY_ID: Told(404, "not-found"),
    Code.REGISTRY_METADATA_ERROR: _INVALID,
    Code.REPOSITORY_METADATA_ERROR: _INVALID,
    Code.INVALID_DOCUMENT_CONTENT: _INVALID,
    Code.FHIR_DOCUMENT_NOT_SUPPORTED: Told(422, "not-supported"),
    Code.EXTRA_METADATA_NOT_SAVED: Told(200, "informational"),
    Code.MISSING_DOCUMENT: Told(422, "required"),
    Code.MISSING_DOCUMENT_METADATA: Told(422, "required"),
    Code.PATIENT_ID_DOES_NOT_MATCH: Told(422, "business-rule"),
    Code.UNRESOLVED_REFERENCE: Told(422, "not-found"),
    Code.DUPLICATE_UNIQUE_ID_IN_REGISTRY: Told(409, "duplicate"),
    Code.REGISTRY_DUPLICATE_UNIQUE_ID_IN_MESSAGE: Told(422, "duplicate"),
    Code.REPOSITORY_DUPLICATE_UNIQUE_ID_IN_MESSAGE: Told(422, "duplicate"),
    Code.NON_IDENTICAL_HASH: Told(409, "conflict"),
    Code.NON_IDENTICAL_SIZE: Told(409, "conflict"),
    Code.REGISTRY_DEPRECATED_DOCUMENT: Told(409, "conflict"),
    Code.METADATA_VERSION_ERROR: Told(409, "conflict"),
    Code.METADATA_UPDATE_ERROR: _INVALID,
    Code.METADATA_UPDATE_OPERATION_ERROR: _INVALID,
    Code.METADATA_IDENTIFIER_ERROR: _INVALID,
    Code.UNMODIFIABLE_METADATA: Told(422, "business-rule"),
    Code.REFERENCES_EXIST: Told(409, "conflict"),
    Code.UNREFERENCED_OBJECT: Told(404, "not-found"),
    Code.REMOVE_DOCUMENTS_ERROR: Told(404, "not-found"),
    Code.REGISTRY_BUSY: Told(503, "throttled", _AGAIN),
    Code.REPOSITORY_BUSY: Told(503, "throttled", _AGAIN),
    Code.REGISTRY_OUT_OF_RESOURCES: Told(507, "no-store"),
    Code.REPOSITORY_OUT_OF_RESOURCES: Told(507, "no-store"),
}
_FORBIDDEN: Final = Told(403, "forbidden")
_FAILURE: Final = Told(500, "exception")


def told(error: RegistryError) -> Told:
    """Its status and issue-type; what gate 2 says no to is forbidden, whatever the code."""
    if error.rule.startswith("access-") or error.rule == "retrieve-blocked":
        return _FORBIDDEN
    return STATUSES.get(Code(error.code), _FAILURE)


def issue_of(error: RegistryError) -> Issue:
    """The issue of an error; its location is a FHIRPath where the caller has made it one."""
    severity = "warning" if error.warning else "error"
    code = "informational" if error.warning and told(error).status >= 500 else told(error).code
    text = f"{error.context} [{error.rule}]" if error.rule else error.context
    return Issue(code, text, error.location, severity, str(error.foreign_code or error.code))


def refused(errors: Sequence[RegistryError]) -> Refused:
    """The refusal of a request for these reasons: the status is that of the first error."""
    first = next((each for each in errors if not each.warning), errors[0])
    how = told(first)
    return Refused(how.status, *map(issue_of, errors), headers=how.headers)


def outcome(issues: Iterable[Issue], reference: str = "") -> dict[str, Any]:
    """The resource; the reference number is that of the request in the node's log."""
    found = []
    for each in issues:
        issue: dict[str, Any] = {"severity": each.severity, "code": each.code}
        if each.error:
            issue["details"] = {"coding": [{"code": each.error}], "text": each.text}
        issue["diagnostics"] = f"{each.text} (reference {reference})" if reference else each.text
        if each.expression:
            issue["expression"] = [each.expression]
        found.append(issue)
    return {"resourceType": "OperationOutcome", "issue": found}
