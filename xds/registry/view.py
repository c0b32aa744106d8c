"""How an answer looks at the registry: full objects or references, which versions, and what may be seen.

Every statement of queries/ is built for a `View`, and rows.py puts its conditions on what the statement
touches, also on what it only passes through: this is the place of gate 2 in the SQL. A `Visibility` is made
by the access rules for one caller; it must never be left out, so it has no default.
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
    """Which document entries a caller may see, as SQL with bound values; links to others are hidden too.

    Submission sets and folders are shown, without what is hidden in them.

    `name` stands for the condition's text: equal names must mean equal texts, as statements are kept by it.
    `values` are bound when the statement is run. Without a condition everything is seen.
    """

    name: str
    condition: Condition | None = field(default=None, compare=False)
    values: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        # Statements know lists of one or more: a list of nothing becomes NULL, which is in no list and equals
        # nothing, so it shows nothing.
        listed = {
            name: list(value) or [None]
            for name, value in self.values.items()
            if isinstance(value, list | tuple | set | frozenset)
        }
        object.__setattr__(self, "values", {**self.values, **listed})


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
