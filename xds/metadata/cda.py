"""The metadata of a CDA R2 document, from its header (IHE PCC TF-2 4.1, XDS document entry metadata).

Generate Metadata (ITI-106) asks for it, and the command line when it is given a CDA document. The body is
passed over, whatever its size: whether it is well-formed is not known here. It must never guess who the
patient is or how confidential the document is, nor quote a value of it: what is missing or wrong is a
finding, and what was assumed or left out a remark. Times without a zone are Norwegian (hl7v3.py, `moment`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lxml import etree

from xds.errors import DataTypeError, Fault, XdsError
from xds.metadata import cda_people, hl7v3
from xds.metadata.cda_notes import VALUE_LENGTH, Finding, Notes, holds
from xds.metadata.code_rules import DOCUMENT_TYPES, HL7_CONFIDENTIALITY, IHE_FORMATS, systems_of
from xds.metadata.codesystems import NATIONAL, CodeTables, built_in
from xds.metadata.datatypes import HD, CXi, check_identifier, check_language, dtm_low
from xds.metadata.hl7v3 import attribute, elements, first, tag, text
from xds.metadata.model import Code, DocumentEntry
from xds.transport import xml

__all__ = ["LONGEST", "Assumed", "CdaError", "Finding", "Header", "is_cda", "read_header"]

#: The longest header that is read, in bytes: everything before the body.
LONGEST: Final = 1024 * 1024

_DISPLAY_LENGTH: Final = 1024
_TITLE_LENGTH: Final = 128

_ROOT: Final = tag("ClinicalDocument")
#: Where the header is over: at the body, but for the start tag that tells the type of what is wrapped in it.
_BODIES: Final = (
    (tag("structuredBody"), tag("component"), _ROOT),
    (tag("text"), tag("nonXMLBody"), tag("component"), _ROOT),
)

#: Template of the document -> its format code, or that for the MIME type of what is wrapped in it. The first
#: that a document names counts, so that a consent comes before the scanned document that it is too.
_FORMATS: Final[tuple[tuple[str, Mapping[str, str]], ...]] = (
    ("1.3.6.1.4.1.19376.1.5.3.1.1.7.1", {"": "urn:ihe:iti:bppc-sd:2007"}),
    ("1.3.6.1.4.1.19376.1.5.3.1.1.7", {"": "urn:ihe:iti:bppc:2007"}),
    (
        "1.3.6.1.4.1.19376.1.2.20",
        {"application/pdf": "urn:ihe:iti:xds-sd:pdf:2008", "text/plain": "urn:ihe:iti:xds-sd:text:2008"},
    ),
    ("1.3.6.1.4.1.19376.1.5.3.1.1.3", {"": "urn:ihe:pcc:xds-ms:2007"}),
    ("1.3.6.1.4.1.19376.1.5.3.1.1.4", {"": "urn:ihe:pcc:xds-ms:2007"}),
    ("1.3.6.1.4.1.19376.1.5.3.1.1.5", {"": "urn:ihe:pcc:xphr:2007"}),
    ("1.3.6.1.4.1.19376.1.5.3.1.1.6", {"": "urn:ihe:pcc:xphr:2007"}),
    ("1.3.6.1.4.1.19376.1.3.3", {"": "urn:ihe:lab:xd-lab:2008"}),
)
#: What Norwegian senders write for any CDA document (Norwegian profile of IHE XDS metadata, formatCode).
_ANY_FORMAT: Final = "urn:ihe:iti:xds:2017:mimeTypeSufficient"
#: CDA as text/xml: consumers do not show what is called application/hl7-v3+xml.
_MIME_TYPE: Final = "text/xml"

_ENCOUNTER: Final = "componentOf/encompassingEncounter"
_EVENT: Final = "documentationOf/serviceEvent"
#: Where an institution or a field of health care is coded, the nearest to the care first.
_FACILITY: Final = f"{_ENCOUNTER}/location/healthCareFacility"
_PLACES: Final = (
    f"{_FACILITY}/code",
    f"{_FACILITY}/serviceProviderOrganization/standardIndustryClassCode",
    f"{_EVENT}/performer/assignedEntity/code",
    f"{_EVENT}/performer/assignedEntity/representedOrganization/standardIndustryClassCode",
    "author/assignedAuthor/representedOrganization/standardIndustryClassCode",
)
_RELATIONS: Final = ("RPLC", "APND", "XFRM")
_REFERENCES: Final = (
    ("inFulfillmentOf/order/id", "urn:ihe:iti:xds:2013:order"),
    (f"{_ENCOUNTER}/id", "urn:ihe:iti:xds:2015:encounterId"),
)

_CONFIDENTIALITY: Final = systems_of("confidentialityCode")
_FACILITY_TYPES: Final = systems_of("healthcareFacilityTypeCode")
#: The profile's, then the service types that took the place of some of them (Volven, since 2019).
_SETTINGS: Final = (
    *systems_of("practiceSettingCode"),
    *(f"{NATIONAL}.{number}" for number in (8660, 8662, 8664, 8666, 8668)),
)

_NO_CODE: Final = Code("", "")


class CdaError(XdsError):
    """A document of which no metadata can be made; `findings` has every reason."""

    def __init__(self, *findings: Finding) -> None:
        super().__init__("; ".join(f"{each.location}: {each.sentence}" for each in findings))
        self.findings: tuple[Finding, ...] = findings


@dataclass(frozen=True, slots=True)
class Assumed:
    """The codes to take where the document tells none; without one, that it tells none is a finding."""

    class_code: Code | None = None
    practice_setting_code: Code | None = None
    healthcare_facility_type_code: Code | None = None


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says.

    `entry` is without hash and size. `remarks` are sentences about what was assumed or left out.
    `replaces`, `appends` and `transforms` are the uniqueIds of the documents that this one does that to.
    """

    entry: DocumentEntry
    remarks: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    appends: tuple[str, ...] = ()
    transforms: tuple[str, ...] = ()


def is_cda(data: bytes) -> bool:
    """Whether the root element is that of a CDA document; False for what cannot be parsed so far."""
    try:
        return xml.parse_until(data, lambda _: True, limit=LONGEST).tag == _ROOT
    except Fault:
        return False


def read_header(
    data: bytes,
    entry_uuid: str,
    *,
    tables: CodeTables | None = None,
    assumed: Assumed = Assumed(),
    test: bool = False,
) -> Header:
    """The metadata of a CDA document; raises CdaError.

    `tables` are the node's code tables, if it has its own. In a `test` people who do not exist are patients,
    as in national.py.
    """
    try:
        root = xml.parse_until(data, _ends_header, limit=LONGEST)
    except Fault as fault:
        raise CdaError(Finding("ClinicalDocument", fault.reason)) from None
    if root.tag != _ROOT:
        raise CdaError(Finding("ClinicalDocument", "This is no CDA document: its root element is another."))
    notes = Notes()
    header = _Reader(root, notes, tables or built_in(), assumed).header(entry_uuid, test=test)
    if notes.findings:
        raise CdaError(*dict.fromkeys(notes.findings))
    return header


def _ends_header(element: etree._Element) -> bool:
    above = element.getparent()
    if above is None:
        return element.tag != _ROOT
    if element.tag not in _BODY_TAGS:
        return False
    path = (element.tag, *(each.tag for each in element.iterancestors()))
    return path in _BODIES


_BODY_TAGS: Final = frozenset(path[0] for path in _BODIES)


@dataclass(slots=True)
class _Reader:
    """One header being read; a value about which there is a finding is read as an empty one."""

    root: etree._Element
    notes: Notes
    tables: CodeTables
    assumed: Assumed

    def header(self, entry_uuid: str, *, test: bool) -> Header:
        unique_id = self._unique_id()
        class_code, type_code = self._kind()
        creation_time = self._creation_time()
        confidentiality_codes = self._confidentiality()
        language_code = self._language()
        patient = cda_people.patient(self.root, self.notes, test=test)
        authors = cda_people.authors(self.root, self.notes, self._codes)
        start, stop = self._service_times()
        assumed = self.assumed
        entry = DocumentEntry(
            entry_uuid=entry_uuid,
            unique_id=unique_id,
            patient_id=patient.id,
            mime_type=_MIME_TYPE,
            class_code=class_code,
            type_code=type_code,
            format_code=self._format(),
            practice_setting_code=self._place(
                "practiceSettingCode", _SETTINGS, assumed.practice_setting_code
            ),
            healthcare_facility_type_code=self._place(
                "healthcareFacilityTypeCode", _FACILITY_TYPES, assumed.healthcare_facility_type_code
            ),
            confidentiality_codes=confidentiality_codes,
            language_code=language_code,
            source_patient_id=patient.source_id,
            creation_time=creation_time,
            service_start_time=start,
            service_stop_time=stop,
            title=self._title(),
            legal_authenticator=cda_people.legal_authenticator(self.root, self.notes),
            authors=authors,
            event_codes=self._event_codes(),
            reference_ids=self._reference_ids(),
            source_patient_info=patient.info,
        )
        replaces, appends, transforms = self._related()
        if first(self.root, "component") is None:
            self.notes.find("component", "The document has no body.")
        return Header(entry, tuple(self.notes.remarks), replaces, appends, transforms)

    # ---- the document

    def _unique_id(self) -> str:
        element = first(self.root, "id")
        own = None if element is None else hl7v3.identifier(element)
        if own is not None and holds(own.unique_id, check_identifier):
            return own.unique_id
        self.notes.find(
            "id", "The document needs an id: an OID or a UUID as its root, and perhaps an extension."
        )
        return ""

    def _kind(self) -> tuple[Code, Code]:
        """classCode and typeCode."""
        element = first(self.root, "code")
        sent = [] if element is None else self._codes(element)
        type_code = hl7v3.preferred(sent, (DOCUMENT_TYPES,)) or next(iter(sent), None)
        if type_code is None:
            self.notes.find("code", "The document needs a code that says what it is, with its code system.")
            return _NO_CODE, _NO_CODE
        if type_code.scheme == DOCUMENT_TYPES:
            concept = self.tables.concept(type_code.code, DOCUMENT_TYPES)
            if concept is not None and concept.usage == "classCode":
                self.notes.find("code", "The code is a group of documents: send the type of this one.")
                return _NO_CODE, type_code
            group = (concept.parent if concept is not None else "") or f"{type_code.code[:1]}00-1"
            if self.tables.concept(group, DOCUMENT_TYPES) is not None:
                return self._displayed(Code(group, DOCUMENT_TYPES)), type_code
        if self.assumed.class_code is not None:
            self.notes.remark("classCode was assumed: it can be told of a Norwegian document type only.")
            return self.assumed.class_code, type_code
        self.notes.find(
            "code",
            "The group of documents (classCode) can be told of a Norwegian document type (9602) only:"
            " send one, as the code or as a translation of it.",
        )
        return _NO_CODE, type_code

    def _format(self) -> Code:
        templates = {each.root for each in hl7v3.identifiers(self.root, "templateId")}
        wrapped = first(self.root, "component/nonXMLBody/text")
        media = "" if wrapped is None else attribute(wrapped, "mediaType").partition(";")[0].strip().lower()
        for template, formats in _FORMATS:
            code = formats.get("") or formats.get(media)
            if template in templates and code is not None:
                return self._displayed(Code(code, IHE_FORMATS))
        self.notes.remark(
            "formatCode says that the MIME type suffices: no template of the document tells more."
        )
        return self._displayed(Code(_ANY_FORMAT, IHE_FORMATS))

    def _confidentiality(self) -> tuple[Code, ...]:
        """HL7's level and 9603 may both be there, one as a translation of the other."""
        found: list[Code] = []
        sent = list(elements(self.root, "confidentialityCode"))
        for element in sent:
            known = [each for each in self._codes(element) if each.scheme in _CONFIDENTIALITY]
            if not known:
                self.notes.find(
                    "confidentialityCode",
                    f"The code is of no known system: send one of {HL7_CONFIDENTIALITY} or {NATIONAL}.9603.",
                )
            found += known
        if not sent:
            self.notes.find("confidentialityCode", "The document must say how confidential it is.")
        return tuple(dict.fromkeys(found))

    def _language(self) -> str:
        element = first(self.root, "languageCode")
        if element is not None:
            language = attribute(element, "code")
            if holds(language, check_language):
                return language
            self.notes.find("languageCode", "The code is a tag of BCP 47 such as nb-NO.")
        elif any(attribute(realm, "code") == "NO" for realm in elements(self.root, "realmCode")):
            self.notes.remark(
                "languageCode is nb-NO: the document names no language, but Norway as its realm."
            )
            return "nb-NO"
        else:
            self.notes.find("languageCode", "The document must say in which language it is.")
        return ""

    def _title(self) -> str | None:
        element = first(self.root, "title")
        title = "" if element is None else text(element)
        if len(title) > _TITLE_LENGTH:
            self.notes.remark(f"The title was cut: it may have {_TITLE_LENGTH} characters.")
            title = f"{title[: _TITLE_LENGTH - 1].rstrip()}…"
        return title or None

    def _related(self) -> tuple[tuple[str, ...], ...]:
        """The documents that this one replaces, appends to, is a transformation of."""
        found: dict[str, list[str]] = {kind: [] for kind in _RELATIONS}
        for element in elements(self.root, "relatedDocument"):
            kind = attribute(element, "typeCode")
            parents = hl7v3.identifiers(element, "parentDocument/id")
            if kind not in found:
                self.notes.find("relatedDocument", "The typeCode is RPLC, APND or XFRM.")
            elif not parents:
                self.notes.find(
                    "relatedDocument/parentDocument/id", "The other document must be named by its id."
                )
            else:
                found[kind] += [each.unique_id for each in parents]
        version = first(self.root, "versionNumber")
        if version is not None and attribute(version, "value") not in ("", "0", "1") and not found["RPLC"]:
            self.notes.remark(
                "The document calls itself a later version, but does not say of which it is one."
            )
        return tuple(tuple(dict.fromkeys(each)) for each in found.values())

    # ---- times

    def _creation_time(self) -> str:
        element = first(self.root, "effectiveTime")
        value = "" if element is None else attribute(element, "value")
        if not value:
            self.notes.find("effectiveTime", "The document must say when it was made.")
            return ""
        try:
            return self._dtm(hl7v3.moment(value))
        except DataTypeError as error:
            self.notes.find("effectiveTime", str(error))
            return ""

    def _service_times(self) -> tuple[str | None, str | None]:
        """From the first to the last of what the document is about; else those of the stay."""
        for path in (f"{_EVENT}/effectiveTime", f"{_ENCOUNTER}/effectiveTime"):
            starts: list[hl7v3.Moment] = []
            stops: list[hl7v3.Moment] = []
            for element in elements(self.root, path):
                try:
                    low, high = hl7v3.interval(element)
                except DataTypeError as error:
                    self.notes.find(path, str(error))
                    continue
                starts += [] if low is None else [low]
                stops += [] if high is None else [high]
            start = min(starts, key=_earliest, default=None)
            stop = max(stops, key=_earliest, default=None)
            if start is not None and stop is not None:
                return self._ordered(start, stop, path)
            if start is not None:
                return self._dtm(start), None
            if stop is not None:
                return None, self._dtm(stop)
        return None, None

    def _ordered(self, start: hl7v3.Moment, stop: hl7v3.Moment, path: str) -> tuple[str, str]:
        begin, end = self._dtm(start), self._dtm(stop)
        # Compared as far as both are known: care that began at noon may well have ended "that day".
        known = min(len(begin), len(end))
        if begin[:known] <= end[:known]:
            return begin, end
        if known <= 8 and start.day[:known] <= stop.day[:known]:
            return start.day, stop.day  # half past midnight here is the day before in UTC
        self.notes.find(path, "The time ends before it begins.")
        return "", ""

    def _dtm(self, when: hl7v3.Moment) -> str:
        if when.assumed:
            self.notes.remark("A time without a zone was read as Norwegian time.")
        return when.dtm

    # ---- codes

    def _codes(self, element: etree._Element) -> list[Code]:
        """The code and its translations as far as metadata can hold them, with the names of our tables."""
        fitting = [
            code for code in hl7v3.codes(element) if max(len(code.code), len(code.scheme)) <= VALUE_LENGTH
        ]
        return [self._displayed(code) for code in fitting]

    def _displayed(self, code: Code) -> Code:
        """The code under its system's OID, with a display name if one is known."""
        system = self.tables.system(code.scheme)
        display = code.display or self.tables.display(code.code, code.scheme, "nb")
        if display is not None and len(display) > _DISPLAY_LENGTH:
            display = None
        return Code(code.code, (system.oid if system is not None else "") or code.scheme, display)

    def _place(self, name: str, systems: Sequence[str], assumed: Code | None) -> Code:
        for path in _PLACES:
            for element in elements(self.root, path):
                if (code := hl7v3.preferred(self._codes(element), systems)) is not None:
                    return code
        if assumed is not None:
            self.notes.remark(f"{name} was assumed: the document has no code for it.")
            return assumed
        self.notes.find(_PLACES[0], f"There is no code for {name} here, nor with a performer or an author.")
        return _NO_CODE

    def _event_codes(self) -> tuple[Code, ...]:
        found = [self._codes(element) for element in elements(self.root, f"{_EVENT}/code")]
        return tuple(dict.fromkeys(codes[0] for codes in found if codes))

    def _reference_ids(self) -> tuple[str, ...]:
        found: list[str] = []
        for path, kind in _REFERENCES:
            for each in hl7v3.identifiers(self.root, path):
                authority = HD("", each.authority, "ISO") if each.extension else HD()
                reference = CXi(each.extension or each.root, kind, authority)
                found.append(self.notes.value("A reference id", reference, CXi.parse))
        return tuple(dict.fromkeys(filter(None, found)))


def _earliest(when: hl7v3.Moment) -> int:
    return dtm_low(when.dtm)
