"""The patients of the registry: who is known, who was merged into whom, and the lock that every writer takes.

register.py, update.py and remove.py lock through here before they look at anything (docs/decisions/0003):
whoever holds the surviving patient's row is alone with all that belongs to the patient. Merging moves no row
of a registry object: it changes under which id these are found.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, bindparam, select

from xds.errors import RegistryFailure
from xds.registry.rules import broken
from xds.store.dialect import insert_new
from xds.store.keys import new_key
from xds.store.schema import patient

_PATIENT: Final = (
    select(patient.c.patient_pk, patient.c.merged_into)
    .where(patient.c.pid == bindparam("pid"))
    .with_for_update(key_share=True)
)


def lock(connection: Connection, pid: str) -> int:
    """The key of the patient with this id (CX text), locked until the transaction ends; made when new.

    Raises RegistryFailure for one that was merged into another.
    """
    row = connection.execute(_PATIENT, {"pid": pid}).one_or_none()
    if row is None:
        own = new_key()
        connection.execute(
            insert_new(patient, connection.dialect),
            {"patient_pk": own, "pid": pid, "announced": 0, "survivor_pk": own},
        )
        row = connection.execute(_PATIENT, {"pid": pid}).one()
    if row.merged_into is not None:
        raise RegistryFailure(broken("registry-patient-merged"))
    return int(row.patient_pk)
