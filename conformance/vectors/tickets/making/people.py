"""Who and what stands in the vectors: synthetic people (month + 80, so that nobody has the numbers), made-up
organisations, and issuers whose names cannot be mistaken for real ones.
"""

from __future__ import annotations

FNR, HPR = "2.16.578.1.12.4.1.4.1", "2.16.578.1.12.4.1.4.4"
ENH, RESH = "2.16.578.1.12.4.1.4.101", "2.16.578.1.12.4.1.4.102"
CLINICIAN, CLINICIAN_NAME, CLINICIAN_HPR = "17827210072", "Tuva Øvregård", "9144889"
CITIZEN, CITIZEN_NAME = "18837210182", "Iver Lønnebakk"
CHILD = "21867210412"
PATIENT = "19847210292"
ENTERPRISE, ENTERPRISE_NAME = "990000002", "Fjellheimen kommune"
SUPPLIER = "990000010"
UNIT, UNIT_NAME = "990000029", "Fjellheimen legekontor"
DEPARTMENT, DEPARTMENT_NAME = "4209999", "Medisinsk poliklinikk"
HOME = "2.16.578.1.12.4.5.100.1"

AUDIENCE = "urn:xds:vectors:audience"
KJERNEJOURNAL = "urn:xds:vectors:kjernejournal"
HELSENORGE = "urn:xds:vectors:helsenorge"
HSO = "urn:xds:vectors:hso"
XUA = "urn:xds:vectors:xua"
SYSTEM = "urn:xds:vectors:system"
ONCE = "urn:xds:vectors:once"
HELSEID = "urn:xds:vectors:helseid"
HELSEID_BEARER = "urn:xds:vectors:helseid-bearer"


def cx(number: str) -> str:
    """A patient id in CX."""
    return f"{number}^^^&{FNR}&ISO"
