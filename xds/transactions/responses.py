"""The answers of ebRIM: RegistryResponse, AdhocQueryResponse and the error list in them (ITI TF-3 4.2.4).

Transactions write their answers here, so that statuses, severities and references look alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from xds.errors import RegistryError
from xds.metadata import names
from xds.transport.message import Text
from xds.transport.xml import escape

_RS: Final = f'xmlns:rs="{names.RS}"'
#: More errors than anybody reads; the answer to a bad message must not outgrow it.
_MOST: Final = 500


def error_list(errors: Sequence[RegistryError], reference: str) -> bytes:
    """rs:RegistryErrorList, or nothing; every sentence ends with its rule and the request's reference number.

    codeContext must be filled and the element be empty; location is the object and attribute (ITI TF-3
    4.2.4.1). Of more than 500 errors the first 500 are written, and the last of them says how many are not.
    """
    if not errors:
        return b""
    worst = names.SEVERITY_WARNING if all(error.warning for error in errors) else names.SEVERITY_ERROR
    parts = [f'<rs:RegistryErrorList highestSeverity="{worst}">']
    unlisted = len(errors) - _MOST
    for number, error in enumerate(errors[:_MOST], start=1):
        more = f" Errors that are not listed: {unlisted}." if number == _MOST and unlisted > 0 else ""
        context = f"{error.context}{more}"
        if error.rule:  # what another community says is passed on as it is
            context += f" [{error.rule}; reference {reference}]"
        location = f' location="{escape(error.location)}"' if error.location else ""
        severity = names.SEVERITY_WARNING if error.warning else names.SEVERITY_ERROR
        parts.append(
            f'<rs:RegistryError errorCode="{escape(error.foreign_code or error.code)}"'
            f' codeContext="{escape(context)}" severity="{severity}"{location}/>'
        )
    parts.append("</rs:RegistryErrorList>")
    return "".join(parts).encode()


def of_community(errors: Iterable[RegistryError], home: str) -> tuple[RegistryError, ...]:
    """The errors as a gateway gives them: each is located at its community (ITI TF-2 3.38.4.1.3), and what
    its location was stands in the text.
    """
    return tuple(
        replace(
            error,
            location=home,
            context=f"{error.context} ({error.location})"
            if error.location not in ("", home)
            else error.context,
        )
        for error in errors
    )


def registry_response(status: str, errors: Sequence[RegistryError] = (), reference: str = "") -> bytes:
    """rs:RegistryResponse with one of the three statuses."""
    return b"".join(
        (
            f'<rs:RegistryResponse {_RS} status="{status}">'.encode(),
            error_list(errors, reference),
            b"</rs:RegistryResponse>",
        )
    )


def adhoc_query_response(
    objects: Text | None, errors: Sequence[RegistryError] = (), reference: str = "", status: str = ""
) -> tuple[bytes | Text, ...]:
    """query:AdhocQueryResponse; the error list comes first and the object list is always there (schema).

    Without a `status`, errors or warnings beside objects mean that these are not all: PartialSuccess.
    """
    if not status:
        status = names.SUCCESS
        if errors:
            status = names.FAILURE if objects is None else names.PARTIAL_SUCCESS
    head = (
        f'<query:AdhocQueryResponse xmlns:query="{names.QUERY}" {_RS} xmlns:rim="{names.RIM}"'
        f' status="{status}">'.encode()
    )
    before = head + error_list(errors, reference) + b"<rim:RegistryObjectList>"
    after = b"</rim:RegistryObjectList></query:AdhocQueryResponse>"
    return (before, after) if objects is None else (before, objects, after)
