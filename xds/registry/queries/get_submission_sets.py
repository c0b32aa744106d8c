"""GetSubmissionSets (ITI TF-2 3.18.4.1.2.3.7.9): the submission sets that have some objects as members, with
the HasMember links that say so.
"""

from typing import Any

from sqlalchemy import CompoundSelect, select, union_all

from xds.registry.queries.parameters import Shape
from xds.registry.queries.shared import ASSOCIATION_STATUS, IS_MEMBERSHIP, OBJECTS
from xds.registry.rows import association_rows, links, set_ids, set_rows, step
from xds.store.schema import association as a
from xds.store.schema import submission_set as s

ID = "urn:uuid:51224314-5390-4169-9b91-b1980040715a"
NAME = "GetSubmissionSets"
PARAMETERS = (OBJECTS, ASSOCIATION_STATUS)
CHOICES = ()
ONE_PATIENT = True


def statement(shape: Shape) -> CompoundSelect[Any]:
    """Uses ix_association_target and uq_submission_set_uuid."""
    view = shape.view
    memberships = step(
        links(view, a.c.entry_uuid, a.c.source_uuid).where(*shape.where(), IS_MEMBERSHIP), "memberships"
    )
    # A folder has members too, so the source is looked at.
    sets = step(set_ids(view).where(s.c.entry_uuid.in_(select(memberships.c.source_uuid))), "sets")
    ids = select(sets.c.entry_uuid)
    return union_all(
        set_rows(view).where(s.c.entry_uuid.in_(ids)),
        association_rows(view).where(
            a.c.entry_uuid.in_(select(memberships.c.entry_uuid).where(memberships.c.source_uuid.in_(ids)))
        ),
    )
