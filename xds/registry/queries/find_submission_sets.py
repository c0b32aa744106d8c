"""FindSubmissionSets (ITI TF-2 3.18.4.1.2.3.7.2): the submission sets of one patient, by all filters."""

from xds.registry.queries.matches import (
    code_in,
    like_facet,
    patient_id,
    time_from,
    time_to,
    word_in,
)
from xds.registry.queries.parameters import Parameter, Shape
from xds.registry.queries.shared import SET_STATUS
from xds.registry.rows import Rows, set_rows
from xds.store.codes import SOURCE
from xds.store.schema import patient
from xds.store.schema import submission_set as s

ID = "urn:uuid:f26abbcb-ac74-4422-8a30-edb644bbc1a9"
NAME = "FindSubmissionSets"
PARAMETERS = (
    Parameter("$XDSSubmissionSetPatientId", patient_id(), required=True),
    SET_STATUS,
    Parameter("$XDSSubmissionSetSourceId", word_in(s.c.source_pk, SOURCE), many=True),
    Parameter("$XDSSubmissionSetSubmissionTimeFrom", time_from(s.c.submission_time)),
    Parameter("$XDSSubmissionSetSubmissionTimeTo", time_to(s.c.submission_time)),
    Parameter("$XDSSubmissionSetAuthorPerson", like_facet(s, "a")),
    Parameter("$XDSSubmissionSetContentType", code_in(s.c.content_type), many=True),
)
CHOICES = ()
ONE_PATIENT = False


def statement(shape: Shape) -> Rows:
    """Uses the patient's primary-key range."""
    return set_rows(shape.view).where(*shape.where()).order_by(patient.c.patient_pk, s.c.set_pk)
