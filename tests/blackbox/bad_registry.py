"""Bad input as data, second part: requests that are refused for what they ask, by transaction.

With bad.py there is at least one for every errorCode (test_bad_input.py counts them). Expected results are
worked out from ITI TF-2 3.18, 3.38, 3.39, 3.42 to 3.44, 3.51, 3.61, 3.62 and 3.86, XDS Metadata Update, RMU,
XCDR, ITI TF-3 4.2.4, and where these leave a choice from docs/metadata-update.md, docs/removal.md,
docs/patients.md and docs/gateways.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from tests.blackbox import messages as m
from tests.blackbox.bad import (
    AWAY,
    COMMUNITY,
    MUST_UNDERSTAND,
    Case,
    Fault,
    Http,
    NotAccepted,
    Partial,
    Refused,
    wsa,
)
from tests.blackbox.messages import Document, Request
from tests.blackbox.wire import LCM, RIM, SOAP11, SOAP12

Expected = Fault | Refused | Partial | NotAccepted
METADATA, UPDATE = "XDSRegistryMetadataError", "XDSMetadataUpdateError"
UNRESOLVED = "UnresolvedReferenceException"
#: An entryUUID that no object has.
NOBODY = "urn:uuid:00000000-0000-4000-8000-00000000dead"
#: The most errors that an answer lists.
MOST = 500
HOME = f"urn:oid:{COMMUNITY}"


def case(
    name: str,
    transaction: str,
    body: Callable[[], str],
    expected: Expected,
    before: Sequence[Request] = (),
    node: str = "small",
) -> Case:
    """A case without MTOM; its body is made when it is run."""
    return Case(f"{transaction}: {name}", lambda: m.plain(body(), transaction), expected, before, node=node)


def registering(*objects: str) -> Request:
    """A good ITI-42."""
    return m.plain(m.submit(*objects), "ITI-42")


# -- what is registered beforehand ---------------------------------------------------------------------------

KNOWN = Document(id=m.new_uuid())
_KNOWN_SET = m.new_oid()
#: KNOWN, alone in its submission set.
REGISTERED = (m.plain(m.register([KNOWN], _KNOWN_SET), "ITI-42"),)

REPLACED = Document(id=m.new_uuid())
#: REPLACED, and what replaces it.
REPLACEMENT = (
    m.plain(m.register([REPLACED]), "ITI-42"),
    registering(
        Document().xml(),
        m.submission_set(),
        m.member("as1", "Document01"),
        m.association("rel", m.REPLACE, "Document01", REPLACED.id),
    ),
)

FILED, FOLDER, FOLDER_OID = Document(id=m.new_uuid()), m.new_uuid(), m.new_oid()
FILED_SET, FILED_MEMBER, FILING, FILING_MEMBER = (m.new_uuid() for _ in range(4))
#: FILED in FOLDER; every object has a UUID of its own from the start.
IN_FOLDER = (
    m.plain(
        m.submit(
            FILED.xml(),
            m.folder(FOLDER, FOLDER_OID),
            m.submission_set(id=FILED_SET),
            m.association(FILED_MEMBER, m.HAS_MEMBER, FILED_SET, FILED.id, SubmissionSetStatus="Original"),
            m.association(m.new_uuid(), m.HAS_MEMBER, FILED_SET, FOLDER),
            m.association(FILING, m.HAS_MEMBER, FOLDER, FILED.id),
            m.association(FILING_MEMBER, m.HAS_MEMBER, FILED_SET, FILING),
        ),
        "ITI-42",
    ),
)

_ORIGIN, TRANSFORMED, TRANSFORMS = Document(id=m.new_uuid()), Document(id=m.new_uuid()), m.new_uuid()
#: A document, and TRANSFORMED, by the association TRANSFORMS a transformation of it.
TRANSFORMATION = (
    m.plain(m.register([_ORIGIN]), "ITI-42"),
    registering(
        TRANSFORMED.xml(),
        m.submission_set(),
        m.member("as1", TRANSFORMED.id),
        m.association(TRANSFORMS, m.TRANSFORM, TRANSFORMED.id, _ORIGIN.id),
    ),
)

_FIRST = Document(id=m.new_uuid())
SECOND, SECOND_SET, SECOND_MEMBER = (m.new_uuid() for _ in range(3))
#: A document in two versions; SECOND is the later one.
VERSIONS = (
    m.plain(m.register([_FIRST]), "ITI-42"),
    m.plain(
        m.submit(
            replace(_FIRST, id=SECOND, lid=_FIRST.id).xml(),
            m.submission_set(id=SECOND_SET),
            m.association(
                SECOND_MEMBER,
                m.HAS_MEMBER,
                SECOND_SET,
                SECOND,
                SubmissionSetStatus="Original",
                PreviousVersion="1",
            ),
        ),
        "ITI-57",
    ),
)

ELSEWHERE = Document(id=m.new_uuid(), patient=m.OTHER)
#: A document of somebody else.
OF_ANOTHER = (m.plain(m.register([ELSEWHERE], patient=m.OTHER), "ITI-42"),)


# -- ITI-42 and ITI-61 ---------------------------------------------------------------------------------------


def related(kind: str, target: str, document: Document | None = None) -> str:
    """A submission of one document with a relationship, `rel`, to another."""
    document = document or Document()
    return m.submit(
        document.xml(),
        m.submission_set(patient=document.patient),
        m.member("as1", document.id),
        m.association("rel", kind, document.id, target),
    )


def promised(**changes: object) -> Document:
    """An on-demand document."""
    slots = dict.fromkeys(("creationTime", "hash", "size"))
    return Document(slots=slots, object_type=m.ON_DEMAND, **changes)  # type: ignore[arg-type]


_twice = Document()

REGISTER = [
    case(
        "one uniqueId for two documents",
        "ITI-42",
        lambda: m.register([_twice, replace(_twice, id="Document02")]),
        Refused([("XDSRegistryDuplicateUniqueIdInMessage", "Document02/uniqueId", "uniqueId-message")]),
    ),
    case(
        "a set's uniqueId with other content",
        "ITI-42",
        lambda: m.register([Document()], _KNOWN_SET),
        Refused([("XDSDuplicateUniqueIdInRegistry", f"{m.SET}/uniqueId", "registry-set-unique-id")]),
        REGISTERED,
    ),
    case(
        "a folder's uniqueId once more",
        "ITI-42",
        lambda: m.submit(
            m.folder(unique_id=FOLDER_OID),
            m.submission_set(),
            m.association("as1", m.HAS_MEMBER, m.SET, "Folder01"),
        ),
        Refused([("XDSDuplicateUniqueIdInRegistry", "Folder01/uniqueId", "registry-folder-unique-id")]),
        IN_FOLDER,
    ),
    case(
        "an entryUUID that is in use",
        "ITI-42",
        lambda: m.register([Document(id=KNOWN.id)]),
        Refused([(METADATA, f"{KNOWN.id}/entryUUID", "registry-entry-uuid-new")]),
        REGISTERED,
    ),
    case(
        "a replacement of nothing",
        "ITI-42",
        lambda: related(m.REPLACE, NOBODY),
        Refused([(UNRESOLVED, "rel/targetObject", "registry-reference-known")]),
    ),
    case(
        "an addendum to a replaced document",
        "ITI-42",
        lambda: related(m.APPEND, REPLACED.id),
        Refused([("XDSRegistryDeprecatedDocumentError", "rel/targetObject", "registry-document-approved")]),
        REPLACEMENT,
    ),
    case(
        "a second replacement",
        "ITI-42",
        lambda: related(m.REPLACE, REPLACED.id),
        Refused([("XDSRegistryDeprecatedDocumentError", "rel/targetObject", "registry-document-approved")]),
        REPLACEMENT,
    ),
    case(
        "an addendum to another patient's document",
        "ITI-42",
        lambda: related(m.APPEND, ELSEWHERE.id),
        Refused([("XDSPatientIdDoesNotMatch", "rel/targetObject", "registry-same-patient")]),
        OF_ANOTHER,
    ),
    case(
        "an addendum to a transformation",
        "ITI-42",
        lambda: related(m.APPEND, TRANSFORMED.id),
        Refused([(METADATA, "rel/targetObject", "registry-addendum")]),
        TRANSFORMATION,
    ),
    case(
        "an addendum to a folder",
        "ITI-42",
        lambda: related(m.APPEND, FOLDER),
        Refused([(METADATA, "rel/targetObject", "registry-reference-kind")]),
        IN_FOLDER,
    ),
    case(
        "a folder's uniqueId for a document",
        "ITI-42",
        lambda: m.register([Document(unique_id=FOLDER_OID)]),
        Refused([(METADATA, "Document01/uniqueId", "registry-document-unique-id-kind")]),
        IN_FOLDER,
    ),
    case(
        "what only the registry knows, all at once",
        "ITI-42",
        lambda: m.submit(
            replace(KNOWN, content=b"other bytes", id="Document01").xml(),
            m.submission_set(_KNOWN_SET),
            m.member("as1", "Document01"),
            m.association("rel1", m.REPLACE, "Document01", REPLACED.id),
            m.association("rel2", m.APPEND, "Document01", ELSEWHERE.id),
            m.association("rel3", m.APPEND, "Document01", NOBODY),
        ),
        Refused(
            [
                ("XDSRegistryDeprecatedDocumentError", "rel1/targetObject", "registry-document-approved"),
                ("XDSPatientIdDoesNotMatch", "rel2/targetObject", "registry-same-patient"),
                (UNRESOLVED, "rel3/targetObject", "registry-reference-known"),
                ("XDSDuplicateUniqueIdInRegistry", f"{m.SET}/uniqueId", "registry-set-unique-id"),
                ("XDSNonIdenticalHash", "Document01/uniqueId", "registry-document-same-hash"),
                ("XDSNonIdenticalSize", "Document01/uniqueId", "registry-document-same-size"),
            ]
        ),
        (*REGISTERED, *REPLACEMENT, *OF_ANOTHER),
    ),
    case(
        "a patient whom the feed has not announced",
        "ITI-42",
        lambda: m.register([Document(patient=m.OTHER)], patient=m.OTHER),
        Refused([("XDSUnknownPatientId", f"{m.SET}/patientId", "registry-patient-known")]),
        node="feed",
    ),
    Case(
        "ITI-41: a patient whom the feed has not announced",
        lambda: m.mtom([Document(patient=m.OTHER)], patient=m.OTHER),
        Refused([("XDSUnknownPatientId", f"{m.SET}/patientId", "registry-patient-known")]),
        node="feed",
    ),
    case(
        "a patient whom the feed has not announced",
        "ITI-61",
        lambda: m.register([promised(patient=m.OTHER)], patient=m.OTHER),
        Refused([("XDSUnknownPatientId", f"{m.SET}/patientId", "registry-patient-known")]),
        node="feed",
    ),
    case(
        "no objects",
        "ITI-61",
        m.submit,
        Refused([(METADATA, "", "submission-set-one"), (METADATA, "", "document-one")]),
    ),
    case(
        "no documents",
        "ITI-61",
        lambda: m.submit(m.submission_set()),
        Refused([(METADATA, "", "document-one")]),
    ),
    case(
        "a uniqueId of a stable document",
        "ITI-61",
        lambda: m.register([promised(unique_id=KNOWN.unique_id)]),
        Refused([(METADATA, "Document01/uniqueId", "registry-document-unique-id-type")]),
        REGISTERED,
    ),
    case(
        "a stable document that misses a code",
        "ITI-61",
        lambda: m.register([Document(without=("classCode",))]),
        Refused(
            [
                (METADATA, "Document01/classCode", "DE-classCode-required"),
                (METADATA, "Document01/creationTime", "DE-creationTime-prohibited"),
                (METADATA, "Document01/hash", "DE-hash-prohibited"),
                (METADATA, "Document01/size", "DE-size-prohibited"),
                (METADATA, "Document01/objectType", "DE-objectType-demand"),
            ]
        ),
    ),
    case(
        "an addendum to nothing",
        "ITI-61",
        lambda: related(m.APPEND, NOBODY, promised()),
        Refused([(UNRESOLVED, "rel/targetObject", "registry-reference-known")]),
    ),
    case(
        "9,000 references to nothing",
        "ITI-61",
        lambda: m.submit(
            promised().xml(),
            m.submission_set(),
            m.member("as1", "Document01"),
            *(
                m.association(f"rel{n}", m.APPEND, "Document01", f"urn:uuid:{n:08}{NOBODY[17:]}")
                for n in range(9000)
            ),
        ),
        Refused([(UNRESOLVED, f"rel{n}/targetObject", "registry-reference-known") for n in range(MOST)]),
    ),
]


# -- ITI-57 --------------------------------------------------------------------------------------------------


def version(of: Document = KNOWN, **changes: object) -> Document:
    """A new version of what is registered."""
    return replace(of, id="Document01", lid=of.id, **changes)  # type: ignore[arg-type]


def updating(document: Document, home: str = "", **slots: str) -> str:
    """An update by one new version; the HasMember is `as1`."""
    return m.submit(
        document.xml(),
        m.submission_set(patient=document.patient, home=home),
        m.member("as1", document.id, **({"PreviousVersion": "1"} | slots)),
    )


def commanding(*objects: str) -> str:
    """An update of commands."""
    return m.submit(m.submission_set(), *objects)


def status(target: str, original: str = m.APPROVED, new: str = m.DEPRECATED, id: str = "st1") -> str:
    """An UpdateAvailabilityStatus, `st1`."""
    return m.association(id, m.UPDATE_STATUS, m.SET, target, OriginalStatus=original, NewStatus=new)


def linking(kind: str, source: str, target: str) -> str:
    """A SubmitAssociation, `sub1`, of the association `new1`."""
    return commanding(
        m.association("new1", kind, source, target),
        m.association("sub1", m.SUBMIT_ASSOCIATION, m.SET, "new1"),
    )


UPDATES = [
    case(
        "another uniqueId",
        "ITI-57",
        lambda: updating(version(unique_id=m.new_oid())),
        Refused([(UPDATE, "Document01/uniqueId", "update-unique-id")]),
        REGISTERED,
    ),
    case(
        "another objectType",
        "ITI-57",
        lambda: updating(
            version(object_type=m.ON_DEMAND, slots=dict.fromkeys(("creationTime", "hash", "size")))
        ),
        Refused([(UPDATE, "Document01/objectType", "update-object-type")]),
        REGISTERED,
    ),
    case(
        "a version that the set does not bring",
        "ITI-57",
        lambda: m.submit(version().xml(), m.submission_set()),
        Refused([(UPDATE, "Document01", "update-member")]),
        REGISTERED,
    ),
    case(
        "a new version of a deprecated document",
        "ITI-57",
        lambda: updating(version(REPLACED)),
        Refused([(UPDATE, "Document01/logicalID", "update-approved")]),
        REPLACEMENT,
    ),
    case(
        "two statuses for one document",
        "ITI-57",
        lambda: commanding(status(KNOWN.id), status(KNOWN.id, id="st2")),
        Refused([(UPDATE, f"st{n}/targetObject", "update-once") for n in (1, 2)]),
        REGISTERED,
    ),
    case(
        "a status from a document",
        "ITI-57",
        lambda: commanding(status(KNOWN.id).replace(f'sourceObject="{m.SET}"', f'sourceObject="{FILED.id}"')),
        Refused([(UPDATE, "st1/sourceObject", "update-source")]),
        (*REGISTERED, *IN_FOLDER),
    ),
    case(
        "a folder appended to a document",
        "ITI-57",
        lambda: linking(m.APPEND, FOLDER, KNOWN.id),
        Refused([(UPDATE, "new1/sourceObject", "update-association-ends")]),
        (*REGISTERED, *IN_FOLDER),
    ),
    case(
        "a document appended to a deprecated one",
        "ITI-57",
        lambda: linking(m.APPEND, KNOWN.id, REPLACED.id),
        Refused([(UPDATE, "new1/targetObject", "update-association-approved")]),
        (*REGISTERED, *REPLACEMENT),
    ),
    case(
        "an association beside those that are propagated",
        "ITI-57",
        lambda: m.submit(
            version().xml(),
            m.submission_set(),
            m.member("as1", "Document01", PreviousVersion="1"),
            m.association("new1", m.APPEND, "Document01", FILED.id),
            m.association("sub1", m.SUBMIT_ASSOCIATION, m.SET, "new1"),
        ),
        Refused([("XDSMetadataUpdateOperationError", "new1/sourceObject", "update-manual-propagation")]),
        (*REGISTERED, *IN_FOLDER),
    ),
    case(
        "no operation",
        "ITI-57",
        lambda: commanding(),
        Refused([("XDSMetadataUpdateOperationError", m.SET, "update-operation")]),
    ),
    case(
        "an association that no operation names",
        "ITI-57",
        lambda: commanding(status(KNOWN.id), m.association("rel", m.APPEND, KNOWN.id, FILED.id)),
        Refused([("XDSMetadataUpdateOperationError", "rel", "update-operation")]),
        (*REGISTERED, *IN_FOLDER),
    ),
    case(
        "a version that is not the latest",
        "ITI-57",
        lambda: updating(version(), PreviousVersion="7"),
        Refused([("XDSMetadataVersionError", "as1/PreviousVersion", "update-version")]),
        REGISTERED,
    ),
    case(
        "a logicalID that nobody has",
        "ITI-57",
        lambda: updating(replace(version(), lid=NOBODY)),
        Refused([("XDSMetadataVersionError", "Document01/logicalID", "update-logical-known")]),
    ),
    case(
        "a document that leaves its folder behind with another patient",
        "ITI-57",
        lambda: updating(version(FILED, patient=m.OTHER)),
        Refused([("XDSPatientIDReconciliationError", "Document01/patientId", "update-reconciliation")]),
        IN_FOLDER,
    ),
    case(
        "a status for nothing",
        "ITI-57",
        lambda: commanding(status(NOBODY)),
        Refused([(UNRESOLVED, "st1/targetObject", "update-resolved")]),
    ),
    case(
        "a status for a submission set",
        "ITI-57",
        lambda: commanding(status(FILED_SET)),
        Refused([(UPDATE, "st1/targetObject", "update-status-target")]),
        IN_FOLDER,
    ),
    case(
        "a status that it does not have",
        "ITI-57",
        lambda: commanding(status(KNOWN.id, m.DEPRECATED, m.APPROVED)),
        Refused([(UPDATE, "st1/OriginalStatus", "update-original-status")]),
        REGISTERED,
    ),
    case(
        "a status of ebRIM that XDS has not",
        "ITI-57",
        lambda: commanding(status(KNOWN.id, new=m.APPROVED.replace("Approved", "Withdrawn"))),
        Refused([(UPDATE, "st1/NewStatus", "update-status-values")]),
        REGISTERED,
    ),
    case(
        "another patient's document deprecated",
        "ITI-57",
        lambda: commanding(status(ELSEWHERE.id)),
        Refused([("XDSPatientIdDoesNotMatch", "st1/targetObject", "update-patient")]),
        OF_ANOTHER,
    ),
    case(
        "an association between nothing and nothing",
        "ITI-57",
        lambda: linking(m.APPEND, NOBODY, NOBODY.replace("dead", "beef")),
        Refused([(UNRESOLVED, f"new1/{end}", "update-resolved") for end in ("sourceObject", "targetObject")]),
    ),
    case(
        "an association between two patients",
        "ITI-57",
        lambda: linking(m.APPEND, KNOWN.id, ELSEWHERE.id),
        Refused([(UPDATE, "new1/targetObject", "update-association-patient")]),
        (*REGISTERED, *OF_ANOTHER),
    ),
    case(
        "a document in a folder twice",
        "ITI-57",
        lambda: linking(m.HAS_MEMBER, FOLDER, FILED.id),
        Refused([(UPDATE, "new1/targetObject", "update-association-once")]),
        IN_FOLDER,
    ),
    case(
        "a SubmitAssociation without its association",
        "ITI-57",
        lambda: commanding(m.association("sub1", m.SUBMIT_ASSOCIATION, m.SET, "new1")),
        Refused([(UPDATE, "sub1/targetObject", "update-submitted")]),
    ),
    case(
        "what the message itself shows, all at once",
        "ITI-57",
        lambda: m.submit(
            Document(without=("classCode",)).xml(),
            m.submission_set(),
            m.member("as1", "Document01", PreviousVersion="first", AssociationPropagation="perhaps"),
            status(KNOWN.id, new=m.APPROVED),
            m.association("rel", m.APPEND, "Document01", KNOWN.id),
        ),
        Refused(
            [
                (METADATA, "Document01/classCode", "DE-classCode-required"),
                (UPDATE, "Document01/logicalID", "update-logical-id"),
                (UPDATE, "as1/PreviousVersion", "update-previous-version"),
                (UPDATE, "as1/AssociationPropagation", "update-propagation"),
                (UPDATE, "st1/NewStatus", "update-status-values"),
                ("XDSMetadataUpdateOperationError", "rel", "update-operation"),
            ]
        ),
    ),
    case(
        "what only the registry knows, all at once",
        "ITI-57",
        lambda: m.submit(
            version(unique_id=m.new_oid()).xml(),
            m.submission_set(),
            m.member("as1", "Document01", PreviousVersion="2"),
            status(NOBODY),
            status(FILED.id, m.DEPRECATED, m.APPROVED, id="st2"),
            m.association("new1", m.HAS_MEMBER, FOLDER, ELSEWHERE.id),
            m.association("sub1", m.SUBMIT_ASSOCIATION, m.SET, "new1"),
        ),
        Refused(
            [
                ("XDSMetadataVersionError", "as1/PreviousVersion", "update-version"),
                (UPDATE, "Document01/uniqueId", "update-unique-id"),
                (UNRESOLVED, "st1/targetObject", "update-resolved"),
                (UPDATE, "st2/OriginalStatus", "update-original-status"),
                (UPDATE, "new1/targetObject", "update-association-patient"),
            ]
        ),
        (*REGISTERED, *IN_FOLDER, *OF_ANOTHER),
    ),
    case("no objects", "ITI-57", m.submit, Refused([(METADATA, "", "submission-set-one")])),
    case(
        "6,000 statuses for nothing",
        "ITI-57",
        lambda: commanding(*(status(f"urn:uuid:{n:08}{NOBODY[17:]}", id=f"st{n}") for n in range(6000))),
        Refused([(UNRESOLVED, f"st{n}/targetObject", "update-resolved") for n in range(MOST)]),
    ),
]


# -- ITI-92 --------------------------------------------------------------------------------------------------

UNMODIFIABLE = "UnmodifiableMetadataError"


def restricted(
    name: str, body: Callable[[], str], *errors: tuple[str, str, str], before: Sequence[Request] = REGISTERED
) -> Case:
    """A restricted update that is refused."""
    return case(name, "ITI-92", body, Refused(errors), before)


RESTRICTED = [
    restricted(
        "no community",
        lambda: updating(version()),
        ("XDSMissingHomeCommunityId", f"{m.SET}/homeCommunityId", "restricted-home-required"),
    ),
    restricted(
        "another community",
        lambda: updating(version(), home="urn:oid:1.2.3"),
        ("XDSUnknownCommunity", f"{m.SET}/homeCommunityId", "restricted-home"),
    ),
    restricted(
        "a folder",
        lambda: m.submit(
            version().xml(),
            m.folder(lid=FOLDER, unique_id=FOLDER_OID),
            m.submission_set(home=HOME),
            m.member("as1", "Document01", PreviousVersion="1"),
            m.association("as2", m.HAS_MEMBER, m.SET, "Folder01", PreviousVersion="1"),
        ),
        ("XDSObjectTypeError", "Folder01", "restricted-folder"),
        before=(*REGISTERED, *IN_FOLDER),
    ),
    restricted(
        "a folder alone",
        lambda: m.submit(
            m.folder(lid=FOLDER, unique_id=FOLDER_OID),
            m.submission_set(home=HOME),
            m.association("as2", m.HAS_MEMBER, m.SET, "Folder01", PreviousVersion="1"),
        ),
        ("XDSInvalidRequestException", m.SET, "restricted-document"),
        ("XDSObjectTypeError", "Folder01", "restricted-folder"),
        before=IN_FOLDER,
    ),
    restricted(
        "another objectType",
        lambda: updating(
            version(object_type=m.ON_DEMAND, slots=dict.fromkeys(("creationTime", "hash", "size"))), home=HOME
        ),
        ("XDSObjectTypeError", "Document01/objectType", "restricted-object-type"),
        # Documents on demand have none.
        (UNMODIFIABLE, "Document01/hash", "restricted-unmodifiable"),
        (UNMODIFIABLE, "Document01/size", "restricted-unmodifiable"),
    ),
    restricted(
        "another uniqueId",
        lambda: updating(version(unique_id=m.new_oid()), home=HOME),
        ("XDSMetadataIdentifierError", "Document01/uniqueId", "restricted-unique-id"),
    ),
    restricted(
        "no HasMember",
        lambda: m.submit(version().xml(), m.submission_set(home=HOME)),
        ("XDSMetadataAnnotationError", "Document01", "restricted-member"),
    ),
    restricted(
        "no PreviousVersion",
        lambda: m.submit(version().xml(), m.submission_set(home=HOME), m.member("as1", "Document01")),
        ("XDSMetadataAnnotationError", "as1/PreviousVersion", "restricted-previous-version"),
    ),
    restricted(
        "AssociationPropagation no",
        lambda: updating(version(), HOME, AssociationPropagation="no"),
        ("XDSMetadataAnnotationError", "as1/AssociationPropagation", "restricted-propagation"),
    ),
    restricted(
        "a first version",
        lambda: updating(Document(), home=HOME),
        ("XDSInvalidRequestException", "Document01/logicalID", "restricted-logical-id"),
    ),
    restricted(
        "another patient",
        lambda: updating(version(patient=m.OTHER, slots={"sourcePatientId": m.PATIENT}), home=HOME),
        ("XDSPatientIDReconciliationError", "Document01/patientId", "restricted-patient-id"),
    ),
    restricted(
        "a version that is not the latest",
        lambda: updating(version(), HOME, PreviousVersion="2"),
        ("XDSMetadataVersionError", "as1/PreviousVersion", "update-version"),
    ),
    restricted(
        "another repository",
        lambda: updating(version(slots={"repositoryUniqueId": "1.2.3"}), home=HOME),
        (UNMODIFIABLE, "Document01/repositoryUniqueId", "restricted-unmodifiable"),
    ),
    restricted(
        "a status change",
        lambda: m.submit(
            version().xml(),
            m.submission_set(home=HOME),
            m.member("as1", "Document01", PreviousVersion="1"),
            status(KNOWN.id),
        ),
        (UNMODIFIABLE, "st1", "restricted-operation"),
    ),
    restricted(
        "all that must not change, at once",
        lambda: updating(
            version(
                content=b"other bytes",
                unique_id=m.new_oid(),
                slots={"repositoryUniqueId": "1.2.3", "sourcePatientId": m.OTHER},
            ),
            home=HOME,
        ),
        ("XDSMetadataIdentifierError", "Document01/uniqueId", "restricted-unique-id"),
        *(
            (UNMODIFIABLE, f"Document01/{name}", "restricted-unmodifiable")
            for name in ("repositoryUniqueId", "hash", "size", "sourcePatientId")
        ),
    ),
    restricted(
        "what the message itself shows, all at once",
        lambda: m.submit(
            Document(without=("classCode",)).xml(),
            m.submission_set(),
            m.member("as1", "Document01", AssociationPropagation="no"),
            status(KNOWN.id),
        ),
        ("XDSMissingHomeCommunityId", f"{m.SET}/homeCommunityId", "restricted-home-required"),
        (METADATA, "Document01/classCode", "DE-classCode-required"),
        ("XDSInvalidRequestException", "Document01/logicalID", "restricted-logical-id"),
        ("XDSMetadataAnnotationError", "as1/PreviousVersion", "restricted-previous-version"),
        ("XDSMetadataAnnotationError", "as1/AssociationPropagation", "restricted-propagation"),
        (UNMODIFIABLE, "st1", "restricted-operation"),
    ),
    restricted("no objects", m.submit, (METADATA, "", "submission-set-one"), before=()),
    restricted(
        "6,000 status changes",
        lambda: m.submit(
            version().xml(),
            m.submission_set(home=HOME),
            m.member("as1", "Document01", PreviousVersion="1"),
            *(status(KNOWN.id, id=f"st{n}") for n in range(6000)),
        ),
        *((UNMODIFIABLE, f"st{n}", "restricted-operation") for n in range(MOST)),
    ),
]


# -- ITI-62 and ITI-86 ---------------------------------------------------------------------------------------

REFERENCED = "ReferencesExistException"
_unknown = m.new_oid()

REMOVALS = [
    case(
        "a document alone",
        "ITI-62",
        lambda: m.remove_metadata(FILED.id),
        Refused([(REFERENCED, FILED.id, "remove-referenced")]),
        IN_FOLDER,
    ),
    case(
        "the only association of a document",
        "ITI-62",
        lambda: m.remove_metadata(FILED_MEMBER, FILING, FILING_MEMBER),
        Refused([("XDSUnreferencedObjectException", FILED.id, "remove-orphan")]),
        IN_FOLDER,
    ),
    case(
        "a transformation's origin",
        "ITI-62",
        lambda: m.remove_metadata(TRANSFORMS),
        Refused([(REFERENCED, TRANSFORMS, "remove-source")]),
        TRANSFORMATION,
    ),
    case(
        "the later of two versions",
        "ITI-62",
        lambda: m.remove_metadata(SECOND, SECOND_SET, SECOND_MEMBER),
        Refused([(REFERENCED, SECOND, "remove-versions")]),
        VERSIONS,
    ),
    case(
        "nothing that is there",
        "ITI-62",
        lambda: m.remove_metadata(NOBODY, "Document01", KNOWN.id[:-1]),
        Refused([(UNRESOLVED, each, "remove-known") for each in (NOBODY, "Document01", KNOWN.id[:-1])]),
        REGISTERED,
    ),
    case(
        "all at once",
        "ITI-62",
        lambda: m.remove_metadata(NOBODY, FOLDER, FILED_MEMBER, FILING),
        Refused(
            [
                (UNRESOLVED, NOBODY, "remove-known"),
                (REFERENCED, FOLDER, "remove-referenced"),
                (REFERENCED, FILING, "remove-referenced"),
                ("XDSUnreferencedObjectException", FILED.id, "remove-orphan"),
            ]
        ),
        IN_FOLDER,
    ),
    case(
        "nothing",
        "ITI-62",
        m.remove_metadata,
        Refused([(METADATA, "RemoveObjectsRequest/ObjectRefList", "remove-ids")]),
    ),
    case(
        "a deletionScope",
        "ITI-62",
        lambda: m.remove_metadata(KNOWN.id).replace(
            "<lcm:RemoveObjectsRequest",
            "<lcm:RemoveObjectsRequest"
            ' deletionScope="urn:oasis:names:tc:ebxml-regrep:DeletionScopeType:DeleteRepositoryItemOnly"',
        ),
        Refused([(METADATA, "RemoveObjectsRequest/deletionScope", "remove-scope")]),
        REGISTERED,
    ),
    case(
        "50,000 objects that are not there",
        "ITI-62",
        lambda: m.remove_metadata(*(f"urn:uuid:{n:08}{NOBODY[17:]}" for n in range(50_000))),
        Refused([(UNRESOLVED, f"urn:uuid:{n:08}{NOBODY[17:]}", "remove-known") for n in range(MOST)]),
    ),
    case(
        "another repository's document",
        "ITI-86",
        lambda: m.remove_documents(m.new_oid(), repository="2.25.1"),
        Refused(
            [
                (
                    "XDSUnknownRepositoryId",
                    "DocumentRequest[1]/RepositoryUniqueId",
                    "remove-document-repository",
                )
            ]
        ),
    ),
    case(
        "two documents that nobody has",
        "ITI-86",
        lambda: m.remove_documents(m.new_oid(), _unknown),
        Refused(
            [
                (
                    "XDSDocumentUniqueIdError",
                    f"DocumentRequest[{n}]/DocumentUniqueId",
                    "remove-document-known",
                )
                for n in (1, 2)
            ]
        ),
    ),
    case(
        "each of its errors at once",
        "ITI-86",
        lambda: m.remove_documents(m.new_oid(), _unknown).replace(m.REPOSITORY_ID, "2.25.1", 1),
        Refused(
            [
                (
                    "XDSUnknownRepositoryId",
                    "DocumentRequest[1]/RepositoryUniqueId",
                    "remove-document-repository",
                ),
                ("XDSDocumentUniqueIdError", "DocumentRequest[2]/DocumentUniqueId", "remove-document-known"),
            ]
        ),
    ),
    case(
        "a path for a document id",
        "ITI-86",
        lambda: m.remove_documents("../../xds.db"),
        Refused(
            [("XDSDocumentUniqueIdError", "DocumentRequest[1]/DocumentUniqueId", "remove-document-known")]
        ),
    ),
    case(
        "15,000 documents that nobody has",
        "ITI-86",
        lambda: m.remove_documents(*(f"1.2.{n}" for n in range(15_000))),
        Refused(
            [
                (
                    "XDSDocumentUniqueIdError",
                    f"DocumentRequest[{n + 1}]/DocumentUniqueId",
                    "remove-document-known",
                )
                for n in range(MOST)
            ]
        ),
    ),
]


# -- ITI-18, ITI-43 and ITI-51 -------------------------------------------------------------------------------

_three = [Document(id=f"Document0{n}") for n in (1, 2, 3)]
_fetchable = Document()
_promised = promised()


def for_several(parameters: dict[str, str], return_type: str = "LeafClass") -> str:
    """FindDocumentsForMultiplePatients."""
    return m.query(m.FIND_FOR_MULTIPLE_PATIENTS, parameters, return_type)


STATUS = {"$XDSDocumentEntryStatus": f"('{m.APPROVED}')"}
_STATUS_AGAIN = m.slot("$XDSDocumentEntryStatus", f"('{m.DEPRECATED}')")

QUERIES = [
    case(
        "two patients' documents by their ids",
        "ITI-18",
        lambda: m.get_documents(KNOWN.unique_id, ELSEWHERE.unique_id),
        Refused([("XDSResultNotSinglePatient", "", "query-single-patient")]),
        (*REGISTERED, *OF_ANOTHER),
    ),
    case(
        "more than an answer may hold",
        "ITI-18",
        lambda: m.find_documents(return_type="ObjectRef"),
        Partial([("XDSTooManyResults", "", "query-too-many")], warning=True),
        (m.plain(m.register(_three), "ITI-42"),),
        node="few",
    ),
    case(
        "more than an answer may hold",
        "ITI-51",
        lambda: for_several(
            STATUS | {"$XDSDocumentEntryPatientId": f"('{m.PATIENT}','{m.OTHER}')"}, "ObjectRef"
        ),
        Partial([("XDSTooManyResults", "", "query-too-many")], warning=True),
        (m.plain(m.register(_three), "ITI-42"),),
        node="few",
    ),
    case(
        "a document that nobody has beside another",
        "ITI-43",
        lambda: m.retrieve(_fetchable.unique_id, _unknown),
        Partial([("XDSDocumentUniqueIdError", "DocumentRequest[2]/DocumentUniqueId", "retrieve-document")]),
        (m.mtom([_fetchable]),),
    ),
    case(
        "a document on demand that nobody makes",
        "ITI-43",
        lambda: m.retrieve(_promised.unique_id),
        Refused([("XDSDocumentUniqueIdError", "DocumentRequest[1]/DocumentUniqueId", "retrieve-on-demand")]),
        (m.plain(m.register([_promised]), "ITI-61"),),
    ),
    case(
        "a status twice",
        "ITI-51",
        lambda: for_several(STATUS | {"$XDSDocumentEntryPatientId": f"('{m.PATIENT}')"}).replace(
            "</rim:AdhocQuery>", _STATUS_AGAIN + "</rim:AdhocQuery>"
        ),
        Refused([("XDSStoredQueryParamNumber", "$XDSDocumentEntryStatus", "query-parameter-repeated")]),
    ),
    case(
        "a quote that does not end",
        "ITI-51",
        lambda: for_several(STATUS | {"$XDSDocumentEntryPatientId": f"('{m.PATIENT}','{m.OTHER})"}),
        Refused([("XDSRegistryError", "$XDSDocumentEntryPatientId", "query-parameter-value")]),
    ),
    case(
        "no parameters",
        "ITI-51",
        lambda: for_several({}),
        Refused(
            [
                ("XDSStoredQueryMissingParam", "$XDSDocumentEntryStatus", "query-parameter-required"),
                (
                    "XDSStoredQueryMissingParam",
                    "$XDSDocumentEntryPatientId $XDSDocumentEntryClassCode $XDSDocumentEntryEventCodeList"
                    " $XDSDocumentEntryHealthcareFacilityTypeCode",
                    "query-parameter-some",
                ),
            ]
        ),
    ),
    case(
        "all at once",
        "ITI-51",
        lambda: for_several(
            {
                "$XDSDocumentEntryClassCode": "A00",
                "$XDSDocumentEntryCreationTimeFrom": "igår",
                "$XDSDocumentEntryCreationTimeTo": "'2026','2027'",
            },
            "LeafClassWithRepositoryItem",
        ).replace("<rim:AdhocQuery ", '<rim:AdhocQuery home="urn:oid:1.2.3" '),
        Refused(
            [
                ("XDSRegistryError", "ResponseOption/returnType", "query-return-type"),
                ("XDSUnknownCommunity", "AdhocQuery/home", "query-home"),
                ("XDSStoredQueryMissingParam", "$XDSDocumentEntryStatus", "query-parameter-required"),
                ("XDSRegistryError", "$XDSDocumentEntryClassCode", "query-parameter-value"),
                ("XDSRegistryError", "$XDSDocumentEntryCreationTimeFrom", "query-parameter-value"),
                ("XDSStoredQueryParamNumber", "$XDSDocumentEntryCreationTimeTo", "query-parameter-single"),
            ]
        ),
    ),
    case(
        "10,000 patients",
        "ITI-51",
        lambda: for_several(STATUS | {"$XDSDocumentEntryPatientId": "HERE"}).replace(
            "<rim:Value>HERE</rim:Value>",
            "".join(f"<rim:Value>('{n}^^^&amp;1.2.3&amp;ISO')</rim:Value>" for n in range(10_000)),
        ),
        Refused([("XDSStoredQueryParamNumber", "$XDSDocumentEntryPatientId", "query-parameter-many")]),
    ),
]


# -- every transaction: another's Body, and one that breaks the schema ---------------------------------------

_BROKEN_OBJECT = (
    '<rim:ExtrinsicObject id="Document01" mimeType="text/plain"><rim:Ukjent/></rim:ExtrinsicObject>'
)
_SCHEMA = {
    "ITI-57": lambda: m.submit(_BROKEN_OBJECT),
    "ITI-61": lambda: m.submit(_BROKEN_OBJECT),
    "ITI-92": lambda: m.submit(_BROKEN_OBJECT),
    "ITI-62": lambda: m.remove_metadata(NOBODY).replace("<rim:ObjectRef id=", "<rim:ObjectRef ident="),
    "ITI-86": lambda: m.remove_documents(),
}

WRONG_BODIES = [
    *(
        case("the Body of a query", transaction, m.find_documents, Fault(transaction))
        for transaction in ("ITI-57", "ITI-61", "ITI-62", "ITI-86", "ITI-92")
    ),
    case("the Body of a submission", "ITI-51", lambda: m.register([Document()]), Fault("ITI-51")),
    case("the Body of a retrieval", "ITI-86", lambda: m.retrieve(_unknown), Fault("ITI-86")),
    *(
        case(
            "a Body that breaks the schema",
            transaction,
            body,
            Refused(
                [("XDSRepositoryMetadataError" if transaction == "ITI-86" else METADATA, "", "schema")],
                schema=True,
            ),
        )
        for transaction, body in _SCHEMA.items()
    ),
    *(
        case(
            "no list of objects",
            transaction,
            lambda: f'<lcm:SubmitObjectsRequest xmlns:lcm="{LCM}" xmlns:rim="{RIM}"/>',
            Refused([(METADATA, "", "schema")], schema=True),
        )
        for transaction in ("ITI-57", "ITI-61", "ITI-92")
    ),
    case(
        "a Body that breaks the schema",
        "ITI-51",
        lambda: for_several(STATUS).replace("<rim:AdhocQuery ", "<rim:Ukjent/><rim:AdhocQuery "),
        Fault("schema of ITI-51"),
    ),
]


# -- ITI-44 --------------------------------------------------------------------------------------------------

HL7 = "urn:hl7-org:v3"
ADDED, REVISED, RESOLVED = "PRPA_IN201301UV02", "PRPA_IN201302UV02", "PRPA_IN201304UV02"
_EVENT = "/controlActProcess/subject/registrationEvent"
_PATIENT = f"{_EVENT}/subject1/patient/id"
_PRIOR = f"{_EVENT}/replacementOf/priorRegistration/subject1/priorRegisteredRole/id"
STRANGE = "1.3.6.1.4.1.21367.13.20.9999"


def ii(id: str, authority: str = m.AUTHORITY) -> str:
    """An instance identifier."""
    return f'<id root="{authority}" extension="{id}"/>'


def feed_body(name: str, patient: str = "", prior: str = "") -> str:
    """One of the three messages; ids are elements."""
    replaced = (
        "<replacementOf><priorRegistration><subject1><priorRegisteredRole>"
        f"{prior}</priorRegisteredRole></subject1></priorRegistration></replacementOf>"
    )
    return (
        f'<{name} xmlns="{HL7}" ITSVersion="XML_1.0"><id root="22a0f9e0-4454-11dc-a6be-3603d6866807"/>'
        '<creationTime value="20261120103000"/>'
        f'<interactionId root="2.16.840.1.113883.1.6" extension="{name}"/><processingCode code="T"/>'
        '<processingModeCode code="T"/><acceptAckCode code="AL"/>'
        '<receiver typeCode="RCV"><device classCode="DEV" determinerCode="INSTANCE"><id root="1.2.3"/>'
        '</device></receiver><sender typeCode="SND"><device classCode="DEV" determinerCode="INSTANCE">'
        '<id root="1.2.4"/></device></sender><controlActProcess classCode="CACT" moodCode="EVN">'
        f"<subject><registrationEvent><subject1><patient>{patient}<patientPerson><name>"
        f"<family>{m.FAMILY}</family></name></patientPerson></patient></subject1>{prior and replaced}"
        f"</registrationEvent></subject></controlActProcess></{name}>"
    )


def feeding(name: str, body: str, header: str = "", path: str = "/pix/feed") -> Request:
    """A message of the feed by its own action."""
    envelope = m.envelope(body, f"{HL7}:{name}", header=header)
    return Request(path, m.media_type(SOAP12), envelope)


def feeding_raw(body: bytes, soap: str = SOAP12) -> Request:
    """These bytes to the feed's address."""
    return Request("/pix/feed", m.media_type(soap), body)


def announced(*ids: str) -> tuple[Request, ...]:
    """Good messages that make ids known."""
    return tuple(feeding(ADDED, feed_body(ADDED, ii(each))) for each in ids)


def fed(
    name: str,
    action: str,
    body: Callable[[], str],
    expected: Fault | NotAccepted,
    before: Sequence[Request] = (),
    header: str = "",
) -> Case:
    """A bad message of the feed."""
    return Case(f"ITI-44: {name}", lambda: feeding(action, body(), header), expected, before, node="feed")


def unaccepted(*details: tuple[str, str, str]) -> NotAccepted:
    """CE with these details."""
    return NotAccepted(details)


def _without(text: str, body: str) -> str:
    assert text in body
    return body.replace(text, "", 1)


#: Numbers whose control digits fit, of the Tenor series.
GONE, STAYS = m.OTHER_NUMBER, m.NUMBER


def merged(gone: str, stays: str) -> tuple[Request, ...]:
    """Good messages that merge two ids; once only."""
    return (*announced(gone, stays), feeding(RESOLVED, feed_body(RESOLVED, ii(stays), ii(gone))))


def feed_faults() -> Iterable[Case]:
    """What no acknowledgement can answer, for each of the three messages."""
    for name in (ADDED, REVISED, RESOLVED):
        yield fed(f"{name} with the Body of a query", name, m.find_documents, Fault("ITI-44"))
        yield fed(
            f"{name} with the Body of another",
            name,
            lambda name=name: feed_body(ADDED if name != ADDED else RESOLVED, ii(GONE), ii(STAYS)),  # type: ignore[misc]
            Fault("ITI-44"),
        )
        for missing in (
            '<id root="22a0f9e0-4454-11dc-a6be-3603d6866807"/>',
            ' ITSVersion="XML_1.0"',
            '<processingCode code="T"/>',
        ):
            yield fed(
                f"{name} without {missing}",
                name,
                lambda name=name, missing=missing: _without(missing, feed_body(name, ii(GONE))),  # type: ignore[misc]
                Fault("schema of ITI-44"),
            )


FEED = [
    *feed_faults(),
    fed(
        "no patient",
        ADDED,
        lambda: feed_body(ADDED),
        unaccepted(("KEY204", _PATIENT, "feed-patient-id")),
    ),
    fed(
        "nothing in controlActProcess",
        ADDED,
        lambda: f"{feed_body(ADDED).partition('<subject>')[0]}</controlActProcess></{ADDED}>",
        unaccepted(("KEY204", _PATIENT, "feed-patient-id")),
    ),
    fed(
        "an id of another authority",
        ADDED,
        lambda: feed_body(ADDED, ii(GONE, STRANGE)),
        unaccepted(("KEY204", _PATIENT, "feed-patient-id")),
    ),
    fed(
        "a wrong id beside a right one",
        ADDED,
        lambda: feed_body(ADDED, ii(GONE) + ii(f"{GONE} ")),
        unaccepted(("SYN102", _PATIENT, "feed-patient-id-form")),
    ),
    fed(
        "nobody merged into nobody",
        RESOLVED,
        lambda: feed_body(RESOLVED),
        unaccepted(("KEY204", _PRIOR, "feed-patient-id"), ("KEY204", _PATIENT, "feed-patient-id")),
    ),
    fed(
        "two wrong ids",
        RESOLVED,
        lambda: feed_body(RESOLVED, ii(f" {STAYS}"), ii(GONE, STRANGE)),
        unaccepted(("KEY204", _PRIOR, "feed-patient-id"), ("SYN102", _PATIENT, "feed-patient-id-form")),
    ),
    fed(
        "two pairs",
        RESOLVED,
        lambda: feed_body(RESOLVED, ii("a") + ii("b"), ii("c") + ii("d")),
        unaccepted(("SYN102", _PRIOR, "feed-one-pair"), ("SYN102", _PATIENT, "feed-one-pair")),
    ),
    fed(
        "two ids that nobody announced",
        RESOLVED,
        lambda: feed_body(RESOLVED, ii("e"), ii("f")),
        unaccepted(
            ("KEY204", _PRIOR, "registry-patient-known"), ("KEY204", _PATIENT, "registry-patient-known")
        ),
    ),
    fed(
        "an id merged into itself",
        RESOLVED,
        lambda: feed_body(RESOLVED, ii(STAYS), ii(STAYS)),
        unaccepted(("KEY204", _PRIOR, "registry-merge-self")),
    ),
    fed(
        "a merged id announced again",
        ADDED,
        lambda: feed_body(ADDED, ii("gone1")),
        unaccepted(("KEY204", _PATIENT, "registry-patient-merged")),
        merged("gone1", "stays1"),
    ),
    fed(
        "a merged id merged again",
        RESOLVED,
        lambda: feed_body(RESOLVED, ii(STAYS), ii("gone2")),
        unaccepted(("KEY204", _PRIOR, "registry-merge-subsumed")),
        merged("gone2", "stays2"),
    ),
    fed(
        "a merge into a merged id",
        RESOLVED,
        lambda: feed_body(RESOLVED, ii("gone3"), ii(STAYS)),
        unaccepted(("KEY204", _PATIENT, "registry-merge-surviving")),
        merged("gone3", "stays3"),
    ),
    fed(
        "20,000 ids of another authority",
        ADDED,
        lambda: feed_body(ADDED, ii(GONE, STRANGE) * 20_000),
        unaccepted(("KEY204", _PATIENT, "feed-patient-id")),
    ),
    fed(
        "20,000 wrong ids",
        ADDED,
        lambda: feed_body(ADDED, ii(f"{GONE} ") * 20_000),
        unaccepted(("SYN102", _PATIENT, "feed-patient-id-form")),
    ),
    fed(
        "an id of 181 characters",
        ADDED,
        lambda: feed_body(ADDED, ii("1" * 181)),
        unaccepted(("SYN102", _PATIENT, "feed-patient-id-form")),
    ),
    fed(
        "1,001 ids of one patient",
        ADDED,
        lambda: feed_body(ADDED, "".join(ii(f"{GONE}{number}") for number in range(1001))),
        unaccepted(("SYN102", _PATIENT, "feed-patient-ids-many")),
    ),
    fed(
        "no wsa:Action of the feed",
        "PRPA_IN201303UV02",
        lambda: feed_body(ADDED, ii(GONE)),
        Fault("wsa:Action", subcodes=[wsa("ActionNotSupported")]),
    ),
    fed(
        "a mandatory header that is not known",
        ADDED,
        lambda: feed_body(ADDED, ii(GONE)),
        Fault("mustUnderstand", MUST_UNDERSTAND),
        header='<u:Ukjent xmlns:u="urn:example:u" s:mustUnderstand="true"/>',
    ),
    fed("two messages in one", ADDED, lambda: feed_body(ADDED, ii(GONE)) * 2, Fault("exactly one child")),
    fed(
        "XML that is not well-formed",
        ADDED,
        lambda: feed_body(ADDED, ii(GONE))[:-3],
        Fault("not well-formed"),
    ),
    Case(
        "ITI-44: no wsa:Action at all",
        lambda: feeding_raw(m.envelope(feed_body(ADDED, ii(GONE)), None)),
        Fault("wsa:Action", subcodes=[wsa("MessageAddressingHeaderRequired")]),
        node="feed",
    ),
    Case(
        "ITI-44: a Body that breaks the schema, SOAP 1.1",
        lambda: feeding_raw(m.envelope(f'<{ADDED} xmlns="{HL7}"/>', f"{HL7}:{ADDED}", soap=SOAP11), SOAP11),
        Fault("schema of ITI-44", f"{{{SOAP11}}}Client"),
        node="feed",
    ),
    Case(
        "ITI-44: an entity in the name",
        lambda: feeding_raw(
            b'<!DOCTYPE b [<!ENTITY f SYSTEM "file:///etc/hostname">]>'
            + m.envelope(feed_body(ADDED, ii("&f;")), f"{HL7}:{ADDED}")
        ),
        Fault("DOCTYPE"),
        node="feed",
    ),
    Case(
        "ITI-44: a message of HL7 v2",
        lambda: feeding_raw(f"MSH|^~\\&|PAS|||||ADT^A01|1|P|2.3.1\rPID|||{GONE}\r".encode()),
        Fault("not well-formed"),
        node="feed",
    ),
    Case(
        "ITI-44: no SOAP",
        lambda: replace(feeding_raw(feed_body(ADDED, ii(GONE)).encode()), content_type="application/xml"),
        Fault("Content-Type", status=415),
        node="feed",
    ),
    Case("ITI-44: GET", lambda: Request("/pix/feed", None, b"", method="GET"), Http(405), node="feed"),
    Case(
        "ITI-44: a message of the feed to the registry",
        lambda: feeding(ADDED, feed_body(ADDED, ii(GONE)), path=m.REGISTRY),
        Fault("wsa:Action", subcodes=[wsa("ActionNotSupported")]),
        node="feed",
    ),
    Case(
        "ITI-44: an xop:Include in a message of the feed",
        lambda: feeding(ADDED, feed_body(ADDED, m.include("cid:x@example.org"))),
        Fault("xop:Include"),
        node="feed",
    ),
]


# -- the gateways: ITI-38, ITI-39 and ITI-80; ITI-18 and ITI-43 of several communities -----------------------

_AWAY, _STRANGER = f"urn:oid:{AWAY}", "urn:oid:2.25.404"
_NO_QUERY = "urn:uuid:00000000-0000-4000-8000-000000000000"
_MISSING_HOME, _UNKNOWN_HOME = "XDSMissingHomeCommunityId", "XDSUnknownCommunity"
_DOCUMENT, _PARAMETER = "XDSDocumentUniqueIdError", "XDSStoredQueryMissingParam"
_OF_PATIENT = {"$XDSDocumentEntryPatientId": f"'{m.PATIENT}'", **STATUS}
_PROVIDED = m.home_block(HOME)
#: The queries for objects by their ids (ITI TF-2 3.18.4.1.2.4).
_BY_IDS = {
    "GetDocuments": m.GET_DOCUMENTS,
    "GetFolders": "urn:uuid:5737b14c-8a1a-4539-b659-e03a34a5e1e4",
    "GetAssociations": "urn:uuid:a7ae438b-4bc2-4642-93e9-be891f7bb155",
    "GetDocumentsAndAssociations": "urn:uuid:bab9529a-4a10-40b3-a01f-f68a615d247a",
    "GetSubmissionSets": "urn:uuid:51224314-5390-4169-9b91-b1980040715a",
    "GetSubmissionSetAndContents": m.GET_SET_AND_CONTENTS,
    "GetFolderAndContents": "urn:uuid:b909a503-523d-4517-8acf-8e5834dfc4c7",
    "GetFoldersForDocument": "urn:uuid:10cae35a-c7f9-4cf5-b61e-fc3278ffb578",
    "GetRelatedDocuments": "urn:uuid:d90e5407-b356-4d91-a89f-873917b4b0e6",
}


def between(
    name: str,
    transaction: str,
    body: Callable[[], str],
    expected: Expected,
    before: Sequence[Request] = (),
    *,
    path: str = "",
    header: str = "",
    mtom: bool = False,
    node: str = "small",
) -> Case:
    """A case at an address of the gateways; at the transaction's own, if no other is given."""

    def make() -> Request:
        request = m.plain(body(), transaction, header=header)
        assert isinstance(request.body, bytes)
        kind, data = m.multipart(request.body) if mtom else (request.content_type, request.body)
        return replace(request, path=path or request.path, content_type=kind, body=data)

    where = f" at {path}" if path else ""
    return Case(f"{transaction}{where}: {name}", make, expected, before, node=node)


def asking(name: str, body: Callable[[], str], expected: Expected, before: Sequence[Request] = ()) -> Case:
    """A query of several communities."""
    return between(name, "ITI-18", body, expected, before, path=m.INITIATING)


def fetching(name: str, body: Callable[[], str], expected: Expected, before: Sequence[Request] = ()) -> Case:
    """A retrieval from several communities."""
    return between(name, "ITI-43", body, expected, before, path=m.INITIATING)


def documents(*asked: tuple[str, str]) -> str:
    """The body of ITI-39 and ITI-43 for (community or nothing, uniqueId)."""
    whole = [m.retrieve(unique_id, home=home) for home, unique_id in asked]
    end = "</xds:RetrieveDocumentSetRequest>"
    start = whole[0].partition("<xds:DocumentRequest>")[0]
    return start + "".join(each.removeprefix(start).removesuffix(end) for each in whole) + end


def targets(body: str, value: str) -> str:
    """A query that lists the communities it is for."""
    return body.replace("</rim:AdhocQuery>", m.slot("$targetCommunityIdList", value) + "</rim:AdhocQuery>")


def by_ids(home: str = "") -> str:
    """A query for a document by its id."""
    return m.query(m.GET_DOCUMENTS, {"$XDSDocumentEntryUniqueId": f"('{_unknown}')"}, home=home)


def provided(**changes: object) -> str:
    """A submission of one document."""
    document = Document(**changes)  # type: ignore[arg-type]
    return m.provide([document], m.inline([document]))


#: Actions that an address does not have, with a Body that would be right.
_ELSEWHERE = (
    ("ITI-18", m.RESPONDING, m.find_documents()),
    ("ITI-43", m.RESPONDING, m.retrieve(_unknown, home=HOME)),
    ("ITI-41", m.RESPONDING, provided()),
    ("ITI-38", m.INITIATING, m.find_documents()),
    ("ITI-39", m.INITIATING, m.retrieve(_unknown, home=HOME)),
    ("ITI-80", m.INITIATING, provided()),
    ("ITI-51", m.INITIATING, m.query(m.FIND_FOR_MULTIPLE_PATIENTS, {})),
    ("ITI-41", m.INITIATING, provided()),
    ("ITI-38", m.REGISTRY, m.find_documents()),
    ("ITI-39", m.REPOSITORY, m.retrieve(_unknown, home=HOME)),
    ("ITI-80", m.REPOSITORY, provided()),
)

RESPONDING = [
    *(
        between(
            f"{name} without a community",
            "ITI-38",
            lambda query_id=query_id: m.query(query_id, {}),  # type: ignore[misc]
            Refused([(_MISSING_HOME, HOME, "community-named")]),
        )
        for name, query_id in _BY_IDS.items()
    ),
    between(
        "a query by ids of another community",
        "ITI-38",
        lambda: by_ids(_STRANGER),
        Refused([(_UNKNOWN_HOME, HOME, "query-home")]),
    ),
    between(
        "a patient's query of another community",
        "ITI-38",
        lambda: m.query(m.FIND_DOCUMENTS, _OF_PATIENT, home=_STRANGER),
        Refused([(_UNKNOWN_HOME, HOME, "query-home")]),
    ),
    between(
        "a community with blanks around it",
        "ITI-38",
        lambda: by_ids(f" {HOME} "),
        Refused([(_UNKNOWN_HOME, HOME, "query-home")]),
    ),
    between(
        "a person in the place of a community, in MTOM",
        "ITI-38",
        lambda: by_ids(m.FAMILY),
        Refused([(_UNKNOWN_HOME, HOME, "query-home")]),
        mtom=True,
    ),
    between(
        "a stored query that nobody has",
        "ITI-38",
        lambda: m.query(_NO_QUERY, {"$patientId": f"'{m.PATIENT}'"}, home=HOME),
        Refused([("XDSUnknownStoredQuery", HOME, "query-known")]),
    ),
    between(
        "a query for several patients",
        "ITI-38",
        lambda: m.query(m.FIND_FOR_MULTIPLE_PATIENTS, _OF_PATIENT),
        Refused([("XDSUnknownStoredQuery", HOME, "query-known")]),
    ),
    between(
        "no patient, no status, a returnType of another profile and another community at once",
        "ITI-38",
        lambda: m.query(m.FIND_DOCUMENTS, {}, "LeafClassWithRepositoryItem", home=_STRANGER),
        Refused(
            [
                ("XDSRegistryError", HOME, "query-return-type"),
                (_UNKNOWN_HOME, HOME, "query-home"),
                (_PARAMETER, HOME, "query-parameter-required"),
                (_PARAMETER, HOME, "query-parameter-required"),
            ]
        ),
    ),
    between(
        "two patients' documents by their ids",
        "ITI-38",
        lambda: m.get_documents(KNOWN.unique_id, ELSEWHERE.unique_id).replace(
            "<rim:AdhocQuery ", f'<rim:AdhocQuery home="{HOME}" '
        ),
        Refused([("XDSResultNotSinglePatient", HOME, "query-single-patient")]),
        (*REGISTERED, *OF_ANOTHER),
    ),
    between(
        "more than an answer may hold",
        "ITI-38",
        lambda: m.find_documents(return_type="ObjectRef"),
        Partial([("XDSTooManyResults", HOME, "query-too-many")], warning=True),
        (m.plain(m.register(_three), "ITI-42"),),
        node="few",
    ),
    between(
        "a returnType that is none",
        "ITI-38",
        lambda: m.find_documents(return_type=m.FAMILY),
        Fault("schema of ITI-38"),
    ),
    between("the Body of a retrieval", "ITI-38", lambda: m.retrieve(_unknown, home=HOME), Fault("ITI-38")),
    between(
        "an xop:Include",
        "ITI-38",
        lambda: by_ids(HOME).replace(f"('{_unknown}')", m.include("cid:x@example.org")),
        Fault("xop:Include"),
    ),
    between(
        "an answer wanted where nobody lists it",
        "ITI-38",
        m.find_documents,
        Fault("wsa:ReplyTo", subcodes=[wsa("InvalidAddressingHeader"), wsa("OnlyAnonymousAddressSupported")]),
        header="<a:ReplyTo><a:Address>http://127.0.0.1:1/svar</a:Address></a:ReplyTo>",
    ),
    # ---- ITI-39
    between(
        "a document without a community",
        "ITI-39",
        lambda: m.retrieve(_unknown),
        Refused([(_MISSING_HOME, HOME, "community-of-document")]),
    ),
    between(
        "a document of an empty community",
        "ITI-39",
        lambda: m.retrieve(_unknown, home=HOME).replace(HOME, ""),
        Refused([(_MISSING_HOME, HOME, "community-of-document")]),
    ),
    between(
        "another community's document",
        "ITI-39",
        lambda: m.retrieve(_unknown, home=_STRANGER),
        Refused([(_UNKNOWN_HOME, HOME, "community-own")]),
    ),
    between(
        "another repository's document",
        "ITI-39",
        lambda: m.retrieve(_unknown, home=HOME, repository="2.25.1"),
        Refused([("XDSUnknownRepositoryId", HOME, "retrieve-repository")]),
    ),
    between(
        "a document that nobody has, of a community in capitals",
        "ITI-39",
        lambda: m.retrieve(_unknown, home=HOME.upper()),
        Refused([(_DOCUMENT, HOME, "retrieve-document")]),
    ),
    between(
        "a path for a document id",
        "ITI-39",
        lambda: m.retrieve("../../xds.db", home=HOME),
        Refused([(_DOCUMENT, HOME, "retrieve-document")]),
    ),
    between(
        "a document on demand that nobody makes",
        "ITI-39",
        lambda: m.retrieve(_promised.unique_id, home=HOME),
        Refused([(_DOCUMENT, HOME, "retrieve-on-demand")]),
        (m.plain(m.register([_promised]), "ITI-61"),),
    ),
    *(
        between(
            f"one good document of four, {'MTOM' if mtom else 'plain'}",
            "ITI-39",
            lambda: documents(
                ("", "1.2.3"), (_STRANGER, "1.2.3"), (HOME, _fetchable.unique_id), (HOME, _unknown)
            ),
            Partial(
                [
                    (_MISSING_HOME, HOME, "community-of-document"),
                    (_UNKNOWN_HOME, HOME, "community-own"),
                    (_DOCUMENT, HOME, "retrieve-document"),
                ]
            ),
            (m.mtom([_fetchable]),),
            mtom=mtom,
        )
        for mtom in (False, True)
    ),
    between(
        "more documents than a request may ask for",
        "ITI-39",
        lambda: m.retrieve(*map(str, range(1001)), home=HOME),
        Refused([("XDSTooManyResults", HOME, "retrieve-number")]),
    ),
    between("nothing asked for", "ITI-39", m.retrieve, Fault("schema of ITI-39")),
    between(
        "a community after the repository",
        "ITI-39",
        lambda: m.retrieve(_unknown).replace(
            "<xds:DocumentUniqueId>",
            f"<xds:HomeCommunityId>{HOME}</xds:HomeCommunityId><xds:DocumentUniqueId>",
        ),
        Fault("schema of ITI-39"),
    ),
    between("the Body of a query", "ITI-39", m.find_documents, Fault("ITI-39")),
    # ---- ITI-80
    between(
        "a submission to nobody",
        "ITI-80",
        provided,
        Refused([(_MISSING_HOME, HOME, "community-addressed")]),
    ),
    between(
        "a submission to somebody else",
        "ITI-80",
        provided,
        Refused([(_UNKNOWN_HOME, HOME, "community-own")]),
        header=m.home_block(_STRANGER),
    ),
    between(
        "a submission to a person, in MTOM",
        "ITI-80",
        provided,
        Refused([(_UNKNOWN_HOME, HOME, "community-own")]),
        header=m.home_block(f"{m.FAMILY} {m.NUMBER}"),
        mtom=True,
    ),
    between(
        "a hash that is not that of the bytes, and a missing attribute",
        "ITI-80",
        lambda: provided(slots={"hash": "0" * 40}, without=("classCode",)),
        Refused(
            [
                ("XDSRepositoryMetadataError", HOME, "document-hash"),
                ("XDSRepositoryMetadataError", HOME, "DE-classCode-required"),
            ]
        ),
        header=_PROVIDED,
    ),
    between(
        "an entry without a Document",
        "ITI-80",
        lambda: m.provide([Document()], {}),
        Refused([("XDSMissingDocument", HOME, "document-for-entry")]),
        header=_PROVIDED,
    ),
    between(
        "a Body that breaks the schema",
        "ITI-80",
        lambda: provided().replace("<rim:Description>", "<rim:Ukjent/><rim:Description>", 1),
        Refused([("XDSRepositoryMetadataError", HOME, "schema")]),
        header=_PROVIDED,
    ),
    between(
        "the Body of ITI-42", "ITI-80", lambda: m.register([Document()]), Fault("ITI-80"), header=_PROVIDED
    ),
    between(
        "a block of another namespace that must be understood",
        "ITI-80",
        provided,
        Fault("mustUnderstand", MUST_UNDERSTAND),
        header=m.home_block(HOME, ' s:mustUnderstand="1"').replace(":xdr:2014", ":xdr:2015"),
    ),
    between(
        "the block of ITI-80, to be understood by a repository",
        "ITI-41",
        provided,
        Fault("mustUnderstand", MUST_UNDERSTAND),
        header=m.home_block(HOME, ' s:mustUnderstand="1"'),
    ),
    # ---- the addresses
    *(
        between(
            "an action of another endpoint",
            transaction,
            lambda body=body: body,  # type: ignore[misc]
            Fault("wsa:Action", subcodes=[wsa("ActionNotSupported")]),
            path=path,
        )
        for transaction, path, body in _ELSEWHERE
    ),
    *(
        Case(
            f"{method} {path}",
            lambda path=path, method=method: Request(path, None, b"", method=method),
            Http(405),
        )  # type: ignore[misc]
        for path in (m.RESPONDING, m.INITIATING)
        for method in ("GET", "PUT", "DELETE")
    ),
    *(
        Case(
            f"{path} of a node that is no community",
            lambda path=path: replace(m.plain(m.find_documents(), "ITI-38"), path=path),  # type: ignore[misc]
            Http(404),
            node="feed",
        )
        for path in (m.RESPONDING, m.INITIATING)
    ),
]

INITIATING = [
    *(
        asking(
            f"{name} without a community",
            lambda query_id=query_id: m.query(query_id, {}),  # type: ignore[misc]
            Refused([(_MISSING_HOME, "AdhocQuery/home", "community-named")]),
        )
        for name, query_id in _BY_IDS.items()
    ),
    asking(
        "a query by ids of two communities",
        lambda: targets(by_ids(), f"('{HOME}','{_AWAY}')"),
        Refused([(_MISSING_HOME, "AdhocQuery/home", "community-named")]),
    ),
    asking(
        "a query by ids of a stranger",
        lambda: by_ids(_STRANGER),
        Refused([(_UNKNOWN_HOME, _STRANGER, "community-known")]),
    ),
    asking(
        "a patient's query of strangers alone",
        lambda: targets(m.find_documents(), f"('{_STRANGER}','{_STRANGER}.1')"),
        Refused(
            [(_UNKNOWN_HOME, f"{_STRANGER}{more}", "community-known") for more in ("", ".1")],
        ),
    ),
    asking(
        "a patient's query of a stranger beside us",
        lambda: targets(m.find_documents(return_type="ObjectRef"), f"('{_STRANGER}','{COMMUNITY}')"),
        Partial([(_UNKNOWN_HOME, _STRANGER, "community-known")]),
    ),
    asking(
        "communities named in both ways",
        lambda: targets(m.query(m.FIND_DOCUMENTS, _OF_PATIENT, home=HOME), f"('{HOME}')"),
        Refused([("XDSRegistryError", "AdhocQuery/home", "community-once")]),
    ),
    asking(
        "a list of communities without an end",
        lambda: targets(m.find_documents(), f"('{HOME}"),
        Refused([("XDSRegistryError", "$targetCommunityIdList", "community-listed")]),
    ),
    asking(
        "a community that is not there, by ids",
        lambda: by_ids(_AWAY),
        Refused([("XDSUnavailableCommunity", _AWAY, "community-unreached")]),
    ),
    asking(
        "a community that is not there, beside us",
        lambda: m.find_documents(return_type="ObjectRef"),
        Partial([("XDSUnavailableCommunity", _AWAY, "community-unreached")]),
    ),
    asking(
        "a stored query that nobody has",
        lambda: m.query(_NO_QUERY, {"$patientId": f"'{m.PATIENT}'"}, home=HOME),
        Refused([("XDSUnknownStoredQuery", "AdhocQuery/id", "community-query-known")]),
    ),
    asking(
        "a query for several patients",
        lambda: m.query(m.FIND_FOR_MULTIPLE_PATIENTS, _OF_PATIENT),
        Refused([("XDSUnknownStoredQuery", "AdhocQuery/id", "community-query-known")]),
    ),
    asking(
        "no patient",
        lambda: m.query(m.FIND_DOCUMENTS, STATUS),
        Refused([("XDSRegistryError", "$XDSDocumentEntryPatientId", "community-patient")]),
    ),
    asking(
        "two patients",
        lambda: m.query(
            m.FIND_DOCUMENTS, _OF_PATIENT | {"$XDSDocumentEntryPatientId": f"('{m.PATIENT}','{m.OTHER}')"}
        ),
        Refused([("XDSRegistryError", "$XDSDocumentEntryPatientId", "community-patient")]),
    ),
    asking(
        "a patient that cannot be read",
        lambda: m.query(m.FIND_DOCUMENTS, _OF_PATIENT | {"$XDSDocumentEntryPatientId": f"'{m.NUMBER}'"}),
        Refused([("XDSRegistryError", "AdhocQuery/Slot", "community-patient")]),
    ),
    asking(
        "a patient beside ids",
        lambda: m.query(
            m.GET_DOCUMENTS, {"$patient": f"'{m.PATIENT}'", "$XDSDocumentEntryUniqueId": "('1.2')"}, home=HOME
        ),
        Refused([("XDSRegistryError", "AdhocQuery/Slot", "community-patient")]),
    ),
    asking(
        "no status, of us alone",
        lambda: m.query(m.FIND_DOCUMENTS, {"$XDSDocumentEntryPatientId": f"'{m.PATIENT}'"}, home=COMMUNITY),
        Refused([(_PARAMETER, HOME, "query-parameter-required")]),
    ),
    asking("the Body of a retrieval", lambda: m.retrieve(_unknown, home=HOME), Fault("ITI-18")),
    asking(
        "a returnType that is none",
        lambda: m.find_documents(return_type=m.FAMILY),
        Fault("schema of ITI-18"),
    ),
    # ---- ITI-43
    fetching(
        "a document without a community",
        lambda: m.retrieve(_unknown),
        Refused([(_MISSING_HOME, "DocumentRequest[1]/HomeCommunityId", "community-of-document")]),
    ),
    fetching(
        "a stranger's document",
        lambda: m.retrieve(_unknown, home=_STRANGER),
        Refused([(_UNKNOWN_HOME, _STRANGER, "community-known")]),
    ),
    fetching(
        "a document of a community that is not there",
        lambda: m.retrieve(_unknown, home=_AWAY),
        Refused([("XDSUnavailableCommunity", _AWAY, "community-unreached")]),
    ),
    fetching(
        "another repository's document of us",
        lambda: m.retrieve(_unknown, home=HOME, repository="2.25.1"),
        Refused([("XDSUnknownRepositoryId", HOME, "retrieve-repository")]),
    ),
    fetching(
        "all that can be wrong, beside a good one",
        lambda: documents(
            ("", "1.2.3"),
            (_STRANGER, "1.2.3"),
            (_AWAY, "1.2.3"),
            (HOME, _unknown),
            (COMMUNITY, _fetchable.unique_id),
        ),
        Partial(
            [
                (_MISSING_HOME, "DocumentRequest[1]/HomeCommunityId", "community-of-document"),
                (_UNKNOWN_HOME, _STRANGER, "community-known"),
                ("XDSUnavailableCommunity", _AWAY, "community-unreached"),
                (_DOCUMENT, HOME, "retrieve-document"),
            ]
        ),
        (m.mtom([_fetchable]),),
    ),
    fetching(
        "more documents than a request may ask for",
        lambda: m.retrieve(*map(str, range(1001)), home=_AWAY),
        Refused([("XDSTooManyResults", "", "retrieve-number")]),
    ),
    fetching("nothing asked for", m.retrieve, Fault("schema of ITI-43")),
    fetching("the Body of a query", m.find_documents, Fault("ITI-43")),
]

CASES = [
    *REGISTER,
    *UPDATES,
    *RESTRICTED,
    *REMOVALS,
    *QUERIES,
    *WRONG_BODIES,
    *FEED,
    *RESPONDING,
    *INITIATING,
]
