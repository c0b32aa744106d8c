"""The Python client of a node: what record systems import, and what the command line uses.

Submit documents, find them and fetch them, against any IHE XDS.b registry and repository. Everything a
caller needs is named here; errors are `xds.errors.ClientError`, whose text can be shown to a user. When
there was more than one answer holds, the entries found have `warnings`: show them too.

>>> from xds.client import Client, Code, Document, build
>>> discharge_letter = Document(
...     content="Epikrise: pasienten er frisk.".encode(),
...     mime_type="text/plain",
...     title="Epikrise",
...     class_code=Code("A00-1", "2.16.578.1.12.4.1.1.9602", "Epikriser og sammenfatninger"),
...     type_code=Code("A03-2", "2.16.578.1.12.4.1.1.9602", "Epikrise"),
...     practice_setting_code=Code("S03", "2.16.578.1.12.4.1.1.8655", "Indremedisin"),
...     healthcare_facility_type_code=Code(
...         "86.101", "2.16.578.1.12.4.1.1.1303", "Alminnelige somatiske sykehus"
...     ),
... )
>>> patient = "17855599120^^^&2.16.578.1.12.4.1.4.1&ISO"  # nobody has this number: its month is raised by 80
>>> submission = build([discharge_letter], patient_id=patient, source_id="2.16.578.1.12.4.5.480.1.2")
>>> with Client(url) as client:  # e.g. http://127.0.0.1:8080
...     receipt = client.send(submission)
...     again = client.send(submission)  # after a time-out: the very same submission is registered once
...     entries = client.find(patient, type_code=[discharge_letter.type_code])
...     (fetched,) = client.fetch(entries, into=folder)
>>> again == receipt
True
>>> [entry.title for entry in entries]
['Epikrise']
>>> fetched.path.read_text()
'Epikrise: pasienten er frisk.'
"""

from xds.client.client import (
    Client,
    DocumentAddress,
    Entries,
    Fetched,
    IncompleteFetch,
    IncompleteFind,
    Receipt,
)
from xds.client.submission import Document, PreparedSubmission, build, new_oid
from xds.errors import ClientError
from xds.metadata.model import Author, Code, DocumentEntry

__all__ = [
    "Author",
    "Client",
    "ClientError",
    "Code",
    "Document",
    "DocumentAddress",
    "DocumentEntry",
    "Entries",
    "Fetched",
    "IncompleteFetch",
    "IncompleteFind",
    "PreparedSubmission",
    "Receipt",
    "build",
    "new_oid",
]
