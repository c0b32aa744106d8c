"""The stored queries that the client asks (ITI TF-2 3.18.4.1.2): their ids, and values in the query's own
quoting.

`Client` makes its ITI-18 requests here. A text is always quoted: what a caller gives can never become syntax.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from xds.metadata.datatypes import check_dtm
from xds.metadata.model import Code, Slot
from xds.metadata.requests import adhoc_query_request

FIND_DOCUMENTS: Final = "urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d"
GET_DOCUMENTS: Final = "urn:uuid:5c4f972b-d56b-40ac-a5fc-c8ca9b40b9d4"

#: The longest value of a Slot (ebRIM 3.0, LongName); longer lists are spread over several Values.
_LONGEST: Final = 256


def one(text: str) -> tuple[str, ...]:
    """A single text: `'…'`, an apostrophe written twice (ITI TF-2 3.18.4.1.2.3.5)."""
    return (_quoted(text),)


def many(texts: Iterable[str]) -> tuple[str, ...]:
    """Texts of which one must match, as values `('…','…')` that are not too long."""
    values: list[list[str]] = []
    length = _LONGEST
    for text in map(_quoted, texts):
        if length + len(text) + 1 > _LONGEST:
            values.append([])
            length = 1
        values[-1].append(text)
        length += len(text) + 1
    return tuple(f"({','.join(value)})" for value in values)


def codes(given: Iterable[Code]) -> tuple[str, ...]:
    """Codes of which one must match, each as `code^^scheme`."""
    return many(f"{code.code}^^{code.scheme}" for code in given)


def time(dtm: str | None) -> tuple[str, ...]:
    """A time, which is written as a number; none when there is none. Raises DataTypeError."""
    if dtm is None:
        return ()
    check_dtm(dtm)
    return (dtm,)


def request(query: str, parameters: Iterable[tuple[str, tuple[str, ...]]], home: str = "") -> bytes:
    """The AdhocQueryRequest for whole objects; parameters without values are left out.

    `home` is the homeCommunityId of the community that is asked.
    """
    given = (Slot(name, values) for name, values in parameters if values)
    return adhoc_query_request(query, given, home=home)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
