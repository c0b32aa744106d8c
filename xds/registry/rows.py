"""One shape of row for every kind of registry object: each stored query is one statement and one writer.

Stored queries select `document_rows()`, `set_rows()` … and join them with UNION ALL; elements.py writes the
rows. With `leaf` a row is (kind, status, home_pk, pid, updated, body), else (kind, entry_uuid, home_pk).
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    Table,
    Text,
    cast,
    literal_column,
    null,
    select,
)

from xds.store import schema
from xds.store.schema import (
    association,
    document_entry,
    folder,
    patient,
    submission_set,
)

Rows = Select[Any]

#: All of a leaf row but its body.
FRAME: Final = itemgetter(0, 1, 2, 3, 4)
#: Where a leaf row has its patient: None for an association, which has no patient id of its own.
PID: Final = 3

_NO_TIME: Final = cast(null(), BigInteger)


def _select(
    kind: int,
    table: Table,
    *,
    pid: ColumnElement[Any] = patient.c.pid,
    updated: ColumnElement[Any] = _NO_TIME,
    leaf: bool,
) -> Rows:
    number = literal_column(str(kind), Integer).label("kind")
    if not leaf:
        return select(number, table.c.entry_uuid, table.c.home_pk)
    return select(
        number, table.c.status, table.c.home_pk, pid.label("pid"), updated.label("updated"), table.c.body
    )


def document_rows(*, leaf: bool) -> Rows:
    """Document entries with their patient; `leaf` False selects only what an ObjectRef needs."""
    d = document_entry
    rows = _select(schema.KIND_DOCUMENT_ENTRY, d, leaf=leaf)
    return rows.join_from(d, patient, d.c.patient_pk == patient.c.patient_pk)


def set_rows(*, leaf: bool) -> Rows:
    """Submission sets with their patient."""
    s = submission_set
    rows = _select(schema.KIND_SUBMISSION_SET, s, leaf=leaf)
    return rows.join_from(s, patient, s.c.patient_pk == patient.c.patient_pk)


def folder_rows(*, leaf: bool) -> Rows:
    """Folders with their patient."""
    f = folder
    rows = _select(schema.KIND_FOLDER, f, updated=f.c.last_update_time, leaf=leaf)
    return rows.join_from(f, patient, f.c.patient_pk == patient.c.patient_pk)


def association_rows(*, leaf: bool) -> Rows:
    """Associations."""
    return _select(schema.KIND_ASSOCIATION, association, pid=cast(null(), Text), leaf=leaf).select_from(
        association
    )
