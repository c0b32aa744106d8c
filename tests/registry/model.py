"""A registry as plain Python: what the standard asks for, said again without a database.

test_model.py plays the same operations to this model and to the real registry, and asks both the same
questions. It is written from the standard alone, so plainly that it can be checked against it by eye: a
registry is four dictionaries of frozen entries, a query is a comprehension over them. It must never import
more of xds than the names and the values of the metadata, nor be used for anything but comparing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from xds.metadata import names
from xds.metadata.model import Association, DocumentEntry, Folder, Submission, SubmissionSet

Entry = DocumentEntry | SubmissionSet | Folder | Association
#: A query's parameters without the $: for each Slot of the name the values in it.
Asked = Mapping[str, Sequence[Sequence[Any]]]


class Refused(Exception):
    """The registry must answer Failure, with errors of these codes, and do nothing.

    It may leave out what hardly matters beside another error, such as whose a superseded version is.
    """

    def __init__(self, codes: Iterable[str]) -> None:
        self.codes = set(codes)
        super().__init__(*sorted(self.codes))


@dataclass
class Model:
    """All that is registered. Every version of an entry stands under its own entryUUID."""

    documents: dict[str, DocumentEntry] = field(default_factory=dict)
    sets: dict[str, SubmissionSet] = field(default_factory=dict)
    folders: dict[str, Folder] = field(default_factory=dict)
    associations: dict[str, Association] = field(default_factory=dict)
    #: Subsumed patient id -> the id it was merged into (ITI TF-2 3.8.4).
    merged: dict[str, str] = field(default_factory=dict)
    #: What was sent under each SubmissionSet.uniqueId, to know a repeat.
    sent: dict[str, Submission] = field(default_factory=dict)
    #: Associations that the registry makes itself; their ids are the registry's choice.
    made: int = 0

    # -- what is asked of objects ----------------------------------------------------------------------------

    @property
    def objects(self) -> dict[str, Entry]:
        return {**self.documents, **self.sets, **self.folders, **self.associations}

    def survivor(self, patient: str) -> str:
        """The id under which a patient's objects are asked for and shown (ITI TF-2 3.18.4.1.2.3.9)."""
        while patient in self.merged:
            patient = self.merged[patient]
        return patient

    def versions(self, logical_id: str | None) -> list[Any]:
        """All versions of a logical document or folder, oldest first."""
        every = [*self.documents.values(), *self.folders.values()]
        return sorted((e for e in every if e.logical_id == logical_id), key=lambda e: e.version)

    def is_latest(self, entry: DocumentEntry | Folder) -> bool:
        return entry is self.versions(entry.logical_id)[-1]

    def touching(self, uuid: str) -> list[Association]:
        return [a for a in self.associations.values() if uuid in (a.source, a.target)]

    def folders_holding(self, document: str) -> list[str]:
        """The approved folders that a document is an approved member of."""
        return [
            a.source
            for a in self.associations.values()
            if a.type == names.HAS_MEMBER and a.target == document and is_approved(a)
            if a.source in self.folders and is_approved(self.folders[a.source])
        ]

    # -- what changes them -----------------------------------------------------------------------------------

    def keep(self, entry: Entry) -> None:
        """Put an entry in its place, or another state of it."""
        places: dict[type, dict[str, Any]] = {
            DocumentEntry: self.documents,
            SubmissionSet: self.sets,
            Folder: self.folders,
            Association: self.associations,
        }
        places[type(entry)][entry.entry_uuid] = entry

    def touch(self, folders: Iterable[str], now: str) -> None:
        """A folder that gains a document is updated now (ITI TF-2 3.42.4.1.3.6)."""
        for each in folders:
            self.keep(replace(self.folders[each], last_update_time=now))

    def set_status(self, uuid: str, status: str) -> None:
        self.keep(replace(self.objects[uuid], availability_status=status))

    def make(self, like: Association, **changes: Any) -> Association:
        """An association that the registry makes, approved."""
        self.made += 1
        own = replace(like, entry_uuid=f"made-{self.made}", availability_status=names.APPROVED, **changes)
        self.keep(own)
        return own

    def make_member(self, source: str, target: str) -> Association:
        return self.make(Association(entry_uuid="", type=names.HAS_MEMBER, source=source, target=target))

    def put_into_folder(self, the_set: str, folder: str, document: str, now: str) -> None:
        """A folder's new member, and the set's link to that membership (ITI TF-3 4.2.2.1.4)."""
        link = self.make_member(folder, document)
        self.make_member(the_set, link.entry_uuid)
        self.touch([folder], now)

    # -- ITI-42 and ITI-61 (ITI TF-2 3.42.4.1.3) -------------------------------------------------------------

    def register(self, sent: Submission, now: str) -> None:
        """A submission that is valid in itself; `now` is the registry's clock, YYYYMMDDhhmmss in UTC."""
        the_set = sent.submission_set
        if the_set.patient_id in self.merged:
            raise Refused({"XDSUnknownPatientId"})  # a subsumed id counts as unknown
        if self.sent.get(the_set.unique_id) == sent:
            return  # the answer to an identical repeat is that of the first
        refuse(wrong_with_submission(self, sent))

        self.sent[the_set.unique_id] = sent
        self.keep(replace(the_set, availability_status=names.APPROVED))
        for each in (*sent.document_entries, *sent.folders):
            first = {"logical_id": each.entry_uuid, "version": 1, "availability_status": names.APPROVED}
            self.keep(replace(each, **first))
        for link in sent.associations:
            self.keep(replace(link, availability_status=names.APPROVED))
        grown = {a.source for a in sent.associations if a.type == names.HAS_MEMBER} & self.folders.keys()
        self.touch(grown | {f.entry_uuid for f in sent.folders}, now)
        for link in sent.associations:
            if link.type in names.REPLACEMENTS:
                self.replace_document(the_set.entry_uuid, link.target, link.source, now)

    def replace_document(self, the_set: str, old: str, new: str, now: str) -> None:
        """RPLC and XFRM_RPLC (ITI TF-2 3.42.4.1.3.5): the old one and all that hangs on it is deprecated."""
        for uuid in self.hanging_on(old):
            self.set_status(uuid, names.DEPRECATED)
        for folder in self.folders_holding(old):
            if folder not in self.folders_holding(new):  # the submission may have put it there
                self.put_into_folder(the_set, folder, new, now)

    def hanging_on(self, old: str) -> set[str]:
        """A document with its addenda and transformations, and theirs, as far as they are approved."""
        found = {old}
        while (
            more := {
                a.source
                for a in self.associations.values()
                if a.type in (names.APND, names.XFRM) and is_approved(a) and a.target in found
            }
            - found
        ):
            found |= more
        return {uuid for uuid in found if is_approved(self.documents[uuid])}

    # -- ITI-57 (XDS Metadata Update 3.57.4.1.3.3) -----------------------------------------------------------

    def update(self, sent: Submission, now: str) -> None:
        """New versions, statuses and associations: all of them or none."""
        the_set = sent.submission_set
        if the_set.patient_id in self.merged:
            raise Refused({"XDSUnknownPatientId"})
        if self.sent.get(the_set.unique_id) == sent:
            return
        refuse(wrong_with_update(self, sent))

        self.sent[the_set.unique_id] = sent
        self.keep(replace(the_set, availability_status=names.APPROVED))
        before = [a for a in self.associations.values() if is_approved(a)]
        latest = {
            e.entry_uuid for e in (*self.documents.values(), *self.folders.values()) if self.is_latest(e)
        }
        followed = {member.target: self.versions(new.logical_id)[-1] for member, new in new_versions(sent)}
        for member, new in new_versions(sent):
            self.add_version(new, followed[new.entry_uuid])
            self.keep(replace(member, availability_status=names.APPROVED))
        old_to_new = {old.entry_uuid: new for new, old in followed.items()}
        heirs = {
            followed[new.entry_uuid].entry_uuid: new.entry_uuid
            for member, new in new_versions(sent)
            if slot(member, "AssociationPropagation") != "no"
        }
        for link in before:
            if carries_over(self, link, heirs, latest - old_to_new.keys()):
                self.carry_over(the_set.entry_uuid, link, heirs, now)
        for link in submitted_associations(sent):
            self.keep(replace(link, availability_status=names.APPROVED))
            if link.type == names.HAS_MEMBER:
                self.make_member(the_set.entry_uuid, link.entry_uuid)
                self.touch([link.source], now)
        for command in status_changes(sent):
            # A new version of this request stands for the one before it.
            target = old_to_new.get(command.target, command.target)
            self.set_status(target, slot(command, "NewStatus"))

    def add_version(self, new: Any, old: Any) -> None:
        """The old version stays, deprecated; a folder's lastUpdateTime is carried over."""
        self.set_status(old.entry_uuid, names.DEPRECATED)
        new = replace(new, version=old.version + 1, availability_status=names.APPROVED)
        if isinstance(new, Folder):
            new = replace(new, last_update_time=old.last_update_time)
        self.keep(new)

    def carry_over(self, the_set: str, link: Association, heirs: Mapping[str, str], now: str) -> None:
        """Association propagation: the same link for the new version; the old one stays with the old."""
        source, target = heirs.get(link.source, link.source), heirs.get(link.target, link.target)
        copy = self.make(link, source=source, target=target)
        if copy.type == names.HAS_MEMBER:
            self.make_member(the_set, copy.entry_uuid)
            if link.target in heirs:
                self.touch([source], now)

    # -- ITI-62 (Remove Metadata) ----------------------------------------------------------------------------

    def remove(self, uuids: Iterable[str]) -> None:
        """All of these or none."""
        gone = set(uuids)
        refuse(wrong_with_removal(self, gone))
        # A set that loses something of what it brought is not what was sent any more.
        lost = [self.associations[uuid] for uuid in gone & self.associations.keys()]
        brought = {a.source if a.type == names.HAS_MEMBER else self.brought_by(a) for a in lost}
        forgotten = {each.unique_id for uuid, each in self.sets.items() if uuid in brought | gone}
        for kept in (self.documents, self.sets, self.folders, self.associations):
            for uuid in gone & kept.keys():
                del kept[uuid]
        self.sent = {unique_id: sent for unique_id, sent in self.sent.items() if unique_id not in forgotten}

    def brought_by(self, link: Association) -> str | None:
        """The set of a relationship: that which brought the document at its source."""
        return next(
            (
                a.source
                for a in self.associations.values()
                if a.target == link.source and a.submission_set_status == "Original"
            ),
            None,
        )

    # -- ITI-8, ITI-44 (ITI TF-2 3.8.4) ----------------------------------------------------------------------

    def merge(self, subsumed: str, surviving: str) -> None:
        """Nobody is merged into himself, twice, or into somebody who is merged already."""
        if subsumed == surviving:
            raise Refused({"XDSRegistryError"})
        if self.merged.get(subsumed) == surviving and surviving not in self.merged:
            return  # the message came again
        if subsumed in self.merged or surviving in self.merged:
            raise Refused({"XDSUnknownPatientId"})
        self.merged[subsumed] = surviving

    def unmerge(self, subsumed: str) -> None:
        """An operator's act; what was registered in between stays where it is.

        An approved association never links two patients, but for what a set takes in by reference; a set's
        link to another association goes with that.
        """
        del self.merged[subsumed]
        owner = {
            uuid: self.survivor(each.patient_id) for uuid, each in {**self.documents, **self.folders}.items()
        }
        for link in [*self.associations.values()]:
            crosses = (
                link.source in owner and link.target in owner and owner[link.source] != owner[link.target]
            )
            if crosses and is_approved(link):
                for each in (link, *self.touching(link.entry_uuid)):
                    self.set_status(each.entry_uuid, names.DEPRECATED)

    # -- what a query starts from ----------------------------------------------------------------------------

    def shown(self, entry: Any) -> Any:
        return replace(entry, patient_id=self.survivor(entry.patient_id))

    def documents_at(self, level: int) -> list[DocumentEntry]:
        """Level 1 shows latest versions that are online (XDS Metadata Update 3.18.4.1.2.3.5.1)."""
        return [
            self.shown(d)
            for d in self.documents.values()
            if level == 2 or (self.is_latest(d) and d.document_availability != names.OFFLINE)
        ]

    def folders_at(self, level: int) -> list[Folder]:
        """Level 1 shows latest versions that are approved."""
        return [
            self.shown(f)
            for f in self.folders.values()
            if level == 2 or (self.is_latest(f) and is_approved(f))
        ]

    def associations_at(self, level: int) -> list[Association]:
        """Level 1 shows approved ones."""
        return [a for a in self.associations.values() if level == 2 or is_approved(a)]

    def all_sets(self) -> list[SubmissionSet]:
        return [self.shown(s) for s in self.sets.values()]


def is_approved(entry: Entry) -> bool:
    return entry.availability_status == names.APPROVED


def refuse(wrong: Iterable[str]) -> None:
    codes = set(wrong)
    if codes:
        raise Refused(codes)


def entries_of(sent: Submission) -> dict[str, Entry]:
    """What a message holds, by the ids in it."""
    every = (sent.submission_set, *sent.document_entries, *sent.folders, *sent.associations)
    return {each.entry_uuid: each for each in every}


# -- what the registry must refuse ---------------------------------------------------------------------------


def wrong_with_submission(model: Model, sent: Submission) -> Iterator[str]:
    """The codes of a submission that must not be registered, as far as that depends on the registry."""
    new = entries_of(sent)
    if new.keys() & model.objects.keys():
        yield "XDSRegistryMetadataError"  # an entryUUID that is taken
    yield from wrong_with_unique_ids(model, sent)
    for link in sent.associations:
        yield from wrong_with_ends(model, sent, link)


def wrong_with_unique_ids(model: Model, sent: Submission) -> Iterator[str]:
    """ITI TF-2 3.42.4.1.3.3.1 and .7: only documents may share theirs, when they have the same bytes."""
    of_documents = {d.unique_id for d in model.documents.values()}
    of_others = {each.unique_id for each in (*model.sets.values(), *model.folders.values())}
    for each in (sent.submission_set, *sent.folders):
        if each.unique_id in of_documents | of_others:
            yield "XDSDuplicateUniqueIdInRegistry"
    for document in sent.document_entries:
        if document.unique_id in of_others:
            yield "XDSRegistryMetadataError"  # XDSDuplicateUniqueIdInRegistry is never for documents
        for other in model.documents.values():
            if other.unique_id == document.unique_id:
                if other.object_type != document.object_type:
                    yield "XDSRegistryMetadataError"  # ITI TF-2 3.61.4.1.3
                    continue
                if (other.hash or "").lower() != (document.hash or "").lower():
                    yield "XDSNonIdenticalHash"
                if other.size != document.size:
                    yield "XDSNonIdenticalSize"


def wrong_with_ends(model: Model, sent: Submission, link: Association) -> Iterator[str]:
    """ITI TF-2 3.42.4.1.3.4 and .5: what an association may name outside its message."""
    new, the_set = entries_of(sent), sent.submission_set
    for end in (link.source, link.target):
        if end in new:
            continue
        known = model.objects.get(end)
        if known is None:
            yield "UnresolvedReferenceException"
        elif isinstance(known, DocumentEntry | Folder):
            of_set = link.type == names.HAS_MEMBER and link.source == the_set.entry_uuid
            if not of_set and model.survivor(known.patient_id) != the_set.patient_id:
                yield "XDSPatientIdDoesNotMatch"  # by reference in a set it may be another patient's
            if not is_approved(known):
                is_document = isinstance(known, DocumentEntry)
                yield "XDSRegistryDeprecatedDocumentError" if is_document else "XDSRegistryMetadataError"
            if link.type == names.IS_SNAPSHOT_OF and known.object_type != names.ON_DEMAND:
                yield "XDSRegistryMetadataError"
            if link.type == names.APND and is_transformation(model, end):
                yield "XDSRegistryMetadataError"  # a transformation must not be appended
            if link.type == names.HAS_MEMBER and link.source in model.folders_holding(end):
                yield "XDSRegistryMetadataError"  # it is in that folder already
        else:
            yield "XDSRegistryMetadataError"


def is_transformation(model: Model, uuid: str) -> bool:
    """By XFRM only: what an XFRM_RPLC made has taken its original's place."""
    return any(
        a.source == uuid and a.type == names.XFRM and is_approved(a) for a in model.associations.values()
    )


def slot(link: Association, name: str) -> str:
    """The value of a Slot that only metadata updates use; empty when it is not there."""
    return next((each.values[0] for each in link.extra_slots if each.name == name), "")


def new_versions(sent: Submission) -> list[tuple[Association, Any]]:
    """Each new version with the HasMember that brings it."""
    new = {each.entry_uuid: each for each in (*sent.document_entries, *sent.folders)}
    return [
        (a, new[a.target])
        for a in sent.associations
        if a.type == names.HAS_MEMBER and slot(a, "PreviousVersion") and a.target in new
    ]


def status_changes(sent: Submission) -> list[Association]:
    return [a for a in sent.associations if a.type == names.UPDATE_AVAILABILITY_STATUS]


def submitted_associations(sent: Submission) -> list[Association]:
    named = {a.target for a in sent.associations if a.type == names.SUBMIT_ASSOCIATION}
    return [a for a in sent.associations if a.entry_uuid in named]


def carries_over(model: Model, link: Association, heirs: Mapping[str, str], latest: set[str]) -> bool:
    """Whether an approved association of the version before is propagated: memberships in folders and
    relationships, when its other end is the latest version and, in a folder, approved.
    """
    if not {link.source, link.target} & heirs.keys() or link.source in model.sets:
        return False
    others = {link.source, link.target} - heirs.keys()
    in_folder = link.type == names.HAS_MEMBER
    return others <= latest and not any(in_folder and not is_approved(model.objects[o]) for o in others)


def wrong_with_update(model: Model, sent: Submission) -> Iterator[str]:
    the_set = sent.submission_set
    if entries_of(sent).keys() & model.objects.keys():
        yield "XDSRegistryMetadataError"
    others = (*model.documents.values(), *model.sets.values(), *model.folders.values())
    if the_set.unique_id in {each.unique_id for each in others}:
        yield "XDSDuplicateUniqueIdInRegistry"
    followed: dict[str, str] = {}
    for member, new in new_versions(sent):
        known = [each for each in model.versions(new.logical_id) if isinstance(each, type(new))]
        if not known:
            yield "XDSMetadataVersionError"
            continue
        old = known[-1]
        followed[old.entry_uuid] = new.entry_uuid
        if slot(member, "PreviousVersion") != str(old.version):
            yield "XDSMetadataVersionError"
        if not is_approved(old) or old.unique_id != new.unique_id:
            yield "XDSMetadataUpdateError"
        if isinstance(new, DocumentEntry) and old.object_type != new.object_type:
            yield "XDSMetadataUpdateError"
        if slot(member, "AssociationPropagation") != "no":
            yield from wrong_with_propagation(model, sent, old)
    for command in status_changes(sent):
        yield from wrong_with_status(model, sent, command, followed)
    for link in submitted_associations(sent):
        yield from wrong_with_submitted(model, sent, link, followed)


def wrong_with_propagation(model: Model, sent: Submission, old: Any) -> Iterator[str]:
    """An approved association never links two patients; both ends may move in one request."""
    logical_ids = {new.logical_id for _, new in new_versions(sent)}
    for link in model.touching(old.entry_uuid):
        if is_approved(link) and link.source not in model.sets:
            for end in {link.source, link.target} - {old.entry_uuid}:
                other: Any = model.objects[end]
                stays = not model.is_latest(other) or (
                    link.type == names.HAS_MEMBER and not is_approved(other)
                )
                if stays or other.logical_id in logical_ids:
                    continue  # the link is not carried over, or to a version of this request
                if is_somebody_elses(model, sent, other):
                    yield "XDSPatientIDReconciliationError"


def is_somebody_elses(model: Model, sent: Submission, entry: Any) -> bool:
    return model.survivor(entry.patient_id) != sent.submission_set.patient_id


def wrong_with_status(
    model: Model, sent: Submission, command: Association, followed: Mapping[str, str]
) -> Iterator[str]:
    if command.target in followed or command.target in followed.values():
        current = names.APPROVED  # that of the new version
    elif command.target not in model.objects:
        yield "UnresolvedReferenceException"
        return
    else:
        target: Any = model.objects[command.target]
        current = target.availability_status
        if isinstance(target, SubmissionSet) or (
            isinstance(target, Association) and target.source in model.sets
        ):
            yield "XDSMetadataUpdateError"  # never a submission set, nor its members
            return
        if not isinstance(target, Association) and not model.is_latest(target):
            yield "XDSMetadataUpdateError"
        yield from wrong_with_owner(model, sent, target, slot(command, "NewStatus"))
    if slot(command, "OriginalStatus") != current:
        yield "XDSMetadataUpdateError"


def wrong_with_owner(model: Model, sent: Submission, target: Any, status: str) -> Iterator[str]:
    """What changes is the patient's to whom the request belongs, or of one from whom it moves something."""
    ends = (target.source, target.target) if isinstance(target, Association) else (target.entry_uuid,)
    owners = {model.survivor(model.objects[end].patient_id) for end in ends}  # type: ignore[union-attr]
    if len(owners) > 1 and status == names.APPROVED:
        yield "XDSPatientIDReconciliationError"
    moved = {
        model.survivor(each.patient_id)
        for _, new in new_versions(sent)
        for each in model.versions(new.logical_id)[-1:]
    }
    if not owners <= moved | {sent.submission_set.patient_id}:
        yield "XDSPatientIdDoesNotMatch"


def wrong_with_submitted(
    model: Model, sent: Submission, link: Association, followed: Mapping[str, str]
) -> Iterator[str]:
    """Both ends are registered, approved, latest, of this patient, and not linked yet."""
    source_kind = Folder if link.type == names.HAS_MEMBER else DocumentEntry
    for end, kind in ((link.source, source_kind), (link.target, DocumentEntry)):
        entry: Any = model.objects.get(end)
        if entry is None:
            yield "UnresolvedReferenceException"
            continue
        current = isinstance(entry, kind) and model.is_latest(entry) and end not in followed
        if not current or not is_approved(entry) or is_somebody_elses(model, sent, entry):
            yield "XDSMetadataUpdateError"
        elif link.type == names.IS_SNAPSHOT_OF:
            wanted = {link.source: names.STABLE, link.target: names.ON_DEMAND}
            if entry.object_type != wanted[end]:
                yield "XDSMetadataUpdateError"
    if link.type == names.APND and is_transformation(model, link.target):
        yield "XDSRegistryMetadataError"
    ends = {link.source, link.target}
    if any(is_approved(a) and {a.source, a.target} == ends for a in model.touching(link.source)):
        yield "XDSMetadataUpdateError"


def wrong_with_removal(model: Model, gone: set[str]) -> Iterator[str]:
    """Remove Metadata and Documents 3.62.4.1.3: nothing may be left that names what is gone, or that nothing
    names any more.
    """
    if gone - model.objects.keys():
        yield "UnresolvedReferenceException"
    remaining = [a for a in model.associations.values() if a.entry_uuid not in gone]
    if any(gone & {a.source, a.target} for a in remaining):
        yield "ReferencesExistException"
    going = [a for a in model.associations.values() if a.entry_uuid in gone]
    if ends_of(going) - ends_of(remaining) - gone:
        yield "XDSUnreferencedObjectException"
    # A transformation, signature or snapshot is not parted from what it was made of.
    parted = (names.XFRM, names.SIGNS, names.IS_SNAPSHOT_OF)
    if any(a.type in parted and a.source not in gone for a in going):
        yield "ReferencesExistException"
    # Where the standard is silent: the versions of an entry go together (docs/removal.md).
    for uuid in gone & (model.documents.keys() | model.folders.keys()):
        if ids_of(model.versions(model.objects[uuid].logical_id)) - gone:
            yield "ReferencesExistException"


def ends_of(links: Iterable[Association]) -> set[str]:
    return {end for each in links for end in (each.source, each.target)}


# -- the filters of stored queries (ITI TF-2 3.18.4.1.2.3.5) -------------------------------------------------

Filter = Callable[[Any, Sequence[Any]], bool]


def one_of(attribute: str) -> Filter:
    """The attribute is one of the values."""
    return lambda entry, values: getattr(entry, attribute) in values


def any_of(attribute: str) -> Filter:
    """One of the attribute's values is one of the values."""
    return lambda entry, values: any(own in values for own in getattr(entry, attribute))


def like(pattern: str, text: str) -> bool:
    """% is any run, _ any one character, all others themselves."""
    regex = "".join({"%": ".*", "_": "."}.get(c, re.escape(c)) for c in pattern)
    return re.fullmatch(regex, text, re.DOTALL) is not None


def author_like(entry: Any, patterns: Sequence[str]) -> bool:
    return any(like(p, a.person) for p in patterns for a in entry.authors if a.person)


def reference_like(entry: Any, patterns: Sequence[str]) -> bool:
    return any(like(p, text) for p in patterns for text in entry.reference_ids)


def instant(dtm: str) -> str:
    """All fourteen digits, missing parts lowest."""
    return dtm + "00000101000000"[len(dtm) :]


def at_or_after(attribute: str) -> Filter:
    """From <= value; an entry without the time passes."""
    return lambda entry, values: (
        getattr(entry, attribute) is None or instant(values[0]) <= instant(getattr(entry, attribute))
    )


def before(attribute: str) -> Filter:
    """value < To; an entry without the time passes."""
    return lambda entry, values: (
        getattr(entry, attribute) is None or instant(getattr(entry, attribute)) < instant(values[0])
    )


def is_available(entry: DocumentEntry, values: Sequence[str]) -> bool:
    return (entry.document_availability or names.ONLINE) in values


DOCUMENT: Mapping[str, Filter] = {
    "patientId": one_of("patient_id"),
    "XDSDocumentEntryPatientId": one_of("patient_id"),
    "XDSDocumentEntryEntryUUID": one_of("entry_uuid"),
    "XDSDocumentEntryUniqueId": one_of("unique_id"),
    "XDSDocumentEntryLogicalID": one_of("logical_id"),
    "XDSDocumentEntryStatus": one_of("availability_status"),
    "XDSDocumentEntryType": one_of("object_type"),
    "XDSDocumentEntryDocumentAvailability": is_available,
    "XDSDocumentEntryClassCode": one_of("class_code"),
    "XDSDocumentEntryTypeCode": one_of("type_code"),
    "XDSDocumentEntryPracticeSettingCode": one_of("practice_setting_code"),
    "XDSDocumentEntryHealthcareFacilityTypeCode": one_of("healthcare_facility_type_code"),
    "XDSDocumentEntryFormatCode": one_of("format_code"),
    "XDSDocumentEntryEventCodeList": any_of("event_codes"),
    "XDSDocumentEntryConfidentialityCode": any_of("confidentiality_codes"),
    "XDSDocumentEntryAuthorPerson": author_like,
    "XDSDocumentEntryReferenceIdList": reference_like,
    "XDSDocumentEntryCreationTimeFrom": at_or_after("creation_time"),
    "XDSDocumentEntryCreationTimeTo": before("creation_time"),
    "XDSDocumentEntryServiceStartTimeFrom": at_or_after("service_start_time"),
    "XDSDocumentEntryServiceStartTimeTo": before("service_start_time"),
    "XDSDocumentEntryServiceStopTimeFrom": at_or_after("service_stop_time"),
    "XDSDocumentEntryServiceStopTimeTo": before("service_stop_time"),
}
SET: Mapping[str, Filter] = {
    "patientId": one_of("patient_id"),
    "XDSSubmissionSetPatientId": one_of("patient_id"),
    "XDSSubmissionSetEntryUUID": one_of("entry_uuid"),
    "XDSSubmissionSetUniqueId": one_of("unique_id"),
    "XDSSubmissionSetStatus": one_of("availability_status"),
    "XDSSubmissionSetSourceId": one_of("source_id"),
    "XDSSubmissionSetContentType": one_of("content_type_code"),
    "XDSSubmissionSetAuthorPerson": author_like,
    "XDSSubmissionSetSubmissionTimeFrom": at_or_after("submission_time"),
    "XDSSubmissionSetSubmissionTimeTo": before("submission_time"),
}
FOLDER: Mapping[str, Filter] = {
    "patientId": one_of("patient_id"),
    "XDSFolderPatientId": one_of("patient_id"),
    "XDSFolderEntryUUID": one_of("entry_uuid"),
    "XDSFolderUniqueId": one_of("unique_id"),
    "XDSFolderLogicalID": one_of("logical_id"),
    "XDSFolderStatus": one_of("availability_status"),
    "XDSFolderCodeList": any_of("codes"),
    "XDSFolderLastUpdateTimeFrom": at_or_after("last_update_time"),
    "XDSFolderLastUpdateTimeTo": before("last_update_time"),
}


def passing(entries: Iterable[Any], filters: Mapping[str, Filter], asked: Asked) -> list[Any]:
    """The entries that pass: OR within a Slot, AND between Slots of one name and of different names."""
    return [
        entry
        for entry in entries
        if all(
            filters[name](entry, values)
            for name, slots in asked.items()
            if name in filters
            for values in slots
        )
    ]


# -- the stored queries (ITI TF-2 3.18.4.1.2.3.7, 3.51.4.1.2.3) ----------------------------------------------

STABLE_ONLY: Asked = {"XDSDocumentEntryType": [[names.STABLE]]}
DOCUMENT_IDS = ("XDSDocumentEntryEntryUUID", "XDSDocumentEntryUniqueId", "XDSDocumentEntryLogicalID")


class Questions:
    """One view of a model: each stored query is a method that gives the entries of its answer."""

    def __init__(self, model: Model, asked: Asked) -> None:
        level = int(asked.get("MetadataLevel", [["1"]])[0][0])
        self.asked = asked
        self.documents = model.documents_at(level)
        self.sets = model.all_sets()
        self.folders = model.folders_at(level)
        self.associations = passing(
            model.associations_at(level),
            {"AssociationStatus": one_of("availability_status")},
            {"AssociationStatus": asked.get("XDSAssociationStatus", [[names.APPROVED]])},
        )

    def named_documents(self) -> list[DocumentEntry]:
        return passing(self.documents, DOCUMENT, self.asked)

    def stable_documents(self) -> list[DocumentEntry]:
        """$XDSDocumentEntryType is "stable" when it is absent."""
        return passing(self.documents, DOCUMENT, {**STABLE_ONLY, **self.asked})

    def touching(self, entries: Iterable[Entry]) -> list[Association]:
        ids = ids_of(entries)
        return [a for a in self.associations if ids & {a.source, a.target}]

    def members(self, sources: Iterable[Entry]) -> list[Association]:
        ids = ids_of(sources)
        return [a for a in self.associations if a.type == names.HAS_MEMBER and a.source in ids]

    def find_documents(self) -> list[Entry]:
        return [*self.stable_documents()]

    find_documents_by_reference_id = find_documents
    find_documents_for_multiple_patients = find_documents

    def find_submission_sets(self) -> list[Entry]:
        return passing(self.sets, SET, self.asked)

    def find_folders(self) -> list[Entry]:
        return passing(self.folders, FOLDER, self.asked)

    find_folders_for_multiple_patients = find_folders

    def get_all(self) -> list[Entry]:
        """Everything of the patient, and the associations with at least one end in that."""
        found = [*self.stable_documents(), *self.find_submission_sets(), *self.find_folders()]
        return [*found, *self.touching(found)]

    def get_documents(self) -> list[Entry]:
        return [*self.named_documents()]

    def get_folders(self) -> list[Entry]:
        return self.find_folders()

    def get_associations(self) -> list[Entry]:
        (uuids,) = self.asked["uuid"]
        return [a for a in self.associations if {a.source, a.target} & {*uuids}]

    def get_documents_and_associations(self) -> list[Entry]:
        documents = self.named_documents()
        return [*documents, *self.touching(documents)]

    def get_submission_sets(self) -> list[Entry]:
        """The sets that have a member among the uuids (documents, folders), and those memberships."""
        (uuids,) = self.asked["uuid"]
        links = [a for a in self.members(self.sets) if a.target in uuids]
        sources = {a.source for a in links}
        return [*(s for s in self.sets if s.entry_uuid in sources), *links]

    def get_submission_set_and_contents(self) -> list[Entry]:
        """The set, its members; of member associations those with both ends here; the memberships."""
        sets = self.find_submission_sets()
        links = self.members(sets)
        targets = {a.target for a in links}
        documents = [d for d in self.stable_documents() if d.entry_uuid in targets]
        folders = [f for f in self.folders if f.entry_uuid in targets]
        inside = ids_of([*documents, *folders])
        inner = [a for a in self.associations if a.entry_uuid in targets and {a.source, a.target} <= inside]
        outer = [a for a in links if a.target in inside | ids_of(inner)]
        return [*sets, *documents, *folders, *unique([*inner, *outer])]

    def get_folder_and_contents(self) -> list[Entry]:
        """The folder, its member documents that pass, and their memberships in it."""
        folders = self.find_folders()
        links = self.members(folders)
        targets = {a.target for a in links}
        documents = [d for d in self.stable_documents() if d.entry_uuid in targets]
        return [*folders, *documents, *(a for a in links if a.target in ids_of(documents))]

    def get_folders_for_document(self) -> list[Entry]:
        documents = ids_of(self.named_documents())
        sources = {a.source for a in self.members(self.folders) if a.target in documents}
        return [f for f in self.folders if f.entry_uuid in sources]

    def get_related_documents(self) -> list[Entry]:
        """The relationships of the types that touch the document, and the documents at their ends."""
        (types,) = self.asked["AssociationTypes"]
        of_types = [a for a in self.associations if a.type in types]
        which = {name: slots for name, slots in self.asked.items() if name in DOCUMENT_IDS}
        start = ids_of(passing(self.documents, DOCUMENT, which))
        kinds = self.asked.get("XDSDocumentEntryType", [[names.STABLE]])
        possible = ids_of(passing(self.documents, DOCUMENT, {"XDSDocumentEntryType": kinds}))
        # An association is given with both its ends or not at all.
        links = [a for a in of_types if start & {a.source, a.target} and {a.source, a.target} <= possible]
        ends = ends_of(links)
        return [*(d for d in self.documents if d.entry_uuid in ends), *links]


def ids_of(entries: Iterable[Entry]) -> set[str]:
    return {each.entry_uuid for each in entries}


def unique(entries: Iterable[Entry]) -> list[Entry]:
    return [*{each.entry_uuid: each for each in entries}.values()]
