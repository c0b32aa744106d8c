"""JSON or XML: what a client wants to read (FHIR R4, 3.1.0.1.11), and the bytes of it.

routes.py asks for every answer that is a resource; binaries.py for documents, which have types of their own.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, Final

import orjson

from xds.fhir.outcomes import Issue, Refused
from xds.fhir.r4.xml import to_xml


class Form(Enum):
    """The two forms of a resource, by their media types."""

    JSON = "application/fhir+json"
    XML = "application/fhir+xml"


_FORMS: Final[Mapping[str, Form]] = {
    **dict.fromkeys(("application/fhir+json", "application/json", "text/json", "json"), Form.JSON),
    **dict.fromkeys(("application/fhir+xml", "application/xml", "text/xml", "xml"), Form.XML),
    # Whoever takes anything, and browsers.
    **dict.fromkeys(("*/*", "application/*", "text/*", "text/html", "application/xhtml+xml"), Form.JSON),
}
_VERSIONS: Final = ("4.0", "4.0.1")
#: Smaller answers do not gain.
_WORTH_PACKING: Final = 1400


def accepted(header: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    """The media types of an Accept header with their parameters, the most wanted first (RFC 9110, 12.5.1)."""
    found = []
    for position, part in enumerate(header.split(",")):
        kind, *parameters = (each.strip() for each in part.split(";"))
        given = {}
        for each in parameters:
            name, _, value = each.partition("=")
            given[name.strip().lower()] = value.strip().strip('"')
        try:
            quality = float(given.pop("q", "1"))
        except ValueError:
            quality = 0.0
        if kind and quality > 0:
            found.append((-quality, position, kind.lower(), given))
    for _, _, kind, given in sorted(found, key=lambda each: each[:2]):
        yield kind, given


def unaccepted(header: str) -> frozenset[str]:
    """The media types that an Accept header takes out of its ranges (q=0)."""
    kinds = (part.split(";")[0].strip().lower() for part in header.split(",") if _NEVER.search(part))
    return frozenset(kinds)


_NEVER: Final = re.compile(r";\s*q\s*=\s*0(?:\.0*)?\s*(?:;|$)", re.IGNORECASE)


def form_of(accept: str, wanted: str = "", version: str = "") -> Form:
    """The form of the answer: `_format` goes before Accept. Raises Refused (406)."""
    if version and version not in _VERSIONS:
        raise _unknown_version()
    header = wanted.replace(" ", "+") if wanted else accept or "*/*"
    not_wanted = unaccepted(header)
    of_other_version = False
    for kind, parameters in accepted(header):
        if kind not in _FORMS:
            continue
        if parameters.get("fhirversion", "4.0") not in _VERSIONS:
            of_other_version = True
            continue
        if "*" not in kind:
            return _FORMS[kind]
        for form in Form:
            if form.value not in not_wanted:
                return form
    if of_other_version:
        raise _unknown_version()
    raise Refused(
        406,
        Issue(
            "not-supported", "Answers are application/fhir+json or application/fhir+xml: accept one of them."
        ),
    )


def _unknown_version() -> Refused:
    return Refused(406, Issue("not-supported", "This is FHIR R4: ask for fhirVersion=4.0, or for none."))


def content_type(form: Form) -> str:
    """Of an answer in this form."""
    return f"{form.value}; charset=utf-8"


def written(form: Form, resource: Mapping[str, Any]) -> bytes:
    """The resource in this form."""
    return orjson.dumps(resource) if form is Form.JSON else to_xml(resource)


def packed(data: bytes, accept_encoding: str) -> bytes | None:
    """The bytes as gzip, for whoever takes that and gains by it; else None."""
    if len(data) < _WORTH_PACKING:
        return None
    kinds = {kind for kind, _ in accepted(accept_encoding)}
    if "gzip" not in kinds and ("*" not in kinds or "gzip" in unaccepted(accept_encoding)):
        return None
    return gzip.compress(data, compresslevel=3, mtime=0)
