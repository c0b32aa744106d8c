"""How an answer looks at the registry: full objects or references, which versions, and what may be seen.

Every statement of queries/ is built for a `View`, and rows.py puts its conditions on what the statement
touches, also on what it only passes through: this is the place of gate 2 in the SQL. A `Visibility` is made
by the access rules for one caller; it must never be left out, so it has no default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import ColumnElement, false

#: A condition on document entries, given the table or an alias of it.
Condition = Callable[[Any], ColumnElement[bool]]


@dataclass(frozen=True, slots=True)
class Visibility:
    """Which document entries a caller may see, as SQL with bound values, and what follows for all others.

    `condition`: the entries that are listed. `masked`: those of them that are listed without what they are
    about, and with nothing that leads to them. `owner`: the patients (patient_pk) of whom anything may be
    seen. A row for which any of these comes to NULL is not seen. What is listed and not masked is *open*:
    a link is seen when both its ends are, and a submission set or folder for the sake of an open document.
    Without any of them everything is seen.

    `name` stands for the conditions' text: equal names must mean equal texts, as statements are kept by it.
    `values` are bound when the statement is run.
    """

    name: str
    condition: Condition | None = field(default=None, compare=False)
    values: Mapping[str, Any] = field(default_factory=dict, compare=False)
    masked: Condition | None = field(default=None, compare=False)
    owner: Callable[[ColumnElement[int]], ColumnElement[bool]] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        # Statements know lists of one or more: a list of nothing becomes NULL, which is in no list and equals
        # nothing, so it shows nothing.
        listed = {
            name: list(value) or [None]
            for name, value in self.values.items()
            if isinstance(value, list | tuple | set | frozenset)
        }
        object.__setattr__(self, "values", {**self.values, **listed})

    @property
    def is_partial(self) -> bool:
        """Whether anything of the patients it shows may be hidden or masked."""
        return self.condition is not None or self.masked is not None

    def listed(self, document: Any) -> list[ColumnElement[bool]]:
        """What an entry must be to be listed."""
        conditions = []
        if self.owner is not None:
            conditions.append(self.owner(document.c.patient_pk))
        if self.condition is not None:
            conditions.append(self.condition(document))
        return conditions

    def opened(self, document: Any) -> list[ColumnElement[bool]]:
        """What an entry must be to be open."""
        conditions = self.listed(document)
        if self.masked is not None:
            conditions.append(self.masked(document).is_(false()))
        return conditions


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
