"""Whose a document is: the patient and the confidentiality codes that the access log names it with.

The transactions ask when they have fetched or removed documents by uniqueId, which say nothing of a patient.
It decides nothing: whether somebody may have a document is sight.py's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select

from xds.metadata.confidentiality import Restriction
from xds.registry.rows import survivor
from xds.store.schema import KIND_DOCUMENT_ENTRY, document_entry, patient, uid_claim


@dataclass(frozen=True, slots=True)
class Owned:
    """A document's patient (CX text, after merges), and what its entry's confidentiality codes say."""

    pid: str
    restrictions: Restriction


#: By the claim on its uniqueId, which came with the bytes.
OWNERS: Final = (
    select(uid_claim.c.key, survivor.c.pid, document_entry.c.restrictions)
    .join_from(
        uid_claim,
        document_entry,
        (document_entry.c.patient_pk == uid_claim.c.patient_pk)
        & (document_entry.c.doc_pk == uid_claim.c.obj_pk),
    )
    .join(patient, patient.c.patient_pk == uid_claim.c.patient_pk)
    .join(survivor, survivor.c.patient_pk == patient.c.survivor_pk)
    .where(uid_claim.c.key.in_(bindparam("keys", expanding=True)), uid_claim.c.kind == KIND_DOCUMENT_ENTRY)
)
_PIDS: Final = (
    select(patient.c.patient_pk, survivor.c.pid)
    .join_from(patient, survivor, survivor.c.patient_pk == patient.c.survivor_pk)
    .where(patient.c.patient_pk.in_(bindparam("keys", expanding=True)))
)


def owner(row: Any) -> Owned:
    """A row of OWNERS."""
    return Owned(row[1], Restriction(row[2]))


def pids_of(connection: Connection, keys: Iterable[int]) -> dict[int, str]:
    """The CX text of each patient_pk, after merges."""
    listed = sorted(set(keys))
    return {
        row.patient_pk: row.pid
        for start in range(0, len(listed), 500)
        for row in connection.execute(_PIDS, {"keys": listed[start : start + 500]})
    }
