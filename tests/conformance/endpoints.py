"""Endpoints that are wrong on purpose, for tests that the cases notice: senders in place of HTTP.

`Always` gives the same kind of answer to everything; `Defect` hands the answers of a real node on, changed in
one respect. None of them knows a case.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from xds.conformance.sending import Raw, Request, Sender

SOAP = "http://www.w3.org/2003/05/soap-envelope"
STATUS = "urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:"
_NS = (
    'xmlns:rs="urn:oasis:names:tc:ebxml-regrep:xsd:rs:3.0" '
    'xmlns:rim="urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0" '
    'xmlns:query="urn:oasis:names:tc:ebxml-regrep:xsd:query:3.0" xmlns:xds="urn:ihe:iti:xds-b:2007"'
)


def _soap(body: str, status: int = 200) -> Raw:
    text = f'<s:Envelope xmlns:s="{SOAP}" {_NS}><s:Header/><s:Body>{body}</s:Body></s:Envelope>'
    return Raw(status, {"content-type": "application/soap+xml"}, text.encode())


def _response(request: Request, status: str, errors: str = "") -> Raw:
    body = request.body
    if b"RetrieveDocumentSetRequest" in body:
        inner = f'<rs:RegistryResponse status="{STATUS}{status}">{errors}</rs:RegistryResponse>'
        return _soap(f"<xds:RetrieveDocumentSetResponse>{inner}</xds:RetrieveDocumentSetResponse>")
    if b"AdhocQueryRequest" in body or b"hello" in body or request.method == "GET":
        return _soap(
            f'<query:AdhocQueryResponse status="{STATUS}{status}">{errors}<rim:RegistryObjectList/>'
            "</query:AdhocQueryResponse>"
        )
    return _soap(f'<rs:RegistryResponse status="{STATUS}{status}">{errors}</rs:RegistryResponse>')


def _is_fhir(request: Request) -> bool:
    return "/fhir" in request.url


def yes(request: Request) -> Raw:
    """Whatever is asked has been done, and there is nothing."""
    if _is_fhir(request):
        return Raw(200, {"content-type": "application/fhir+json"}, b"{}")
    return _response(request, "Success")


def no(request: Request) -> Raw:
    """Whatever is asked is wrong, for a reason that nobody knows."""
    if _is_fhir(request):
        return Raw(500, {"content-type": "text/plain"}, b"no")
    error = (
        '<rs:RegistryErrorList><rs:RegistryError errorCode="Nonsense" codeContext="no" '
        'severity="urn:oasis:names:tc:ebxml-regrep:ErrorSeverityType:Error"/></rs:RegistryErrorList>'
    )
    return _response(request, "Failure", error)


def broken(_: Request) -> Raw:
    """Whatever is asked, something went wrong."""
    return _soap(
        "<s:Fault><s:Code><s:Value>s:Receiver</s:Value></s:Code><s:Reason><s:Text>no</s:Text></s:Reason></s:Fault>",
        500,
    )


def silent(_: Request) -> Raw:
    """HTTP 200, and nothing."""
    return Raw(200, {}, b"")


@dataclass
class Always:
    """The same kind of answer to everything."""

    answer: Callable[[Request], Raw]

    def send(self, request: Request) -> Raw:
        """One request, one answer."""
        return self.answer(request)


@dataclass
class Defect:
    """The answers of another sender, changed; `asking` changes the request before."""

    sender: Sender
    change: Callable[[Request, Raw], Raw] = lambda _, raw: raw
    asking: Callable[[Request], Request] = lambda request: request

    def send(self, request: Request) -> Raw:
        """One request, one answer."""
        return self.change(request, self.sender.send(self.asking(request)))


@dataclass
class Last:
    """The answers of another sender; that of the `number`th request is changed."""

    sender: Sender
    number: int
    change: Callable[[Raw], Raw]
    count: int = field(default=0, init=False)

    def send(self, request: Request) -> Raw:
        """One request, one answer."""
        self.count += 1
        raw = self.sender.send(request)
        return self.change(raw) if self.count == self.number else raw


def emptied(raw: Raw) -> Raw:
    """Without the objects, documents and entries that it had."""
    body = raw.body
    for name in (b"ExtrinsicObject", b"RegistryPackage", b"Association"):
        body = re.sub(rb"<rim:%s\b[^>]*/>|<rim:%s\b.*?</rim:%s>" % (name, name, name), b"", body, flags=re.S)
    body = re.sub(rb"<rim:ObjectRef\b[^>]*/>", b"", body)
    body = re.sub(rb"<xds:DocumentResponse>.*?</xds:DocumentResponse>", b"", body, flags=re.S)
    body = re.sub(rb'^\{.*"entry":\[.*$', b'{"resourceType":"Bundle","type":"searchset"}', body, flags=re.S)
    return Raw(raw.status, raw.headers, body)


def swapped(raw: Raw) -> Raw:
    """With the opposite outcome."""
    body = raw.body.replace(b"Type:Success", b"Type:X").replace(b"Type:PartialSuccess", b"Type:X")
    body = body.replace(b"ResponseStatusType:Failure", b"ResponseStatusType:Success")
    body = body.replace(b"StatusType:X", b"StatusType:Failure")
    body = re.sub(rb"<rs:RegistryErrorList.*?</rs:RegistryErrorList>", b"", body, flags=re.S)
    body = re.sub(rb":(Sender|MustUnderstand)</", b":Receiver</", body)
    body = re.sub(rb'(typeCode code=")C[AE]', rb"\1XX", body)
    return Raw(500 if raw.status < 300 else 200, raw.headers, body)


def bared(raw: Raw) -> Raw:
    """Without its headers, of HTTP and of SOAP."""
    body = re.sub(rb"<s:Header>.*?</s:Header>", b"<s:Header/>", raw.body, flags=re.S)
    return Raw(raw.status, {}, body)
