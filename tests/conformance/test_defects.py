"""A node with one defect fails the cases that name the defect, and no others.

`DEFECTS` has each defect with the profile in which it is looked for, and the ids of the cases that must fail
(patterns); the answers are a real node's, changed in that one respect on their way.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from tests.conformance.endpoints import Defect
from tests.conformance.test_node import CASES, HOME, guarded, plain  # noqa: F401
from xds.conformance.runner import Outcome, Runner, find_out
from xds.conformance.sending import Http, Raw, Request
from xds.conformance.target import Target

Change = Callable[[Request, Raw], Raw]
_APPROVED = b"('urn:oasis:names:tc:ebxml-regrep:StatusType:Approved')"
_FIND = b"14d4debf-8f97-4251-9a74-a90016b0af0d"
_SUCCESS, _FAILURE = b"ResponseStatusType:Success", b"ResponseStatusType:Failure"


def told(pattern: bytes, new: bytes, asked: bytes = b"", count: int = 0) -> Change:
    """Answers, to requests with `asked` in them, in which a pattern is another text."""

    def change(request: Request, raw: Raw) -> Raw:
        if asked not in request.body:
            return raw
        return replace(raw, body=re.sub(pattern, new, raw.body, count=count, flags=re.S))

    return change


def excused(code: bytes) -> Change:
    """Answers in which an error code is no error: the check is not there."""

    def change(_: Request, raw: Raw) -> Raw:
        if b'errorCode="' + code + b'"' not in raw.body:
            return raw
        body = re.sub(rb"<rs:RegistryErrorList.*?</rs:RegistryErrorList>", b"", raw.body, flags=re.S)
        return replace(raw, body=body.replace(_FAILURE, _SUCCESS))

    return change


def plainly(request: Request, raw: Raw) -> Raw:
    """Answers to ITI-41 without their MIME package."""
    if b"ProvideAndRegisterDocumentSetRequest" not in request.body:
        return raw
    envelope = re.search(rb"<s:Envelope.*</s:Envelope>", raw.body, re.S)
    assert envelope
    return Raw(raw.status, {**raw.headers, "content-type": "application/soap+xml"}, envelope[0])


def without_location(_: Request, raw: Raw) -> Raw:
    """Answers without Location."""
    return replace(raw, headers={name: text for name, text in raw.headers.items() if name != "location"})


def ok(_: Request, raw: Raw) -> Raw:
    """HTTP 200 in place of 201."""
    return replace(raw, status=200 if raw.status == 201 else raw.status)


def opened(request: Request, raw: Raw) -> Raw:
    """Queries without a ticket are answered, with nothing."""
    if b"RegistryStoredQuery<" not in request.body or b"Security" in request.body:
        return raw
    answer = (
        b'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body><q:AdhocQueryResponse '
        b'xmlns:q="urn:oasis:names:tc:ebxml-regrep:xsd:query:3.0" status="urn:oasis:names:tc:ebxml-regrep:'
        b'ResponseStatusType:Success"/></s:Body></s:Envelope>'
    )
    return Raw(200, {"content-type": "application/soap+xml"}, answer)


def unlogged(request: Request, raw: Raw) -> Raw:
    """The log without retrievals."""
    if "AuditEvent" not in request.url or "ITI-43" not in request.url:
        return raw
    return replace(raw, body=b'{"resourceType":"Bundle","type":"searchset"}')


def all_statuses(request: Request) -> Request:
    """FindDocuments that asks for Approved gives Deprecated ones too."""
    if _FIND not in request.body:
        return request
    both = _APPROVED[:-1] + b"," + _APPROVED[1:].replace(b"Approved", b"Deprecated")
    return replace(request, body=request.body.replace(_APPROVED, both))


@dataclass(frozen=True)
class Bad:
    """One defect, and what must come of it in a profile."""

    profile: str
    failing: tuple[str, ...]
    change: Change = lambda _, raw: raw
    asking: Callable[[Request], Request] = lambda request: request
    tickets: bool = False


DEFECTS = {
    "answers name another request": Bad(
        "soap",
        ("soap-relates-to-*", "soap-fault-relates-to"),
        told(rb"(RelatesTo>urn:uuid:)[0-9a-f]{8}", rb"\g<1>00000000"),
    ),
    "the answer to ITI-18 has the action of the request": Bad(
        "soap",
        ("soap-answer-action-ITI-18",),
        told(rb"RegistryStoredQueryResponse<", b"RegistryStoredQuery<"),
    ),
    "wsa:Action is not mustUnderstand": Bad(
        "soap", ("soap-action-must-understand",), told(rb' s:mustUnderstand="1"', b"")
    ),
    "another hash under a known uniqueId is taken": Bad(
        "ihe-registry", ("registry-duplicate-other-hash",), excused(b"XDSNonIdenticalHash")
    ),
    "a used SubmissionSet.uniqueId is taken": Bad(
        "ihe-registry",
        ("registry-set-unique-id-taken", "folder-unique-id-taken"),
        excused(b"XDSDuplicateUniqueIdInRegistry"),
    ),
    "deprecated documents are given as approved ones": Bad(
        "ihe-registry",
        ("life-cycle-RPLC", "life-cycle-XFRM_RPLC", "life-cycle-replace-takes-*"),
        asking=all_statuses,
    ),
    "one of several ObjectRefs is dropped": Bad(
        "ihe-registry",
        ("query-object-ref", "query-single-patient-object-ref"),
        told(rb"(<rim:ObjectRef\b[^>]*/>)<rim:ObjectRef\b[^>]*/>", rb"\1"),
    ),
    "a folder's lastUpdateTime is as it was sent": Bad(
        "ihe-registry",
        ("folder-last-update-time",),
        told(rb'(name="lastUpdateTime"><rim:ValueList><rim:Value>)\d+', rb"\g<1>19990101000000"),
    ),
    "answers of the gateway have no homeCommunityId": Bad(
        "ihe-responding-gateway",
        ("gateway-find",),
        told(rb'(<rim:ExtrinsicObject\b[^>]*?) home="[^"]*"', rb"\1"),
    ),
    "errors of the gateway do not say whose": Bad(
        "ihe-responding-gateway",
        ("gateway-error-location", "gateway-retrieve-unknown"),
        told(rb' location="urn:oid:' + HOME.encode() + rb'"', b""),
    ),
    "documents come with another byte": Bad(
        "ihe-repository",
        ("repository-provide-and-retrieve", "repository-inline", "repository-several",
         "repository-duplicate-other-bytes", "repository-partial", "repository-deprecated-retrieved"),
        told(rb"Conformance document", b"conformance document", b"RetrieveDocumentSetRequest"),
    ),
    "the repository answers without MTOM": Bad(
        "ihe-repository", ("repository-mtom-provide-answer",), plainly
    ),
    "what came in part is told as all": Bad(
        "ihe-repository",
        ("repository-partial",),
        told(
            rb"urn:ihe:iti:2007:ResponseStatusType:PartialSuccess",
            b"urn:oasis:names:tc:ebxml-regrep:" + _SUCCESS,
        ),
    ),
    "HTTP 200 where something was created": Bad("mhd", ("mhd-simplified-publish",), ok),
    "no Location": Bad("mhd", ("mhd-simplified-publish",), without_location),
    "entries of a transaction are told as 200": Bad(
        "mhd", ("mhd-provide-created",), told(rb'"status":"201', b'"status":"200')
    ),
    "a query without a ticket is answered": Bad(
        "xua",
        ("xua-no-ticket-ITI-18", "xua-no-ticket-fault", "xua-no-ticket-gives-nothing"),
        opened,
        tickets=True,
    ),
    "a blocked document is listed with its title": Bad(
        "norwegian-registry", ("blocked-masked", "blocked-by-gateway", "blocked-over-fhir"),
        told(rb"Sperret", b"Hemmelighet"),
        tickets=True,
    ),
    "retrievals are not on record": Bad("audit", ("audit-retrieve",), unlogged, tickets=True),
}  # fmt: skip


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_fails_the_cases_that_name_it(name: str, request: pytest.FixtureRequest) -> None:
    """Exactly these of the profile fail."""
    bad = DEFECTS[name]
    target: Target = request.getfixturevalue("guarded" if bad.tickets else "plain")
    http = Http()
    find_out(Runner(http, target))
    cases = [each for each in CASES if bad.profile in each.profiles]
    results = list(Runner(Defect(http, bad.change, bad.asking), target).run(cases))
    failed = {each.case.id: each.reason for each in results if each.outcome is Outcome.FAILED}
    expected = {each.id for each in cases for pattern in bad.failing if fnmatch.fnmatchcase(each.id, pattern)}
    assert all(any(fnmatch.fnmatchcase(each, pattern) for each in expected) for pattern in bad.failing)
    assert set(failed) == expected, failed
