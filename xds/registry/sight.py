"""What a caller may touch: the objects that a message names, and the documents that one asks for by id.

register.py, update.py and remove.py ask `open_among` before they believe that a named object is there, and
the transactions ask `Registry.sight` before the repository is asked for bytes. Both are the visibility of the
queries (view.py) and nothing else: what no query shows must not be reached by its id either.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    and_,
    case,
    literal_column,
    select,
    true,
)

from xds.registry.objects import UUIDS, fetch
from xds.registry.queries.matches import document_unique_id
from xds.registry.rows import open_ids
from xds.registry.view import Visibility
from xds.store.schema import document_entry, uid_claim


class Sight(Enum):
    """What a document is to a caller."""

    OPEN = "may be fetched"
    MASKED = "is listed without its content, and may not be fetched"
    HIDDEN = "is not there, as far as the caller can tell"


def open_among(connection: Connection, visibility: Visibility, uuids: Iterable[bytes]) -> set[bytes]:
    """Those of these entryUUIDs that are open to the caller."""
    asked = list(dict.fromkeys(uuids))
    if not (visibility.is_partial or visibility.owner):
        return set(asked)
    statement = open_ids(visibility, UUIDS).params(dict(visibility.values))
    return {bytes(row.entry_uuid) for row in fetch(connection, statement, asked)}


def documents_by_key(visibility: Visibility) -> Select[Any]:
    """(uid_key, listed, opened) of every entry of the caller's patients with one of the uniqueIds' `keys`.

    Whose document it is says the claim on its uniqueId, which came with the bytes: who registers it again for
    somebody else gets no further. Uses the indexes of GetDocuments, and uid_claim's key.
    """
    rows = select(
        document_entry.c.uid_key,
        _number(visibility.listed(document_entry)).label("listed"),
        _number(visibility.opened(document_entry)).label("opened"),
    ).where(document_unique_id().condition("keys"))
    if visibility.owner is None:
        return rows
    return rows.join(uid_claim, uid_claim.c.key == document_entry.c.uid_key).where(
        visibility.owner(document_entry.c.patient_pk), visibility.owner(uid_claim.c.patient_pk)
    )


def _number(conditions: Iterable[ColumnElement[bool]]) -> ColumnElement[int]:
    # A condition that comes to nothing is not fulfilled.
    return case((and_(true(), *conditions), literal_column("1", Integer)), else_=literal_column("0", Integer))


def strictest(rows: Iterable[Any]) -> Mapping[bytes, Sight]:
    """Of each uniqueId what all its entries allow: the same bytes may be registered with other codes."""
    found: dict[bytes, Sight] = {}
    for key, listed, opened in rows:
        own = Sight.OPEN if opened else Sight.MASKED if listed else Sight.HIDDEN
        if _ORDER[own] > _ORDER.get(found.get(bytes(key)), -1):
            found[bytes(key)] = own
    return found


_ORDER: Final[Mapping[Sight | None, int]] = {Sight.OPEN: 0, Sight.MASKED: 1, Sight.HIDDEN: 2}
