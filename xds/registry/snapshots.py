"""Which snapshot of an on-demand document is the current one (ITI TF-2 3.43.4.1.3).

ITI-43 asks before it registers another: the same bytes need no second entry, others replace the first.
It must only be relied on for writing when the patient is locked.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from sqlalchemy import Connection, bindparam, select

from xds.metadata import names
from xds.registry.prepare import ASSOCIATION_TYPES
from xds.registry.rows import document_ids, links
from xds.registry.view import EVERYTHING, View
from xds.store import codes, schema
from xds.store.keys import unique_id_key, uuid_bytes, uuid_urn
from xds.store.schema import association, code, document_entry

#: The node's own look: whatever a caller may see, there must be one current snapshot.
_OWN: Final = View(leaf=False, level=1, visibility=EVERYTHING)

_CURRENT: Final = (
    document_ids(_OWN)
    .add_columns(document_entry.c.uid_key)
    .where(
        document_entry.c.entry_uuid.in_(
            links(_OWN, association.c.source_uuid).where(
                association.c.target_uuid == bindparam("entry"),
                association.c.type == ASSOCIATION_TYPES[names.IS_SNAPSHOT_OF],
            )
        ),
        document_entry.c.status == schema.STATUS_APPROVED,
        # Others may have registered snapshots of theirs, which are theirs to replace.
        document_entry.c.repo_pk
        == select(code.c.code_pk)
        .where(code.c.code == bindparam("repository"), code.c.scheme == codes.REPOSITORY)
        .scalar_subquery(),
    )
    .order_by(document_entry.c.doc_pk.desc())
    .limit(1)
)


class Snapshot(NamedTuple):
    """A snapshot's entryUUID, and what stands for its uniqueId (keys.unique_id_key)."""

    entry_uuid: str
    uid_key: bytes

    def has(self, unique_id: str) -> bool:
        """Whether this is its uniqueId."""
        return self.uid_key == unique_id_key(unique_id)


def current(connection: Connection, entry_uuid: str, repository_unique_id: str) -> Snapshot | None:
    """The approved snapshot of the on-demand entry that lies in this repository."""
    row = connection.execute(
        _CURRENT, {"entry": uuid_bytes(entry_uuid), "repository": repository_unique_id}
    ).one_or_none()
    return None if row is None else Snapshot(uuid_urn(bytes(row.entry_uuid)), bytes(row.uid_key))
