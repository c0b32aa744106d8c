"""FHIR resources, and what becomes one: what ITI-65, ITI-105 and ITI-106 would say, or R4 by itself.

The readers of the FHIR side are asked as $validate asks them. A resource that nobody publishes by itself is
judged by R4, and by what MHD forbids in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from xds.errors import Fault, RegistryFailure, sender
from xds.fhir import body, cursor, provide, publish
from xds.fhir.interaction import Options, Request
from xds.fhir.mapping import Place
from xds.fhir.outcomes import Issue
from xds.fhir.r4.validation import problems
from xds.fhir.validate import READERS, judged
from xds.transactions import iti8_patient_identity_feed as iti8
from xds.transactions.rules import broken
from xds.transactions.transaction import Node
from xds.transport import mllp
from xds.transport.mime import too_large
from xds.validate import audit_events, kinds
from xds.validate.desk import Settings, desk
from xds.validate.findings import Finding, note, of_errors, of_fault
from xds.validate.wire import Saved

_BASE: Final = "https://xds.example.org/fhir"
#: What depends on whose node it is, which nobody knows here.
_OWN: Final = frozenset(("mhd-home",))
_PUBLISHED: Final = {"DocumentReference": "ITI-105", "Bundle": "ITI-65", "Parameters": "ITI-106"}
_Json = Mapping[str, Any]


def judge(saved: Saved, settings: Settings) -> tuple[str, list[Finding]]:
    """What a resource is, in words, and what is wrong with it."""
    with desk(settings) as node:
        staging = node.repository.store.staging
        try:
            received = body.receive(saved.stream(), kinds.content_type(saved), settings.limits, staging)
        except Fault as fault:
            return "a FHIR resource", [_http(fault)]
        kind = str(received.resource.get("resourceType", ""))
        reader = _reader(received.resource)
        if reader is not None:
            errors = judged(node, _request(node, received, kind), reader)
            found = of_errors(each for each in errors if isinstance(each, Issue) or each.rule not in _OWN)
            return f"a {kind} as {_PUBLISHED[kind]} has it", found
        return _alone(received.resource)


def judge_cda(saved: Saved, settings: Settings) -> tuple[str, list[Finding]]:
    """A CDA document, as ITI-106 takes it: its header must say what a document entry needs."""
    if len(saved.body) > settings.limits.document_bytes:
        return "CDA", [of_fault(too_large("The document", "document_bytes", settings.limits.document_bytes))]
    with desk(settings) as node:
        writer = node.repository.store.staging.create()
        writer.write(saved.body)
        binary = {"resourceType": "Binary", "contentType": "text/xml", "data": "urn:xds:staged:0"}
        resource = {"resourceType": "Parameters", "parameter": [{"name": "document", "resource": binary}]}
        received = body.Received(resource, {"urn:xds:staged:0": writer.finish()})
        errors = judged(node, _request(node, received, "DocumentReference"), publish.read_generate)
    return kinds.KINDS["cda"], of_errors(errors)


def judge_hl7v2(saved: Saved, settings: Settings) -> tuple[str, list[Finding]]:
    """A message of the patient feed (ITI-8), with or without the frame of MLLP."""
    data = saved.body.strip(b"\x0b\x1c\r\n") + b"\r"
    if len(data) > mllp.MOST_BYTES:
        sentence = (
            f"The message is larger than {mllp.MOST_BYTES} bytes, which is all that a node reads of one."
        )
        return "a message of ITI-8", [of_fault(sender(sentence))]
    with desk(settings) as node:
        try:
            iti8.judge(node, data)
        except RegistryFailure as failure:
            return "a message of ITI-8", of_errors(failure.errors)
        except Exception:  # whatever the library makes of it: the node answers feed-internal
            return "a message of ITI-8", of_errors([broken("feed-internal", transaction="ITI-8")])
    return "a message of ITI-8", []


def _reader(resource: _Json) -> Callable[[Node, Request], provide.Asked] | None:
    """Who reads such a resource when it is sent; None for what nobody sends by itself."""
    kind = resource.get("resourceType")
    if kind == "Bundle" and resource.get("type") == "transaction":
        return READERS["Bundle"]
    if kind == "DocumentReference":
        with suppress(LookupError, TypeError, AttributeError):
            if "data" in resource["content"][0]["attachment"]:
                return READERS["DocumentReference"]
    if kind == "Parameters" and isinstance(resource.get("parameter"), list):
        names = [each.get("name") for each in resource["parameter"] if isinstance(each, dict)]
        return publish.read_generate if "document" in names else None
    return None


def _request(node: Node, received: body.Received, path: str) -> Request:
    return Request(
        method="POST",
        path=path,
        parameters=(),
        headers={},
        options=Options(Place(_BASE, ""), cursor.Cursors(node.database), source_id="2.999"),
        reference="",
        body=lambda: received,
        patch=lambda: b"",
        adopt=lambda _: None,
    )


def _alone(resource: _Json) -> tuple[str, list[Finding]]:
    """A resource as it is read: R4, what MHD forbids in the resources of its own, and the log's profiles."""
    kind = str(resource.get("resourceType", ""))
    wrong = problems(resource)
    found = of_errors(Issue(each.code, each.text, each.expression) for each in wrong)
    if kind == "Bundle" and not wrong:
        for number, each in enumerate(resource.get("entry", ())):
            found += _beyond(each.get("resource", {}), f"Bundle.entry[{number}].resource")
    elif not wrong:
        found += _beyond(resource, kind)
    if not found:
        found = [
            note("It was judged by FHIR R4, and as one of MHD's or an AuditEvent by what is asked of it.")
        ]
    return f"a FHIR {kind if kind.isalpha() else 'resource'}", found


def _beyond(resource: _Json, place: str) -> list[Finding]:
    """What is asked of a resource beyond R4."""
    if resource.get("resourceType") == "AuditEvent":
        return audit_events.judge(resource, place)
    if resource.get("resourceType") not in ("DocumentReference", "List"):
        return []
    # One that is read may be superseded; that is for those who publish.
    errors = provide.prohibited(dict(resource), place)
    return of_errors(each for each in errors if each.rule not in ("mhd-status", "mhd-not-saved"))


def _http(fault: Fault) -> Finding:
    return replace(of_fault(fault), source="FHIR R4 3.1.0", code=str(fault.status))
