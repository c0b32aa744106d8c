"""An answer taken apart: SOAP, MTOM, ebRIM and FHIR as far as the checks ask.

checks.py reads it. What cannot be read is Unreadable with a sentence, never an exception of a parser.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final
from urllib.parse import unquote

from lxml import etree

from xds.conformance import words
from xds.conformance.sending import Raw
from xds.errors import Fault, XdsError
from xds.transport import xml

SOAP12: Final = "http://www.w3.org/2003/05/soap-envelope"
SOAP11: Final = "http://schemas.xmlsoap.org/soap/envelope/"
#: No case asks for more; a message of line ends and dashes would be millions.
_MOST_PARTS: Final = 1000
XOP: Final = "{http://www.w3.org/2004/08/xop/include}Include"
NS: Final = {
    "s": SOAP12,
    "a": "http://www.w3.org/2005/08/addressing",
    "rim": "urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0",
    "rs": "urn:oasis:names:tc:ebxml-regrep:xsd:rs:3.0",
    "query": "urn:oasis:names:tc:ebxml-regrep:xsd:query:3.0",
    "xds": "urn:ihe:iti:xds-b:2007",
    "hl7": "urn:hl7-org:v3",
}


class Unreadable(XdsError):
    """The answer is not what its kind has to be, and why."""


@dataclass(frozen=True)
class Error:
    """One rs:RegistryError."""

    code: str
    context: str
    location: str
    severity: str


class Answer:
    """One HTTP answer; what is asked for and not there raises Unreadable."""

    def __init__(self, raw: Raw) -> None:
        self.raw = raw

    @property
    def status(self) -> int:
        """Of HTTP."""
        return self.raw.status

    @property
    def content_type(self) -> str:
        """As it came."""
        return self.raw.headers.get("content-type", "")

    @property
    def is_multipart(self) -> bool:
        """Whether it came in MIME parts."""
        return self.content_type.lower().startswith("multipart/related")

    @cached_property
    def parts(self) -> Mapping[str, bytes]:
        """The MIME parts by Content-ID, in order."""
        found = re.search(r';\s*boundary="?([^";]+)"?', self.content_type, re.I)
        if not found:
            raise Unreadable("its Content-Type is multipart and has no boundary")
        pieces = (b"\r\n" + self.raw.body).split(b"\r\n--" + found[1].encode(), _MOST_PARTS)
        if len(pieces) < 3 or not pieces[-1].startswith(b"--"):
            raise Unreadable("it is no whole multipart message")
        parts: dict[str, bytes] = {}
        for number, piece in enumerate(pieces[1:-1]):
            head, _, content = piece.partition(b"\r\n\r\n")
            own = re.search(rb"(?im)^content-id:\s*<?([^>\r\n]+)>?", head)
            parts[own[1].decode("latin-1") if own else f"part {number}"] = content
        return parts

    @cached_property
    def envelope(self) -> etree._Element:
        """The SOAP envelope."""
        data = self.raw.body
        if self.is_multipart:
            start = re.search(r';\s*start="?<?([^">;]+)>?"?', self.content_type, re.I)
            data = self.parts.get(start[1], b"") if start else next(iter(self.parts.values()))
        try:
            root = xml.parse(data)
        except Fault:
            raise Unreadable(f"there is no XML in it (HTTP {self.status})") from None
        if root.tag not in (f"{{{SOAP12}}}Envelope", f"{{{SOAP11}}}Envelope"):
            raise Unreadable(f"it is no SOAP envelope (HTTP {self.status})")
        return root

    @cached_property
    def content(self) -> etree._Element:
        """What stands in the SOAP Body."""
        body = self.envelope.find("{*}Body")
        if body is None or len(body) != 1:
            raise Unreadable("its SOAP Body has not one element")
        return body[0]

    def header(self, name: str) -> str:
        """The text of a WS-Addressing header, or nothing."""
        return (self.envelope.findtext(f"{{*}}Header/a:{name}", "", NS)).strip()

    @cached_property
    def fault(self) -> tuple[str, str] | None:
        """(code, innermost subcode) by their local names; None when it is no fault."""
        if etree.QName(self.content).localname != "Fault":
            return None
        codes = [
            (each.text or "").strip().rpartition(":")[2]
            for each in self.content.iter(f"{{{SOAP12}}}Value", "faultcode")
        ]
        return (codes[0], codes[-1] if len(codes) > 1 else "") if codes else ("", "")

    @property
    def _response(self) -> etree._Element:
        if self.fault is not None:
            code, subcode = self.fault
            raise Unreadable(f"it is a SOAP fault ({code[:80]}{', ' + subcode[:80] if subcode else ''})")
        found = (
            self.content if "status" in self.content.attrib else self.content.find("rs:RegistryResponse", NS)
        )
        if found is None:
            raise Unreadable(f"there is no response status in {etree.QName(self.content).localname[:80]}")
        return found

    @property
    def outcome(self) -> str:
        """Success, Failure or PartialSuccess; another status as it came."""
        status = self._response.get("status", "")
        return next((name for name, urn in words.STATUSES.items() if urn == status), status)

    @property
    def errors(self) -> list[Error]:
        """The RegistryErrors, in order."""
        return [
            Error(
                each.get("errorCode", ""),
                each.get("codeContext", ""),
                each.get("location", ""),
                each.get("severity", "").rpartition(":")[2],
            )
            for each in self._response.iterfind("rs:RegistryErrorList/rs:RegistryError", NS)
        ]

    def unique_ids(self, kind: str, scheme: str) -> list[str]:
        """The uniqueIds of the objects of an element in a LeafClass answer."""
        path = f".//rim:{kind}/rim:ExternalIdentifier[@identificationScheme='{scheme}']/@value"
        return [str(each) for each in self.content.xpath(path, namespaces=NS)]

    def documents(self) -> dict[str, bytes]:
        """DocumentUniqueId -> bytes of a RetrieveDocumentSetResponse."""
        found: dict[str, bytes] = {}
        for each in self.content.iterfind("xds:DocumentResponse", NS):
            document = each.find("xds:Document", NS)
            name = each.findtext("xds:DocumentUniqueId", "", NS)
            include = document.find(XOP) if document is not None else None
            if document is None:
                raise Unreadable("a DocumentResponse has no Document")
            if include is not None:
                own = unquote(include.get("href", "")[4:])
                if own not in (self.parts if self.is_multipart else {}):
                    raise Unreadable("an xop:Include leads to no MIME part")
                found[name] = self.parts[own]
            else:
                try:
                    found[name] = base64.b64decode(document.text or "")
                except ValueError:  # letters that are not ASCII are no binascii.Error
                    raise Unreadable("a Document is no base64") from None
        return found

    def xpath(self, path: str) -> list[str]:
        """Texts and attributes that a path gives, from the envelope on."""
        found = self.envelope.xpath(path, namespaces=NS)
        if not isinstance(found, list):
            return [str(found).removesuffix(".0")]
        return [
            (each.text or "").strip() if isinstance(each, etree._Element) else str(each) for each in found
        ]

    def count(self, path: str) -> int:
        """How many nodes a path gives."""
        found = self.envelope.xpath(path, namespaces=NS)
        return len(found) if isinstance(found, list) else int(float(found))

    @cached_property
    def json(self) -> Any:
        """The JSON of it."""
        try:
            return json.loads(self.raw.body)
        except ValueError:
            raise Unreadable(f"there is no JSON in it (HTTP {self.status})") from None
        except RecursionError:
            raise Unreadable("its JSON is nested too deeply") from None

    def values(self, path: str) -> list[Any]:
        """What stands at a dotted path in the JSON; `*` is each of a list, `[key=value]` what has it."""
        here = [self.json]
        for step in re.findall(r"\[[^\]]*\]|[^.\[\]]+", path):
            here = [inner for each in here for inner in _inside(each, step)]
        return here


def _inside(value: Any, step: str) -> list[Any]:
    if step.startswith("["):
        key, _, wanted = step[1:-1].partition("=")
        among = value if isinstance(value, list) else [value]
        return [each for each in among if isinstance(each, dict) and str(each.get(key)) == wanted]
    if isinstance(value, list):
        if step == "*":
            return list(value)
        return [value[int(step)]] if step.isdigit() and int(step) < len(value) else []
    return [value[step]] if isinstance(value, dict) and step in value else []
