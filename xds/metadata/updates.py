"""Metadata updates as plain data: which object of a message belongs to which operation, and is that sound?

ITI-57 and ITI-92 call `check` before anything is stored, then `update` for the typed content. Like
validation.py it judges by the message alone, reports every error at once and repairs nothing; what must be
asked of the registry is asked by registry/update.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from xds.errors import RegistryError
from xds.metadata import attributes, names, rules, validation
from xds.metadata.attributes import Table, slot_values, table_of
from xds.metadata.code_rules import CodeRules
from xds.metadata.ebrim import adopt_siblings, is_uuid
from xds.metadata.model import Association, DocumentEntry, Folder, RegistryObject, Submission
from xds.metadata.update_rules import RULES

UpdateTransaction = Literal["ITI-57", "ITI-92"]

#: How the rules begin that the two transactions have each under a code of its own.
_OWN: Final = {"ITI-57": "update", "ITI-92": "restricted"}
_COMMANDS: Final = (names.UPDATE_AVAILABILITY_STATUS, names.SUBMIT_ASSOCIATION)
#: AssociationPropagation as sent -> whether associations are propagated.
_PROPAGATION: Final = {(): True, ("yes",): True, ("no",): False}
_STATUSES: Final = frozenset({(names.APPROVED,), (names.DEPRECATED,)})
#: What the ends of an association are that may be submitted by itself.
_ENDS: Final = {
    names.HAS_MEMBER: (attributes.FOLDER, attributes.DOCUMENT_ENTRY),
    **dict.fromkeys(names.RELATIONSHIPS, (attributes.DOCUMENT_ENTRY, attributes.DOCUMENT_ENTRY)),
}

_Finding = tuple[str, str, str]
_Findings = Iterator[_Finding]


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A new version of a document entry or folder.

    `member` is the id of the HasMember that brings it, `previous` the version that it follows; `propagate`:
    whether the associations of that version are carried over.
    """

    entry: DocumentEntry | Folder
    member: str
    previous: int
    propagate: bool


@dataclass(frozen=True, slots=True)
class StatusChange:
    """An UpdateAvailabilityStatus: its id, the id of what it changes, and two status URNs."""

    id: str
    target: str
    original: str
    new: str


@dataclass(frozen=True, slots=True)
class Update:
    """An update that `check` has passed; `content` is all of the message, commands among its associations.

    `submitted` are the new associations that came by SubmitAssociation. `restricted`: it is of ITI-92.
    """

    content: Submission
    versions: tuple[NewVersion, ...]
    status_changes: tuple[StatusChange, ...]
    submitted: tuple[Association, ...]
    restricted: bool


def check(
    objects: Sequence[RegistryObject], *, transaction: UpdateTransaction, codes: CodeRules | None = None
) -> tuple[RegistryError, ...]:
    """Every error of an update: those that any submission can have, then those of its operations.

    `codes` are judged as in any submission, so among the first there may be warnings.
    """
    general = validation.check(objects, transaction=transaction, codes=codes)
    if any(error.rule == "object-id-length" for error in general):
        return general  # no location can be written
    found = dict.fromkeys(_findings(_Message(adopt_siblings(objects)), transaction))
    return (
        *general,
        *(
            (RULES.get(rule_id) or rules.RULES[rule_id]).error(rule_id, location, transaction, detail)
            for rule_id, location, detail in found
        ),
    )


def update(objects: Sequence[RegistryObject], *, transaction: UpdateTransaction) -> Update:
    """The typed content of a message in which `check` found nothing."""
    content = validation.submission(objects)
    links = [(each, slot_values(each.received)) for each in content.associations if each.received is not None]
    entries: dict[str, DocumentEntry | Folder] = {
        **{each.entry_uuid: each for each in content.document_entries},
        **{each.entry_uuid: each for each in content.folders},
    }
    submitted = {each.target for each in content.associations if each.type == names.SUBMIT_ASSOCIATION}
    return Update(
        content,
        tuple(
            NewVersion(
                entries[each.target],
                each.entry_uuid,
                int(slots["PreviousVersion"][0]),
                _PROPAGATION[slots.get("AssociationPropagation", ())],
            )
            for each, slots in links
            if each.type == names.HAS_MEMBER and each.target in entries and each.entry_uuid not in submitted
        ),
        tuple(
            StatusChange(each.entry_uuid, each.target, slots["OriginalStatus"][0], slots["NewStatus"][0])
            for each, slots in links
            if each.type == names.UPDATE_AVAILABILITY_STATUS
        ),
        tuple(each for each in content.associations if each.entry_uuid in submitted),
        transaction == "ITI-92",
    )


class _Message:
    """The objects of an update, sorted by what they can be to an operation."""

    __slots__ = ("entries", "ids", "links", "members", "sets")

    def __init__(self, objects: Sequence[RegistryObject]) -> None:
        self.ids: Final = {obj.id for obj in objects}
        #: id -> submission set.
        self.sets: Final = {obj.id: obj for obj in objects if table_of(obj) is attributes.SUBMISSION_SET}
        #: id -> new version and its table.
        self.entries: Final[dict[str, tuple[RegistryObject, Table]]] = {
            obj.id: (obj, table)
            for obj in objects
            if (table := table_of(obj)) in (attributes.DOCUMENT_ENTRY, attributes.FOLDER)
            and table is not None
        }
        #: id -> association.
        self.links: Final = {obj.id: obj for obj in objects if obj.kind == "Association"}
        #: id of a new version -> its HasMembers from the set.
        self.members: Final[dict[str, list[RegistryObject]]] = {}
        for link in self.links.values():
            if _type(link) == names.HAS_MEMBER and self.from_set(link) and _target(link) in self.entries:
                self.members.setdefault(_target(link), []).append(link)

    def from_set(self, link: RegistryObject) -> bool:
        """Whether the association's source is the submission set."""
        return link.attributes.get("sourceObject") in self.sets

    def propagates(self, entry: str) -> bool:
        """Whether the associations of this new version are to be propagated."""
        links = self.members.get(entry, ())
        return any(_PROPAGATION.get(slot_values(link).get("AssociationPropagation", ())) for link in links)


def _type(link: RegistryObject) -> str:
    return link.attributes.get("associationType", "")


def _target(link: RegistryObject) -> str:
    return link.attributes.get("targetObject", "")


def _findings(message: _Message, transaction: UpdateTransaction) -> _Findings:
    if len(message.sets) != 1:
        return  # which is reported; without the set nothing can be told of operations
    own = _OWN[transaction]
    yield from _versions(message, own)
    if transaction == "ITI-92":
        yield from _restricted(message)
    else:
        yield from _operations(message)


def _versions(message: _Message, own: str) -> _Findings:
    """Each new version names its logical object and has one HasMember that says what it follows."""
    logical_ids: set[str] = set()
    for entry, (obj, table) in message.entries.items():
        logical = obj.attributes.get("lid", "")
        if logical == entry or not is_uuid(logical):
            yield f"{own}-logical-id", f"{entry}/logicalID", f"({entry})"
        elif logical in logical_ids:
            yield "update-once", f"{entry}/logicalID", f"({entry})"
        logical_ids.add(logical)
        links = message.members.get(entry, [])
        if len(links) != 1:
            yield f"{own}-member", entry, f"({entry})"
        for link in links:
            slots = slot_values(link)
            if not _is_version(slots.get("PreviousVersion", ())):
                yield f"{own}-previous-version", f"{link.id}/PreviousVersion", f"({entry})"
            propagation = _PROPAGATION.get(slots.get("AssociationPropagation", ()))
            if propagation is None or (own == "restricted" and not propagation):
                yield f"{own}-propagation", f"{link.id}/AssociationPropagation", f"({entry})"
            status = slots.get("SubmissionSetStatus")
            if table is attributes.DOCUMENT_ENTRY and status != ("Original",):
                yield "member-status", f"{link.id}/submissionSetStatus", f"({entry})"


def _is_version(values: Sequence[str]) -> bool:
    return len(values) == 1 and values[0].isascii() and values[0].isdigit() and 0 < int(values[0]) < 10**9


def _restricted(message: _Message) -> _Findings:
    """ITI-92 has one operation, on document entries."""
    ((set_id, the_set),) = message.sets.items()
    if not the_set.attributes.get("home"):
        yield "restricted-home-required", f"{set_id}/homeCommunityId", ""
    if all(table is attributes.FOLDER for _, table in message.entries.values()):
        yield "restricted-document", set_id, ""
    for entry, (_, table) in message.entries.items():
        if table is attributes.FOLDER:
            yield "restricted-folder", entry, f"({entry})"
    members = {link.id for links in message.members.values() for link in links}
    for link in message.links:
        if link not in members:
            yield "restricted-operation", link, f"({link})"


def _operations(message: _Message) -> _Findings:
    """Every association is the HasMember of a new version, a command, or the new one that a command names."""
    (set_id,) = message.sets
    commands = [link for link in message.links.values() if _type(link) in _COMMANDS]
    submitted = {_target(link) for link in commands if _type(link) == names.SUBMIT_ASSOCIATION}
    if not message.entries and not commands:
        yield "update-operation", set_id, f"({set_id})"
    members = {link.id for links in message.members.values() for link in links}
    for own, link in message.links.items():
        if own in members or _type(link) in _COMMANDS:
            continue
        if own not in submitted:
            yield "update-operation", own, f"({own})"
        elif _type(link) in _ENDS and not message.from_set(link):
            yield from _submitted(message, link)
    targets = Counter((_type(link), _target(link)) for link in commands)
    for link in commands:
        if not message.from_set(link):
            yield "update-source", f"{link.id}/sourceObject", f"({link.id})"
        if targets[_type(link), _target(link)] > 1:
            yield "update-once", f"{link.id}/targetObject", f"({link.id})"
        if _type(link) == names.SUBMIT_ASSOCIATION:
            named = message.links.get(_target(link))
            if named is None or _type(named) not in _ENDS or message.from_set(named):
                yield "update-submitted", f"{link.id}/targetObject", f"({link.id})"
        else:
            yield from _status(message, link, submitted)


def _status(message: _Message, link: RegistryObject, submitted: set[str]) -> _Findings:
    slots = slot_values(link)
    original, new = slots.get("OriginalStatus", ()), slots.get("NewStatus", ())
    for name, values in (("OriginalStatus", original), ("NewStatus", new)):
        if values not in _STATUSES or (name == "NewStatus" and new == original):
            yield "update-status-values", f"{link.id}/{name}", f"({link.id})"
    target = _target(link)
    if target in message.entries or target in submitted:
        return
    if target in message.ids:
        yield "update-status-target", f"{link.id}/targetObject", f"({link.id})"
    elif not is_uuid(target):
        yield "update-resolved", f"{link.id}/targetObject", f"({link.id})"


def _submitted(message: _Message, link: RegistryObject) -> _Findings:
    """The ends of a new association, as far as the message shows what they are."""
    source, target = link.attributes.get("sourceObject", ""), _target(link)
    if source == target:
        yield "update-association-ends", f"{link.id}/targetObject", f"({link.id})"
    for name, end, wanted in zip(
        ("sourceObject", "targetObject"), (source, target), _ENDS[_type(link)], strict=True
    ):
        _, table = message.entries.get(end, (None, None))
        if table is not wanted and not (table is None and is_uuid(end)):
            yield "update-association-ends", f"{link.id}/{name}", f"({link.id})"
        elif message.propagates(end):
            yield "update-manual-propagation", f"{link.id}/{name}", f"({end})"
