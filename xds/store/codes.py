"""Interned words: codes, MIME types, repository ids and home ids are small numbers in the rows.

The registry asks for the number of a code when it writes or filters and for the code when it answers.
A word once given a number keeps it for ever, so every process may remember what it has seen.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, bindparam, select, tuple_

from xds.store.database import Database
from xds.store.dialect import insert_new
from xds.store.schema import code

# The "schemes" of words that are not codes; no coding scheme contains a blank.
MIME_TYPE: Final = "mime type"
REPOSITORY: Final = "repository unique id"
SOURCE: Final = "source id"
HOME: Final = "home community id"

#: The number no word has: a filter on an unknown code matches nothing.
UNKNOWN: Final = -1

_BY_NUMBER: Final = select(code.c.code, code.c.scheme).where(code.c.code_pk == bindparam("pk"))
_BY_WORD: Final = select(code.c.code_pk, code.c.code, code.c.scheme).where(
    tuple_(code.c.code, code.c.scheme).in_(bindparam("words", expanding=True))
)


class Word(NamedTuple):
    """A code and its coding scheme, or one of the texts above under its name."""

    text: str
    scheme: str


class Codes:
    """The numbers of all words seen so far by this process, backed by the `code` table."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._numbers: dict[Word, int] = {}
        self._words: dict[int, Word] = {}
        self._lock = threading.Lock()
        self._insert = insert_new(code, database.engine.dialect)

    def numbers(self, words: Sequence[Word]) -> list[int]:
        """The number of each word, or UNKNOWN for one that no row can hold."""
        self.learn(words)
        return [self._numbers.get(word, UNKNOWN) for word in words]

    def word(self, number: int) -> Word:
        """What a row's number stands for."""
        found = self._words.get(number)
        if found is None:
            with self._database.read() as connection:
                row = connection.execute(_BY_NUMBER, {"pk": number}).one()
            found = Word(row.code, row.scheme)
            self._remember({found: number})
        return found

    def learn(self, words: Iterable[Word]) -> None:
        """Look up the numbers of all `words` that have one, so that `intern` has less to do under a lock."""
        missing = sorted(set(words) - self._numbers.keys())
        if missing:
            self._read(missing)

    def intern(self, connection: Connection, words: Iterable[Word]) -> dict[Word, int]:
        """Numbers for all `words`, given to new ones in the caller's transaction.

        A number given here is remembered only when it is read again: the transaction may still roll back.
        """
        wanted = set(words)
        missing = sorted(wanted - self._numbers.keys())
        if missing:
            connection.execute(self._insert, [{"code": word, "scheme": scheme} for word, scheme in missing])
        new = _select(connection, missing)
        return {word: new[word] if word in new else self._numbers[word] for word in wanted}

    def _read(self, words: list[Word]) -> dict[Word, int]:
        with self._database.read() as connection:
            found = _select(connection, words)
        self._remember(found)
        return found

    def _remember(self, found: dict[Word, int]) -> None:
        with self._lock:
            self._numbers.update(found)
            self._words.update({number: word for word, number in found.items()})


def _select(connection: Connection, words: list[Word]) -> dict[Word, int]:
    found: dict[Word, int] = {}
    for start in range(0, len(words), 500):
        rows = connection.execute(_BY_WORD, {"words": words[start : start + 500]})
        found.update({Word(row.code, row.scheme): row.code_pk for row in rows})
    return found
