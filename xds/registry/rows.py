"""One shape of row for every kind of registry object: each stored query is one statement and one writer.

Stored queries select `document_rows(view)`, `set_rows(view)` … and join them with UNION ALL; elements.py
writes the rows. With `view.leaf` a row is (kind, status, home_pk, pid, updated, masked, entry_uuid, body),
else (kind, entry_uuid, home_pk, pid, masked). All of these, and the `…_ids` for the inner parts of a
statement, carry the conditions that the view has for their kind: a query must never reach an object in
another way. The visibility decides about documents; links, submission sets and folders are seen for the sake
of what it opens (view.py).
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
    case,
    cast,
    exists,
    false,
    literal_column,
    null,
    or_,
    select,
    true,
    union_all,
)

from xds.registry.view import View, Visibility
from xds.store import schema
from xds.store.schema import (
    association,
    document_entry,
    folder,
    patient,
    submission_set,
)

Rows = Select[Any]

#: What of a leaf row is written around its body.
FRAME: Final = itemgetter(0, 1, 2, 3, 4, 5)
#: Where a row has its patient, None for an association, which has no patient id of its own.
PID: Final = 3
#: What the access log is told of a row: (pid, masked, entry_uuid), of leaf rows and of others.
LISTED: Final = {True: itemgetter(PID, 5, 6), False: itemgetter(PID, 4, 1)}

#: The patient under whose id an object is asked for and shown: after merges, the end of the chain.
survivor: Final = patient.alias("survivor")

_NO_TIME: Final = cast(null(), BigInteger)
_OPEN: Final = literal_column("0", Integer)


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
    masked: ColumnElement[int] = _OPEN,
) -> Rows:
    number = _number(kind).label("kind")
    if not view.leaf:
        return select(number, table.c.entry_uuid, table.c.home_pk, pid.label("pid"), masked.label("masked"))
    return select(
        number,
        table.c.status,
        table.c.home_pk,
        pid.label("pid"),
        updated.label("updated"),
        masked.label("masked"),
        table.c.entry_uuid,
        table.c.body,
    )


def _of_patient(rows: Rows, table: Table) -> Rows:
    return rows.join_from(table, patient, table.c.patient_pk == patient.c.patient_pk).join(
        survivor, patient.c.survivor_pk == survivor.c.patient_pk
    )


def document_rows(view: View) -> Rows:
    """Document entries with their patient."""
    masked: ColumnElement[int] = _OPEN
    if view.visibility.masked is not None:
        # Whatever is not surely open is masked.
        masked = case((view.visibility.masked(document_entry).is_(false()), _number(0)), else_=_number(1))
    rows = _select(schema.KIND_DOCUMENT_ENTRY, document_entry, view, masked=masked)
    return _of_patient(rows, document_entry).where(*_documents(view))


def set_rows(view: View) -> Rows:
    """Submission sets with their patient; they have no versions."""
    rows = _select(schema.KIND_SUBMISSION_SET, submission_set, view)
    return _of_patient(rows, submission_set).where(*_set_is_seen(submission_set, view.visibility))


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


def set_ids(view: View) -> Rows:
    """The entryUUIDs of submission sets."""
    return select(submission_set.c.entry_uuid).where(*_set_is_seen(submission_set, view.visibility))


def folder_ids(view: View) -> Rows:
    """The entryUUIDs of folders."""
    return select(folder.c.entry_uuid).where(*_folders(view))


def links(view: View, *columns: ColumnElement[Any]) -> Rows:
    """Columns of associations, for the inner parts of a statement."""
    return select(*columns).select_from(association).where(*_associations(view))


def open_ids(visibility: Visibility, uuids: BindParameter[Any]) -> CompoundSelect[Any]:
    """Those of some entryUUIDs, of whatever kind and version, that are open to a caller."""
    view = View(leaf=False, level=2, visibility=visibility)
    documents = select(document_entry.c.entry_uuid).where(*visibility.opened(document_entry))
    return union_all(
        *(
            rows.where(table.c.entry_uuid.in_(uuids))
            for rows, table in (
                (documents, document_entry),
                (set_ids(view), submission_set),
                (folder_ids(view), folder),
                (links(view, association.c.entry_uuid), association),
            )
        )
    )


# -- what a view puts on each kind ---------------------------------------------------------------------------


def _documents(view: View) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if view.level == 1:
        conditions = [
            document_entry.c.latest == _number(1),
            document_entry.c.availability == _number(schema.ONLINE),
        ]
    return conditions + view.visibility.listed(document_entry)


def _folders(view: View) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if view.level == 1:
        conditions = [folder.c.latest == _number(1), folder.c.status == _number(schema.STATUS_APPROVED)]
    return conditions + _folder_is_seen(folder, view.visibility)


def _associations(view: View) -> list[ColumnElement[bool]]:
    visibility = view.visibility
    conditions: list[ColumnElement[bool]] = []
    if view.level == 1:
        conditions.append(association.c.status == _number(schema.STATUS_APPROVED))
    if visibility.owner is not None:
        conditions.append(visibility.owner(association.c.patient_pk))
    if visibility.owner is not None or visibility.is_partial:
        # A link to what may not be seen would tell that there is something, and so would a set's link to such
        # a link (ITI TF-3 4.2.2.1.4: the set has its folder memberships as members).
        member = association.alias("member")
        conditions += [
            ~exists().where(_hidden_end(association, visibility)),
            ~exists().where(_has_end(association, member.c.entry_uuid), _hidden_end(member, visibility)),
        ]
    if visibility.is_partial:
        packages = (
            (submission_set.alias("set_end"), _set_is_seen),
            (folder.alias("folder_end"), _folder_is_seen),
        )
        conditions += [
            ~exists().where(
                _has_end(association, end.c.entry_uuid), and_(*is_seen(end, visibility)).is_not(true())
            )
            for end, is_seen in packages
        ]
    return conditions


def _set_is_seen(the_set: Any, visibility: Visibility) -> list[ColumnElement[bool]]:
    """A set is seen for the sake of an open document: a member, one it has filed, or one in its folder.

    One that came for nothing else (it changed a status, say) tells only that something was done to something.
    """
    conditions = [] if visibility.owner is None else [visibility.owner(the_set.c.patient_pk)]
    if not visibility.is_partial:
        return conditions
    link, filed = association.alias("of_set"), association.alias("filed")
    document, filed_document = document_entry.alias("in_set"), document_entry.alias("in_filed")
    a_folder = folder.alias("new_folder")
    of_the_set = link.c.source_uuid == the_set.c.entry_uuid
    return [
        *conditions,
        or_(
            exists().where(
                of_the_set, document.c.entry_uuid == link.c.target_uuid, *visibility.opened(document)
            ),
            exists().where(
                of_the_set,
                filed.c.entry_uuid == link.c.target_uuid,
                filed_document.c.entry_uuid == filed.c.target_uuid,
                *visibility.opened(filed_document),
            ),
            exists().where(
                of_the_set,
                a_folder.c.entry_uuid == link.c.target_uuid,
                *_folder_is_seen(a_folder, visibility),
            ),
        ),
    ]


def _folder_is_seen(the_folder: Any, visibility: Visibility) -> list[ColumnElement[bool]]:
    """A folder is seen when it is empty, or for the sake of an open document in it."""
    conditions = [] if visibility.owner is None else [visibility.owner(the_folder.c.patient_pk)]
    if not visibility.is_partial:
        return conditions
    any_link, link = association.alias("of_folder"), association.alias("to_open")
    document = document_entry.alias("in_folder")
    return [
        *conditions,
        or_(
            exists().where(
                link.c.source_uuid == the_folder.c.entry_uuid,
                document.c.entry_uuid == link.c.target_uuid,
                *visibility.opened(document),
            ),
            ~exists().where(any_link.c.source_uuid == the_folder.c.entry_uuid),
        ),
    ]


def _has_end(link: Any, uuid: ColumnElement[Any]) -> ColumnElement[bool]:
    return uuid.in_([link.c.source_uuid, link.c.target_uuid])


def _hidden_end(link: Any, visibility: Visibility) -> ColumnElement[bool]:
    end = document_entry.alias("end")
    # IS NOT TRUE: a condition that comes to nothing for a row hides it, as it does in document_rows.
    return and_(_has_end(link, end.c.entry_uuid), and_(*visibility.opened(end)).is_not(true()))
