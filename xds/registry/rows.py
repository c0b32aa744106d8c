"""One shape of row for every kind of registry object: each stored query is one statement and one writer.

Stored queries select `document_rows(view)`, `set_rows(view)` … and join them with UNION ALL; elements.py
writes the rows. With `view.leaf` a row is (kind, status, home_pk, pid, updated, body), else (kind,
entry_uuid, home_pk). All of these, and the `…_ids` for the inner parts of a statement, carry the conditions
that the view has for their kind: a query must never reach an object in another way. The visibility decides
about documents and every link to one; a submission set or folder is shown, without what is hidden in it.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any, Final

from sqlalchemy import (
    CTE,
    BigInteger,
    BindParameter,
    ColumnElement,
    CompoundSelect,
    Integer,
    Select,
    Table,
    Text,
    and_,
    cast,
    exists,
    literal_column,
    null,
    select,
    true,
)

from xds.registry.view import Condition, View
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

#: The patient under whose id an object is asked for and shown: after merges, the end of the chain.
survivor: Final = patient.alias("survivor")

_NO_TIME: Final = cast(null(), BigInteger)


def _number(value: int) -> ColumnElement[int]:
    # Written out, not bound: it is the same in every run, and an index may depend on it.
    return literal_column(str(value), Integer)


def _select(
    kind: int,
    table: Table,
    view: View,
    *,
    pid: ColumnElement[Any] = survivor.c.pid,
    updated: ColumnElement[Any] = _NO_TIME,
) -> Rows:
    number = _number(kind).label("kind")
    if not view.leaf:
        return select(number, table.c.entry_uuid, table.c.home_pk)
    return select(
        number, table.c.status, table.c.home_pk, pid.label("pid"), updated.label("updated"), table.c.body
    )


def _of_patient(rows: Rows, table: Table) -> Rows:
    return rows.join_from(table, patient, table.c.patient_pk == patient.c.patient_pk).join(
        survivor, patient.c.survivor_pk == survivor.c.patient_pk
    )


def document_rows(view: View) -> Rows:
    """Document entries with their patient."""
    rows = _select(schema.KIND_DOCUMENT_ENTRY, document_entry, view)
    return _of_patient(rows, document_entry).where(*_documents(view))


def set_rows(view: View) -> Rows:
    """Submission sets with their patient; they have no versions, and no view hides one."""
    return _of_patient(_select(schema.KIND_SUBMISSION_SET, submission_set, view), submission_set)


def folder_rows(view: View) -> Rows:
    """Folders with their patient."""
    rows = _select(schema.KIND_FOLDER, folder, view, updated=folder.c.last_update_time)
    return _of_patient(rows, folder).where(*_folders(view))


def association_rows(view: View) -> Rows:
    """Associations."""
    rows = _select(schema.KIND_ASSOCIATION, association, view, pid=cast(null(), Text))
    return rows.select_from(association).where(*_associations(view))


def step(rows: Rows | CompoundSelect[Any], name: str) -> CTE:
    """An inner part of a statement, to be worked out by itself before what uses it.

    PostgreSQL would otherwise join all parts at once and, beyond eight tables, in the order they are written.
    """
    return rows.cte(name).prefix_with("MATERIALIZED")


def touching(
    view: View, uuids: Rows | BindParameter[Any], *conditions: ColumnElement[bool]
) -> tuple[Rows, Rows]:
    """Associations with an end among the objects, each once: two row sets, as each end has its index."""
    associations = association_rows(view).where(*conditions)
    return (
        associations.where(association.c.source_uuid.in_(uuids)),
        associations.where(association.c.target_uuid.in_(uuids), association.c.source_uuid.not_in(uuids)),
    )


def document_ids(view: View) -> Rows:
    """The entryUUIDs of document entries, for the inner parts of a statement."""
    return select(document_entry.c.entry_uuid).where(*_documents(view))


def set_ids() -> Rows:
    """The entryUUIDs of submission sets, which every view shows."""
    return select(submission_set.c.entry_uuid)


def folder_ids(view: View) -> Rows:
    """The entryUUIDs of folders."""
    return select(folder.c.entry_uuid).where(*_folders(view))


def links(view: View, *columns: ColumnElement[Any]) -> Rows:
    """Columns of associations, for the inner parts of a statement."""
    return select(*columns).select_from(association).where(*_associations(view))


def _documents(view: View) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if view.level == 1:
        conditions = [
            document_entry.c.latest == _number(1),
            document_entry.c.availability == _number(schema.ONLINE),
        ]
    if view.visibility.condition is not None:
        conditions.append(view.visibility.condition(document_entry))
    return conditions


def _folders(view: View) -> list[ColumnElement[bool]]:
    if view.level != 1:
        return []
    return [folder.c.latest == _number(1), folder.c.status == _number(schema.STATUS_APPROVED)]


def _associations(view: View) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if view.level == 1:
        conditions.append(association.c.status == _number(schema.STATUS_APPROVED))
    if view.visibility.condition is not None:
        # A link to a document that may not be seen would tell that there is one, and so would a set's link
        # to such a link (ITI TF-3 4.2.2.1.4: the set has its folder memberships as members).
        member = association.alias("member")
        conditions += [
            ~exists().where(_hidden_end(association, view.visibility.condition)),
            ~exists().where(
                _has_end(association, member.c.entry_uuid), _hidden_end(member, view.visibility.condition)
            ),
        ]
    return conditions


def _has_end(link: Any, uuid: ColumnElement[Any]) -> ColumnElement[bool]:
    return uuid.in_([link.c.source_uuid, link.c.target_uuid])


def _hidden_end(link: Any, condition: Condition) -> ColumnElement[bool]:
    end = document_entry.alias("end")
    # IS NOT TRUE: a condition that comes to nothing for a row hides it, as it does in document_rows.
    return and_(_has_end(link, end.c.entry_uuid), condition(end).is_not(true()))
