"""Interned words: one number each, for ever, whatever becomes of the transaction that wanted it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from xds.store.codes import UNKNOWN, Codes, Word
from xds.store.database import Database


def intern(database: Database, codes: Codes, *words: tuple[str, str]) -> dict[Word, int]:
    """Give words their numbers in a transaction of their own."""
    with database.write() as connection:
        return codes.intern(connection, [Word(*word) for word in words])


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


def test_a_word_has_one_number_in_every_process(database: Database) -> None:
    """A second reader of the same database finds the numbers of the first."""
    first = intern(database, Codes(database), ("A", "1.2"), ("B", "1.2"), ("A", "1.3"))
    assert len(set(first.values())) == 3
    other = Codes(database)
    assert other.numbers([Word("A", "1.2")]) == [first[Word("A", "1.2")]]
    assert other.word(first[Word("A", "1.3")]) == Word("A", "1.3")
    assert intern(database, other, ("A", "1.2")) == {Word("A", "1.2"): first[Word("A", "1.2")]}


def test_an_unknown_word_has_no_number(database: Database) -> None:
    """And asking does not give it one."""
    codes = Codes(database)
    assert codes.numbers([Word("nobody", "1.2")]) == [UNKNOWN]
    intern(database, codes, ("nobody", "1.2"))
    assert codes.numbers([Word("nobody", "1.2")]) != [UNKNOWN]


def test_many_words_at_once(database: Database) -> None:
    """More than one statement can hold."""
    words = [(f"code {n}", "1.2") for n in range(1200)]
    assert len(set(intern(database, Codes(database), *words).values())) == 1200


def test_the_same_new_word_at_the_same_moment(database: Database) -> None:
    """Whoever is first, all get the same number."""
    found: list[int] = []

    def give() -> None:
        found.append(intern(database, Codes(database), ("new", "1.2"))[Word("new", "1.2")])

    threads = [threading.Thread(target=give) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len(set(found)) == 1


def test_a_number_that_was_rolled_back_is_no_number(database: Database) -> None:
    """Nobody remembers it, and the next transaction gives one anew."""
    codes = Codes(database)
    with pytest.raises(KeyError), database.write() as connection:  # noqa: PT012
        codes.intern(connection, [Word("A", "1.2")])
        raise KeyError
    assert codes.numbers([Word("A", "1.2")]) == [UNKNOWN]
    given = intern(database, codes, ("B", "1.2"), ("A", "1.2"))
    assert codes.numbers([Word("A", "1.2"), Word("B", "1.2")]) == [
        given[Word("A", "1.2")],
        given[Word("B", "1.2")],
    ]
