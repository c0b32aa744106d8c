"""FindFolders (ITI TF-2 3.18.4.1.2.3.7.3): the folders of one patient that pass all filters."""

from xds.registry.queries.matches import code_facet, patient_id
from xds.registry.queries.parameters import Parameter, Shape
from xds.registry.queries.shared import FOLDER_STATUS, FOLDER_UPDATED
from xds.registry.rows import Rows, folder_rows
from xds.store.schema import folder as f
from xds.store.schema import patient

ID = "urn:uuid:958f3006-baad-4929-a4de-ff1114824431"
NAME = "FindFolders"
PARAMETERS = (
    Parameter("$XDSFolderPatientId", patient_id(), required=True),
    FOLDER_STATUS,
    *FOLDER_UPDATED,
    Parameter("$XDSFolderCodeList", code_facet(f, "c"), many=True, repeat=True),
)
CHOICES = ()
ONE_PATIENT = False


def statement(shape: Shape) -> Rows:
    """Uses the patient's primary-key range."""
    return folder_rows(shape.view).where(*shape.where()).order_by(patient.c.patient_pk, f.c.folder_pk)
