"""Metadata from the header of a CDA document: all that can be had of it, and all that is wrong with it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.access.people import number
from tests.fuzzing import examples
from tests.metadata import samples
from tests.metadata.cda_documents import (
    BORN,
    D_NUMBER_ROOT,
    FULL,
    NUMBER,
    OTHER_NUMBER,
    PLAIN,
    SCANNED,
    WRAPPED,
    added,
    emptied,
    replaced,
    without,
)
from xds.errors import RegistryError
from xds.metadata import cda
from xds.metadata.cda import Assumed, CdaError, Header
from xds.metadata.code_rules import CodeRules
from xds.metadata.codesystems import built_in
from xds.metadata.model import Author, Code, DocumentEntry
from xds.metadata.national import with_control_digits
from xds.metadata.validation import check

CODES = CodeRules(built_in())
TYPES = "2.16.578.1.12.4.1.1.9602"
IHE_FORMATS = "1.3.6.1.4.1.19376.1.2.3"
PATIENT = f"{NUMBER}^^^&2.16.578.1.12.4.1.4.1&ISO"
LOCAL = "2.16.578.1.12.4.5.480.1.9"
FACILITY = "ClinicalDocument/componentOf/encompassingEncounter/location/healthCareFacility/code"
ONLY_FORMAT = ("formatCode says that the MIME type suffices: no template of the document tells more.",)


def read(document: str | bytes, **more: Any) -> Header:
    """The header of a document about somebody who does not exist."""
    data = document if isinstance(document, bytes) else document.encode()
    return cda.read_header(data, "Document01", **{"test": True, **more})


def locations(document: str | bytes, **more: Any) -> list[str]:
    """Where something is wrong with a document, below its root."""
    with pytest.raises(CdaError) as caught:
        read(document, **more)
    return [each.location.removeprefix("ClinicalDocument").lstrip("/") for each in caught.value.findings]


def judged(header: Header, codes: CodeRules | None = CODES) -> tuple[RegistryError, ...]:
    """What gate 0 says of the entry when a repository registers it."""
    entry = replace(header.entry, hash=samples.EMPTY_SHA1, size=1, repository_unique_id=samples.REPOSITORY)
    objects = samples.submission(entry, of=samples.submission_set(patient_id=entry.patient_id))
    return check(objects, transaction="ITI-42", codes=codes)


def test_a_full_header_is_read_attribute_by_attribute() -> None:
    """Worked out by hand, element by element, from IHE's table and the Norwegian profile."""
    header = read(FULL)

    assert header.entry == DocumentEntry(
        entry_uuid="Document01",
        unique_id="2.16.578.1.12.4.5.480.1.2^EP-2026/17",
        patient_id=PATIENT,
        mime_type="text/xml",
        class_code=Code("A00-1", TYPES),
        type_code=Code("A03-2", TYPES),
        format_code=Code("urn:ihe:pcc:xds-ms:2007", IHE_FORMATS),
        practice_setting_code=Code("S03", "2.16.578.1.12.4.1.1.8655"),
        healthcare_facility_type_code=Code("86.101", "2.16.578.1.12.4.1.1.1303"),
        confidentiality_codes=(
            Code("R", "2.16.840.1.113883.5.25"),
            Code("NORS", "2.16.578.1.12.4.1.1.9603"),
        ),
        language_code="nn-NO",
        source_patient_id=rf"PAS\S\77^^^&{LOCAL}&ISO",
        creation_time="20260311094500",
        service_start_time="20260309080000",
        service_stop_time="202603111100",
        title="Epikrise, indre medisin",
        legal_authenticator="9144897^Vik^Kåre^^^^^^&2.16.578.1.12.4.1.4.4&ISO",
        authors=(
            Author(
                person=r"9144889^Fjell\S\Dal^Tuva^^^Dr.^^^&2.16.578.1.12.4.1.4.4&ISO",
                institutions=(
                    "Eksempelsykehuset HF^^^^^&2.16.578.1.12.4.1.4.101&ISO^^^^310000000",
                    "Avdeling for prøver^^^^^&2.16.578.1.12.4.1.4.102&ISO^^^^4201234",
                    "Hjerteposten^^^^^&2.16.578.1.12.4.5.390&ISO^^^^Hjerteposten",
                ),
                roles=("3^^^&2.16.578.1.12.4.1.1.9034&ISO",),
                specialties=("190^^^&2.16.578.1.12.4.1.1.7426&ISO",),
                telecommunications=(
                    "^WPN^PH^^^^^^^^^+47 22000000",
                    "^^Internet^tuva.fjell@example.org",
                ),
            ),
            # A category of personnel is a role, wherever it stands.
            Author(person="^Journalsystem 7", roles=("SP^^^&2.16.578.1.12.4.1.1.9060&ISO",)),
        ),
        event_codes=(Code("FNG02", "2.16.578.1.12.4.1.1.7210"),),
        reference_ids=(
            "REK-1^^^&2.16.578.1.12.4.5.480.1.4&ISO^urn:ihe:iti:xds:2013:order",
            "OPPHOLD-3^^^&2.16.578.1.12.4.5.480.1.5&ISO^urn:ihe:iti:xds:2015:encounterId",
        ),
        source_patient_info=(
            f"PID-3|{PATIENT}",
            rf"PID-3|PAS\S\77^^^&{LOCAL}&ISO",
            r"PID-5|Prøve^Syn\F\tetisk^Marie",
            "PID-7|19550517",
            "PID-8|F",
            r"PID-11|Storgata 1, H0101^^Oslo \T\ omegn^^0155^NO",
        ),
    )
    assert header.remarks == ()
    assert header.replaces == ("2.16.578.1.12.4.5.480.1.2^EP-2026/16",)
    assert (header.appends, header.transforms) == ((), ("2.16.578.1.12.4.5.480.1.2.5",))


def test_codes_have_the_name_that_was_sent_or_that_of_our_tables() -> None:
    """Equality of codes passes over their names."""
    entry = read(FULL).entry
    codes = (entry.class_code, entry.type_code, *entry.confidentiality_codes, *entry.event_codes)

    assert [each.display for each in codes] == [
        "Epikriser og sammenfatninger", "Epikrise", "restricted", "Sperret", "PCI",
    ]  # fmt: skip


@pytest.mark.parametrize("document", [FULL, PLAIN])
def test_what_is_read_may_be_registered(document: str) -> None:
    """Gate 0 finds nothing in it, codes included."""
    assert judged(read(document)) == ()


def test_a_plain_header_is_enough() -> None:
    """Only the format is not told."""
    header = read(PLAIN)

    assert header.entry.authors == (Author(institutions=("Legekontoret",)),)
    assert header.entry.title is None
    assert header.entry.source_patient_id == PATIENT
    assert header.remarks == ONLY_FORMAT
    assert (header.replaces, header.appends, header.transforms) == ((), (), ())


def test_a_scanned_document_has_two_authors() -> None:
    """Who wrote it, and the machine; and it is about a time long before it was scanned."""
    header = read(SCANNED)

    assert header.entry.format_code == Code("urn:ihe:iti:xds-sd:pdf:2008", IHE_FORMATS)
    assert header.entry.authors == (
        Author(institutions=("Legekontoret",)),
        Author(person="^Skann 1.0", institutions=("Arkivet^^^^^^^^^2.16.578.1.12.4.5.480",)),
    )
    assert (header.entry.service_start_time, header.entry.service_stop_time) == ("19990101", "19991231")
    assert header.remarks == ()
    assert judged(header) == ()


def test_a_document_that_the_peer_wrapped_lacks_only_the_place() -> None:
    """Level 1, in Norway: what the wrapper does not tell must be assumed."""
    hospital = Code("86.101", "2.16.578.1.12.4.1.1.1303")
    header = read(WRAPPED, assumed=Assumed(None, Code("S03", "2.16.578.1.12.4.1.1.8655"), hospital))

    assert locations(WRAPPED) == [FACILITY.removeprefix("ClinicalDocument/")] * 2
    assert header.entry.unique_id == "2.16.578.1.12.4.5.100.1.1.2^6f3c"
    assert header.entry.class_code == Code("A00-1", TYPES)
    assert header.entry.format_code == samples.ANY_MIME_TYPE
    assert header.entry.confidentiality_codes == (Code("NORN_FPB", "2.16.578.1.12.4.1.1.9603"),)
    assert header.entry.language_code == "nb-NO"
    assert header.entry.authors == (
        Author(
            person="9144889^Fjell^Tuva^^^^^^&2.16.578.1.12.4.1.4.4&ISO",
            institutions=("Eksempelsykehuset HF^^^^^&2.16.578.1.12.4.1.4.101&ISO^^^^310000000",),
        ),
    )
    assert header.entry.source_patient_info[1:] == ("PID-5|Prøve^Syntetisk", "PID-7|19550517", "PID-8|O")
    assert judged(header) == ()


def test_everything_that_is_missing_is_told_at_once() -> None:
    """In the order of the header."""
    assert locations('<ClinicalDocument xmlns="urn:hl7-org:v3"/>') == [
        "id",
        "code",
        "effectiveTime",
        "confidentialityCode",
        "languageCode",
        "recordTarget/patientRole/id",
        FACILITY.removeprefix("ClinicalDocument/"),
        FACILITY.removeprefix("ClinicalDocument/"),
        "component",
    ]


@pytest.mark.parametrize(
    ("element", "location"),
    [
        ("id", "id"),
        ("code", "code"),
        ("effectiveTime", "effectiveTime"),
        ("confidentialityCode", "confidentialityCode"),
        ("languageCode", "languageCode"),
        ("recordTarget", "recordTarget/patientRole/id"),
        ("component", "component"),
    ],
)
def test_an_element_with_a_null_flavor_is_not_there(element: str, location: str) -> None:
    """It says why something is not known, and nothing else."""
    assert locations(without(element)) == [location]
    assert locations(emptied(element)) == [location]


def test_a_finding_quotes_nothing() -> None:
    """Neither the sentences nor the error's own text hold a value."""
    secret = "Hemmelig 17"
    document = f"""<ClinicalDocument xmlns="urn:hl7-org:v3">
      <id root="{secret}"/><code code="{secret}" codeSystem="{secret}"/><effectiveTime value="{secret}"/>
      <confidentialityCode code="{secret}" codeSystem="{secret}"/><languageCode code="{secret}"/>
      <recordTarget><patientRole><id root="{secret}" extension="{secret}"/></patientRole></recordTarget>
      <relatedDocument typeCode="{secret}"/><{secret.split()[0]}/><component/></ClinicalDocument>"""

    with pytest.raises(CdaError) as caught:
        read(document)

    assert len(caught.value.findings) == 9
    assert "Hemmelig" not in f"{caught.value} {caught.value.findings!r}"


# ---- kind and format


@pytest.mark.parametrize(
    ("type_code", "class_code"),
    [("A03-2", "A00-1"), ("S01-2", "S00-1"), ("J02-2", "J00-1"), ("C99-2", "C00-1")],
)
def test_the_group_follows_from_the_type(type_code: str, class_code: str) -> None:
    """By the table, or by its letter for a type that is newer than the table."""
    entry = read(replaced("B02-2", type_code)).entry

    assert (entry.type_code, entry.class_code) == (Code(type_code, TYPES), Code(class_code, TYPES))


@pytest.mark.parametrize(
    ("code", "system"),
    [("34133-9", "2.16.840.1.113883.6.1"), ("Q01-2", TYPES), ("B00-1", TYPES), ("B02-2", ""), ("", TYPES)],
)
def test_a_type_without_a_group_is_a_finding(code: str, system: str) -> None:
    """LOINC's codes have none; a group is no type; a code without its system is none."""
    document = replaced(f'code="B02-2" codeSystem="{TYPES}"', f'code="{code}" codeSystem="{system}"')

    assert locations(document) == ["code"]


def test_codes_may_be_assumed_by_who_asks() -> None:
    """A type of LOINC is kept, and what was assumed is told."""
    group, setting = Code("A00-1", TYPES), Code("S03", "2.16.578.1.12.4.1.1.8655")
    hospital = Code("86.101", "2.16.578.1.12.4.1.1.1303")
    loinc = replaced(
        f'code="B02-2" codeSystem="{TYPES}"', 'code="34133-9" codeSystem="2.16.840.1.113883.6.1"'
    )
    header = read(
        without("componentOf", loinc),
        assumed=Assumed(group, setting, hospital),
    )

    entry = header.entry
    assert entry.type_code == Code("34133-9", "2.16.840.1.113883.6.1")
    assert (entry.class_code, entry.practice_setting_code) == (group, setting)
    assert entry.healthcare_facility_type_code == hospital
    assert [each.partition(":")[0] for each in header.remarks] == [
        "classCode was assumed",
        "formatCode says that the MIME type suffices",
        "practiceSettingCode was assumed",
        "healthcareFacilityTypeCode was assumed",
    ]


def test_what_the_document_tells_comes_before_what_is_assumed() -> None:
    """Assumptions change nothing of a document that needs none."""
    other = Code("X", "1.2.3")

    assert read(FULL, assumed=Assumed(other, other, other)) == read(FULL)


@pytest.mark.parametrize(
    ("template", "media", "code"),
    [
        ("1.3.6.1.4.1.19376.1.2.20", "application/pdf", "urn:ihe:iti:xds-sd:pdf:2008"),
        ("1.3.6.1.4.1.19376.1.2.20", "text/plain; charset=utf-8", "urn:ihe:iti:xds-sd:text:2008"),
        ("1.3.6.1.4.1.19376.1.2.20", "image/tiff", ""),
        ("1.3.6.1.4.1.19376.1.5.3.1.1.7", "", "urn:ihe:iti:bppc:2007"),
        ("1.3.6.1.4.1.19376.1.3.3", "application/pdf", "urn:ihe:lab:xd-lab:2008"),
        ("2.16.578.1.34.10.123", "application/pdf", ""),
        ("", "application/pdf", ""),
    ],
)
def test_the_format_follows_from_the_template(template: str, media: str, code: str) -> None:
    """In a scanned document from what was scanned too; a wrapper without template has no format."""
    document = added(f'<templateId root="{template}"/>', before="<id ")
    header = read(replaced("application/pdf", media, document))

    expected = code or "urn:ihe:iti:xds:2017:mimeTypeSufficient"
    assert header.entry.format_code == Code(expected, IHE_FORMATS)
    assert header.entry.format_code.display
    assert header.remarks == (() if code else ONLY_FORMAT)
    assert judged(header) == ()


def test_a_scanned_consent_is_a_consent_first() -> None:
    """It has the templates of both."""
    templates = ("1.3.6.1.4.1.19376.1.2.20", "1.3.6.1.4.1.19376.1.5.3.1.1.7.1")
    document = added("".join(f'<templateId root="{each}"/>' for each in templates), before="<id ")

    assert read(document).entry.format_code.code == "urn:ihe:iti:bppc-sd:2007"


def test_a_name_of_a_code_that_is_too_long_is_left_out() -> None:
    """The code is as good without."""
    entry = read(replaced('code="B02-2"', f'code="B02-2" displayName="{"x" * 1100}"')).entry

    assert (entry.type_code, entry.type_code.display) == (Code("B02-2", TYPES), None)


# ---- confidentiality, language, title


@pytest.mark.parametrize(
    ("code", "system"),
    [("R", "1.2.3"), ("NORS", ""), ("R", "http://example.org"), ("HIV", "2.16.840.1.113883.5.60")],
)
def test_how_confidential_a_document_is_is_never_guessed(code: str, system: str) -> None:
    """A code that nobody here understands may ask for anything."""
    document = replaced(
        'code="N" codeSystem="2.16.840.1.113883.5.25"', f'code="{code}" codeSystem="{system}"'
    )

    assert locations(document) == ["confidentialityCode"]


@pytest.mark.parametrize("code", ["N", "R", "V"])
def test_the_levels_of_hl7_are_read_by_either_name(code: str) -> None:
    """The system's address is its OID."""
    document = replaced(
        'code="N" codeSystem="2.16.840.1.113883.5.25"',
        f'code="{code}" codeSystem="http://terminology.hl7.org/CodeSystem/v3-Confidentiality"',
    )

    assert read(document).entry.confidentiality_codes == (Code(code, "2.16.840.1.113883.5.25"),)


def test_norway_as_the_realm_tells_the_language() -> None:
    """As the national peer reads it, and only where no language is named."""
    realm = added('<realmCode code="NO"/>', before="<id ")
    header = read(without("languageCode", realm))

    assert header.entry.language_code == "nb-NO"
    assert any(each.startswith("languageCode is nb-NO") for each in header.remarks)
    assert locations(replaced('"nb-NO"', '"norsk bokmål"', realm)) == ["languageCode"]


def test_a_long_title_is_cut() -> None:
    """Metadata has room for 128 characters."""
    header = read(added(f"<title>{'lang ' * 40}</title>", before="<effectiveTime"))

    assert header.entry.title is not None
    assert len(header.entry.title) <= 128
    assert header.entry.title.endswith("la…")
    assert any("title was cut" in each for each in header.remarks)
    assert judged(header) == ()


# ---- times


def test_a_time_of_no_zone_is_remarked_upon() -> None:
    """It was read as Norwegian time."""
    header = read(replaced("20260311094500+0000", "20260711094500"))

    assert header.entry.creation_time == "20260711074500"
    assert "A time without a zone was read as Norwegian time." in header.remarks


@pytest.mark.parametrize("value", ["2026-03-11", "20260230", "20260311094500+9900"])
def test_a_wrong_time_is_a_finding(value: str) -> None:
    """Here and in what the document is about."""
    event = f'<effectiveTime><low value="{value}"/></effectiveTime>'
    document = added(
        f"<documentationOf><serviceEvent>{event}</serviceEvent></documentationOf>", "<componentOf"
    )

    assert locations(replaced("20260311094500+0000", value, document)) == [
        "effectiveTime",
        "documentationOf/serviceEvent/effectiveTime",
    ]


@pytest.mark.parametrize(
    ("low", "high", "start", "stop"),
    [
        ("20260311", "20260311", "20260311", "20260311"),
        ("20260311120000+0100", "20260311", "20260311110000", "20260311"),
        # Half past midnight in Norway is the day before in UTC.
        ("20260311", "202603110030+0100", "20260311", "20260311"),
        ("20260311", None, "20260311", None),
        (None, "20260311", None, "20260311"),
    ],
)
def test_the_stay_tells_the_times_that_no_event_tells(
    low: str | None, high: str | None, start: str | None, stop: str | None
) -> None:
    """From its beginning to its end, as far as they are known."""
    ends = "".join(f'<{name} value="{v}"/>' for name, v in (("low", low), ("high", high)) if v)
    header = read(added(f"<effectiveTime>{ends}</effectiveTime>", before="<location>"))

    assert (header.entry.service_start_time, header.entry.service_stop_time) == (start, stop)
    assert judged(header) == ()


def test_care_cannot_end_before_it_begins() -> None:
    """One of the times is wrong, and nobody here knows which."""
    times = '<effectiveTime><low value="20260312"/><high value="20260311235900+0100"/></effectiveTime>'

    assert locations(added(times, before="<location>")) == ["componentOf/encompassingEncounter/effectiveTime"]


# ---- the patient


def ids(*roots_and_extensions: tuple[str, str]) -> str:
    """The plain document with these ids of its patient."""
    own = f'<id root="2.16.578.1.12.4.1.4.1" extension="{NUMBER}"/>'
    given = "".join(
        f'<id root="{root}" extension="{extension}"/>' for root, extension in roots_and_extensions
    )
    return replaced(own, given)


def h_number() -> str:
    """A number with a month raised by 40, which outside a test is one enterprise's own."""
    found = (with_control_digits(f"{BORN:%d}{BORN.month + 40}{BORN:%y}{each:03}") for each in range(500))
    return next(filter(None, found))


def d_number() -> str:
    """A synthetic D-number."""
    found = (
        with_control_digits(f"{BORN.day + 40}{BORN.month + 80}{BORN:%y}{each:03}") for each in range(500)
    )
    return next(filter(None, found))


NATIONAL_ROOT = "2.16.578.1.12.4.1.4.1"


@pytest.mark.parametrize(
    ("sent", "patient_id", "source_id"),
    [
        ([(D_NUMBER_ROOT, d_number()), (NATIONAL_ROOT, NUMBER)], PATIENT, PATIENT),
        ([(LOCAL, "77"), (NATIONAL_ROOT, NUMBER), (NATIONAL_ROOT, NUMBER)], PATIENT, f"77^^^&{LOCAL}&ISO"),
        ([(NATIONAL_ROOT, NUMBER), ("", "1"), ("1.2", "")], PATIENT, PATIENT),
        ([("urn:oid:" + NATIONAL_ROOT, NUMBER)], PATIENT, PATIENT),
        # A D-number under the OID of fødselsnummer is one all the same.
        ([(NATIONAL_ROOT, d_number())], f"{d_number()}^^^&{D_NUMBER_ROOT}&ISO", None),
        ([(LOCAL, "77")], f"77^^^&{LOCAL}&ISO", None),
    ],
)
def test_the_number_that_all_know_comes_first(
    sent: list[tuple[str, str]], patient_id: str, source_id: str | None
) -> None:
    """Fødselsnummer, D-nummer, felles hjelpenummer; then the only one that the sender gave out."""
    entry = read(ids(*sent)).entry

    assert (entry.patient_id, entry.source_patient_id) == (patient_id, source_id or patient_id)


@pytest.mark.parametrize(
    "sent",
    [
        [(NATIONAL_ROOT, NUMBER), (NATIONAL_ROOT, OTHER_NUMBER)],
        [(LOCAL, "77"), ("1.2.3", "78")],
        [(LOCAL, "77"), (LOCAL, "78")],
        [(LOCAL, "")],
        [("LOCAL", "77")],
        [],
    ],
)
def test_who_the_patient_is_is_never_guessed(sent: list[tuple[str, str]]) -> None:
    """Of two numbers neither is taken."""
    assert locations(ids(*sent)) == ["recordTarget/patientRole/id"]


def test_an_h_number_does_not_leave_its_enterprise() -> None:
    """Neither as the patient's id nor as one of those that the source gives; in a test it is Dolly's."""
    own = f"{h_number()}^^^&{NATIONAL_ROOT}&ISO"
    header = read(ids((NATIONAL_ROOT, h_number()), (LOCAL, "77")), test=False)

    assert header.entry.patient_id == f"77^^^&{LOCAL}&ISO"
    assert h_number() not in repr(header)
    assert any("H-number" in each for each in header.remarks)
    assert read(ids((NATIONAL_ROOT, h_number()))).entry.patient_id == own


def test_a_document_is_about_one_patient() -> None:
    """A second one is a finding, and so no number is chosen."""
    role = f'<patientRole><id root="{NATIONAL_ROOT}" extension="{NUMBER}"/></patientRole>'

    assert locations(added(f"<recordTarget>{role}</recordTarget>", before="<author>")) == ["recordTarget"]


def test_a_birth_date_that_is_none_is_left_out() -> None:
    """The rest of what is known of the patient stays."""
    born = '<patient><birthTime value="17.05.1955"/></patient></patientRole>'
    header = read(replaced("</patientRole>", born))

    assert header.entry.source_patient_info == (f"PID-3|{PATIENT}",)
    assert "The date of birth was left out: it is no date." in header.remarks


# ---- who wrote it


def author(inner: str) -> str:
    """The plain document by another author."""
    return replaced(
        "<assignedAuthor>\n    <representedOrganization><name>Legekontoret</name></representedOrganization>",
        f"<assignedAuthor>{inner}",
    )


def custodian(document: str) -> str:
    """The document kept by an archive."""
    organisation = "<name>Arkivet</name>"
    inner = f"<representedCustodianOrganization>{organisation}</representedCustodianOrganization>"
    return added(
        f"<custodian><assignedCustodian>{inner}</assignedCustodian></custodian>", "<componentOf", document
    )


def test_the_custodian_stands_for_an_institution_that_no_author_names() -> None:
    """And for the author when there is none."""
    person = "<assignedPerson><name>Tuva Fjell</name></assignedPerson>"
    signed, unsigned = read(custodian(author(person))), read(custodian(without("author")))

    assert signed.entry.authors == (Author(person="^Tuva Fjell", institutions=("Arkivet",)),)
    assert unsigned.entry.authors == (Author(institutions=("Arkivet",)),)
    assert all(any("custodian" in each for each in header.remarks) for header in (signed, unsigned))
    assert read(custodian(PLAIN)).entry.authors == (Author(institutions=("Legekontoret",)),)


def test_a_document_without_author_has_none() -> None:
    """An author of whom nothing is known is none, either."""
    unknown = replaced("<assignedAuthor>", '<assignedAuthor nullFlavor="UNK">')
    nameless = author("<representedOrganization/>")
    for document in (without("author"), author(""), unknown, nameless):
        header = read(document)
        assert header.entry.authors == ()
        assert "There is no author in the document." in header.remarks
        assert judged(header) == ()


def test_the_national_number_of_personnel_is_left_out() -> None:
    """Another number of theirs is taken, if there is one."""
    person = "<assignedPerson><name><family>Fjell</family></name></assignedPerson>"
    national = f'<id root="{NATIONAL_ROOT}" extension="{number(date(1980, 1, 1))}"/>'
    local = f'<id root="{LOCAL}" extension="tfjell"/>'
    header = read(author(national + person))

    assert header.entry.authors == (Author(person="^Fjell"),)
    assert any("national number of health personnel" in each for each in header.remarks)
    assert (
        read(author(national + local + person)).entry.authors[0].person == f"tfjell^Fjell^^^^^^^&{LOCAL}&ISO"
    )


def test_what_metadata_cannot_hold_is_left_out() -> None:
    """An institution without a name, a name without end, a code of a system without OID."""
    header = read(
        author(
            '<code code="1" codeSystem="lokal"/><telecom value="tel:22000000"/>'
            f"<assignedPerson><name>{'x' * 300}</name></assignedPerson>"
            f'<representedOrganization><id root="{LOCAL}" extension="1"/></representedOrganization>'
        )
    )

    assert header.entry.authors == (Author(telecommunications=("^^PH^^^^^^^^^22000000",)),)
    assert [each.partition(" was left out")[0] for each in header.remarks[:3]] == [
        "A role or specialty",
        "The name and number of an author",
        "An institution",
    ]
    assert judged(header) == ()


def test_an_organisation_may_be_an_oid() -> None:
    """Then nobody else gave it out."""
    organisation = '<id root="1.2.3"/><name>Klinikken</name>'
    header = read(author(f"<representedOrganization>{organisation}</representedOrganization>"))

    assert header.entry.authors[0].institutions == ("Klinikken^^^^^^^^^1.2.3",)


# ---- place, relations


@pytest.mark.parametrize("system", ["8654", "8663", "8668", "8666"])
def test_the_field_of_care_may_be_a_performers(system: str) -> None:
    """Of any system of fields and of service types; the facility stays the encounter's."""
    code = f'<code code="S01" codeSystem="2.16.578.1.12.4.1.1.{system}"/>'
    event = f"<serviceEvent><performer><assignedEntity>{code}</assignedEntity></performer></serviceEvent>"
    document = added(f"<documentationOf>{event}</documentationOf>", before="<componentOf")
    entry = read(without("translation", document)).entry

    assert entry.practice_setting_code == Code("S01", f"2.16.578.1.12.4.1.1.{system}")
    assert entry.healthcare_facility_type_code.code == "86.211"


def test_a_code_of_another_system_is_no_field_of_care() -> None:
    """HL7's own kinds of place are not those of the profile."""
    document = replaced("2.16.578.1.12.4.1.1.8655", "2.16.840.1.113883.5.111")

    assert locations(document) == [FACILITY.removeprefix("ClinicalDocument/")]


@pytest.mark.parametrize(
    ("kind", "parent", "location"),
    [("RPLC", "", "relatedDocument/parentDocument/id"), ("", '<id root="1.2"/>', "relatedDocument")],
)
def test_a_relation_names_its_kind_and_the_other_document(kind: str, parent: str, location: str) -> None:
    """A document that replaces another must not stand beside it because nobody knew which."""
    inner = f"<parentDocument>{parent}</parentDocument>"
    document = added(f'<relatedDocument typeCode="{kind}">{inner}</relatedDocument>', before="<componentOf")

    assert locations(document) == [location]


def test_a_later_version_that_replaces_nothing_is_remarked_upon() -> None:
    """The earlier one would stay as valid as it was."""
    header = read(added('<versionNumber value="2"/>', before="<recordTarget"))

    assert any("later version" in each for each in header.remarks)
    assert header.replaces == ()


# ---- hostile XML


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<",
        b"%PDF-1.4",
        b"<a/>",
        b"<ClinicalDocument/>",
        b'<x:ClinicalDocument xmlns:x="urn:hl7-org:v2"/>',
        b"{}",
        b"\xff\xfe",
        b"\x00\x00",
        b'<Bundle xmlns="http://hl7.org/fhir"/>',
        PLAIN.encode("latin-1").replace(b"nb-NO", b"\xe5"),
        b'<?xml version="1.0" encoding="ISO-8859-1"?>' + PLAIN.encode(),
        b'<!DOCTYPE ClinicalDocument [<!ENTITY e SYSTEM "file:///etc/hostname">]>' + PLAIN.encode(),
        b"<!DOCTYPE ClinicalDocument>" + PLAIN.encode(),
        PLAIN.replace("B02-2", "&secret;").encode(),
        PLAIN.replace("<author>", "<author>" + "<author>" * 300).encode(),
        PLAIN.replace("<author>", "<author>" + "<informant/>" * 100_000).encode(),
        (" " * 1_100_000 + PLAIN).encode(),
        PLAIN.replace("</ClinicalDocument>", "").replace("<component>", "").encode()[:-150],
    ],
)
def test_what_is_no_readable_header_is_one_finding(data: bytes) -> None:
    """At the root, without a trace of the text."""
    with pytest.raises(CdaError) as caught:
        read(data)

    assert [each.location for each in caught.value.findings] == ["ClinicalDocument"]
    assert "secret" not in str(caught.value)


def test_a_document_is_known_by_its_root() -> None:
    """In any encoding and with any prefix."""
    prefixed = PLAIN.replace("<", "<v3:").replace("<v3:/", "</v3:").replace("xmlns=", "xmlns:v3=")

    assert all(map(cda.is_cda, (FULL.encode(), PLAIN.encode("utf-16"), prefixed.encode())))
    assert read(prefixed) == read(PLAIN) == read(PLAIN.encode("utf-16")) == read(PLAIN.encode("utf-8-sig"))
    assert not any(map(cda.is_cda, (b"", b"<a/>", b"<!DOCTYPE a>" + PLAIN.encode(), b"<ClinicalDocument/>")))


def test_elements_of_other_namespaces_are_passed_over() -> None:
    """An extension beside the id is not the id."""
    document = added('<s:id xmlns:s="urn:hl7-org:sdtc" root="1.2.3"/>', before="<id ")

    assert read(document).entry.unique_id == "2.25.1"


def test_the_body_is_not_read() -> None:
    """Whatever it is: the header is over where it begins."""
    before, body, after = PLAIN.partition('<text mediaType="application/pdf" representation="B64">')

    assert read(before + body + "</nonsense>" + after) == read(PLAIN)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
def test_a_body_of_50_mb_takes_no_memory(tmp_path: Path, encoding: str) -> None:
    """Less than 5 MB beside the bytes that are there."""
    before, body, after = PLAIN.partition("JVBERi0=")
    path = tmp_path / "large.xml"
    with path.open("wb") as file:
        file.write(before.encode(encoding))
        for _ in range(50):
            file.write((body * 125_000).encode(encoding)[:1_000_000])
        file.write(after.encode(encoding))
    script = """if True:
        import resource, sys
        from pathlib import Path
        from xds.metadata import cda
        from tests.metadata.cda_documents import PLAIN
        cda.read_header(PLAIN.encode(), "1", test=True)
        data = Path(sys.argv[1]).read_bytes()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert cda.is_cda(data)
        cda.read_header(data, "1", test=True)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert path.stat().st_size > 50_000_000
    assert int(done.stdout) < 5 * 1024


_VALUES = st.one_of(
    st.text(
        st.characters(codec="utf-8", exclude_characters="<&\"'", exclude_categories=("C",)), max_size=300
    ),
    st.sampled_from(["", " ", "1.2", "20260311", "9" * 300, "^~|\\", "00000000-0000-0000-0000-000000000001"]),
)


@settings(max_examples=examples(300), deadline=None)
@given(st.data())
def test_a_header_is_refused_or_may_be_registered(data: st.DataObject) -> None:
    """Whatever its values are, nothing but CdaError comes of it, and no entry that gate 0 refuses."""
    pieces = FULL.replace("extension=", "root=").split('"') if data.draw(st.booleans()) else FULL.split('"')
    for at in data.draw(st.lists(st.sampled_from(range(15, len(pieces) - 1, 2)), max_size=6)):
        pieces[at] = data.draw(_VALUES)
    with contextlib.suppress(CdaError):
        header = read('"'.join(pieces))
        assert judged(header, codes=None) == ()
