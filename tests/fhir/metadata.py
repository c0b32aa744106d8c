"""Any metadata that XDS takes: entries, submission sets and folders for tests of what must hold of all.

The texts of HL7 v2 are of all the forms that xds.metadata.datatypes reads, with escapes and components that
FHIR has no place for. Codes are none of FHIR's own systems under their own URI.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from tests.metadata import samples
from xds.errors import DataTypeError
from xds.metadata import names
from xds.metadata.datatypes import XCN, XON, XTN, CXi, Recipient, dtm_low, escape
from xds.metadata.model import Author, Code, DocumentEntry, Folder, Slot, SubmissionSet

OWN = "urn:uuid:0f3c7a52-1111-4222-8333-000000000001"
FIRST = "urn:uuid:0f3c7a52-1111-4222-8333-000000000002"

#: Whatever XML can hold, with HL7's delimiters and blanks of every kind.
_CHARACTERS = st.characters(
    codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"
) | st.sampled_from("|^~&\\\t\n\r <>\"'\u00a0")
TEXT = st.text(_CHARACTERS, min_size=1, max_size=12).filter(str.strip)
_ARC = st.integers(0, 99999).map(str)
OIDS = st.builds(
    lambda first, rest: ".".join([first, *rest]),
    st.sampled_from("012"),
    st.lists(_ARC, min_size=1, max_size=6),
)
_OPTIONAL = st.none() | TEXT


def _valid(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def valid(text: str) -> bool:
        try:
            parse(text)
        except DataTypeError:
            return False
        return bool(text.strip()) and not set(text) <= set("*^")

    return valid


_COMPONENT = st.just("") | TEXT.map(escape) | st.sampled_from([" ", "Fjell", "Tuva Marie"])
_AUTHORITY = st.one_of(
    st.just(""),
    OIDS.map("&{}&ISO".format),
    st.sampled_from(["HPR", "HPR&2.16.578.1.12.4.1.4.4&ISO", "X&example.org&DNS", "a\\T\\b", "urn:x:y"]),
)


def _components(*parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*parts).map(lambda some: "^".join(some).rstrip("^"))


_FAMILY = _COMPONENT | st.sampled_from(["Fjell&van", "Fjell&"])
XCNS = _components(
    _COMPONENT, _FAMILY, *[_COMPONENT] * 5, st.sampled_from(["", "x"]), _AUTHORITY, st.sampled_from(["", "L"])
).filter(_valid(XCN.parse))
XONS = _components(_COMPONENT, *[st.just("")] * 4, _AUTHORITY, *[st.just("")] * 3, _COMPONENT | OIDS).filter(
    _valid(XON.parse)
)
XTNS = _components(
    _COMPONENT,
    st.sampled_from(["", "PRN", "WPN"]),
    st.sampled_from(["", "PH", "CP", "Internet"]),
    _COMPONENT | st.just("tuva@example.org"),
    *[_COMPONENT] * 3,
    st.just(""),
    st.sampled_from(["", "any text"]),
).filter(_valid(XTN.parse))
CXS = st.builds(lambda own, oid: f"{escape(own.strip())}^^^&{oid}&ISO", TEXT, OIDS)
CXIS = _components(
    TEXT.map(escape) | OIDS | st.just("urn:x:y"),
    st.just(""),
    st.just(""),
    _AUTHORITY,
    st.sampled_from(
        [
            "urn:ihe:iti:xds:2013:accession",
            "urn:ihe:iti:xds:2013:uniqueId",
            "urn:ihe:iti:xds:2015:encounterId",
            "urn:ihe:iti:xds:2016:studyInstanceUID",
            "lokal  type",
        ]
    ),
).filter(_valid(CXi.parse))
DTMS = st.builds(
    lambda moment, length: moment.strftime("%Y%m%d%H%M%S").rjust(14, "0")[:length],
    st.datetimes(),
    st.sampled_from([4, 6, 8, 10, 12, 14]),
)
_SCHEMES = OIDS | st.sampled_from(["lokalt kodeverk", "urn:x:y", "https://example.org/koder"]) | TEXT
CODES = st.builds(Code, TEXT, _SCHEMES.filter(lambda text: not text.startswith("urn:")), _OPTIONAL).filter(
    lambda code: code.code != "*****"
)
_ROLES = st.lists(CXS | TEXT, max_size=2).map(tuple)


def _some(one: st.SearchStrategy[Any], most: int = 3, least: int = 0) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(one, min_size=least, max_size=most).map(tuple)


AUTHORS = st.builds(Author, st.none() | XCNS, _some(XONS), _ROLES, _ROLES, _some(XTNS, 2)).filter(
    lambda author: bool(author.person or author.institutions or author.telecommunications)
)
_HOMES = st.none() | OIDS.map("urn:oid:".__add__)
_SLOTS = _some(st.builds(Slot, TEXT.map("urn:x:".__add__), _some(TEXT)))
_UNIQUE_IDS = st.one_of(
    OIDS,
    st.builds("{}^{}".format, OIDS, TEXT),
    st.sampled_from(
        ["urn:uuid:0F3C7A52-1111-4222-8333-00000000000A", "urn:oid:1.2.3", "a b", "https://x/y z"]
    ),
)
_PID = st.one_of(
    CXS.map("PID-3|{}".format),
    _components(*[_COMPONENT] * 5).map("PID-5|{}".format),
    (DTMS | TEXT).map("PID-7|{}".format),
    (st.sampled_from("FMOUA") | TEXT).map("PID-8|{}".format),
    _components(*[_COMPONENT] * 7).map("PID-11|{}".format),
    TEXT.map("PID-13|{}".format),
)


def _document_entry(changes: dict[str, Any]) -> DocumentEntry:
    changes["service_start_time"], changes["service_stop_time"] = sorted(
        changes.pop("times", (None, None)), key=lambda each: dtm_low(each) if each else 0
    )
    return samples.document_entry(entry_uuid=OWN, **changes)


DOCUMENT_ENTRIES: st.SearchStrategy[DocumentEntry] = st.fixed_dictionaries(
    {},
    optional={
        "unique_id": _UNIQUE_IDS,
        "patient_id": CXS,
        "mime_type": st.sampled_from(["text/plain", "text/plain;  charset=utf-8", "application/fhir+json"]),
        "class_code": CODES,
        "type_code": CODES,
        "format_code": CODES,
        "practice_setting_code": CODES,
        "healthcare_facility_type_code": CODES,
        "confidentiality_codes": _some(CODES, least=1),
        "language_code": st.sampled_from(["nb-NO", "nn", "en-US", "se"]),
        "source_patient_id": CXS,
        "availability_status": st.sampled_from([None, names.APPROVED, names.DEPRECATED]),
        "home": _HOMES,
        "repository_unique_id": st.none() | OIDS | st.just("9.9"),
        "creation_time": DTMS,
        "times": st.lists(DTMS, min_size=2, max_size=2),
        "hash": st.none() | st.binary(min_size=20, max_size=20).map(bytes.hex),
        "size": st.none() | st.integers(0, 2**63 - 1),
        "title": _OPTIONAL,
        "comments": _OPTIONAL,
        "uri": st.sampled_from([None, "epikrise.pdf", "a%20b?c=d#e"]),
        "legal_authenticator": st.none() | XCNS,
        "authors": _some(AUTHORS, 2),
        "event_codes": _some(CODES),
        "reference_ids": _some(CXIS),
        "source_patient_info": _some(_PID, 5),
        "extra_slots": _SLOTS,
    },
).map(_document_entry)

SUBMISSION_SETS: st.SearchStrategy[SubmissionSet] = st.fixed_dictionaries(
    {},
    optional={
        "unique_id": OIDS,
        "patient_id": CXS,
        "source_id": OIDS,
        "submission_time": DTMS,
        "content_type_code": CODES,
        "home": _HOMES,
        "title": _OPTIONAL,
        "comments": _OPTIONAL,
        "authors": _some(AUTHORS, 3),
        "intended_recipients": _some(
            st.builds(
                lambda *parts: "|".join(parts).rstrip("|"),
                st.just("") | XONS.filter(lambda text: "|" not in text),
                st.just("") | XCNS.filter(lambda text: "|" not in text),
                st.just("") | XTNS.filter(lambda text: "|" not in text),
            ).filter(_valid(Recipient.parse))
        ),
        "extra_slots": _SLOTS,
    },
).map(lambda changes: samples.submission_set(entry_uuid=OWN, **changes))

FOLDERS: st.SearchStrategy[Folder] = st.fixed_dictionaries(
    {},
    optional={
        "unique_id": _UNIQUE_IDS,
        "patient_id": CXS,
        "codes": _some(CODES, least=1),
        "title": TEXT,
        "comments": _OPTIONAL,
        "last_update_time": DTMS.filter(lambda text: len(text) == 14),
        "availability_status": st.sampled_from([None, names.APPROVED, names.DEPRECATED]),
        "home": _HOMES,
        "extra_slots": _SLOTS,
    },
).map(lambda changes: samples.folder(entry_uuid=OWN, **changes))
