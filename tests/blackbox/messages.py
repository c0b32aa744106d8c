"""Messages as text: synthetic ebRIM, envelopes, and MTOM packages in the shapes of the stacks that are in
use.

Written by hand from ITI TF-2 and TF-3, apart from the package's own writer. The patient numbers are of the
Tenor series (month + 80), so that nobody has them; MARKERS are what must never be seen in a fault, an error
or a log.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as _field
from xml.sax.saxutils import escape, quoteattr

from tests.blackbox.wire import LCM, QUERY, RIM, SOAP12, WSA, XDS, XOP, Request

REGISTRY, REPOSITORY = "/xds/registry", "/xds/repository"
RESPONDING, INITIATING = "/xca/responding", "/xca/initiating"
REPOSITORY_ID = "2.16.578.1.12.4.5.100.1.1.2"
NUMBER = "17855599120"
AUTHORITY = "2.16.578.1.12.4.1.4.1"
PATIENT = f"{NUMBER}^^^&{AUTHORITY}&ISO"
#: Somebody else.
OTHER_NUMBER = "29844697323"
OTHER = PATIENT.replace(NUMBER, OTHER_NUMBER)
FAMILY, TITLE, COMMENT, FILE = "Kvakkelund", "Zygomorf epikrise", "Hemmeligvrøvl", "fnuggfil.pdf"
#: What stands in every message of these tests and says something about a person.
MARKERS = (NUMBER, OTHER_NUMBER, FAMILY, TITLE, COMMENT, FILE)

ACTIONS = {
    "ITI-18": "urn:ihe:iti:2007:RegistryStoredQuery",
    "ITI-38": "urn:ihe:iti:2007:CrossGatewayQuery",
    "ITI-39": "urn:ihe:iti:2007:CrossGatewayRetrieve",
    "ITI-41": "urn:ihe:iti:2007:ProvideAndRegisterDocumentSet-b",
    "ITI-42": "urn:ihe:iti:2007:RegisterDocumentSet-b",
    "ITI-43": "urn:ihe:iti:2007:RetrieveDocumentSet",
    "ITI-51": "urn:ihe:iti:2009:MultiPatientStoredQuery",
    "ITI-57": "urn:ihe:iti:2010:UpdateDocumentSet",
    "ITI-61": "urn:ihe:iti:2010:RegisterOnDemandDocumentEntry",
    "ITI-62": "urn:ihe:iti:2010:DeleteDocumentSet",
    "ITI-80": "urn:ihe:iti:2015:CrossGatewayDocumentProvide",
    "ITI-86": "urn:ihe:iti:2017:RemoveDocuments",
    "ITI-92": "urn:ihe:iti:2018:RestrictedUpdateDocumentSet",
}
PATHS = (
    dict.fromkeys(ACTIONS, REGISTRY)
    | dict.fromkeys(("ITI-41", "ITI-43", "ITI-86"), REPOSITORY)
    | dict.fromkeys(("ITI-38", "ITI-39", "ITI-80"), RESPONDING)
)
FIND_DOCUMENTS = "urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d"
FIND_FOR_MULTIPLE_PATIENTS = "urn:uuid:3d1bdb10-39a2-11de-89c2-2f44d94eaa9f"
GET_DOCUMENTS = "urn:uuid:5c4f972b-d56b-40ac-a5fc-c8ca9b40b9d4"
GET_ALL = "urn:uuid:10b545ea-725c-446d-9b95-8aeb444eddf3"
GET_SET_AND_CONTENTS = "urn:uuid:e8e3cb2c-e39c-46b9-99e4-c12f57260b83"
APPROVED = "urn:oasis:names:tc:ebxml-regrep:StatusType:Approved"
DEPRECATED = "urn:oasis:names:tc:ebxml-regrep:StatusType:Deprecated"
STABLE = "urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c1"
ON_DEMAND = "urn:uuid:34268e47-fdf5-41a6-ba33-82133c465248"
#: The id of the submission set in messages of one.
SET = "SubmissionSet01"
HAS_MEMBER = "urn:oasis:names:tc:ebxml-regrep:AssociationType:HasMember"
REPLACE, APPEND = "urn:ihe:iti:2007:AssociationType:RPLC", "urn:ihe:iti:2007:AssociationType:APND"
TRANSFORM = "urn:ihe:iti:2007:AssociationType:XFRM"
UPDATE_STATUS = "urn:ihe:iti:2010:AssociationType:UpdateAvailabilityStatus"
SUBMIT_ASSOCIATION = "urn:ihe:iti:2010:AssociationType:SubmitAssociation"

#: Classifications of a DocumentEntry: IHE's name -> (classificationScheme, code, codingScheme) (ITI TF-3
#: 4.2.5.2).
CODES = {
    "classCode": ("urn:uuid:41a5887f-8865-4c09-adf7-e362475b143a", "A00-1", "2.16.578.1.12.4.1.1.9602"),
    "confidentialityCode": ("urn:uuid:f4f85eac-e6cb-4883-b524-f2705394840f", "N", "2.16.840.1.113883.5.25"),
    "formatCode": (
        "urn:uuid:a09d5840-386c-46f2-b5ad-9c3699a4309d",
        "urn:ihe:iti:xds:2017:mimeTypeSufficient",
        "1.3.6.1.4.1.19376.1.2.3",
    ),
    "healthcareFacilityTypeCode": (
        "urn:uuid:f33fb8ac-18af-42cc-ae0e-ed0b0bdb91e1",
        "86.101",
        "2.16.578.1.12.4.1.1.1303",
    ),
    "practiceSettingCode": (
        "urn:uuid:cccf5598-8b07-4b77-a05e-ae952c785ead",
        "S03",
        "2.16.578.1.12.4.1.1.8655",
    ),
    "typeCode": ("urn:uuid:f0306f51-975f-434e-a61c-c59651d33983", "A03-2", "2.16.578.1.12.4.1.1.9602"),
}

_counter = itertools.count(1)


def new_oid() -> str:
    """An OID that nobody has used: under 2.25, from a UUID (ITU-T X.667)."""
    return f"2.25.{uuid.uuid4().int}"


def new_uuid() -> str:
    """An entryUUID that nobody has used."""
    return f"urn:uuid:{uuid.uuid4()}"


@dataclass(frozen=True)
class Document:
    """A DocumentEntry with its bytes. `slots` set to None leaves one out; `without` leaves codes out. A new
    version has the logicalID in `lid`.
    """

    content: bytes = b"%PDF-1.4\r\n% synthetic\r\n"
    id: str = "Document01"
    unique_id: str = _field(default_factory=new_oid)
    patient: str = PATIENT
    mime_type: str = "application/pdf"
    title: str = TITLE
    slots: Mapping[str, str | None] = _field(default_factory=dict)
    without: tuple[str, ...] = ()
    object_type: str = STABLE
    lid: str = ""

    @property
    def sha1(self) -> str:
        """The SHA-1 of the bytes, as the hash attribute has it."""
        return hashlib.sha1(self.content, usedforsecurity=False).hexdigest()

    def xml(self) -> str:
        """The rim:ExtrinsicObject."""
        slots: dict[str, Sequence[str] | str | None] = {
            "creationTime": "20260311094500",
            "hash": self.sha1,
            "languageCode": "nb-NO",
            "repositoryUniqueId": REPOSITORY_ID,
            "size": str(len(self.content)),
            "sourcePatientId": self.patient,
            "sourcePatientInfo": (f"PID-3|{self.patient}", f"PID-5|{FAMILY}^Syntetisk", "PID-8|F"),
            "URI": FILE,
        }
        slots.update(self.slots)
        return (
            f"<rim:ExtrinsicObject id={quoteattr(self.id)} mimeType={quoteattr(self.mime_type)} "
            f'objectType="{self.object_type}"{_optional("lid", self.lid)}>'
            + "".join(slot(name, value) for name, value in slots.items() if value is not None)
            + f"<rim:Name><rim:LocalizedString value={quoteattr(self.title)}/></rim:Name>"
            f'<rim:Description><rim:LocalizedString value="{COMMENT}"/></rim:Description>'
            + _author("urn:uuid:93606bcf-9494-43ec-9b4e-a7748d1a838d", self.id)
            + "".join(
                _code(scheme, code, system, self.id)
                for name, (scheme, code, system) in CODES.items()
                if name not in self.without
            )
            + _identifier(
                "urn:uuid:58a6f841-87b3-4a3e-92fd-a8ffeff98427",
                self.patient,
                "XDSDocumentEntry.patientId",
                self.id,
            )
            + _identifier(
                "urn:uuid:2e82c1f6-a085-4c72-9da3-8640a32e42ab",
                self.unique_id,
                "XDSDocumentEntry.uniqueId",
                self.id,
            )
            + "</rim:ExtrinsicObject>"
        )


def slot(name: str, values: Sequence[str] | str) -> str:
    """A rim:Slot."""
    each = "".join(
        f"<rim:Value>{escape(value)}</rim:Value>"
        for value in ([values] if isinstance(values, str) else values)
    )
    return f"<rim:Slot name={quoteattr(name)}><rim:ValueList>{each}</rim:ValueList></rim:Slot>"


def _optional(attribute: str, value: str) -> str:
    return f" {attribute}={quoteattr(value)}" if value else ""


def _code(scheme: str, code: str, system: str, of: str) -> str:
    return (
        f'<rim:Classification id="cl{next(_counter)}" classificationScheme="{scheme}" '
        f"classifiedObject={quoteattr(of)}"
        f' nodeRepresentation="{code}">{slot("codingScheme", system)}'
        f'<rim:Name><rim:LocalizedString value="{code}"/></rim:Name></rim:Classification>'
    )


def _author(scheme: str, of: str) -> str:
    person = f"9144889^{FAMILY}^Tuva^^^^^^&2.16.578.1.12.4.1.4.4&ISO"
    return (
        f'<rim:Classification id="cl{next(_counter)}" classificationScheme="{scheme}" '
        f"classifiedObject={quoteattr(of)}"
        f' nodeRepresentation="">{slot("authorPerson", person)}</rim:Classification>'
    )


def _identifier(scheme: str, value: str, name: str, of: str) -> str:
    return (
        f'<rim:ExternalIdentifier id="ei{next(_counter)}" registryObject={quoteattr(of)} '
        f'identificationScheme="{scheme}"'
        f" value={quoteattr(value)}><rim:Name><rim:LocalizedString "
        f'value="{name}"/></rim:Name></rim:ExternalIdentifier>'
    )


def submission_set(
    unique_id: str | None = None, patient: str = PATIENT, *, id: str = SET, home: str = ""
) -> str:
    """The rim:RegistryPackage of a submission."""
    return (
        f'<rim:RegistryPackage id="{id}"{_optional("home", home)}>{slot("submissionTime", "20260311100000")}'
        f'<rim:Classification id="mark" classifiedObject="{id}"'
        ' classificationNode="urn:uuid:a54d6aa5-d40d-43f9-88c5-b4633d873bdd"/>'
        + _author("urn:uuid:a7058bb9-b4e4-4307-ba5b-e3f0ab85e12d", id)
        + _code("urn:uuid:aa543740-bdda-424e-8c96-df4873be8500", "A03-2", "2.16.578.1.12.4.1.1.9602", id)
        + _identifier(
            "urn:uuid:6b5aea1a-874d-4603-a4bc-96a0a7b38446", patient, "XDSSubmissionSet.patientId", id
        )
        + _identifier(
            "urn:uuid:96fdda7c-d067-4183-912e-bf5ee74998a8",
            unique_id or new_oid(),
            "XDSSubmissionSet.uniqueId",
            id,
        )
        + _identifier(
            "urn:uuid:554ac39e-e3fe-47fe-b233-965d2a147832",
            "2.16.578.1.12.4.5.480.1.2",
            "XDSSubmissionSet.sourceId",
            id,
        )
        + "</rim:RegistryPackage>"
    )


def folder(id: str = "Folder01", unique_id: str | None = None, patient: str = PATIENT, lid: str = "") -> str:
    """The rim:RegistryPackage of a folder."""
    return (
        f'<rim:RegistryPackage id="{id}"{_optional("lid", lid)}>'
        f'<rim:Name><rim:LocalizedString value="{TITLE}"/></rim:Name>'
        f'<rim:Classification id="mark{id}" classifiedObject="{id}"'
        ' classificationNode="urn:uuid:d9d542f3-6cc4-48b6-8870-ea235fbc94c2"/>'
        + _code("urn:uuid:1ba97051-7806-41a8-a48b-8fce7af683c5", "A03-2", "2.16.578.1.12.4.1.1.9602", id)
        + _identifier("urn:uuid:f64ffdf0-4b97-4e06-b79f-a52b38ec2f8a", patient, "XDSFolder.patientId", id)
        + _identifier(
            "urn:uuid:75df8f67-9973-4fbe-a900-df66cefecc5a",
            unique_id or new_oid(),
            "XDSFolder.uniqueId",
            id,
        )
        + "</rim:RegistryPackage>"
    )


def association(id: str, kind: str, source: str, target: str, **slots: str) -> str:
    """A rim:Association."""
    return (
        f'<rim:Association id="{id}" associationType="{kind}" sourceObject="{source}"'
        f' targetObject="{target}">'
        + "".join(slot(name, value) for name, value in slots.items())
        + "</rim:Association>"
    )


def member(id: str, target: str, **slots: str) -> str:
    """The HasMember that brings a document of the message; for a new version with PreviousVersion."""
    return association(id, HAS_MEMBER, SET, target, **{"SubmissionSetStatus": "Original"} | slots)


def object_list(documents: Iterable[Document], unique_id: str | None = None, patient: str = PATIENT) -> str:
    """The rim:RegistryObjectList of a submission: documents, set, and the links between them."""
    documents = list(documents)
    return (
        "<rim:RegistryObjectList>"
        + "".join(each.xml() for each in documents)
        + submission_set(unique_id, patient)
        + "".join(member(f"as{number}", each.id) for number, each in enumerate(documents, start=1))
        + "</rim:RegistryObjectList>"
    )


def submit(*objects: str) -> str:
    """The body of ITI-42, 57, 61 and 92 with these objects."""
    return (
        f'<lcm:SubmitObjectsRequest xmlns:lcm="{LCM}" xmlns:rim="{RIM}"><rim:RegistryObjectList>'
        f"{''.join(objects)}</rim:RegistryObjectList></lcm:SubmitObjectsRequest>"
    )


def register(documents: Iterable[Document], unique_id: str | None = None, patient: str = PATIENT) -> str:
    """The body of ITI-42."""
    return (
        f'<lcm:SubmitObjectsRequest xmlns:lcm="{LCM}" xmlns:rim="{RIM}">'
        f"{object_list(documents, unique_id, patient)}</lcm:SubmitObjectsRequest>"
    )


def provide(
    documents: Sequence[Document],
    contents: Mapping[str, str],
    unique_id: str | None = None,
    patient: str = PATIENT,
) -> str:
    """The body of ITI-41; `contents` is what each xds:Document holds, by its id, as XML."""
    return (
        f'<xds:ProvideAndRegisterDocumentSetRequest xmlns:xds="{XDS}" xmlns:lcm="{LCM}" xmlns:rim="{RIM}">'
        f"<lcm:SubmitObjectsRequest>{object_list(documents, unique_id, patient)}</lcm:SubmitObjectsRequest>"
        + "".join(
            f"<xds:Document id={quoteattr(name)}>{content}</xds:Document>"
            for name, content in contents.items()
        )
        + "</xds:ProvideAndRegisterDocumentSetRequest>"
    )


def inline(documents: Iterable[Document]) -> dict[str, str]:
    """The contents for `provide` as base64 text."""
    return {each.id: base64.b64encode(each.content).decode() for each in documents}


def include(href: str) -> str:
    """An xop:Include."""
    return f'<xop:Include xmlns:xop="{XOP}" href={quoteattr(href)}/>'


def remove_metadata(*ids: str) -> str:
    """The body of ITI-62."""
    listed = "".join(f'<rim:ObjectRef id="{each}"/>' for each in ids)
    return (
        f'<lcm:RemoveObjectsRequest xmlns:lcm="{LCM}" xmlns:rim="{RIM}"><rim:ObjectRefList>{listed}'
        "</rim:ObjectRefList></lcm:RemoveObjectsRequest>"
    )


def remove_documents(*unique_ids: str, repository: str = REPOSITORY_ID) -> str:
    """The body of ITI-86."""
    asked = retrieve(*unique_ids, repository=repository)
    return asked.replace("xds:RetrieveDocumentSetRequest", "rmd:RemoveDocumentsRequest").replace(
        "xmlns:xds", 'xmlns:rmd="urn:ihe:iti:rmd:2017" xmlns:xds'
    )


def query(
    query_id: str,
    parameters: Mapping[str, Sequence[str] | str],
    return_type: str = "LeafClass",
    *,
    home: str = "",
) -> str:
    """The body of ITI-18 and ITI-38; values are written as they are."""
    return (
        f'<query:AdhocQueryRequest xmlns:query="{QUERY}" xmlns:rim="{RIM}">'
        f'<query:ResponseOption returnComposedObjects="true" returnType="{return_type}"/>'
        f'<rim:AdhocQuery id="{query_id}"{_optional("home", home)}>'
        + "".join(slot(name, value) for name, value in parameters.items())
        + "</rim:AdhocQuery></query:AdhocQueryRequest>"
    )


def find_documents(patient: str = PATIENT, return_type: str = "LeafClass") -> str:
    """The body of FindDocuments for the approved documents of a patient."""
    return query(
        FIND_DOCUMENTS,
        {"$XDSDocumentEntryPatientId": f"'{patient}'", "$XDSDocumentEntryStatus": f"('{APPROVED}')"},
        return_type,
    )


def get_documents(*unique_ids: str, return_type: str = "LeafClass") -> str:
    """The body of GetDocuments by uniqueId."""
    listed = ",".join(f"'{each}'" for each in unique_ids)
    return query(GET_DOCUMENTS, {"$XDSDocumentEntryUniqueId": f"({listed})"}, return_type)


def retrieve(*unique_ids: str, repository: str = REPOSITORY_ID, home: str = "") -> str:
    """The body of ITI-43 and ITI-39."""
    community = home and f"<xds:HomeCommunityId>{escape(home)}</xds:HomeCommunityId>"
    return (
        f'<xds:RetrieveDocumentSetRequest xmlns:xds="{XDS}">'
        + "".join(
            f"<xds:DocumentRequest>{community}<xds:RepositoryUniqueId>{repository}</xds:RepositoryUniqueId>"
            f"<xds:DocumentUniqueId>{escape(each)}</xds:DocumentUniqueId></xds:DocumentRequest>"
            for each in unique_ids
        )
        + "</xds:RetrieveDocumentSetRequest>"
    )


def new_message_id() -> str:
    """A wsa:MessageID."""
    return f"urn:uuid:{uuid.uuid4()}"


def envelope(
    body: str,
    action: str | None,
    *,
    soap: str = SOAP12,
    header: str = "",
    message_id: str | None = None,
) -> bytes:
    """A SOAP envelope; `action` is a transaction's number, a URI, or None for no wsa:Action at all."""
    uri = ACTIONS.get(action or "", action)
    return (
        f'<s:Envelope xmlns:s="{soap}" xmlns:a="{WSA}"><s:Header>'
        + (f'<a:Action s:mustUnderstand="1">{uri}</a:Action>' if uri is not None else "")
        + f"<a:MessageID>{message_id or new_message_id()}</a:MessageID>{header}</s:Header>"
        f"<s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def media_type(soap: str) -> str:
    """The Content-Type of a plain message."""
    return "application/soap+xml; charset=UTF-8" if soap == SOAP12 else "text/xml; charset=UTF-8"


def plain(body: str, transaction: str, *, soap: str = SOAP12, header: str = "") -> Request:
    """A good request without MTOM."""
    return Request(
        PATHS[transaction], media_type(soap), envelope(body, transaction, soap=soap, header=header)
    )


Part = tuple[str, str, bytes]  # Content-ID without brackets, further header lines that end with CRLF, bytes


def multipart(
    root: bytes,
    parts: Iterable[Part] = (),
    *,
    boundary: str = "MIMEBoundary_0123456789abcdef",
    soap: str = SOAP12,
) -> tuple[str, bytes]:
    """Content-Type and bytes of an ordinary MTOM package."""
    inner = "application/soap+xml" if soap == SOAP12 else "text/xml"
    pieces = [
        f'--{boundary}\r\nContent-Type: application/xop+xml; charset=UTF-8; type="{inner}"\r\n'
        f"Content-Transfer-Encoding: binary\r\nContent-ID: <root@example.org>\r\n\r\n".encode(),
        root,
    ]
    for identifier, header, content in parts:
        pieces += [f"\r\n--{boundary}\r\nContent-ID: <{identifier}>\r\n{header}\r\n".encode(), content]
    pieces.append(f"\r\n--{boundary}--\r\n".encode())
    return (
        f'multipart/related; boundary="{boundary}"; type="application/xop+xml"; start="<root@example.org>"; '
        f'start-info="{inner}"',
        b"".join(pieces),
    )


def home_block(home: str, attributes: str = "") -> str:
    """The SOAP header block that names the community which a submission is for (XDR, ITI-80)."""
    return (
        f'<x:homeCommunityBlock xmlns:x="urn:ihe:iti:xdr:2014"{attributes}>'
        f"<x:homeCommunityId>{escape(home)}</x:homeCommunityId></x:homeCommunityBlock>"
    )


BINARY = "Content-Type: application/pdf\r\nContent-Transfer-Encoding: binary\r\n"


def mtom(
    documents: Sequence[Document],
    unique_id: str | None = None,
    *,
    soap: str = SOAP12,
    patient: str = PATIENT,
    header: str = "",
) -> Request:
    """A good ITI-41 with every document in a part of its own."""
    contents = {each.id: include(f"cid:{each.id}@example.org") for each in documents}
    root = envelope(provide(documents, contents, unique_id, patient), "ITI-41", soap=soap, header=header)
    content_type, body = multipart(
        root, [(f"{each.id}@example.org", BINARY, each.content) for each in documents], soap=soap
    )
    return Request(REPOSITORY, content_type, body)


def mtom_retrieve(*unique_ids: str, repository: str = REPOSITORY_ID, header: str = "") -> Request:
    """A good ITI-43 in MTOM."""
    root = envelope(retrieve(*unique_ids, repository=repository), "ITI-43", header=header)
    content_type, body = multipart(root)
    return Request(REPOSITORY, content_type, body)
