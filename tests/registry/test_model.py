"""The registry against a plain model of the standard (model.py): random histories, the same answers.

A history is two dozen operations on three patients: submissions, metadata updates, removals, merges, now and
then something that must be refused. After each operation both are asked the same questions, and whatever
the registry answers must be what the model answers: every object, every attribute, every error code.

Histories are the same in every run. `make fuzz` plays more of them than a test run has time for,
and makes one that fails as short as it can.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from sqlalchemy import Connection

from tests.conftest import ENGINES, PARTITIONED
from tests.fuzzing import examples
from tests.metadata import samples as s
from tests.registry.conftest import Desk
from tests.registry.model import (
    Asked,
    Entry,
    Model,
    Questions,
    Refused,
    ends_of,
    entries_of,
    is_approved,
    is_transformation,
    slot,
)
from xds.errors import RegistryFailure
from xds.metadata import attributes, entries, names, updates
from xds.metadata.entries import registry_object
from xds.metadata.model import (
    Association,
    Author,
    Code,
    DocumentEntry,
    Folder,
    RegistryObject,
    Slot,
    Submission,
    SubmissionSet,
)
from xds.metadata.validation import check, submission
from xds.registry.patients import unmerge
from xds.registry.view import EVERYTHING as ALL_SEEN

pytestmark = [
    pytest.mark.parametrize("engine", [*ENGINES, PARTITIONED], indirect=True, scope="session"),
    pytest.mark.hypothesis,
]

EXAMPLES = examples(25)
LONG = examples(1) > 1
STEPS = 20

_histories = itertools.count(1)


# -- what there is to draw from ------------------------------------------------------------------------------

TIMES = ("2023", "202402", "20240229", "2024022912", "202403010000", "20240301000001", "2025")
AUTHORS = (
    Author(person="11^Bø^Per^^^^^^&2.999.4&ISO"),
    Author(person="12^Li_^Åse^^^^^^&2.999.4&ISO"),
    Author(institutions=("Legekontoret",)),
)
PATTERNS = ("%", "11^B%", "%Åse%", "12^Li_^%", "1_^Bø^%", "%bø%", "11^Bø^Per", "%&2.999.4&ISO")
REFERENCES = tuple(
    f"{n}^^^&2.999.5&ISO^urn:ihe:iti:xds:2013:{kind}" for n in "78" for kind in ("order", "referral")
)
SOURCES = ("2.999.6.1", "2.999.6.2")
HASHES = ("a" * 40, "b" * 40)


@dataclass(frozen=True)
class Pools:
    """The values of one history; no other history in the database has its codes and patients."""

    number: int

    @property
    def patients(self) -> list[str]:
        return [f"{self.number}-{letter}^^^&2.999.1&ISO" for letter in "ABC"]

    @property
    def codes(self) -> list[Code]:
        return [Code(letter, f"2.999.3.{self.number}", f"Kode {letter}") for letter in "ABC"]


class Draw:
    """The choices of one step, all from one number: a step that fails is written `Draw(123)`."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(seed)

    def __repr__(self) -> str:
        return f"Draw({self.seed})"

    def number(self, least: int, most: int) -> int:
        return self.random.randint(least, most)

    def one(self, values: Sequence[Any]) -> Any:
        return self.random.choice(values)

    def maybe(self, values: Sequence[Any]) -> Any:
        return self.one((None, *values))

    def some(self, values: Sequence[Any], most: int = 2, least: int = 0) -> tuple[Any, ...]:
        """A few different ones; of nothing, none."""
        most = min(most, len(values))
        return tuple(self.random.sample(values, self.number(min(least, most), most)))


DRAW = st.builds(Draw, st.integers(0, 2**32))


# -- the questions -------------------------------------------------------------------------------------------

_DOCUMENT_FILTERS = (
    "XDSDocumentEntryFormatCode",
    "XDSDocumentEntryConfidentialityCode",
    "XDSDocumentEntryType",
)
_FIND = (
    "XDSDocumentEntryClassCode",
    "XDSDocumentEntryTypeCode",
    "XDSDocumentEntryPracticeSettingCode",
    "XDSDocumentEntryHealthcareFacilityTypeCode",
    "XDSDocumentEntryEventCodeList",
    "XDSDocumentEntryAuthorPerson",
    "XDSDocumentEntryCreationTimeFrom",
    "XDSDocumentEntryCreationTimeTo",
    "XDSDocumentEntryServiceStartTimeFrom",
    "XDSDocumentEntryServiceStartTimeTo",
    "XDSDocumentEntryServiceStopTimeFrom",
    "XDSDocumentEntryServiceStopTimeTo",
    "XDSDocumentEntryDocumentAvailability",
    *_DOCUMENT_FILTERS,
)
#: Parameters whose Slot may be repeated, which means AND (the column "A" of the standard's tables).
REPEATABLE = (
    "XDSDocumentEntryEventCodeList",
    "XDSDocumentEntryConfidentialityCode",
    "XDSDocumentEntryReferenceIdList",
    "XDSFolderCodeList",
)


@dataclass(frozen=True)
class Query:
    """A line of ITI TF-2 table 3.18.4.1.2.4-1; of `either`, exactly one is asked with."""

    id: str
    ask: Callable[[Questions], list[Entry]]
    required: tuple[str, ...] = ()
    either: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    one_patient: bool = False


_DOCUMENT_IDS = ("XDSDocumentEntryEntryUUID", "XDSDocumentEntryUniqueId")
_FOLDER_IDS = ("XDSFolderEntryUUID", "XDSFolderUniqueId")
_SET_IDS = ("XDSSubmissionSetEntryUUID", "XDSSubmissionSetUniqueId")

QUERIES = {
    "FindDocuments": Query(
        "urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d",
        Questions.find_documents,
        required=("XDSDocumentEntryPatientId", "XDSDocumentEntryStatus"),
        optional=_FIND,
    ),
    "FindDocumentsByReferenceId": Query(
        "urn:uuid:12941a89-e02e-4be5-967c-ce4bfc8fe492",
        Questions.find_documents_by_reference_id,
        required=(
            "XDSDocumentEntryPatientId",
            "XDSDocumentEntryStatus",
            "XDSDocumentEntryReferenceIdList",
        ),
        optional=_FIND,
    ),
    "FindDocumentsForMultiplePatients": Query(
        "urn:uuid:3d1bdb10-39a2-11de-89c2-2f44d94eaa9f",
        Questions.find_documents_for_multiple_patients,
        required=("XDSDocumentEntryStatus",),
        either=(
            "XDSDocumentEntryPatientId",
            "XDSDocumentEntryClassCode",
            "XDSDocumentEntryEventCodeList",
            "XDSDocumentEntryHealthcareFacilityTypeCode",
        ),
        optional=_FIND,
    ),
    "FindSubmissionSets": Query(
        "urn:uuid:f26abbcb-ac74-4422-8a30-edb644bbc1a9",
        Questions.find_submission_sets,
        required=("XDSSubmissionSetPatientId", "XDSSubmissionSetStatus"),
        optional=(
            "XDSSubmissionSetSourceId",
            "XDSSubmissionSetSubmissionTimeFrom",
            "XDSSubmissionSetSubmissionTimeTo",
            "XDSSubmissionSetAuthorPerson",
            "XDSSubmissionSetContentType",
        ),
    ),
    "FindFolders": Query(
        "urn:uuid:958f3006-baad-4929-a4de-ff1114824431",
        Questions.find_folders,
        required=("XDSFolderPatientId", "XDSFolderStatus"),
        optional=("XDSFolderLastUpdateTimeFrom", "XDSFolderLastUpdateTimeTo", "XDSFolderCodeList"),
    ),
    "FindFoldersForMultiplePatients": Query(
        "urn:uuid:50d3f5ac-39a2-11de-a1ca-b366239e58df",
        Questions.find_folders_for_multiple_patients,
        required=("XDSFolderStatus",),
        either=("XDSFolderPatientId", "XDSFolderCodeList"),
        optional=("XDSFolderLastUpdateTimeFrom", "XDSFolderLastUpdateTimeTo"),
    ),
    "GetAll": Query(
        "urn:uuid:10b545ea-725c-446d-9b95-8aeb444eddf3",
        Questions.get_all,
        required=("patientId", "XDSDocumentEntryStatus", "XDSSubmissionSetStatus", "XDSFolderStatus"),
        optional=(*_DOCUMENT_FILTERS, "XDSAssociationStatus"),
    ),
    "GetDocuments": Query(
        "urn:uuid:5c4f972b-d56b-40ac-a5fc-c8ca9b40b9d4",
        Questions.get_documents,
        either=(*_DOCUMENT_IDS, "XDSDocumentEntryLogicalID"),
        one_patient=True,
    ),
    "GetFolders": Query(
        "urn:uuid:5737b14c-8a1a-4539-b659-e03a34a5e1e4",
        Questions.get_folders,
        either=(*_FOLDER_IDS, "XDSFolderLogicalID"),
        one_patient=True,
    ),
    "GetAssociations": Query(
        "urn:uuid:a7ae438b-4bc2-4642-93e9-be891f7bb155",
        Questions.get_associations,
        required=("uuid",),
        optional=("XDSAssociationStatus",),
    ),
    "GetDocumentsAndAssociations": Query(
        "urn:uuid:bab9529a-4a10-40b3-a01f-f68a615d247a",
        Questions.get_documents_and_associations,
        either=_DOCUMENT_IDS,
        optional=("XDSAssociationStatus",),
        one_patient=True,
    ),
    "GetSubmissionSets": Query(
        "urn:uuid:51224314-5390-4169-9b91-b1980040715a",
        Questions.get_submission_sets,
        required=("uuid",),
        optional=("XDSAssociationStatus",),
        one_patient=True,
    ),
    "GetSubmissionSetAndContents": Query(
        "urn:uuid:e8e3cb2c-e39c-46b9-99e4-c12f57260b83",
        Questions.get_submission_set_and_contents,
        either=_SET_IDS,
        optional=(*_DOCUMENT_FILTERS, "XDSAssociationStatus"),
        one_patient=True,
    ),
    "GetFolderAndContents": Query(
        "urn:uuid:b909a503-523d-4517-8acf-8e5834dfc4c7",
        Questions.get_folder_and_contents,
        either=_FOLDER_IDS,
        optional=(*_DOCUMENT_FILTERS, "XDSAssociationStatus"),
        one_patient=True,
    ),
    "GetFoldersForDocument": Query(
        "urn:uuid:10cae35a-c7f9-4cf5-b61e-fc3278ffb578",
        Questions.get_folders_for_document,
        either=_DOCUMENT_IDS,
        optional=("XDSAssociationStatus",),
    ),
    "GetRelatedDocuments": Query(
        "urn:uuid:d90e5407-b356-4d91-a89f-873917b4b0e6",
        Questions.get_related_documents,
        required=("AssociationTypes",),
        either=_DOCUMENT_IDS,
        optional=("XDSDocumentEntryType", "XDSAssociationStatus"),
    ),
}
#: Parameters that take one value, in all queries or in one.
SINGLE = ("patientId", "XDSSubmissionSetPatientId", "XDSSubmissionSetAuthorPerson")
SINGLE_IN = {
    ("FindDocuments", "XDSDocumentEntryPatientId"),
    ("FindDocumentsByReferenceId", "XDSDocumentEntryPatientId"),
    ("FindFolders", "XDSFolderPatientId"),
    *(("GetSubmissionSetAndContents", name) for name in _SET_IDS),
    *(("GetFolderAndContents", name) for name in _FOLDER_IDS),
    *(("GetFoldersForDocument", name) for name in _DOCUMENT_IDS),
    *(("GetRelatedDocuments", name) for name in _DOCUMENT_IDS),
}
_STATUSES = (names.APPROVED, names.DEPRECATED)
#: What the values of some parameters are drawn from; others are drawn from what is registered.
VALUES: dict[str, Sequence[Any]] = {
    "XDSDocumentEntryStatus": _STATUSES,
    "XDSSubmissionSetStatus": _STATUSES,
    "XDSFolderStatus": _STATUSES,
    "XDSAssociationStatus": _STATUSES,
    "XDSDocumentEntryType": (names.STABLE, names.ON_DEMAND),
    "XDSDocumentEntryDocumentAvailability": (names.ONLINE, names.OFFLINE),
    "AssociationTypes": names.RELATIONSHIPS,
    "XDSDocumentEntryAuthorPerson": PATTERNS,
    "XDSSubmissionSetAuthorPerson": PATTERNS,
    "XDSDocumentEntryReferenceIdList": REFERENCES,
    "XDSSubmissionSetSourceId": SOURCES,
    **{
        f"XDS{entry}{name}Time{end}": TIMES
        for entry, name in (
            ("DocumentEntry", "Creation"),
            ("DocumentEntry", "ServiceStart"),
            ("DocumentEntry", "ServiceStop"),
            ("SubmissionSet", "Submission"),
        )
        for end in ("From", "To")
    },
}
#: Those with the most parameters are asked more often than others.
OFTEN = ("FindDocuments", "FindDocumentsForMultiplePatients", "FindSubmissionSets", "GetRelatedDocuments")
EVERYTHING: Asked = {
    "XDSDocumentEntryStatus": [[names.APPROVED, names.DEPRECATED]],
    "XDSSubmissionSetStatus": [[names.APPROVED]],
    "XDSFolderStatus": [[names.APPROVED, names.DEPRECATED]],
    "XDSAssociationStatus": [[names.APPROVED, names.DEPRECATED]],
    "XDSDocumentEntryType": [[names.STABLE, names.ON_DEMAND]],
    "MetadataLevel": [["2"]],
}


def written(name: str, values: Sequence[Any]) -> str | list[str]:
    """The values of one Slot as a message has them: codes, times and numbers, strings (3.18.4.1.2.3.5)."""
    texts = [f"{v.code}^^{v.scheme}" if isinstance(v, Code) else v for v in values]
    if name == "MetadataLevel" or is_time(name):
        return texts[0]
    return ["('" + "','".join(text.replace("'", "''") for text in texts) + "')"]


# -- the machine ---------------------------------------------------------------------------------------------


class Histories(RuleBasedStateMachine):
    """One history, on a registry that others were played on: its patients, codes and ids are its own."""

    desk: Desk
    clock: Clock

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.pools = Pools(next(_histories))
        self.ids = itertools.count(1)

    # -- drawing

    def new_uuid(self) -> str:
        return f"urn:uuid:{self.pools.number:08x}-0000-4000-8000-{next(self.ids):012x}"

    def new_oid(self) -> str:
        return f"2.999.7.{self.pools.number}.{next(self.ids)}"

    def draw_document(self, draw: Draw, patient: str, uuid: str, object_type: str) -> DocumentEntry:
        """A new document; now and then with the uniqueId of an old one, and mostly the same bytes."""
        old = [*self.model.documents.values()][-2:]
        twin = draw.one([None] * 12 + old)
        stable = object_type == names.STABLE
        start, stop = sorted((draw.one(("", *TIMES)), draw.one(("", *TIMES))))
        codes = self.pools.codes
        return s.document_entry(
            entry_uuid=uuid,
            unique_id=twin.unique_id if twin else self.new_oid(),
            patient_id=patient,
            object_type=object_type,
            class_code=draw.one(codes),
            type_code=draw.one(codes),
            format_code=draw.one(codes),
            practice_setting_code=draw.one(codes),
            healthcare_facility_type_code=draw.one(codes),
            confidentiality_codes=draw.some(codes, least=1),
            event_codes=draw.some(codes, 3),
            authors=draw.some(AUTHORS),
            reference_ids=draw.some(REFERENCES),
            creation_time=draw.one(TIMES) if stable else None,
            service_start_time=start or None,
            service_stop_time=stop or None,
            hash=(draw.one(HASHES) if twin else HASHES[0]) if stable else None,
            size=(draw.one((5, 5, 6)) if twin else 5) if stable else None,
            document_availability=draw.one((None, None, None, names.ONLINE, names.OFFLINE)),
            home=draw.maybe((s.HOME,)),
        )

    def draw_folder(self, draw: Draw, patient: str, uuid: str) -> Folder:
        codes = draw.some(self.pools.codes, least=1)
        return s.folder(entry_uuid=uuid, unique_id=self.new_oid(), patient_id=patient, codes=codes)

    def draw_set(self, draw: Draw, patient: str, uuid: str) -> SubmissionSet:
        return s.submission_set(
            entry_uuid=uuid,
            unique_id=self.new_oid(),
            patient_id=patient,
            source_id=draw.one(SOURCES),
            submission_time=draw.one(TIMES),
            content_type_code=draw.one(self.pools.codes),
            authors=draw.some(AUTHORS),
        )

    def draw_patient(self, draw: Draw, *, wild: bool) -> str:
        first, *others = [p for p in self.pools.patients if wild or p not in self.model.merged]
        return draw.one([first] * 4 + others)

    def nameable(self, draw: Draw, kept: dict[str, Any], patient: str, *, wild: bool) -> list[str]:
        """What an association of this patient's submission may name; a wild one has a few others too."""
        mine = [
            uuid
            for uuid, each in kept.items()
            if self.model.survivor(each.patient_id) == patient and is_approved(each)
        ]
        others = [uuid for uuid in kept if uuid not in mine]
        return [*mine, *draw.some(others, 3), self.new_uuid()] if wild else mine

    def draw_submission(self, draw: Draw, *, wild: bool, object_type: str = names.STABLE) -> Submission:
        """A submission; a wild one names objects that it may not name, or is another patient's."""
        patient = self.draw_patient(draw, wild=wild)
        symbolic = draw.one((False, True))
        id = (lambda: f"id{next(self.ids)}") if symbolic else self.new_uuid
        least = int(object_type == names.ON_DEMAND)
        documents = [
            self.draw_document(draw, patient, id(), object_type) for _ in range(draw.number(least, 3))
        ]
        documents = [*{each.unique_id: each for each in documents}.values()]
        least = int(not documents)
        folders = [self.draw_folder(draw, patient, id()) for _ in range(draw.number(least, 1))]
        the_set = self.draw_set(draw, patient, id())
        links = Links(the_set.entry_uuid, id)
        for each in documents:
            links.add(names.HAS_MEMBER, the_set.entry_uuid, each.entry_uuid, submission_set_status="Original")
        for folder in folders:
            links.add(names.HAS_MEMBER, the_set.entry_uuid, folder.entry_uuid)

        known = self.nameable(draw, self.model.documents, patient, wild=wild)
        going: set[str] = set()
        for each in documents:
            going |= self.draw_relationship(draw, links, each, known, going, wild=wild)
        members = [d.entry_uuid for d in documents] + [uuid for uuid in known if uuid not in going]
        homes = [f.entry_uuid for f in folders]
        homes += self.nameable(draw, self.model.folders, patient, wild=wild)
        for home in draw.some(homes) if members else ():
            links.add_to_folder(home, draw.one(members[-6:]))
        others = [
            uuid
            for uuid, each in self.model.documents.items()
            if uuid not in going and (wild or is_approved(each))
        ]
        for uuid in draw.some(others, 1):
            links.add(names.HAS_MEMBER, the_set.entry_uuid, uuid, submission_set_status="Reference")
        return Submission(the_set, tuple(documents), tuple(folders), tuple(links.made))

    def draw_relationship(
        self, draw: Draw, links: Links, new: DocumentEntry, known: list[str], going: set[str], *, wild: bool
    ) -> set[str]:
        """Perhaps one relationship of a new document; returns what is deprecated by it.

        The standard does not say what happens to a document that is related to in the same message that
        deprecates it, so no message does that.
        """
        type = draw.maybe((names.RPLC, names.APND, *names.RELATIONSHIPS))
        own = [a.source for a in links.made if a.type in names.RELATIONSHIPS]
        targets = [uuid for uuid in known if uuid not in going]
        if type in names.REPLACEMENTS and (going or own):
            return set()
        if type == names.APND:
            targets += own
            if not wild:
                targets = [uuid for uuid in targets if not is_transformation(self.model, uuid)]
            targets = [uuid for uuid in targets if uuid not in links.transformations()]
        if type == names.IS_SNAPSHOT_OF and new.object_type == names.ON_DEMAND:
            return set()
        if type == names.IS_SNAPSHOT_OF and not wild:
            targets = [t for t in targets if self.model.documents[t].object_type == names.ON_DEMAND]
        if type is None or not targets:
            return set()
        target = draw.one(targets[-6:])
        links.add(type, new.entry_uuid, target, documentation=draw.maybe(self.pools.codes))
        return hanging_on(self.model, target) if type in names.REPLACEMENTS else set()

    def draw_update(self, draw: Draw, *, wild: bool) -> Submission:
        """New versions, new statuses and new associations in one request."""
        patient = self.draw_patient(draw, wild=wild)
        symbolic = draw.one((False, True))
        id = (lambda: f"id{next(self.ids)}") if symbolic else self.new_uuid
        the_set = self.draw_set(draw, patient, id())
        links = Links(the_set.entry_uuid, id)
        known = self.nameable(draw, self.model.documents, patient, wild=wild)
        ends = ends_of(a for a in self.model.associations.values() if a.type in names.RELATIONSHIPS)
        related = [uuid for uuid in known if uuid in ends]  # oftener those that have something to propagate
        documents = [
            self.draw_version(draw, links, self.model.documents[uuid], patient, id())
            for uuid in draw.some(known + related * 3)
            if uuid in self.model.documents
        ]
        folders = [
            self.draw_version(draw, links, self.model.folders[uuid], patient, id())
            for uuid in draw.some(self.nameable(draw, self.model.folders, patient, wild=wild), 1)
            if uuid in self.model.folders
        ]
        documents = [*{each.unique_id: each for each in documents}.values()]  # one message, one uniqueId
        kept = {each.entry_uuid for each in (*documents, *folders)}
        links.made = [a for a in links.made if a.target in kept]
        changing = [uuid for uuid in self.model.objects if wild or self.may_change(uuid, patient)]
        least = int(not kept)
        for uuid in draw.some(changing, 2, least=min(least, len(changing))):
            self.draw_status(draw, links, uuid)
        if draw.number(0, 2) == 0:
            self.draw_association(draw, links, patient, wild=wild)
        return Submission(the_set, tuple(documents), tuple(folders), tuple(links.made))

    def may_change(self, uuid: str, patient: str) -> bool:
        """Whether this is a patient's latest version, or an association that is no set's."""
        each: Any = self.model.objects[uuid]
        if isinstance(each, Association) and each.source not in self.model.sets:
            return all(self.may_change(end, patient) for end in (each.source, each.target))
        if not isinstance(each, DocumentEntry | Folder):
            return False
        return self.model.survivor(each.patient_id) == patient and self.model.is_latest(each)

    def draw_version(self, draw: Draw, links: Links, old: Any, patient: str, uuid: str) -> Any:
        """A new version of `old`, with other metadata, and the HasMember that brings it."""
        codes = draw.some(self.pools.codes, least=1)
        slots = [Slot("PreviousVersion", (str(draw.one([old.version] * 9 + [9])),))]
        propagation = draw.maybe(("yes", "no"))
        if propagation:
            slots.append(Slot("AssociationPropagation", (propagation,)))
        is_document = isinstance(old, DocumentEntry)
        links.add(
            names.HAS_MEMBER,
            links.the_set,
            uuid,
            submission_set_status="Original" if is_document else None,
            extra_slots=tuple(slots),
        )
        new = replace(
            old,
            entry_uuid=uuid,
            patient_id=patient,
            title="Ny utgave",
            version=None,
            availability_status=None,
        )
        if not is_document:
            return replace(new, codes=codes, last_update_time=None)
        availability = draw.one((names.ONLINE, names.OFFLINE))
        return replace(new, event_codes=codes, class_code=codes[0], document_availability=availability)

    def draw_status(self, draw: Draw, links: Links, uuid: str) -> None:
        """A new status for something that is registered; mostly its old one is told right."""
        current = self.model.objects[uuid].availability_status
        original = draw.one((current,) * 9 + (names.APPROVED,))
        new = names.DEPRECATED if original == names.APPROVED else names.APPROVED
        slots = (Slot("OriginalStatus", (original,)), Slot("NewStatus", (new,)))
        links.add(names.UPDATE_AVAILABILITY_STATUS, links.the_set, uuid, extra_slots=slots)

    def draw_association(self, draw: Draw, links: Links, patient: str, *, wild: bool) -> None:
        """A new association between two objects that are registered."""
        type = draw.one((names.HAS_MEMBER, *names.RELATIONSHIPS))
        documents = sources = self.nameable(draw, self.model.documents, patient, wild=wild)
        if type == names.HAS_MEMBER:
            sources = self.nameable(draw, self.model.folders, patient, wild=wild)
        if sources and documents:
            source, target = draw.one(sources), draw.one(documents)
            if source != target:
                new = links.add(type, source, target, documentation=None)
                links.add(names.SUBMIT_ASSOCIATION, links.the_set, new.entry_uuid)

    # -- operations

    @initialize(draw=DRAW)
    def begin(self, draw: Draw) -> None:
        """Something to work on, most of it one patient's."""
        for _ in range(4):
            self.register(draw, self.draw_submission(draw, wild=False))

    @rule(draw=DRAW)
    def step(self, draw: Draw) -> None:
        """An operation, oftener one that is legal, then some questions."""
        draw = Draw(draw.seed + next(self.ids))  # the same number again is another step
        own = type(self)
        usual = [own.submit] * 3 + [own.update] * 3 + [own.remove, own.submit_on_demand, own.merge]
        others = [own.submit_something_wild, own.submit_again, own.submit_a_taken_id]
        others += [own.update_something_wild, own.unmerge]
        draw.one(usual + others)(self, draw)
        for query in (draw.one(OFTEN), *draw.some([*QUERIES], 5, least=2)):
            self.ask(query, *self.draw_question(draw, query))

    def submit(self, draw: Draw) -> None:
        self.register(draw, self.draw_submission(draw, wild=False))

    def submit_on_demand(self, draw: Draw) -> None:
        sent = self.draw_submission(draw, wild=False, object_type=names.ON_DEMAND)
        self.register(draw, sent, transaction="ITI-61")

    def submit_something_wild(self, draw: Draw) -> None:
        """Mostly it must be refused; the model says why."""
        self.register(draw, self.draw_submission(draw, wild=True))

    def submit_again(self, draw: Draw) -> None:
        """A repeat succeeds and does nothing; with other content its uniqueId is taken."""
        if not self.model.sent:
            return
        again = draw.one([*self.model.sent.values()])
        if draw.one((False, True)):
            again = replace(again, submission_set=replace(again.submission_set, title="En annen"))
        if any(slot(a, "PreviousVersion") or a.type in COMMANDS for a in again.associations):
            self.change(draw, again)
        elif any(d.object_type == names.ON_DEMAND for d in again.document_entries):
            self.register(draw, again, transaction="ITI-61")
        else:
            self.register(draw, again)

    def submit_a_taken_id(self, draw: Draw) -> None:
        """A set, folder or document with the uniqueId of something that is registered."""
        sent = self.draw_submission(draw, wild=False)
        kinds = (self.model.sets, self.model.folders, self.model.documents)
        used = {each.unique_id for each in (*sent.document_entries, *sent.folders)}
        known = [each for kept in kinds for each in kept.values() if each.unique_id not in used]
        if not known:
            return
        taken = draw.one(known)
        if draw.one((False, True)):
            sent = replace(sent, submission_set=replace(sent.submission_set, unique_id=taken.unique_id))
        elif sent.folders:
            sent = replace(sent, folders=(replace(sent.folders[0], unique_id=taken.unique_id),))
        else:
            old = sent.document_entries[0]
            new = replace(old, unique_id=taken.unique_id)
            sent = replace(sent, document_entries=(new, *sent.document_entries[1:]))
        self.register(draw, sent)

    def update(self, draw: Draw) -> None:
        self.change(draw, self.draw_update(draw, wild=False))

    def update_something_wild(self, draw: Draw) -> None:
        """Old versions, somebody else's, what is no object at all; also a move to another patient."""
        self.change(draw, self.draw_update(draw, wild=True))

    def remove(self, draw: Draw) -> None:
        """Some object with all that cannot stay without it; sometimes less, sometimes more."""
        if not self.model.objects:
            return
        gone = {draw.one([*self.model.objects])}
        while more := belonging_to(self.model, gone) - gone:
            gone |= more
        chosen = [uuid for uuid in self.model.objects if uuid in gone]
        if draw.number(0, 3) == 0:
            chosen.remove(draw.one(chosen))
        if draw.number(0, 3) == 0:
            chosen += [draw.one([*self.model.objects, self.new_uuid()])]
        if chosen:
            self.clock.tick()
            self.both(
                lambda: self.model.remove(chosen),
                lambda: self.transact(
                    lambda connection: self.desk.registry.remove(connection, chosen, ALL_SEEN)
                ),
            )

    def merge(self, draw: Draw) -> None:
        """Also one that must be refused, of which nothing may come."""
        active = [p for p in self.pools.patients if p not in self.model.merged]
        any_two = len(active) < 2 or draw.number(0, 3) == 0
        chosen = [draw.one(self.pools.patients) for _ in range(2)] if any_two else draw.some(active, 2, 2)
        subsumed, surviving = chosen
        self.clock.tick()
        self.both(
            lambda: self.model.merge(subsumed, surviving),
            lambda: self.transact(
                lambda connection: self.desk.registry.merge(connection, subsumed, surviving)
            ),
        )

    def unmerge(self, draw: Draw) -> None:
        if not self.model.merged:
            return
        subsumed = draw.one([*self.model.merged])
        self.clock.tick()
        self.both(
            lambda: self.model.unmerge(subsumed),
            lambda: self.transact(lambda connection: unmerge(connection, subsumed)),
        )

    def register(self, draw: Draw, sent: Submission, *, transaction: str = "ITI-42") -> None:
        objects = tuple(map(registry_object, entries_of(sent).values()))
        assert check(objects, transaction=transaction) == (), "the message itself must be valid"
        now = self.clock.tick()
        prepared = self.desk.registry.prepare(submission(objects))
        self.both(
            lambda: self.model.register(sent, now),
            lambda: self.transact(
                lambda connection: self.desk.registry.register(connection, prepared, ALL_SEEN)
            ),
        )

    def change(self, draw: Draw, sent: Submission) -> None:
        objects = tuple(map(registry_object, entries_of(sent).values()))
        if not sent.associations:
            return  # there was nothing to change
        assert updates.check(objects, transaction="ITI-57") == (), "the message itself must be valid"
        now = self.clock.tick()
        request = updates.update(objects, transaction="ITI-57")
        self.both(lambda: self.model.update(sent, now), lambda: self.desk.update(request, ALL_SEEN))

    def transact(self, work: Callable[[Connection], Any]) -> None:
        self.desk.database.transact(work)

    def both(self, expected: Callable[[], Any], real: Callable[[], Any]) -> None:
        """Do it to both; they agree on whether it is refused and why, and on what there is then."""
        wrong: set[str] = set()
        found: dict[str, str] = {}  # code -> rule
        try:
            expected()
        except Refused as refusal:
            wrong = refusal.codes
        try:
            real()
        except RegistryFailure as failure:
            found = {str(error.code): error.rule for error in failure.errors}
        assert found.keys() <= wrong, found
        assert bool(found) == bool(wrong)
        self.learn_ids()
        for patient in self.pools.patients:
            self.ask("GetAll", {"patientId": [[patient]], **EVERYTHING}, leaf=True)

    # -- comparing

    def learn_ids(self) -> None:
        """Give the model's new objects the ids that the registry chose for them."""
        new = [uuid for uuid in self.model.objects if not uuid.startswith("urn:uuid:")]
        if not new:
            return
        unclaimed = {
            each.entry_uuid: each
            for patient in self.pools.patients
            for each in self.answer("GetAll", {"patientId": [[patient]], **EVERYTHING}, leaf=True)
            if each.entry_uuid not in self.model.objects
        }
        chosen: dict[str, str] = {}
        # First the links between objects, then the set's links to these links.
        for uuid in sorted(new, key=self.depth):
            wanted = identity(rename(self.model.objects[uuid], chosen))
            match = [own for own, each in unclaimed.items() if identity(each) == wanted]
            assert match, f"the registry did not make {wanted}"
            chosen[uuid] = match[0]
            del unclaimed[match[0]]
        for kept in (self.model.documents, self.model.sets, self.model.folders, self.model.associations):
            renamed = [rename(each, chosen) for each in kept.values()]
            kept.clear()
            kept.update({each.entry_uuid: each for each in renamed})

    def depth(self, uuid: str) -> int:
        own = self.model.objects.get(uuid)
        return 1 + max(map(self.depth, (own.source, own.target))) if isinstance(own, Association) else 0

    def answer(self, query: str, asked: Asked, *, leaf: bool) -> list[Any]:
        """The registry's answer: entries, or their ids."""
        slots = {name: tuple(written(name, group) for group in groups) for name, groups in asked.items()}
        found = self.desk.ask(QUERIES[query].id, leaf, **slots)
        return [*map(entry_of, found)] if leaf else [each.id for each in found]

    def ask(self, query: str, asked: Asked, leaf: bool) -> None:
        """Ask both, and hold the answers against each other."""
        declared = QUERIES[query]
        expected = declared.ask(Questions(self.model, asked))
        patients = {each.patient_id for each in expected if not isinstance(each, Association)}
        if leaf and declared.one_patient and len(patients) > 1:
            with pytest.raises(RegistryFailure) as refusal:
                self.answer(query, asked, leaf=leaf)
            assert [str(error.code) for error in refusal.value.errors] == ["XDSResultNotSinglePatient"]
            return
        found = self.answer(query, asked, leaf=leaf)
        own = found if not leaf else [each.entry_uuid for each in found]
        assert sorted(each.entry_uuid for each in expected) == sorted(own)
        by_id = {each.entry_uuid: each for each in found} if leaf else {}
        for each in expected if leaf else ():
            assert said(each) == said(by_id[each.entry_uuid])

    def draw_question(self, draw: Draw, query: str) -> tuple[Asked, bool]:
        declared = QUERIES[query]
        chosen = [*declared.required, *draw.some(declared.optional)]
        if declared.either:
            chosen.append(draw.one(declared.either))
        asked: dict[str, list[list[Any]]] = {}
        for name in chosen:
            most = 1 if name in SINGLE or (query, name) in SINGLE_IN or is_time(name) else 3
            slots = draw.number(1, 2) if name in REPEATABLE else 1
            asked[name] = [[*draw.some(self.values_of(name), most, least=1)] for _ in range(slots)]
        level = "2" if any(name.endswith("LogicalID") for name in chosen) else draw.maybe("12")
        if level:
            asked["MetadataLevel"] = [[level]]
        return asked, draw.one((True, False))

    def values_of(self, name: str) -> Sequence[Any]:
        """What to ask for: mostly what is there."""
        model = self.model
        if name.endswith("atientId"):
            return self.pools.patients
        if name in VALUES:
            return VALUES[name]
        if name.startswith("XDSFolderLastUpdateTime"):
            return self.clock.times()
        if name == "uuid":
            return [*model.documents, *model.folders, self.new_uuid()]
        kinds = {"XDSDocumentEntry": model.documents, "XDSFolder": model.folders}
        for prefix, kept in {**kinds, "XDSSubmissionSet": model.sets}.items():
            if name == f"{prefix}EntryUUID":
                return [*kept, self.new_uuid()]
            if name == f"{prefix}LogicalID":
                return [*dict.fromkeys(each.logical_id for each in kept.values()), self.new_uuid()]
            if name == f"{prefix}UniqueId":
                return [*dict.fromkeys(each.unique_id for each in kept.values()), "2.999.8"]
        return self.pools.codes


class Links:
    """The associations of a submission that is being made."""

    def __init__(self, the_set: str, id: Callable[[], str]) -> None:
        self.the_set = the_set
        self.id = id
        self.made: list[Association] = []

    def add(self, type: str, source: str, target: str, **more: Any) -> Association:
        self.made.append(s.association(type, source, target, entry_uuid=self.id(), **more))
        return self.made[-1]

    def add_to_folder(self, folder: str, document: str) -> None:
        """A membership, and the set's link to it."""
        self.add(names.HAS_MEMBER, self.the_set, self.add(names.HAS_MEMBER, folder, document).entry_uuid)

    def transformations(self) -> set[str]:
        return {a.source for a in self.made if a.type == names.XFRM}


def hanging_on(model: Model, uuid: str) -> set[str]:
    """What is deprecated when a document is replaced: it, and all that hangs on it."""
    links = [a for a in model.associations.values() if a.type in (names.APND, names.XFRM)]
    found = {uuid}
    while more := {a.source for a in links if a.target in found} - found:
        found |= more
    return found


def belonging_to(model: Model, gone: set[str]) -> set[str]:
    """What cannot stay when these go."""
    links = [a for a in model.associations.values() if a.entry_uuid in gone or gone & {a.source, a.target}]
    kept = [a for a in model.associations.values() if a not in links]
    linked = {end for a in kept for end in (a.source, a.target)}
    needed = (names.XFRM, names.SIGNS, names.IS_SNAPSHOT_OF)
    return {
        *(a.entry_uuid for a in links),
        *(a.source for a in links if a.type in needed),
        *(end for a in links for end in (a.source, a.target) if end in model.objects and end not in linked),
        *(
            each.entry_uuid
            for uuid in gone
            for each in model.versions(getattr(model.objects[uuid], "logical_id", uuid))
        ),
    }


COMMANDS = (names.UPDATE_AVAILABILITY_STATUS, names.SUBMIT_ASSOCIATION)


def is_time(name: str) -> bool:
    return name.endswith(("TimeFrom", "TimeTo"))


def entry_of(obj: RegistryObject) -> Entry:
    readers: dict[attributes.Table, Callable[[RegistryObject], Entry]] = {
        attributes.DOCUMENT_ENTRY: entries.document_entry,
        attributes.SUBMISSION_SET: entries.submission_set,
        attributes.FOLDER: entries.folder,
        attributes.ASSOCIATION: entries.association,
    }
    table = attributes.table_of(obj)
    assert table is not None
    return readers[table](obj)


def said(entry: Entry) -> list[str]:
    """All that an entry says, display names too, which are not compared when codes are."""
    return repr(entry).split(", ")


def rename(entry: Any, chosen: dict[str, str]) -> Any:
    """The entry with the registry's ids in the place of symbolic ones."""
    fields = ("entry_uuid", "logical_id", "source", "target")
    return replace(
        entry,
        **{
            name: chosen[getattr(entry, name)]
            for name in fields
            if hasattr(entry, name) and getattr(entry, name) in chosen
        },
    )


def identity(entry: Any) -> tuple[Any, ...]:
    """What tells an entry from others when its id is not known yet."""
    if isinstance(entry, Association):
        return entry.type, entry.source, entry.target
    version = getattr(entry, "version", 1)
    logical_id = entry.logical_id if version > 1 else ""
    return type(entry).__name__, entry.unique_id, version, logical_id


# -- time ----------------------------------------------------------------------------------------------------


class Clock:
    """A minute passes with every operation."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def tick(self) -> str:
        self.now += timedelta(minutes=1)
        return self.now.strftime("%Y%m%d%H%M%S")

    def times(self) -> list[str]:
        """The last minutes, to ask for."""
        return [(self.now - timedelta(minutes=n)).strftime("%Y%m%d%H%M%S") for n in range(6)]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that the registry reads: without it, all of a history happens in one second."""
    own = Clock()

    class Frozen(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return own.now

    monkeypatch.setattr("xds.store.keys.datetime", Frozen)
    return own


def test_the_registry_is_what_the_standard_says(desk: Desk, clock: Clock, engine: str) -> None:
    """Every answer after every operation of every history; of fewer histories where only tables differ."""
    machine = type("Histories", (Histories,), {"desk": desk, "clock": clock})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES if LONG or engine != PARTITIONED else EXAMPLES // 3,
            stateful_step_count=STEPS,
            derandomize=True,
            database=None,
            deadline=None,
            phases=(Phase.generate, Phase.shrink) if LONG else (Phase.generate,),
            suppress_health_check=list(HealthCheck),
        ),
    )
