"""GetSubmissionSetAndContents (ITI TF-2 3.18.4.1.2.3.7.10): a submission set, its members, the links."""

from typing import Any

from sqlalchemy import CompoundSelect, select, union_all

from xds.metadata import names
from xds.registry.prepare import ASSOCIATION_TYPES
from xds.registry.queries.parameters import (
    DOCUMENT_FILTERS,
    Parameter,
    Shape,
    unique_id_of,
    uuid_in,
)
from xds.registry.rows import (
    association_rows,
    document_ids,
    document_rows,
    folder_ids,
    folder_rows,
    links,
    set_ids,
    set_rows,
)
from xds.store import schema
from xds.store.schema import association as a
from xds.store.schema import document_entry as d
from xds.store.schema import folder as f
from xds.store.schema import submission_set as s

_UUID = "$XDSSubmissionSetEntryUUID"
_UNIQUE_ID = "$XDSSubmissionSetUniqueId"

ID = "urn:uuid:e8e3cb2c-e39c-46b9-99e4-c12f57260b83"
NAME = "GetSubmissionSetAndContents"
PARAMETERS = (
    Parameter(_UUID, uuid_in(s.c.entry_uuid)),
    Parameter(_UNIQUE_ID, unique_id_of(s, schema.KIND_SUBMISSION_SET, s.c.set_pk)),
    *DOCUMENT_FILTERS,
)
ALTERNATIVES = ((_UUID, _UNIQUE_ID),)
ONE_PATIENT = True


def statement(shape: Shape) -> CompoundSelect[Any]:
    """Uses uq_submission_set_uuid or uid_claim, ix_association_source, and each entry_uuid index."""
    view = shape.view
    the_set = set_ids(view).where(*shape.where(_UUID, _UNIQUE_ID)).cte("the_set")
    members = (
        links(view, a.c.entry_uuid, a.c.target_uuid)
        .where(
            a.c.source_uuid.in_(select(the_set.c.entry_uuid)), a.c.type == ASSOCIATION_TYPES[names.HAS_MEMBER]
        )
        .cte("members")
    )
    member_ids = select(members.c.target_uuid)
    document_filters = shape.where(*(each.name for each in DOCUMENT_FILTERS))
    objects = union_all(
        document_ids(view).where(d.c.entry_uuid.in_(member_ids), *document_filters),
        folder_ids(view).where(f.c.entry_uuid.in_(member_ids)),
    ).cte("objects")
    object_ids = select(objects.c.entry_uuid)
    # A member association (folder to document) comes along only when both its ends do.
    inner = (
        links(view, a.c.entry_uuid)
        .where(
            a.c.entry_uuid.in_(member_ids), a.c.source_uuid.in_(object_ids), a.c.target_uuid.in_(object_ids)
        )
        .cte("links")
    )
    inner_ids = select(inner.c.entry_uuid)
    memberships = select(members.c.entry_uuid).where(
        members.c.target_uuid.in_(object_ids) | members.c.target_uuid.in_(inner_ids)
    )
    return union_all(
        set_rows(view).where(s.c.entry_uuid.in_(select(the_set.c.entry_uuid))),
        document_rows(view).where(d.c.entry_uuid.in_(object_ids)),
        folder_rows(view).where(f.c.entry_uuid.in_(object_ids)),
        association_rows(view).where(a.c.entry_uuid.in_(union_all(memberships, inner_ids))),
    )
