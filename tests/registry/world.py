"""A small world of related objects for the stored queries: three patients, 38 objects by name and 49 links.

Objects have names ("letter", the set "s_letter", the folder "stay"), and ids made from these. A link is named
by its ends: "stay>letter" for a HasMember, "letter2 RPLC letter" for a relationship, "s_letter>(stay>letter)"
for a set's link to a link. All that is registered is written down here, so that the tables of
test_stored_queries.py can be worked out by reading.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any, Final
from uuid import NAMESPACE_OID, uuid5

from sqlalchemy import select

from tests.metadata import samples as s
from tests.registry.conftest import Desk
from xds.metadata import names
from xds.metadata.entries import registry_object
from xds.metadata.model import (
    Association,
    Author,
    Code,
    DocumentEntry,
    Folder,
    RegistryObject,
    SubmissionSet,
)
from xds.store.keys import uuid_urn
from xds.store.schema import association

ANNA: Final = s.PATIENT
BO: Final = s.OTHER_PATIENT
CARL: Final = "carl^^^&2.999.1&ISO"

LETTERS, NOTES = s.DISCHARGE_GROUP, s.NOTE_GROUP
LETTER, NOTE = s.DISCHARGE_LETTER, s.NOTE
MEDICINE, SURGERY, RADIOLOGY = s.INTERNAL_MEDICINE, Code("K01", "2.999.3", "x"), Code("S02", "2.999.3", "x")
HOSPITAL, PRACTICE = s.HOSPITAL, Code("86.211", "2.999.4", "x")
ANY, PDF, SIGNATURE = s.ANY_MIME_TYPE, Code("pdf", "2.999.5", "x"), Code("dsg", "2.999.5", "x")
E1, E2, E3 = (Code(each, "2.999.6", "x") for each in ("E1", "E2", "E3"))
NORMAL, BLOCKED = s.NORMAL, s.BLOCKED

FJELL = s.AUTHOR  # 9144889^Fjell^Tuva^^^^^^&…
BOE = Author(person="11^Bø^Kari")
LI = Author(person="12^Li^Per")

#: A reference to an imaging study and to an order (CXi); ACC10 begins like ACC1.
ACC1, ACC10, ORDER = (
    f"{number}^^^&2.999.7&ISO^urn:ihe:iti:xds:2013:{kind}"
    for number, kind in (("ACC1", "accession"), ("ACC10", "accession"), ("O1", "order"))
)

SOURCE, OTHER_SOURCE = s.SOURCE_ID, "2.999.8"


_names: Final[dict[str, str]] = {}


def uuid(name: str) -> str:
    """The entryUUID of the object, or of the link, with this name."""
    found = uuid5(NAMESPACE_OID, name).urn
    _names[found] = name
    return found


def unique_id(name: str) -> str:
    """The uniqueId of the document, set or folder with this name; that of b_again is b_note's."""
    same = "b_note" if name == "b_again" else name
    return f"1.2.3.{zlib.crc32(same.encode())}"


def document(name: str, patient: str = ANNA, **changes: Any) -> DocumentEntry:
    """A document; what `changes` do not say is as in tests/metadata/samples.py, but for the times."""
    values = {"creation_time": "20240401", "service_start_time": None, "service_stop_time": None}
    return s.document_entry(
        entry_uuid=uuid(name), unique_id=unique_id(name), patient_id=patient, **(values | changes)
    )


def submission_set(name: str, patient: str = ANNA, time: str = "20240601", **changes: Any) -> SubmissionSet:
    """A submission set."""
    return s.submission_set(
        entry_uuid=uuid(name), unique_id=unique_id(name), patient_id=patient, submission_time=time, **changes
    )


def folder(name: str, patient: str = ANNA, *codes: Code) -> Folder:
    """A folder."""
    return s.folder(entry_uuid=uuid(name), unique_id=unique_id(name), patient_id=patient, codes=codes)


def link(text: str) -> Association:
    """The association with this name; a set's link to a document says "original" or "reference" behind it."""
    if ">" not in text:
        source, kind, target = text.split()
        return s.association(_TYPES[kind], uuid(source), uuid(target), entry_uuid=uuid(text))
    name, _, status = text.partition(" ")
    source, target = name.split(">", 1)
    ends = uuid(source), uuid(target.strip("()"))
    return s.member(*ends, status.capitalize() or None, entry_uuid=uuid(name))


_TYPES: Final = {
    "RPLC": names.RPLC,
    "XFRM": names.XFRM,
    "APND": names.APND,
    "XFRM_RPLC": names.XFRM_RPLC,
    "signs": names.SIGNS,
    "IsSnapshotOf": names.IS_SNAPSHOT_OF,
}


@dataclass(frozen=True)
class Sent:
    """One submission; `links` are separated by semicolons."""

    of: SubmissionSet
    links: str
    documents: tuple[DocumentEntry, ...] = ()
    folders: tuple[Folder, ...] = ()

    @property
    def transaction(self) -> Any:
        """The one that takes such documents."""
        return "ITI-61" if any(each.object_type == names.ON_DEMAND for each in self.documents) else "ITI-42"

    @property
    def objects(self) -> tuple[RegistryObject, ...]:
        """What is sent."""
        links = (link(" ".join(each.split())) for each in self.links.split(";"))
        return tuple(map(registry_object, (self.of, *self.documents, *self.folders, *links)))


# -- the patient Anna ----------------------------------------------------------------------------------------

#: Everything, in the order in which it is submitted.
WORLD: Final = (
    # Two documents in two folders, the letter in both.
    Sent(
        submission_set("s_letter", time="20240110"),
        """s_letter>letter original; s_letter>note original; s_letter>stay; s_letter>case;
        stay>letter; stay>note; case>letter;
        s_letter>(stay>letter); s_letter>(stay>note); s_letter>(case>letter)""",
        documents=(
            document(
                "letter",
                creation_time="20240110",
                service_start_time="20240101",
                service_stop_time="20240105",
                event_codes=(E1,),
                reference_ids=(ACC1,),
            ),
            document(
                "note",
                class_code=NOTES,
                type_code=NOTE,
                practice_setting_code=SURGERY,
                healthcare_facility_type_code=PRACTICE,
                format_code=PDF,
                creation_time="202402",
                event_codes=(E2,),
                confidentiality_codes=(NORMAL, BLOCKED),
                authors=(BOE, LI),
                reference_ids=(ACC10,),
            ),
        ),
        folders=(folder("stay", ANNA, LETTERS), folder("case", ANNA, NOTES, LETTERS)),
    ),
    # Replaced twice. The registry puts each replacement into both folders.
    Sent(
        submission_set("s_letter2", time="20240111"),
        "s_letter2>letter2 original; letter2 RPLC letter",
        documents=(
            document(
                "letter2",
                creation_time="20240111",
                service_start_time="20240101",
                service_stop_time="20240105",
                event_codes=(E1,),
                reference_ids=(ACC1,),
            ),
        ),
    ),
    Sent(
        submission_set("s_letter3", time="20240112"),
        "s_letter3>letter3 original; letter3 RPLC letter2",
        documents=(
            document(
                "letter3",
                creation_time="20240112",
                service_start_time="20240101",
                service_stop_time="20240105",
                event_codes=(E1, E2),
                reference_ids=(ACC1, ORDER),
            ),
        ),
    ),
    # Transformed, appended to, signed.
    Sent(
        submission_set("s_pdf", time="20240215", source_id=OTHER_SOURCE),
        "s_pdf>pdf original; pdf XFRM note",
        documents=(
            document(
                "pdf",
                class_code=NOTES,
                type_code=NOTE,
                format_code=PDF,
                creation_time="20240215",
                authors=(),
            ),
        ),
    ),
    Sent(
        submission_set("s_addendum", time="20240301", content_type_code=NOTE, authors=(LI,)),
        "s_addendum>addendum original; addendum APND note",
        documents=(
            document(
                "addendum",
                class_code=NOTES,
                type_code=NOTE,
                creation_time="20240301",
                service_start_time="20240301",
                service_stop_time="20240301",
                confidentiality_codes=(BLOCKED,),
                authors=(LI,),
            ),
        ),
    ),
    Sent(
        submission_set("s_signature", time="2024030112"),
        "s_signature>signature original; signature signs note",
        documents=(document("signature", format_code=SIGNATURE, creation_time="2024030112"),),
    ),
    # Takes in a document of another submission by reference.
    Sent(
        submission_set("s_image", time="20240301120001"),
        "s_image>image original; s_image>note reference",
        documents=(
            document(
                "image",
                practice_setting_code=RADIOLOGY,
                creation_time="20240301120000",
                service_start_time="20240301115900",
                service_stop_time="20240301120000",
                event_codes=(E3,),
                authors=(),
            ),
        ),
    ),
    # Transformed and replaced at once.
    Sent(
        submission_set("s_draft", time="2023"),
        "s_draft>draft original",
        documents=(document("draft", creation_time="2023", healthcare_facility_type_code=PRACTICE),),
    ),
    Sent(
        submission_set("s_final", time="2024"),
        "s_final>final original; final XFRM_RPLC draft",
        documents=(
            document("final", creation_time="2024", service_start_time="2024", service_stop_time="2024"),
        ),
    ),
    # On demand, and what was kept of it.
    Sent(
        submission_set("s_demand", time="20240102"),
        "s_demand>demand original",
        documents=(
            document(
                "demand",
                object_type=names.ON_DEMAND,
                creation_time=None,
                hash=None,
                size=None,
                service_start_time="2023",
                event_codes=(E1,),
            ),
        ),
    ),
    Sent(
        submission_set("s_snapshot", time="20240401"),
        "s_snapshot>snapshot original; snapshot IsSnapshotOf demand",
        documents=(document("snapshot", service_start_time="2023", service_stop_time="20240401"),),
    ),
    # Put away: it is there, but not online; of another community.
    Sent(
        submission_set("s_archive", time="2010", home=s.HOME),
        "s_archive>archive original",
        documents=(
            document(
                "archive",
                creation_time="2010",
                home=s.HOME,
                document_availability=names.OFFLINE,
                confidentiality_codes=(BLOCKED,),
            ),
        ),
    ),
    # A folder with nothing in it.
    Sent(submission_set("s_empty"), "s_empty>empty", folders=(folder("empty", ANNA, NOTES),)),
    # -- the patient Bo --------------------------------------------------------------------------------------
    Sent(
        submission_set("s_b", BO),
        "s_b>b_letter original; s_b>b_stay; b_stay>b_letter; s_b>(b_stay>b_letter)",
        documents=(document("b_letter", BO, event_codes=(E1,)),),
        folders=(folder("b_stay", BO, LETTERS),),
    ),
    # The same document twice: one uniqueId, two entries.
    Sent(
        submission_set("s_b_note", BO),
        "s_b_note>b_note original",
        documents=(document("b_note", BO, class_code=NOTES, type_code=NOTE),),
    ),
    Sent(
        submission_set("s_b_again", BO),
        "s_b_again>b_again original",
        documents=(document("b_again", BO, class_code=NOTES, type_code=NOTE),),
    ),
    # A set of Anna's takes in a document of Bo's by reference (ITI TF-3 4.2.2.1.1).
    Sent(submission_set("s_cross"), "s_cross>b_letter reference"),
    # -- the patient Carl ------------------------------------------------------------------------------------
    Sent(
        submission_set("s_c", CARL),
        "s_c>c_letter original",
        documents=(document("c_letter", CARL, healthcare_facility_type_code=PRACTICE),),
    ),
)


def fill(desk: Desk) -> None:
    """Register everything."""
    for each in WORLD:
        desk.submit(each.objects, each.transaction)


def names_by_uuid(desk: Desk) -> dict[str, str]:
    """entryUUID -> name of all that is registered, with the links that the registry made itself."""
    known = dict(_names)
    with desk.database.read() as connection:
        rows = connection.execute(
            select(association.c.entry_uuid, association.c.source_uuid, association.c.target_uuid).order_by(
                association.c.assoc_pk
            )
        )
        for row in rows:
            own, source, target = (uuid_urn(bytes(each)) for each in row)
            end = known[target]
            known.setdefault(own, f"{known[source]}>{f'({end})' if '>' in end else end}")
    return known
