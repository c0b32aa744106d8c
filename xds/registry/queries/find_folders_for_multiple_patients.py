"""FindFoldersForMultiplePatients (ITI TF-2 3.51.4.1.2.1.2): FindFolders for several patients, or for all."""

from xds.registry.queries.matches import code_listed, patient_ids
from xds.registry.queries.parameters import Choice, Parameter, Shape
from xds.registry.queries.shared import FOLDER_STATUS, FOLDER_UPDATED
from xds.registry.rows import Rows, folder_rows
from xds.store import schema
from xds.store.schema import folder as f

ID = "urn:uuid:50d3f5ac-39a2-11de-a1ca-b366239e58df"
NAME = "FindFoldersForMultiplePatients"
PATIENTS = Parameter("$XDSFolderPatientId", patient_ids(), many=True)
CODES = Parameter(
    "$XDSFolderCodeList", code_listed(f, schema.KIND_FOLDER, f.c.folder_pk), many=True, repeat=True
)
PARAMETERS = (PATIENTS, FOLDER_STATUS, *FOLDER_UPDATED, CODES)
CHOICES = (Choice((PATIENTS.name, CODES.name), several=True),)
ONE_PATIENT = False


def statement(shape: Shape) -> Rows:
    """Uses the patients' primary-key ranges or listed_code; in no order, as for documents."""
    return folder_rows(shape.view).where(*shape.where())
