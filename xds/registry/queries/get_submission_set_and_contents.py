"""GetSubmissionSetAndContents (ITI TF-2 3.18.4.1.2.3.7.10): a submission set, its members, the links."""

from typing import Any

from sqlalchemy import CompoundSelect, select, union_all

from xds.registry.queries.parameters import Choice, Shape
from xds.registry.queries.shared import (
    ASSOCIATION_STATUS,
    IS_MEMBERSHIP,
    MEMBER_FILTERS,
    SET_BY_UNIQUE_ID,
    SET_BY_UUID,
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
    step,
)
from xds.store.schema import association as a
from xds.store.schema import document_entry as d
from xds.store.schema import folder as f
from xds.store.schema import submission_set as s

ID = "urn:uuid:e8e3cb2c-e39c-46b9-99e4-c12f57260b83"
NAME = "GetSubmissionSetAndContents"
PARAMETERS = (SET_BY_UUID, SET_BY_UNIQUE_ID, *MEMBER_FILTERS, ASSOCIATION_STATUS)
CHOICES = (Choice((SET_BY_UUID.name, SET_BY_UNIQUE_ID.name)),)
ONE_PATIENT = True


def statement(shape: Shape) -> CompoundSelect[Any]:
    """Uses uq_submission_set_uuid or uid_claim, ix_association_source, and each entry_uuid index."""
    view = shape.view
    status = shape.where(ASSOCIATION_STATUS)
    the_set = step(set_ids(view).where(*shape.where(SET_BY_UUID, SET_BY_UNIQUE_ID)), "the_set")
    members = step(
        links(view, a.c.entry_uuid, a.c.target_uuid).where(
            a.c.source_uuid.in_(select(the_set.c.entry_uuid)), IS_MEMBERSHIP, *status
        ),
        "members",
    )
    member_ids = select(members.c.target_uuid)
    documents = document_ids(view).where(d.c.entry_uuid.in_(member_ids), *shape.where(*MEMBER_FILTERS))
    folders = folder_ids(view).where(f.c.entry_uuid.in_(member_ids))
    objects = step(union_all(documents, folders), "objects")
    object_ids = select(objects.c.entry_uuid)
    # A member association (folder to document) comes along only when both its ends do.
    inner = step(
        links(view, a.c.entry_uuid).where(
            a.c.entry_uuid.in_(member_ids),
            a.c.source_uuid.in_(object_ids),
            a.c.target_uuid.in_(object_ids),
            *status,
        ),
        "inner_links",
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
