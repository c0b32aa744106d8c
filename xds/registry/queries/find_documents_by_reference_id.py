"""FindDocumentsByReferenceId (ITI TF-2 3.18.4.1.2.3.7.14): FindDocuments by a reference id as well."""

from xds.registry.queries import find_documents
from xds.registry.queries.matches import like_facet
from xds.registry.queries.parameters import Parameter
from xds.store.schema import document_entry as d

ID = "urn:uuid:12941a89-e02e-4be5-967c-ce4bfc8fe492"
NAME = "FindDocumentsByReferenceId"
#: The text asks for equality and its footnote 5 for LIKE, which is the wider: an id without % and _ is exact.
REFERENCE_ID = Parameter(
    "$XDSDocumentEntryReferenceIdList", like_facet(d, "r"), required=True, many=True, repeat=True, masked=True
)
PARAMETERS = (*find_documents.PARAMETERS, REFERENCE_ID)
CHOICES = ()
ONE_PATIENT = False

statement = find_documents.statement
