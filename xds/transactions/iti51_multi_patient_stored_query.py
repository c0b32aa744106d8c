"""ITI-51 Multi-Patient Stored Query: ITI-18 with the queries for several patients (ITI TF-2 3.51)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from xds.transactions import iti18_registry_stored_query as iti18

TRANSACTION = replace(
    iti18.TRANSACTION,
    number="ITI-51",
    action="urn:ihe:iti:2009:MultiPatientStoredQuery",
    response_action="urn:ihe:iti:2009:MultiPatientStoredQueryResponse",
    read=partial(iti18.read, multi_patient=True),
)
