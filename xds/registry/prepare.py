"""A submission as rows: all the work of registering that needs no lock (ITI TF-2 3.42.4.1.3).

Called by the registry before the write transaction: symbolic ids become UUIDs, codes become words
(register.py gives them their numbers), the lasting text of each element is rendered and compressed, and what
must be asked of the registry under the lock is written down for register.py. It must never be called on a
submission that metadata.validation has not passed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from xds.errors import DataTypeError, RegistryFailure
from xds.metadata import names
from xds.metadata.attributes import is_limited
from xds.metadata.confidentiality import restrictions
from xds.metadata.datatypes import dtm_low
from xds.metadata.ebrim import fingerprint, new_id
from xds.metadata.model import (
    Association,
    Code,
    DocumentEntry,
    Folder,
    RegistryObject,
    Submission,
    SubmissionSet,
)
from xds.registry import facets
from xds.registry.elements import stored
from xds.registry.rules import broken
from xds.store import codes as words
from xds.store import schema
from xds.store.codes import Word
from xds.store.keys import new_key, now, unique_id_key, uuid_bytes, uuid_urn

#: association.type and document_entry.object_type in the database; a number is never given anew.
ASSOCIATION_TYPES: Final = {
    names.HAS_MEMBER: 1,
    names.RPLC: 2,
    names.XFRM: 3,
    names.APND: 4,
    names.XFRM_RPLC: 5,
    names.SIGNS: 6,
    names.IS_SNAPSHOT_OF: 7,
}
HAS_MEMBER: Final = ASSOCIATION_TYPES[names.HAS_MEMBER]
OBJECT_TYPES: Final = {names.STABLE: 1, names.ON_DEMAND: 2}
#: document_entry.availability; an entry that says nothing is online (XDS Metadata Update).
AVAILABILITIES: Final = {None: schema.ONLINE, names.ONLINE: schema.ONLINE, names.OFFLINE: schema.OFFLINE}

Row = dict[str, Any]
#: The versions of a submission that is no update.
_FIRST: Final[Mapping[str, int]] = {}
Entry = SubmissionSet | DocumentEntry | Folder | Association


@dataclass(frozen=True, slots=True)
class Reference:
    """One end of an association that lies outside the submission, and what it may be."""

    uuid: bytes
    kinds: tuple[int, ...]
    location: str
    same_patient: bool = True
    object_type: int | None = None
    original: bool = False  # must not be a transformation
    new_in: bytes | None = None  # the folder that it must not be in yet


@dataclass(frozen=True, slots=True)
class Claim:
    """A uniqueId that an object of the submission wants; `hash` and `size` are a stable document's."""

    key: bytes
    kind: int
    obj_pk: int
    unique_id: str
    location: str
    hash: bytes | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Replacement:
    """An RPLC or XFRM_RPLC."""

    replaced: bytes
    replacement: bytes
    location: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """A submission ready to be written.

    `rows` are by table name; they lack the patient, and have words where the tables have their numbers
    (`numbered` puts these in). `new_uuids` gives the location of each new entryUUID; `grown_folders` are
    existing folders that gain a document; `uuids` are the objects' UUIDs by their ids as sent.
    """

    pid: str
    fingerprint: bytes
    set_uuid: bytes
    set_claim: Claim
    claims: tuple[Claim, ...]
    rows: Mapping[str, list[Row]]
    references: tuple[Reference, ...]
    new_uuids: Mapping[bytes, str]
    replacements: tuple[Replacement, ...]
    grown_folders: tuple[bytes, ...]
    uuids: Mapping[str, str]

    @property
    def patient_location(self) -> str:
        """Where the patient is named, for errors."""
        return self.set_claim.location.rpartition("/")[0] + "/patientId"


@dataclass(frozen=True, slots=True)
class Reading:
    """How a registry reads what it takes in.

    `limited_metadata`: whether that is accepted. `release_slot`: the Slot in which an entry says when delayed
    access (NORU) ends. `filled` gives an object with the display names that its sender left out.
    """

    limited_metadata: bool = False
    release_slot: str = ""
    filled: Callable[[RegistryObject], RegistryObject] = lambda obj: obj


def prepare(submission: Submission, reading: Reading, versions: Mapping[str, int] = _FIRST) -> Prepared:
    """Everything about a valid submission that can be worked out before the patient is locked.

    `versions` has the version of each entry and folder, by its id as sent, that is not a first one. Codes
    that are left out are the word ("", ""): the columns want one, and no query can name it. Raises
    RegistryFailure.
    """
    the_set = submission.submission_set
    entries: list[Entry] = [
        the_set,
        *submission.document_entries,
        *submission.folders,
        *submission.associations,
    ]
    if not reading.limited_metadata and (
        labelled := [each for each in entries if is_limited(_received(each))]
    ):
        raise RegistryFailure(
            *(broken("registry-limited-metadata", f"{each.entry_uuid}/limitedMetadata") for each in labelled)
        )
    uuids = {each.entry_uuid: _uuid_of(each.entry_uuid) for each in entries}
    same = fingerprint(map(_received, entries))
    set_row = _set_row(the_set, uuids, reading) | {"fingerprint": same}
    documents = [
        _document_row(each, uuids, versions.get(each.entry_uuid, 1), reading)
        for each in submission.document_entries
    ]
    folders = [
        _folder_row(each, uuids, versions.get(each.entry_uuid, 1), reading) for each in submission.folders
    ]
    # The commands of an update are carried out, not stored.
    associations = [
        _association_row(each, uuids) for each in submission.associations if each.type in ASSOCIATION_TYPES
    ]
    claims = [
        _claim(each, schema.KIND_DOCUMENT_ENTRY, row["doc_pk"], row["hash"], row["size"])
        for each, row in zip(submission.document_entries, documents, strict=True)
    ]
    claims += [
        _claim(each, schema.KIND_FOLDER, row["folder_pk"])
        for each, row in zip(submission.folders, folders, strict=True)
    ]
    return Prepared(
        pid=the_set.patient_id,
        fingerprint=same,
        set_uuid=set_row["entry_uuid"],
        set_claim=_claim(the_set, schema.KIND_SUBMISSION_SET, set_row["set_pk"]),
        claims=tuple(claims),
        rows={
            "document_entry": documents,
            "submission_set": [set_row],
            "folder": folders,
            "association": associations,
            "listed_code": [*_listed(documents, "e"), *_listed(folders, "c")],
        },
        references=tuple(_references(submission, uuids)),
        new_uuids={uuid_bytes(uuids[each.entry_uuid]): f"{each.entry_uuid}/entryUUID" for each in entries},
        replacements=tuple(
            Replacement(
                uuid_bytes(each.target), uuid_bytes(uuids[each.source]), f"{each.entry_uuid}/targetObject"
            )
            for each in submission.associations
            # An update may link what is registered already; that replaces nothing.
            if each.type in names.REPLACEMENTS and each.source in uuids and each.target not in uuids
        ),
        grown_folders=tuple(
            dict.fromkeys(
                uuid_bytes(each.source)
                for each in submission.associations
                if each.type == names.HAS_MEMBER and each.source not in uuids
            )
        ),
        uuids=uuids,
    )


def words_of(prepared: Prepared) -> set[Word]:
    """Every word in the rows."""
    return {
        value
        for rows in prepared.rows.values()
        for row in rows
        for value in (*row.values(), *(facet[1] for facet in row.get("facets", ())))
        if isinstance(value, Word)
    }


def numbered(row: Row, numbers: Mapping[Word, int], **more: Any) -> Row:
    """The row as its table takes it, with `more` columns."""
    values = {column: numbers[value] if isinstance(value, Word) else value for column, value in row.items()}
    if "facets" in row:
        values["facets"] = facets.pack(
            (letter, numbers[value] if isinstance(value, Word) else value) for letter, value in row["facets"]
        )
    return values | more


def _claim(
    entry: SubmissionSet | DocumentEntry | Folder,
    kind: int,
    key: int,
    hash: bytes | None = None,
    size: int | None = None,
) -> Claim:
    unique_id = entry.unique_id
    return Claim(unique_id_key(unique_id), kind, key, unique_id, f"{entry.entry_uuid}/uniqueId", hash, size)


def _received(entry: Entry) -> RegistryObject:
    assert entry.received is not None, "only submissions that were read can be registered"
    return entry.received


def _uuid_of(entry_uuid: str) -> str:
    return entry_uuid if entry_uuid.startswith("urn:uuid:") else new_id()


def _logical(entry: DocumentEntry | Folder, uuids: Mapping[str, str]) -> bytes:
    # A first version names the logical object after itself (XDS Metadata Update).
    logical = entry.logical_id or entry.entry_uuid
    return uuid_bytes(uuids.get(logical, logical))


def _word(code: Code) -> Word:
    return Word(code.code, code.scheme)


def _home(home: str | None) -> Word | None:
    return Word(home, words.HOME) if home else None


def _document_row(entry: DocumentEntry, uuids: Mapping[str, str], version: int, reading: Reading) -> Row:
    return {
        "doc_pk": new_key(),
        "entry_uuid": uuid_bytes(uuids[entry.entry_uuid]),
        "logical_uuid": _logical(entry, uuids),
        "version": version,
        "latest": 1,
        "status": schema.STATUS_APPROVED,  # whatever was sent (ITI TF-2 3.42.4.1.3.3.5)
        "availability": AVAILABILITIES[entry.document_availability],
        "object_type": OBJECT_TYPES[entry.object_type],
        "class_code": _word(entry.class_code),
        "type_code": _word(entry.type_code),
        "practice_code": _word(entry.practice_setting_code),
        "facility_code": _word(entry.healthcare_facility_type_code),
        "format_code": _word(entry.format_code),
        "repo_pk": Word(entry.repository_unique_id or "", words.REPOSITORY),
        "mime_pk": Word(entry.mime_type, words.MIME_TYPE),
        "home_pk": _home(entry.home),
        "creation_time": _time(entry.creation_time),
        "service_start": _time(entry.service_start_time),
        "service_stop": _time(entry.service_stop_time),
        "size": entry.size,
        "uid_key": unique_id_key(entry.unique_id),
        "hash": bytes.fromhex(entry.hash) if entry.hash else None,
        "restrictions": int(restrictions(entry.confidentiality_codes)),
        "release_time": _release(entry, reading.release_slot),
        "facets": (
            *(("c", _word(code)) for code in entry.confidentiality_codes),
            *(("e", _word(code)) for code in entry.event_codes),
            *(("a", author.person) for author in entry.authors if author.person),
            *(("r", reference) for reference in entry.reference_ids),
            *(("o", number) for number in sorted(_written_by(entry))),
        ),
        "body": stored(schema.KIND_DOCUMENT_ENTRY, reading.filled(_received(entry)), uuids, version),
    }


def _written_by(entry: DocumentEntry) -> set[str]:
    """The numbers of the organisations that wrote it, by whoever: the tenth component of an XON."""
    parts = [text.split("^") for author in entry.authors for text in author.institutions]
    return {each[9] for each in parts if len(each) > 9 and each[9].isascii() and each[9].isdigit()}


def _release(entry: DocumentEntry, slot: str) -> int | None:
    """When delayed access ends. A time that cannot be read to the day says nothing that could be kept to."""
    said = [value for each in entry.extra_slots if each.name == slot for value in each.values]
    if not said:
        return None
    try:
        if len(said) > 1 or len(said[0]) < len("YYYYMMDD"):
            raise DataTypeError("one time, to the day at least")
        return dtm_low(said[0])
    except DataTypeError:
        raise RegistryFailure(broken("registry-release-time", f"{entry.entry_uuid}/{slot}")) from None


def _set_row(the_set: SubmissionSet, uuids: Mapping[str, str], reading: Reading) -> Row:
    return {
        "set_pk": new_key(),
        "entry_uuid": uuid_bytes(uuids[the_set.entry_uuid]),
        "status": schema.STATUS_APPROVED,
        "home_pk": _home(the_set.home),
        "submission_time": _time(the_set.submission_time),
        "source_pk": Word(the_set.source_id, words.SOURCE),
        "content_type": _word(the_set.content_type_code),
        "uid_key": unique_id_key(the_set.unique_id),
        "facets": tuple(("a", author.person) for author in the_set.authors if author.person),
        "body": stored(schema.KIND_SUBMISSION_SET, reading.filled(_received(the_set)), uuids),
    }


def _folder_row(each: Folder, uuids: Mapping[str, str], version: int, reading: Reading) -> Row:
    return {
        "folder_pk": new_key(),
        "entry_uuid": uuid_bytes(uuids[each.entry_uuid]),
        "logical_uuid": _logical(each, uuids),
        "version": version,
        "latest": 1,
        "status": schema.STATUS_APPROVED,
        "home_pk": _home(each.home),
        "last_update_time": now(),
        "uid_key": unique_id_key(each.unique_id),
        "facets": tuple(("c", _word(code)) for code in each.codes),
        "body": stored(schema.KIND_FOLDER, reading.filled(_received(each)), uuids, version),
    }


def _association_row(each: Association, uuids: Mapping[str, str]) -> Row:
    return {
        "assoc_pk": new_key(),
        "entry_uuid": uuid_bytes(uuids[each.entry_uuid]),
        "type": ASSOCIATION_TYPES[each.type],
        "status": schema.STATUS_APPROVED,
        "source_uuid": uuid_bytes(uuids.get(each.source, each.source)),
        "target_uuid": uuid_bytes(uuids.get(each.target, each.target)),
        "home_pk": None,
        "body": stored(schema.KIND_ASSOCIATION, _received(each), uuids),
    }


def _listed(rows: Sequence[Row], letter: str) -> Iterator[Row]:
    """The rows of listed_code: each code that an object lists under this letter of its facets, once."""
    for row in rows:
        kind, key = (
            (schema.KIND_DOCUMENT_ENTRY, "doc_pk") if "doc_pk" in row else (schema.KIND_FOLDER, "folder_pk")
        )
        for code in sorted({value for own, value in row["facets"] if own == letter}):
            yield {"kind": kind, "code_pk": code, "obj_pk": row[key]}


def link(source: str, target: str) -> Row:
    """The row of a HasMember that the registry makes itself, between two UUIDs."""
    own = new_id()
    attributes = {
        "id": own,
        "associationType": names.HAS_MEMBER,
        "sourceObject": source,
        "targetObject": target,
    }
    received = RegistryObject("Association", attributes)
    association = Association(
        entry_uuid=own, type=names.HAS_MEMBER, source=source, target=target, received=received
    )
    return _association_row(association, {own: own})


def companions(set_uuid: bytes, memberships: Iterable[bytes]) -> list[Row]:
    """For each folder membership the set's own link to it, which it must have (ITI TF-3 4.2.2.1.4)."""
    return [link(uuid_urn(set_uuid), uuid_urn(each)) for each in memberships]


def _references(submission: Submission, uuids: Mapping[str, str]) -> Iterator[Reference]:
    """What each association points at outside the submission (ITI TF-3 4.2.2, TF-2 3.42.4.1.3.4 and .5)."""
    documents, folders = (schema.KIND_DOCUMENT_ENTRY,), (schema.KIND_FOLDER,)
    set_id = submission.submission_set.entry_uuid
    for each in submission.associations:
        target = f"{each.entry_uuid}/targetObject"
        if each.source not in uuids:
            yield Reference(uuid_bytes(each.source), folders, f"{each.entry_uuid}/sourceObject")
        if each.target in uuids:
            continue
        if each.type == names.IS_SNAPSHOT_OF:
            yield Reference(
                uuid_bytes(each.target), documents, target, object_type=OBJECT_TYPES[names.ON_DEMAND]
            )
        elif each.source == set_id:
            # The only member by reference is a document, and it may be another patient's (ITI TF-3 4.2.2.1).
            yield Reference(uuid_bytes(each.target), documents, target, same_patient=False)
        elif each.type == names.HAS_MEMBER:
            folder = None if each.source in uuids else uuid_bytes(each.source)
            yield Reference(uuid_bytes(each.target), documents, target, new_in=folder)
        else:
            yield Reference(uuid_bytes(each.target), documents, target, original=each.type == names.APND)


def _time(dtm: str | None) -> int | None:
    return None if dtm is None else dtm_low(dtm)
