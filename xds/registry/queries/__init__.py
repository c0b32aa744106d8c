"""The stored queries, one module each: id, parameters and the one statement.

A module names its parameters as the standard's table does and builds its statement from a `Shape`; shared.py
has the parameters that several queries have. To add a query, write its module and name it here.
"""

from __future__ import annotations

from types import ModuleType
from typing import Final

from xds.registry.queries import (
    find_documents,
    find_documents_by_reference_id,
    find_documents_for_multiple_patients,
    find_folders,
    find_folders_for_multiple_patients,
    find_submission_sets,
    get_all,
    get_associations,
    get_documents,
    get_documents_and_associations,
    get_folder_and_contents,
    get_folders,
    get_folders_for_document,
    get_related_documents,
    get_submission_set_and_contents,
    get_submission_sets,
)

#: The queries of ITI-18.
STORED_QUERIES: Final[dict[str, ModuleType]] = {
    module.ID: module
    for module in (
        find_documents,
        find_submission_sets,
        find_folders,
        get_all,
        get_documents,
        get_folders,
        get_associations,
        get_documents_and_associations,
        get_submission_sets,
        get_submission_set_and_contents,
        get_folder_and_contents,
        get_folders_for_document,
        get_related_documents,
        find_documents_by_reference_id,
    )
}

#: Those that name a patient, and by which parameter. The others name objects: whoever has several communities
#: must be told whose.
PATIENT_QUERIES: Final[dict[str, str]] = {
    id_: each.name
    for id_, module in STORED_QUERIES.items()
    for each in module.PARAMETERS
    if each.name.endswith("atientId")
}

#: The queries of ITI-51, which name several patients or none.
MULTI_PATIENT_QUERIES: Final[dict[str, ModuleType]] = {
    module.ID: module for module in (find_documents_for_multiple_patients, find_folders_for_multiple_patients)
}
