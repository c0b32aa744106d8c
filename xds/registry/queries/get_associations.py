"""GetAssociations (ITI TF-2 3.18.4.1.2.3.7.7): the associations with one of some objects at an end."""

from typing import Any

from sqlalchemy import CompoundSelect, union_all

from xds.registry.queries.parameters import Shape
from xds.registry.queries.shared import ASSOCIATION_STATUS, OBJECTS
from xds.registry.rows import touching

ID = "urn:uuid:a7ae438b-4bc2-4642-93e9-be891f7bb155"
NAME = "GetAssociations"
PARAMETERS = (OBJECTS, ASSOCIATION_STATUS)
CHOICES = ()
ONE_PATIENT = False


def statement(shape: Shape) -> CompoundSelect[Any]:
    """Uses ix_association_source and _target."""
    return union_all(*touching(shape.view, shape.bound(OBJECTS), *shape.where(ASSOCIATION_STATUS)))
