"""GetFolders (ITI TF-2 3.18.4.1.2.3.7.6): folders by entryUUID, uniqueId or logicalID."""

from xds.registry.queries.matches import uuid_in
from xds.registry.queries.parameters import Choice, Parameter, Shape
from xds.registry.queries.shared import FOLDERS_BY_UNIQUE_ID, FOLDERS_BY_UUID
from xds.registry.rows import Rows, folder_rows
from xds.store.schema import folder as f

ID = "urn:uuid:5737b14c-8a1a-4539-b659-e03a34a5e1e4"
NAME = "GetFolders"
PARAMETERS = (
    FOLDERS_BY_UUID,
    FOLDERS_BY_UNIQUE_ID,
    Parameter("$XDSFolderLogicalID", uuid_in(f.c.logical_uuid), many=True, level=2),
)
CHOICES = (Choice(tuple(each.name for each in PARAMETERS)),)
ONE_PATIENT = True


def statement(shape: Shape) -> Rows:
    """Uses uq_folder_uuid, ix_folder_uid_key or ix_folder_logical_uuid."""
    return folder_rows(shape.view).where(*shape.where()).order_by(f.c.folder_pk)
