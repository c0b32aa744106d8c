"""The stored queries of ITI-18, one module each: id, parameters and the one statement.

A module names its parameters as the standard's table does and builds its statement from a `Shape`.
To add a query, write its module and name it here.
"""

from __future__ import annotations

from types import ModuleType
from typing import Final

from xds.registry.queries import (
    find_documents,
    get_all,
    get_documents,
    get_submission_set_and_contents,
)

STORED_QUERIES: Final[dict[str, ModuleType]] = {
    module.ID: module for module in (find_documents, get_all, get_documents, get_submission_set_and_contents)
}
