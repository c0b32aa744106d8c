"""DocumentEntry and DocumentReference, SubmissionSet and Folder and List: the same, element by element.

Every route of MHD reads and writes resources through here, so that there is one truth; docs/mhd.md has the
table. Writing loses nothing: what FHIR has no place for stands in extensions of our own, and comes back.
Reading judges nothing but the form of values: what must be there, XDS's own validation says (gate 0).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from typing import Any, Final, TypeVar

from xds.errors import DataTypeError
from xds.fhir import datatypes as dt
from xds.fhir.datatypes import Json, extensions
from xds.metadata import names, national
from xds.metadata.datatypes import XCN, XON, XTN, PidField, Recipient, bare_oid, escape, unescape
from xds.metadata.model import Author, Code, DocumentEntry, Folder, Slot, SubmissionSet
from xds.registry.masking import MASK

MHD: Final = "https://profiles.ihe.net/ITI/MHD/StructureDefinition/"
HOME: Final = f"{MHD}ihe-HomeCommunityId"
#: The peer's spelling, on content.attachment (norwegian-profile 2.7), and an older one.
HOMES: Final = (
    HOME,
    f"{MHD}ihe-homeCommunityId",
    "http://ihe.net/fhir/StructureDefinition/homeCommunityId",
)
DESIGNATION: Final = f"{MHD}ihe-designationType"
SOURCE_ID: Final = f"{MHD}ihe-sourceId"
RECIPIENT: Final = f"{MHD}ihe-intendedRecipient"
AUTHOR_ORGANIZATION: Final = f"{MHD}ihe-authorOrg"
#: National numbers, which a Patient may have beside others.
_OF_PATIENTS: Final = (national.NATIONAL, national.TEMPORARY, national.SHARED_HELP)
LIST_TYPES: Final = "https://profiles.ihe.net/ITI/MHD/CodeSystem/MHDlistTypes"
ID_TYPES: Final = "https://profiles.ihe.net/ITI/MHD/CodeSystem/IHE.MHD.MHDIdentifierType"
#: Our own, for what FHIR has no place for.
SLOT: Final = "urn:no:xds:slot"
REPOSITORY: Final = "urn:no:xds:repositoryUniqueId"
URI_OF_DOCUMENT: Final = "urn:no:xds:uri"
SIZE: Final = "urn:no:xds:size"
MORE_AUTHORS: Final = "urn:no:xds:author"
MORE_ORGANIZATIONS: Final = "urn:no:xds:organization"
PATIENT_INFO: Final = "urn:no:xds:sourcePatientInfo"

SUBMISSION_SET: Final = "submissionset"
FOLDER: Final = "folder"

#: R4's unsignedInt ends here; a larger document's size stands in an extension.
_MOST_SIZE: Final = 2**31 - 1

STATUSES: Final = {names.APPROVED: "current", names.DEPRECATED: "superseded"}
LIST_STATUSES: Final = {names.APPROVED: "current", names.DEPRECATED: "retired"}
#: Association type -> relatesTo.code (MHD's ConceptMap AssociationTypeVsRelatesTo); the first of a code is
#: what the code means when it is read.
RELATIONS: Final = {
    names.RPLC: "replaces",
    names.XFRM: "transforms",
    names.APND: "appends",
    names.SIGNS: "signs",
    names.XFRM_RPLC: "replaces",
    names.IS_SNAPSHOT_OF: "transforms",
}
ASSOCIATIONS: Final[Mapping[str, str]] = {
    code: next(each for each, own in RELATIONS.items() if own == code) for code in RELATIONS.values()
}

#: Where each attribute stands: for the errors of gate 0, and docs/mhd.md.
DOCUMENT_ELEMENTS: Final[Mapping[str, str]] = {
    "author": "author",
    "availabilityStatus": "status",
    "classCode": "category",
    "comments": "description",
    "confidentialityCode": "securityLabel",
    "creationTime": "content.attachment.creation",
    "entryUUID": "identifier",
    "eventCodeList": "context.event",
    "formatCode": "content.format",
    "hash": "content.attachment.hash",
    "healthcareFacilityTypeCode": "context.facilityType",
    "homeCommunityId": "extension",
    "languageCode": "content.attachment.language",
    "legalAuthenticator": "authenticator",
    "logicalID": "id",
    "mimeType": "content.attachment.contentType",
    "patientId": "subject",
    "practiceSettingCode": "context.practiceSetting",
    "referenceIdList": "context.related",
    "repositoryUniqueId": "content.attachment.extension",
    "serviceStartTime": "context.period.start",
    "serviceStopTime": "context.period.end",
    "size": "content.attachment.size",
    "sourcePatientId": "context.sourcePatientInfo",
    "sourcePatientInfo": "context.sourcePatientInfo",
    "title": "content.attachment.title",
    "typeCode": "type",
    "uniqueId": "masterIdentifier",
    "URI": "content.attachment.extension",
    "version": "meta.versionId",
}
LIST_ELEMENTS: Final[Mapping[str, str]] = {
    "author": "source",
    "availabilityStatus": "status",
    "codeList": "extension",
    "comments": "note",
    "contentTypeCode": "extension",
    "entryUUID": "identifier",
    "homeCommunityId": "extension",
    "intendedRecipient": "extension",
    "lastUpdateTime": "date",
    "logicalID": "id",
    "patientId": "subject",
    "sourceId": "extension",
    "submissionTime": "date",
    "title": "title",
    "uniqueId": "identifier",
    "version": "meta.versionId",
}

T = TypeVar("T")


def resource_id(uuid_urn: str) -> str:
    """The id of the resource that a logical object (urn:uuid:) is."""
    return uuid_urn.removeprefix("urn:uuid:")


@dataclass(frozen=True, slots=True)
class Relation:
    """`kind` is the type of the resource with that id; `type` the association's, when it is no membership."""

    kind: str
    id: str
    type: str = ""


@dataclass(frozen=True, slots=True)
class Registered:
    """What the registry knows of an object beside its attributes: `at` is when it came, in milliseconds."""

    id: str
    version: int
    at: int
    links: Sequence[Relation] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """Where resources are written: [base], and this community's id (urn:oid:) or nothing."""

    base: str
    home: str = ""


# ---- writing


class _Contained:
    """The contained resources of one resource, each with an id of its own."""

    def __init__(self) -> None:
        self.resources: list[Json] = []

    def add(self, resource: Json, name: str) -> Json:
        """A Reference to the resource, which is contained now."""
        own = f"{name}{len(self.resources) + 1}"
        kind, *rest = resource.items()
        self.resources.append(dict([kind, ("id", own), *rest]))
        return {"reference": f"#{own}"}

    def author(self, author: Author) -> Json:
        """A Reference to who wrote something: a person, a person in a role, or an organisation."""
        persons = [self.add(dt.practitioner(each), "practitioner") for each in _told([author.person or ""])]
        organisations = [self.add(dt.organization(each), "organization") for each in author.institutions]
        more = tuple(map(_told, (author.roles, author.specialties, author.telecommunications)))
        if not any(more) and len(persons) + len(organisations) == 1:
            return (persons + organisations)[0]
        role: Json = {"resourceType": "PractitionerRole"}
        if len(organisations) > 1:
            role["extension"] = [
                {"url": MORE_ORGANIZATIONS, "valueReference": each} for each in organisations[1:]
            ]
        if persons:
            role["practitioner"] = persons[0]
        if organisations:
            role["organization"] = organisations[0]
        for name, write, texts in (
            ("code", dt.coded_text, more[0]),
            ("specialty", dt.coded_text, more[1]),
            ("telecom", dt.contact_point, more[2]),
        ):
            if texts:
                role[name] = [write(each) for each in texts]
        return self.add(role, "author")


def _told(texts: Iterable[str]) -> list[str]:
    """Those that are more than blanks, of which FHIR makes no text."""
    return [each for each in texts if each.strip()]


def _is_told(author: Author) -> bool:
    return bool(_told((author.person or "", *author.institutions, *author.telecommunications)))


def document_reference(entry: DocumentEntry, of: Registered, place: Place) -> Json:
    """The DocumentReference of a document entry, masked or not."""
    contained = _Contained()
    authors = [contained.author(each) for each in entry.authors if _is_told(each)]
    authenticator = (
        contained.add(dt.practitioner(entry.legal_authenticator or ""), "authenticator")
        if (entry.legal_authenticator or "").strip()
        else None
    )
    source = (
        contained.add(_source_patient(entry.source_patient_id, entry.source_patient_info), "patient")
        if entry.source_patient_id
        else None
    )
    is_large = entry.size is not None and entry.size > _MOST_SIZE
    attachment = _some(
        extension=[
            *_oid(REPOSITORY, entry.repository_unique_id),
            *_texts(URI_OF_DOCUMENT, "valueUri", entry.uri),
            *_texts(SIZE, "valueString", str(entry.size) if is_large else None),
        ],
        **dt.token("contentType", entry.mime_type),
        language=entry.language_code,
        url=f"{place.base}/Binary/{of.id}",
        size=None if is_large else entry.size,
        hash=entry.hash and dt.hash_of(entry.hash),
        title=entry.title,
        **_time("creation", entry.creation_time),
    )
    related = [dt.cxi(each) for each in entry.reference_ids]
    context = _some(
        encounter=[{"identifier": each} for each in related if _is_encounter(each)],
        event=_concepts(entry.event_codes),
        period=_time("start", entry.service_start_time) | _time("end", entry.service_stop_time),
        facilityType=_concept(entry.healthcare_facility_type_code),
        practiceSetting=_concept(entry.practice_setting_code),
        sourcePatientInfo=source,
        related=[{"identifier": each} for each in related if not _is_encounter(each)],
    )
    identifiers = [
        _typed(dt.identifier(entry.entry_uuid), "official", "entryUUID"),
        _typed(dt.unique_id(entry.unique_id), "usual", "uniqueId"),
    ]
    home = entry.home or place.home
    return _some(
        resourceType="DocumentReference",
        id=of.id,
        meta={"versionId": str(of.version), "lastUpdated": dt.instant(of.at)},
        contained=contained.resources,
        extension=[*_oid(HOME, home), *_slots(entry.extra_slots)],
        masterIdentifier=identifiers[1],
        identifier=identifiers,
        status=STATUSES[entry.availability_status or names.APPROVED],
        type=_concept(entry.type_code),
        category=_concepts([entry.class_code]),
        subject=_subject(entry.patient_id),
        date=dt.instant(of.at),
        author=authors,
        authenticator=authenticator,
        relatesTo=[
            {
                "code": RELATIONS[each.type],
                "target": {"reference": f"DocumentReference/{each.id}", "type": "DocumentReference"},
            }
            for each in of.links
        ],
        description=entry.comments,
        securityLabel=_concepts(entry.confidentiality_codes),
        content=[
            _some(
                attachment=attachment,
                format=dt.coding(entry.format_code) if entry.format_code.code.strip() else None,
            )
        ],
        context=context,
    )


def set_list(the_set: SubmissionSet, of: Registered, place: Place) -> Json:
    """The List of a submission set."""
    contained = _Contained()
    sources = [contained.author(each) for each in the_set.authors if _is_told(each)]
    recipients = [_recipient(contained, each) for each in the_set.intended_recipients]
    home = the_set.home or place.home
    source = sources[0] if sources else None
    if source is not None and source["reference"].startswith("#organization"):
        source = {"extension": [{"url": AUTHOR_ORGANIZATION, "valueReference": source}]}
    return _some(
        resourceType="List",
        id=of.id,
        meta={"versionId": str(of.version), "lastUpdated": dt.instant(of.at)},
        contained=contained.resources,
        extension=[
            *_designations([the_set.content_type_code]),
            *(
                [{"url": SOURCE_ID, "valueIdentifier": dt.unique_id(the_set.source_id)}]
                if the_set.source_id
                else ()
            ),
            *({"url": RECIPIENT, "valueReference": each} for each in recipients),
            *_oid(HOME, home),
            *({"url": MORE_AUTHORS, "valueReference": each} for each in sources[1:]),
            *_slots(the_set.extra_slots),
        ],
        identifier=[
            _typed(dt.identifier(the_set.entry_uuid), "official", "entryUUID"),
            _typed(dt.unique_id(the_set.unique_id), "usual", "uniqueId"),
        ],
        status=LIST_STATUSES[the_set.availability_status or names.APPROVED],
        mode="working",
        title=the_set.title,
        code={"coding": [{"system": LIST_TYPES, "code": SUBMISSION_SET}]},
        subject=_subject(the_set.patient_id),
        **_time("date", the_set.submission_time),
        source=source,
        note=[{"text": each} for each in _told([the_set.comments or ""])],
        entry=_entries(of.links),
    )


def folder_list(folder: Folder, of: Registered, place: Place) -> Json:
    """The List of a folder."""
    home = folder.home or place.home
    return _some(
        resourceType="List",
        id=of.id,
        meta={"versionId": str(of.version), "lastUpdated": dt.instant(of.at)},
        extension=[
            *_designations(folder.codes),
            *_oid(HOME, home),
            *_slots(folder.extra_slots),
        ],
        identifier=[
            _typed(dt.identifier(folder.entry_uuid), "official", "entryUUID"),
            _typed(dt.unique_id(folder.unique_id), "usual", "uniqueId"),
        ],
        status=LIST_STATUSES[folder.availability_status or names.APPROVED],
        mode="working",
        title=folder.title,
        code={"coding": [{"system": LIST_TYPES, "code": FOLDER}]},
        subject=_subject(folder.patient_id),
        **_time("date", folder.last_update_time),
        note=[{"text": each} for each in _told([folder.comments or ""])],
        entry=_entries(of.links),
    )


def _some(**members: Any) -> Json:
    """What there is: an element of FHIR is never empty, and no text of it has blanks alone."""
    return {
        name: value
        for name, value in members.items()
        if value not in (None, [], {}) and not (isinstance(value, str) and not value.strip())
    }


def _concept(code: Code) -> Json | None:
    return dt.concept(code) if code.code.strip() else None


def _concepts(codes: Iterable[Code]) -> list[Json]:
    return [dt.concept(each) for each in codes if each.code.strip()]


def _designations(codes: Iterable[Code]) -> list[Json]:
    return [{"url": DESIGNATION, "valueCodeableConcept": each} for each in _concepts(codes)]


def _time(name: str, dtm: str | None) -> Json:
    return dt.time_of(name, dtm) if dtm else {}


def _oid(url: str, oid: str | None) -> list[Json]:
    """An extension with an OID; one that is none of R4's, whose first arc is 0 to 2, is any URI."""
    urn = _oid_urn(oid) if oid else None
    return _texts(url, "valueOid" if urn and urn[8:10] in ("0.", "1.", "2.") else "valueUri", urn)


def _oid_urn(oid: str) -> str:
    return f"urn:oid:{bare_oid(oid)}"


def _texts(url: str, element: str, value: str | None) -> list[Json]:
    return [{"url": url, element: value}] if value else []


def _slots(slots: Iterable[Slot]) -> list[Json]:
    return [
        {
            "url": SLOT,
            "extension": [
                {"url": "name", "valueString": slot.name},
                *({"url": "value", "valueString": each} for each in _told(slot.values)),
            ],
        }
        for slot in slots
        if slot.name.strip()
    ]


def _typed(identifier: Json, use: str, code: str) -> Json:
    return {"use": use, "type": {"coding": [{"system": ID_TYPES, "code": code}]}, **identifier}


def _subject(pid: str) -> Json | None:
    return {"type": "Patient", "identifier": dt.cx(pid)} if pid else None


def _is_encounter(identifier: Json) -> bool:
    return bool(identifier["type"]["coding"][0].get("code") == dt.ENCOUNTER)


def _entries(links: Sequence[Relation]) -> list[Json]:
    return [{"item": {"reference": f"{each.kind}/{each.id}", "type": each.kind}} for each in links]


_GENDERS: Final = {"F": "female", "M": "male", "O": "other", "U": "unknown"}
_GENDER_CODES: Final = {word: code for code, word in _GENDERS.items()}


@lru_cache(512)
def _source_patient(pid: str, info: tuple[str, ...]) -> Json:
    """The contained Patient: how the source knows the patient. Most documents of a list have the same."""
    resource = _patient_resource(pid, info)
    if read_source_patient(resource) != (pid, info):
        resource["extension"] = [{"url": PATIENT_INFO, "valueString": each} for each in info] or [
            {"url": PATIENT_INFO, "valueString": _NOTHING}
        ]
    return resource


#: In the place of a sourcePatientInfo that a sender left out.
_NOTHING: Final = "-"


def _patient_resource(pid: str, info: Sequence[str]) -> Json:
    fields: dict[str, list[str]] = {}
    for each in info:
        try:
            parsed = PidField.parse(each)
        except DataTypeError:
            continue
        fields.setdefault(parsed.name, []).append(parsed.content)
    identifiers = [dt.cx(pid)] if pid else []
    for each in fields.get("PID-3", ()):
        try:
            if each != pid:
                identifiers.append(dt.cx(each))
        except DataTypeError:
            continue
    name = _pid_name(next(iter(fields.get("PID-5", ())), ""))
    born = next(iter(fields.get("PID-7", ())), "")
    gender = next(iter(fields.get("PID-8", ())), "")
    address = _pid_address(next(iter(fields.get("PID-11", ())), ""))
    return _some(
        resourceType="Patient",
        identifier=identifiers,
        name=[name] if name else None,
        gender=_GENDERS.get(gender),
        birthDate=_birth_date(born),
        address=[address] if address else None,
    )


def _birth_date(text: str) -> str | None:
    try:
        return dt.date_time(text[:8])
    except (KeyError, DataTypeError):
        return None


def _parts(text: str, count: int) -> list[str]:
    try:
        return [unescape(each) for each in [*text.split("^"), *[""] * count][:count]]
    except DataTypeError:
        return [""] * count


def _pid_name(text: str) -> Json:
    family, given, further, suffix, prefix = _parts(text, 5)
    return dt.human_name(XCN(family=family, given=given, further=further, suffix=suffix, prefix=prefix))


def _pid_address(text: str) -> Json:
    street, other, city, state, post_code, country = _parts(text, 6)
    return _some(
        line=_told((street, other)),
        city=city,
        state=state,
        postalCode=post_code,
        country=country,
    )


def _recipient(contained: _Contained, text: str) -> Json:
    """A Reference to one intendedRecipient."""
    parsed = Recipient.parse(text)
    author = Author(
        person=str(parsed.person) if parsed.person else None,
        institutions=(str(parsed.organisation),) if parsed.organisation else (),
        telecommunications=(str(parsed.telecommunication),) if parsed.telecommunication else (),
    )
    return contained.author(author)


# ---- reading


@dataclass(slots=True)
class Findings:
    """What is wrong with the form of values, by element: (FHIRPath, sentence)."""

    wrong: list[tuple[str, str]] = field(default_factory=list)

    def read(self, read: Callable[[Any], T], value: Any, place: str, default: T) -> T:
        """What `read` makes of a value, or else `default`, with a finding."""
        try:
            return read(value)
        except DataTypeError as error:
            self.wrong.append((place, str(error)))
            return default


Resolve = Callable[[str], Json | None]


@dataclass(frozen=True)
class Reader:
    """Reads one resource: `place` is its FHIRPath; `resolve` gives what a reference in the bundle names."""

    resource: Json
    place: str
    findings: Findings
    resolve: Resolve

    def referenced(self, reference: Json, place: str) -> Json | None:
        """The resource behind a Reference: contained, or in the same bundle."""
        target = reference.get("reference", "")
        if target.startswith("#"):
            found = self._contained.get(target[1:])
        else:
            found = self.resolve(target) if target else None
        if found is None and target and not reference.get("identifier") and not reference.get("display"):
            self.findings.wrong.append((place, NOT_FETCHED))
        return found

    @cached_property
    def _contained(self) -> Mapping[str, Json]:
        return {each.get("id", ""): each for each in reversed(self.resource.get("contained", ()))}

    def at(self, element: str) -> str:
        """The FHIRPath of an element."""
        return f"{self.place}.{element}"

    def patient(self, reference: Json | None, element: str) -> str:
        """The patient id (CX) of a subject; empty when there is none."""
        if not reference:
            return ""
        place = self.at(element)
        if given := reference.get("identifier"):
            return self.findings.read(dt.read_cx, given, place, "")
        found = self.referenced(reference, place)
        if found is None:
            return ""
        return self.findings.read(_patient_id, found, place, "")

    def author(self, reference: Json, element: str) -> Author:
        """An author, from whatever it refers to."""
        place = self.at(element)
        found = self.referenced(reference, place)
        if found is None:
            if reference.get("reference") and not reference.keys() & {"identifier", "display"}:
                return Author()  # which is said already
            return self.findings.read(_author_of_reference, reference, place, Author())
        kind = found.get("resourceType")
        if kind == "Organization":
            return Author(institutions=self._texts(dt.read_organization, [found], place))
        if kind == "PractitionerRole":
            return self._role(found, place)
        if kind == "Device":
            return self.findings.read(_device, found, place, Author())
        return Author(person=self.findings.read(dt.read_practitioner, found, place, ""))

    def _role(self, role: Json, place: str) -> Author:
        person = None
        if given := role.get("practitioner"):
            found = self.referenced(given, place)
            person = (
                self.findings.read(dt.read_practitioner, found, place, "")
                if found
                else self.findings.read(_author_of_reference, given, place, Author()).person
            )
        organisations: list[str] = []
        more = [
            each["valueReference"]
            for each in extensions(role, MORE_ORGANIZATIONS)
            if "valueReference" in each
        ]
        for given in [*filter(None, [role.get("organization")]), *more]:
            found = self.referenced(given, place)
            if found is None:
                found = _some(
                    name=given.get("display"), identifier=[*filter(None, [given.get("identifier")])]
                )
            organisations += self._texts(dt.read_organization, [found], place)
        return Author(
            person=person,
            institutions=tuple(organisations),
            roles=self._texts(dt.read_coded_text, role.get("code", ()), place),
            specialties=self._texts(dt.read_coded_text, role.get("specialty", ()), place),
            telecommunications=self._texts(dt.read_contact_point, role.get("telecom", ()), place),
        )

    def _texts(self, read: Callable[[Json], str], given: Iterable[Json], place: str) -> tuple[str, ...]:
        texts = (self.findings.read(read, each, place, "") for each in given)
        return tuple(each for each in texts if each)

    def code(self, concept: Json | None, element: str) -> Code:
        """The code of a CodeableConcept; an empty one when there is none."""
        if not concept:
            return Code("", "")
        return self.findings.read(dt.read_concept, concept, self.at(element), Code("", ""))

    def codes(self, concepts: Sequence[Json], element: str) -> tuple[Code, ...]:
        """Those of a list."""
        found = (self.code(each, f"{element}[{number}]") for number, each in enumerate(concepts))
        return tuple(each for each in found if each.code)

    def time(self, of: Json, name: str, element: str) -> str | None:
        """A DTM, or None."""
        if not of.get(name):
            return None
        return self.findings.read(partial(dt.read_time, name=name), of, self.at(element), "") or None

    def home(self) -> str | None:
        """The homeCommunityId, in any of the places and spellings that are in use."""
        attachment = _attachment(self.resource)
        for each in (*extensions(self.resource, *HOMES), *extensions(attachment, *HOMES)):
            for element in ("valueOid", "valueUri", "valueString"):
                if each.get(element):
                    return _oid_urn(str(each[element]))
        return None

    def extra_slots(self) -> tuple[Slot, ...]:
        """The Slots that FHIR has no place for."""
        found = []
        for each in extensions(self.resource, SLOT):
            name = "".join(part.get("valueString", "") for part in extensions(each, "name"))
            values = tuple(part["valueString"] for part in extensions(each, "value") if "valueString" in part)
            if name:
                found.append(Slot(name, values))
        return tuple(found)


#: Nothing is fetched from elsewhere: a node that did could be sent anywhere.
NOT_FETCHED: Final = (
    "What the reference names is neither contained nor in this bundle, and nothing is fetched: put it in, or"
    " give an identifier."
)


def read_document_reference(reader: Reader, entry_uuid: str) -> DocumentEntry:
    """The document entry that a DocumentReference describes; `entry_uuid` is for one that names none."""
    given = reader.resource
    content = _first(given.get("content", ()))
    attachment = _attachment(given)
    context = given.get("context", {})
    pid = reader.patient(given.get("subject"), "subject")
    source_pid, source_info = pid, tuple[str, ...]()
    if source := context.get("sourcePatientInfo"):
        place = reader.at("context.sourcePatientInfo")
        if found := reader.referenced(source, place):
            source_pid, source_info = reader.findings.read(
                read_source_patient, found, place, (source_pid, source_info)
            )
        elif source.get("identifier"):
            source_pid = reader.findings.read(dt.read_cx, source["identifier"], place, source_pid)
    authenticator = None
    if signed := given.get("authenticator"):
        place = reader.at("authenticator")
        found = reader.referenced(signed, place)
        authenticator = (
            reader.findings.read(dt.read_practitioner, found, place, "")
            if found
            else reader.findings.read(_author_of_reference, signed, place, Author()).person
        )
    master = given.get("masterIdentifier")
    period = context.get("period", {})
    references = [
        reader.findings.read(
            partial(dt.read_cxi, type_code=type_code), each["identifier"], reader.at(f"context.{name}"), ""
        )
        for name, type_code in (("encounter", dt.ENCOUNTER), ("related", ""))
        for each in context.get(name, ())
        if each.get("identifier")
    ]
    repository = next(
        (each.get("valueOid") or each.get("valueUri") for each in extensions(attachment, REPOSITORY)), None
    )
    return DocumentEntry(
        entry_uuid=_entry_uuid(given) or entry_uuid,
        unique_id=reader.findings.read(dt.read_unique_id, master, reader.at("masterIdentifier"), "")
        if master
        else "",
        patient_id=pid,
        mime_type=dt.read_token(attachment, "contentType"),
        class_code=reader.code(_first(given.get("category", ())), "category[0]"),
        type_code=reader.code(given.get("type"), "type"),
        format_code=reader.findings.read(
            dt.read_coding, content["format"], reader.at("content[0].format"), Code("", "")
        )
        if content.get("format")
        else Code("", ""),
        practice_setting_code=reader.code(context.get("practiceSetting"), "context.practiceSetting"),
        healthcare_facility_type_code=reader.code(context.get("facilityType"), "context.facilityType"),
        confidentiality_codes=reader.codes(given.get("securityLabel", ()), "securityLabel"),
        language_code=attachment.get("language", ""),
        source_patient_id=source_pid,
        source_patient_info=source_info,
        home=reader.home(),
        repository_unique_id=bare_oid(repository) if repository else None,
        creation_time=reader.time(attachment, "creation", "content[0].attachment.creation"),
        service_start_time=reader.time(period, "start", "context.period.start"),
        service_stop_time=reader.time(period, "end", "context.period.end"),
        hash=reader.findings.read(
            dt.read_hash, attachment["hash"], reader.at("content[0].attachment.hash"), ""
        )
        or None
        if attachment.get("hash")
        else None,
        size=attachment.get("size", _large_size(attachment)),
        title=attachment.get("title"),
        comments=given.get("description"),
        uri=next((each.get("valueUri") for each in extensions(attachment, URI_OF_DOCUMENT)), None),
        legal_authenticator=authenticator or None,
        authors=tuple(
            reader.author(each, f"author[{number}]") for number, each in enumerate(given.get("author", ()))
        ),
        event_codes=reader.codes(context.get("event", ()), "context.event"),
        reference_ids=tuple(each for each in references if each),
        extra_slots=reader.extra_slots(),
    )


def read_set_list(reader: Reader, entry_uuid: str) -> SubmissionSet:
    """The submission set that a List describes; a uniqueId is left empty when it names none."""
    given = reader.resource
    designations = [each.get("valueCodeableConcept") for each in extensions(given, DESIGNATION)]
    source = _first(list(extensions(given, SOURCE_ID))).get("valueIdentifier")
    authors = []
    if who := given.get("source"):
        organisations = [each.get("valueReference") for each in extensions(who, AUTHOR_ORGANIZATION)]
        plain = {name: value for name, value in who.items() if name != "extension"}
        authors += [reader.author(each, "source") for each in (*filter(None, organisations), plain) if each]
    more = [each.get("valueReference") for each in extensions(given, MORE_AUTHORS)]
    authors += [reader.author(each, "extension") for each in more if each]
    recipients = [each.get("valueReference") for each in extensions(given, RECIPIENT)]
    return SubmissionSet(
        entry_uuid=_entry_uuid(given) or entry_uuid,
        unique_id=_list_unique_id(reader),
        patient_id=reader.patient(given.get("subject"), "subject"),
        source_id=reader.findings.read(dt.read_unique_id, source, reader.at("extension"), "")
        if source
        else "",
        submission_time=reader.time(given, "date", "date") or "",
        content_type_code=reader.code(designations[0], "extension") if designations else Code("", ""),
        home=reader.home(),
        title=given.get("title"),
        comments=_first(given.get("note", ())).get("text"),
        authors=tuple(authors),
        intended_recipients=tuple(
            _recipient_text(reader.author(each, "extension")) for each in recipients if each
        ),
        extra_slots=reader.extra_slots(),
    )


def read_folder_list(reader: Reader, entry_uuid: str) -> Folder:
    """The folder that a List describes."""
    given = reader.resource
    designations = [each.get("valueCodeableConcept") for each in extensions(given, DESIGNATION)]
    return Folder(
        entry_uuid=_entry_uuid(given) or entry_uuid,
        unique_id=_list_unique_id(reader),
        patient_id=reader.patient(given.get("subject"), "subject"),
        codes=reader.codes([each for each in designations if each], "extension"),
        title=given.get("title"),
        comments=_first(given.get("note", ())).get("text"),
        home=reader.home(),
        extra_slots=reader.extra_slots(),
    )


def list_code(given: Json) -> str:
    """What kind of List it is: submissionset, folder, or nothing that MHD knows."""
    codings = given.get("code", {}).get("coding", ())
    return next((str(each.get("code", "")) for each in codings if each.get("system") == LIST_TYPES), "")


def _large_size(attachment: Json) -> int | None:
    told = "".join(each.get("valueString", "") for each in extensions(attachment, SIZE))
    return (
        int(told) if told.isascii() and told.isdigit() and len(told) < 20 and int(told) > _MOST_SIZE else None
    )


def _attachment(given: Json) -> Json:
    found: Json = _first(given.get("content", ())).get("attachment", {})
    return found


def _entry_uuid(given: Json) -> str:
    """The entryUUID among the identifiers: by its type (MHD 4.2.4) or its use (4.2.3)."""
    for each in given.get("identifier", ()):
        value = str(each.get("value", ""))
        if value.lower().startswith("urn:uuid:") and (
            _has_type(each, "entryUUID")
            or (each.get("use") == "official" and not _has_type(each, "uniqueId"))
        ):
            return value.lower()
    return ""


def _list_unique_id(reader: Reader) -> str:
    for each in reader.resource.get("identifier", ()):
        is_one = _has_type(each, "uniqueId") or (
            each.get("use") == "usual" and not _has_type(each, "entryUUID")
        )
        if is_one:
            return reader.findings.read(dt.read_unique_id, each, reader.at("identifier"), "")
    return ""


def _has_type(identifier: Json, code: str) -> bool:
    codings = identifier.get("type", {}).get("coding", ())
    return any(each.get("system") == ID_TYPES and each.get("code") == code for each in codings)


def read_source_patient(patient: Json) -> tuple[str, tuple[str, ...]]:
    """(sourcePatientId, sourcePatientInfo) of a Patient resource."""
    identifiers = patient.get("identifier", ())
    if not identifiers:
        raise DataTypeError("The Patient has no identifier.")
    if identifiers[0] == dt.cx(MASK):
        pid = MASK
    else:
        pid, *others = [dt.read_cx(each) for each in identifiers]
    told = [each.get("valueString", "") for each in extensions(patient, PATIENT_INFO)]
    if told:
        plain = {name: value for name, value in patient.items() if name not in ("extension", "id")}
        said = () if told == [_NOTHING] else tuple(told)
        if _patient_resource(pid, said) == plain:
            return pid, said
    info = [] if pid == MASK else [f"PID-3|{each}" for each in (pid, *others)]
    name = _first(patient.get("name", ()))
    given = dt.words(name, "given")
    if name:
        parts = (
            name.get("family") or ("" if given else name.get("text", "")),
            given[0] if given else "",
            " ".join(given[1:]),
            " ".join(dt.words(name, "suffix")),
            " ".join(dt.words(name, "prefix")),
        )
        info.append("PID-5|" + "^".join(map(escape, parts)).rstrip("^"))
    if born := patient.get("birthDate"):
        info.append("PID-7|" + dt.read_date_time(born))
    if gender := _GENDER_CODES.get(patient.get("gender", "")):
        info.append(f"PID-8|{gender}")
    if address := _first(patient.get("address", ())):
        lines = dt.words(address, "line")
        address_parts = (
            lines[0] if lines else "",
            " ".join(lines[1:]),
            address.get("city", ""),
            address.get("state", ""),
            address.get("postalCode", ""),
            address.get("country", ""),
        )
        info.append("PID-11|" + "^".join(map(escape, address_parts)).rstrip("^"))
    return pid, tuple(info)


def _patient_id(patient: Json) -> str:
    """The patient id among a Patient's identifiers: a national number, or else the first."""
    identifiers = patient.get("identifier", ())
    for each in identifiers:
        if dt.scheme_of(each.get("system", "")) in _OF_PATIENTS:
            return dt.read_cx(each)
    for each in identifiers:
        return dt.read_cx(each)
    raise DataTypeError("The Patient has no identifier.")


def _author_of_reference(reference: Json) -> Author:
    """Who is named by identifier or display alone."""
    if reference.get("type") == "Organization":
        return Author(
            institutions=(
                dt.read_organization(
                    _some(
                        name=reference.get("display"),
                        identifier=[*filter(None, [reference.get("identifier")])],
                    )
                ),
            )
        )
    named = _some(
        identifier=[*filter(None, [reference.get("identifier")])],
        name=[_some(text=reference.get("display"))] if reference.get("display") else None,
    )
    return Author(person=dt.read_practitioner(named))


def _device(device: Json) -> Author:
    names_of = [each.get("name", "") for each in device.get("deviceName", ())]
    return Author(person=dt.read_practitioner({"name": [{"text": next(iter(names_of), "")}]}))


def _recipient_text(author: Author) -> str:
    return str(
        Recipient(
            XON.parse(author.institutions[0]) if author.institutions else None,
            XCN.parse(author.person) if author.person else None,
            XTN.parse(author.telecommunications[0]) if author.telecommunications else None,
        )
    )


def _first(some: Sequence[Json]) -> Json:
    return some[0] if some else {}
