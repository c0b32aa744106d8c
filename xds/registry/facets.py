"""The searched attributes that repeat, packed in one text column of the row.

A facet is one letter and a value; facets stand between U+001F, which XML cannot carry, so no value can fake
one: c confidentialityCode or Folder.codeList, e eventCodeList (numbers of store/codes.py), a authorPerson, r
referenceIdList (texts as sent), o the organisation numbers of authorInstitution. Written at registration,
matched with a regular expression in the same statement as everything else: the patient's few rows are already
found, so no side table is needed (measured 1.6 to 3 x faster).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from sqlalchemy import ColumnElement, literal

_BETWEEN: Final = "\x1f"
_ANY: Final = f"[^{_BETWEEN}]*"
_ONE: Final = f"[^{_BETWEEN}]"


def pack(facets: Iterable[tuple[str, object]]) -> str:
    """The column's text for (letter, value) pairs."""
    packed = [f"{letter}{value}" for letter, value in facets]
    return _BETWEEN + _BETWEEN.join(packed) + _BETWEEN if packed else ""


def values(packed: str, letter: str) -> list[str]:
    """What stands under a letter of a packed text."""
    return [facet[1:] for facet in packed.split(_BETWEEN) if facet.startswith(letter)]


def numbers(packed: str, letter: str) -> list[int]:
    """The numbers of the codes under a letter of a packed text."""
    return [int(value) for value in values(packed, letter)]


def is_one_of(letter: str, numbers: Sequence[int]) -> str:
    """A pattern for rows that have one of these numbers as a facet."""
    return f"{_BETWEEN}{letter}(?:{'|'.join(str(number) for number in numbers)}){_BETWEEN}"


def has(packed: ColumnElement[str], letter: str, value: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether a row has this facet, whose value is a column too and holds no % and _."""
    return packed.like(literal(f"%{_BETWEEN}{letter}") + value + literal(f"{_BETWEEN}%"))


def is_like(letter: str, patterns: Sequence[str]) -> str:
    """A pattern for rows with a facet LIKE one of these (% any run, _ any one; ITI TF-2 3.18.4.1.2.3.5)."""
    return f"{_BETWEEN}{letter}(?:{'|'.join(map(_like, patterns))}){_BETWEEN}"


def _like(pattern: str) -> str:
    # A run of % means the same as one; taken together they cannot make the search slow.
    parts = [re.escape(part).replace("_", _ONE) for part in re.split("%+", pattern)]
    if len(parts) <= 2:
        return _ANY.join(parts)
    # Between two %, the first place where a part fits is as good as a later one: (?>…) never goes back.
    first, *middle, last = parts
    return first + "".join(f"(?>{_ANY}?{part})" for part in middle) + _ANY + last
