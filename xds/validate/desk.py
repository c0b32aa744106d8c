"""A node that has nothing: what the transactions need to read and judge a message, and no database.

`desk` makes one for each message, with a folder for what is staged, which is gone afterwards. Its database is
never opened: nothing is asked that needs one, and what only a running node knows stays unsaid.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Final

from xds.metadata import codesystems
from xds.metadata.code_rules import CodeRules
from xds.registry.prepare import Reading
from xds.registry.registry import Options, Registry
from xds.repository.documents import Repository
from xds.repository.files import FolderStore
from xds.store.codes import UNKNOWN, Codes, Word
from xds.store.database import Database
from xds.transactions.transaction import Node
from xds.transport.limits import Limits

#: Whose patient ids are taken, by the profile of codes: of a Norwegian message they are national numbers.
PATIENTS: Final = {"norwegian": "national", "ihe": "open"}


@dataclass(frozen=True, slots=True)
class Settings:
    """By what is judged.

    `profile` is that of the codes, norwegian or ihe; `patients` the setting patients.source, else that of the
    profile; `authorities` is patients.authorities. `trust` is the trust file by which tickets are
    checked; without one only their form is. `at` is the time at which they are, now if not given. `kind` is
    what a message is taken for, else what it looks like.
    """

    profile: str = "norwegian"
    patients: str = ""
    authorities: frozenset[str] = frozenset()
    trust: Path | None = None
    at: datetime | None = None
    kind: str = ""
    limits: Limits = field(default_factory=Limits)


class _NoCodes(Codes):
    """The numbers of codes for whoever asks no database: no code has one."""

    def __init__(self) -> None:  # there is no table to read
        pass

    def numbers(self, words: Sequence[Word]) -> list[int]:
        return [UNKNOWN] * len(words)

    def learn(self, words: Iterable[Word]) -> None:
        pass


@cache
def _codes(profile: str) -> CodeRules:
    return CodeRules(codesystems.built_in(), profile)


@contextmanager
def desk(settings: Settings, home: str = "") -> Iterator[Node]:
    """The node; `home` is the community that the message is for, which it takes for its own."""
    with tempfile.TemporaryDirectory(prefix="xds-validate-") as folder:
        database = Database(f"sqlite:///{folder}/never-opened.db")
        options = Options(
            patients=settings.patients or PATIENTS[settings.profile],
            authorities=settings.authorities,
            synthetic=True,
            home=home,
            reading=Reading(limited_metadata=True, release_slot="urn:no:xds:releaseTime"),
        )
        try:
            yield Node(
                database=database,
                registry=Registry(database, options, _NoCodes()),
                repository=Repository("2.999", database, FolderStore(Path(folder))),
                limits=settings.limits,
                codes=_codes(settings.profile),
            )
        finally:
            database.close()
