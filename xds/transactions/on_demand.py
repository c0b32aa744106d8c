"""The on-demand documents of a retrieval: found in the registry, made, and kept where the function says so.

Called by ITI-43 for documents that the repository does not hold. An entry is asked for as any consumer would
ask, by GetDocuments, so that the registry shows the caller no more here than there. A snapshot's uniqueId is
made from its bytes: the same bytes have the same id, and an id never means other bytes
(ITI TF-2 3.43.4.1.3.2).
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Final

from sqlalchemy import Connection

from xds.errors import RegistryFailure
from xds.metadata import entries, names
from xds.metadata.ebrim import new_id, read_object_list
from xds.metadata.model import Association, DocumentEntry, Slot, Submission, SubmissionSet
from xds.metadata.validation import check, submission
from xds.registry import patients, snapshots
from xds.registry.queries import get_documents
from xds.registry.registry import StoredQuery
from xds.registry.view import EVERYTHING, Visibility
from xds.repository.documents import NewDocument, StoredDocument
from xds.repository.on_demand import Made
from xds.store.keys import now
from xds.transactions.iti41_provide_and_register_document_set import put_and_record
from xds.transactions.rules import broken
from xds.transactions.transaction import Node
from xds.transport import xml

#: The root of all UUIDs that are made from a snapshot's bytes.
_SNAPSHOTS: Final = uuid.UUID("9a0f6f0b-4a55-4d0f-8f0e-6d4f2f3b1c5e")


def find(node: Node, unique_id: str, visibility: Visibility) -> DocumentEntry | None:
    """The approved on-demand entry of this repository with this uniqueId; of several the newest.

    Raises RegistryFailure when they are several patients'.
    """
    quoted = "('" + unique_id.replace("'", "''") + "')"
    asked = StoredQuery(get_documents.ID, [Slot("$XDSDocumentEntryUniqueId", (quoted,))], "LeafClass")
    elements = b"".join(piece for some in node.registry.query(asked, visibility).elements for piece in some)
    found = xml.parse(b'<r xmlns:rim="' + names.RIM.encode() + b'">' + elements + b"</r>")
    for entry in reversed([entries.document_entry(each) for each in read_object_list(found)]):
        if (entry.object_type, entry.availability_status, entry.repository_unique_id) == (
            names.ON_DEMAND,
            names.APPROVED,
            node.repository.unique_id,
        ):
            return entry
    return None


def snapshot_id(entry: DocumentEntry, made: Made) -> str:
    """The uniqueId of what was made: an OID under 2.25 (ITU-T X.667), by entry, bytes and MIME type.

    It is that of the logical entry: a new version of the metadata makes no other document.
    """
    name = f"{entry.logical_id or entry.entry_uuid} {made.staged.sha256} {made.mime_type}"
    return f"2.25.{uuid.uuid5(_SNAPSHOTS, name).int}"


def keep(node: Node, entry: DocumentEntry, made: Made) -> StoredDocument:
    """Store the bytes and register their snapshot, unless they are the current one already.

    A snapshot with other bytes replaces the one before. Raises RegistryFailure when it cannot be registered.
    """
    unique_id = snapshot_id(entry, made)
    document = NewDocument(unique_id, made.mime_type, made.staged)
    repository = node.repository

    def is_current() -> bool:
        with node.database.read() as connection:
            current = snapshots.current(connection, entry.entry_uuid, repository.unique_id)
        return current is not None and current.has(unique_id)

    def register(connection: Connection) -> None:
        # Locked before looking: of two that make different bytes at once, the later replaces the earlier.
        patients.lock(connection, entry.patient_id)
        # As the entry is now: an update may have made a new version of it meanwhile.
        latest = find(node, entry.unique_id, EVERYTHING) or entry
        current = snapshots.current(connection, latest.entry_uuid, repository.unique_id)
        if current is None or not current.has(unique_id):
            registered = _submission(latest, made, unique_id, repository.unique_id, current)
            node.registry.register(connection, node.registry.prepare(registered), EVERYTHING)

    stored = repository.find([unique_id])
    if not stored or repository.damaged([document]) or not is_current():
        # The retrieval is what is on record (iti43), and names the snapshot.
        put_and_record(node, [document], register, lambda connection: None)
        stored = repository.find([unique_id])
    else:
        made.staged.discard()
    if unique_id not in stored:
        raise RegistryFailure(broken("retrieve-document"))  # removed (ITI-86) at this very moment
    return stored[unique_id]


def _submission(
    entry: DocumentEntry, made: Made, unique_id: str, repository: str, replaced: snapshots.Snapshot | None
) -> Submission:
    """A set of its own with the stable entry, IsSnapshotOf, and RPLC of the snapshot before."""
    time = str(now())
    stable = replace(
        entry,
        entry_uuid=new_id(),
        unique_id=unique_id,
        object_type=names.STABLE,
        mime_type=made.mime_type,
        creation_time=time,
        hash=made.staged.sha1,
        size=made.staged.size,
        repository_unique_id=repository,
        availability_status=None,
        document_availability=None,
        logical_id=None,
        version=None,
    )
    new_set = SubmissionSet(
        entry_uuid=new_id(),
        unique_id=f"2.25.{uuid.uuid4().int}",
        patient_id=entry.patient_id,
        source_id=repository,
        submission_time=time,
        content_type_code=entry.type_code,
        authors=entry.authors,
    )
    links = [
        _link(names.HAS_MEMBER, new_set.entry_uuid, stable.entry_uuid, "Original"),
        _link(names.IS_SNAPSHOT_OF, stable.entry_uuid, entry.entry_uuid),
    ]
    if replaced is not None:
        links.append(_link(names.RPLC, stable.entry_uuid, replaced.entry_uuid))
    said: list[entries.Entry] = [new_set, stable, *links]
    objects = tuple(map(entries.registry_object, said))
    if errors := check(objects, transaction="ITI-42"):
        raise RegistryFailure(*errors)
    return submission(objects)


def _link(kind: str, source: str, target: str, status: str | None = None) -> Association:
    return Association(
        entry_uuid=new_id(), type=kind, source=source, target=target, submission_set_status=status
    )
