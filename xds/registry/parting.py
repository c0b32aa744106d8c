"""What a merge that is taken back leaves behind: links between the objects of two people.

Only patients.unmerge calls `part`, with everybody concerned locked. An approved association must never link
objects of two patients (XDS Metadata Update), so these become deprecated, with all their history; nothing
else changes. What one person's document replaced in the other's record is for people to judge.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select, union_all, update

from xds.metadata import names
from xds.registry.objects import UUIDS, batches, fetch
from xds.registry.prepare import ASSOCIATION_TYPES
from xds.store import schema
from xds.store.keys import uuid_urn
from xds.store.schema import association, document_entry, folder

_source: Final = document_entry.alias("source")
_REPLACED: Final = tuple(ASSOCIATION_TYPES[each] for each in names.REPLACEMENTS)


@dataclass(frozen=True, slots=True)
class Parted:
    """`links`: how many associations are deprecated now. `replaced`: entryUUIDs of deprecated documents that
    a document of the other person had replaced.
    """

    links: int
    replaced: tuple[str, ...]


def _between(source: Any) -> Any:
    """Approved associations from an object of one side to a document of the other. By the documents of a
    patient, then ix_association_target.
    """
    return (
        select(
            association.c.entry_uuid,
            association.c.type,
            document_entry.c.entry_uuid.label("target"),
            document_entry.c.status,
        )
        .join_from(document_entry, association, association.c.target_uuid == document_entry.c.entry_uuid)
        .join(source, association.c.source_uuid == source.c.entry_uuid)
        .where(
            document_entry.c.patient_pk.in_(bindparam("targets", expanding=True)),
            source.c.patient_pk.in_(bindparam("sources", expanding=True)),
            association.c.status == schema.STATUS_APPROVED,
        )
    )


_BETWEEN: Final = union_all(_between(_source), _between(folder))
#: A set's own link to such a link (ITI TF-3 4.2.2.1.4).
_COMPANIONS: Final = select(association.c.entry_uuid).where(
    association.c.target_uuid.in_(UUIDS), association.c.status == schema.STATUS_APPROVED
)
_DEPRECATE: Final = (
    update(association).where(association.c.entry_uuid.in_(UUIDS)).values(status=schema.STATUS_DEPRECATED)
)


def part(connection: Connection, one: Collection[int], other: Collection[int]) -> Parted:
    """Deprecate what links documents and folders of these patients (patient_pk) with those of the others."""
    found = [
        row
        for sources, targets in ((one, other), (other, one))
        for row in connection.execute(_BETWEEN, {"sources": sorted(sources), "targets": sorted(targets)})
    ]
    links = sorted({bytes(row.entry_uuid) for row in found})
    replaced = {
        bytes(row.target) for row in found if row.type in _REPLACED and row.status == schema.STATUS_DEPRECATED
    }
    links += [bytes(row.entry_uuid) for row in fetch(connection, _COMPANIONS, links)]
    for some in batches(links):
        connection.execute(_DEPRECATE, {"uuids": some})
    return Parted(len(links), tuple(map(uuid_urn, sorted(replaced))))
