"""Whom a request says by its header that it is about, and what is answered when it should not have said so.

app.py asks before gate 2, of every interaction. The header keeps national numbers out of URLs; it must never
say anything else than the rest of the request does, or the access log would hold somebody who was not meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from xds.errors import DataTypeError
from xds.fhir.document_references import PATIENT, not_there
from xds.fhir.outcomes import Issue, Refused
from xds.fhir.parameters import patient


def named_by_header(headers: Mapping[str, str], *, test: bool) -> str:
    """The patient (CX text) whom the header names, or nothing. Raises Refused."""
    number = headers.get(PATIENT)
    if number is None:
        return ""
    try:
        return patient(number, test=test)
    except DataTypeError:
        raise Refused(400, Issue("value", f"{PATIENT} is one patient's national number.")) from None


def check_one(named: str, pid: str) -> None:
    """Raises Refused when the header names somebody, and what is asked is about somebody else."""
    if named and named != pid:
        raise Refused(400, _DIFFERENT)


_DIFFERENT: Final = Issue("value", f"{PATIENT} names another patient than the rest of the request.")


def hidden(reason: str) -> Refused:
    """The answer about an id that is not for this caller: that of one that nobody has; `reason` is logged."""
    told = not_there()
    return Refused(told.status, *told.issues, reason=reason)
