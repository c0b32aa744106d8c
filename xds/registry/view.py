"""How an answer looks at the registry: full objects or references, which versions, and what may be seen.

Every statement of queries/ is built for a `View`, and rows.py puts its conditions on every registry object
that the statement touches, also on those it only passes through: this is the place of gate 2 in the SQL.
A `Visibility` is made by the access rules for one caller; it must never be left out, so it has no default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import ColumnElement

#: The condition on document entries, given the table or an alias of it.
Condition = Callable[[Any], ColumnElement[bool]]


@dataclass(frozen=True, slots=True)
class Visibility:
    """Which document entries a caller may see, as SQL with bound values.

    `name` stands for the condition's text: equal names must mean equal texts, as statements are kept by it.
    `values` are bound when the statement is run. Without a condition everything is seen.
    """

    name: str
    condition: Condition | None = field(default=None, compare=False)
    values: Mapping[str, Any] = field(default_factory=dict, compare=False)


#: Where systems trust each other (access.ticket = none), and for the node's own look at what it holds.
EVERYTHING: Final = Visibility("everything")


@dataclass(frozen=True, slots=True)
class View:
    """`leaf`: full objects, not references. `level`: the metadata level of XDS Metadata Update, 1 or 2.

    Level 1 shows the latest versions only, and no offline documents, deprecated folders or deprecated
    associations; level 2 shows them all.
    """

    leaf: bool
    level: int
    visibility: Visibility
