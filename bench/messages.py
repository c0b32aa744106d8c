"""The requests of the benchmark, as a plain sender writes them: SOAP 1.2, WS-Addressing, MTOM for documents.

Each function gives a `Request`: its XML, which the floor parses, and the bytes that go over the wire. No
request carries anything of a real person.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench import content
from tests.metadata import samples
from xds import transactions
from xds.metadata import names
from xds.registry.queries import find_documents, get_documents
from xds.transactions.transaction import Transaction
from xds.transport.xml import escape

_BOUNDARY: Final = "uuid:0d9f2c6e-5a51-4c1c-8d6b-2f0c3a7e9b14"
_PLAIN: Final = "application/soap+xml; charset=utf-8"
_MTOM: Final = (
    f'multipart/related; type="application/xop+xml"; boundary="{_BOUNDARY}"; start="<root@bench>"; '
    'start-info="application/soap+xml"'
)


@dataclass(frozen=True, slots=True)
class Request:
    """One request: where it goes, its Content-Type, the XML in it and the whole body."""

    path: str
    content_type: str
    xml: bytes
    body: bytes


def find(pid: str, security: str = "", path: str = "/xds/registry") -> Request:
    """FindDocuments for the approved documents of one patient, with the full entries.

    `security` is the header block of a ticket, or nothing; `path` may be that of an initiating gateway.
    """
    parameters = {
        "$XDSDocumentEntryPatientId": [f"'{pid}'"],
        "$XDSDocumentEntryStatus": [f"('{names.APPROVED}')"],
    }
    return _stored_query(find_documents.ID, parameters, security, path)


def get(entry_uuids: Sequence[str]) -> Request:
    """GetDocuments by entryUUID, with the full entries."""
    # One to a Value: a Value holds 256 characters at most (ebRIM LongName).
    return _stored_query(
        get_documents.ID, {"$XDSDocumentEntryEntryUUID": [f"('{each}')" for each in entry_uuids]}
    )


def _stored_query(
    identifier: str, parameters: dict[str, list[str]], security: str = "", path: str = "/xds/registry"
) -> Request:
    slots = ""
    for name, values in parameters.items():
        written = "".join(f"<rim:Value>{escape(value)}</rim:Value>" for value in values)
        slots += f'<rim:Slot name="{name}"><rim:ValueList>{written}</rim:ValueList></rim:Slot>'
    xml = _envelope(
        transactions.ITI_18,
        f'<query:AdhocQueryRequest xmlns:query="{names.QUERY}" xmlns:rim="{names.RIM}">'
        '<query:ResponseOption returnComposedObjects="true" returnType="LeafClass"/>'
        f'<rim:AdhocQuery id="{identifier}">{slots}</rim:AdhocQuery></query:AdhocQueryRequest>',
        security,
    )
    return Request(path, _PLAIN, xml, xml)


def provide(pid: str, number: int, document: bytes, chance: random.Random) -> Request:
    """Provide and Register one document; `number` makes the uniqueIds, so it must be new."""
    entry = content.entry(pid, number, chance, size=None, hash=None)
    objects = samples.submission(entry, of=content.set_of(pid, number))
    xml = _envelope(
        transactions.ITI_41,
        f'<xds:ProvideAndRegisterDocumentSetRequest xmlns:xds="{names.XDS}">'
        f"{samples.message(objects).decode()}"
        f'<xds:Document id="{entry.entry_uuid}"><xop:Include href="cid:document@bench"'
        ' xmlns:xop="http://www.w3.org/2004/08/xop/include"/></xds:Document>'
        "</xds:ProvideAndRegisterDocumentSetRequest>",
    )
    return _mtom(xml, document)


def retrieve(unique_id: str) -> Request:
    """Retrieve one document; as MTOM, so that the answer is MTOM."""
    xml = _envelope(
        transactions.ITI_43,
        f'<xds:RetrieveDocumentSetRequest xmlns:xds="{names.XDS}"><xds:DocumentRequest>'
        f"<xds:RepositoryUniqueId>{samples.REPOSITORY}</xds:RepositoryUniqueId>"
        f"<xds:DocumentUniqueId>{unique_id}</xds:DocumentUniqueId>"
        "</xds:DocumentRequest></xds:RetrieveDocumentSetRequest>",
    )
    return _mtom(xml)


def _envelope(transaction: Transaction, body: str, security: str = "") -> bytes:
    return (
        '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"'
        ' xmlns:a="http://www.w3.org/2005/08/addressing"><s:Header>'
        f'<a:Action s:mustUnderstand="1">{transaction.action}</a:Action>'
        f"<a:MessageID>urn:uuid:{uuid.uuid4()}</a:MessageID>{security}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def _mtom(xml: bytes, document: bytes | None = None) -> Request:
    root = (
        f'--{_BOUNDARY}\r\nContent-Type: application/xop+xml; charset=UTF-8; type="application/soap+xml"\r\n'
        "Content-Transfer-Encoding: binary\r\nContent-ID: <root@bench>\r\n\r\n"
    ).encode()
    part = (
        f"\r\n--{_BOUNDARY}\r\nContent-Type: application/pdf\r\n"
        "Content-Transfer-Encoding: binary\r\nContent-ID: <document@bench>\r\n\r\n"
    ).encode()
    pieces = [root, xml] if document is None else [root, xml, part, document]
    body = b"".join([*pieces, f"\r\n--{_BOUNDARY}--\r\n".encode()])
    return Request("/xds/repository", _MTOM, xml, body)
