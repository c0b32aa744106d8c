"""The memory of good tickets: bounded, and empty as soon as trust changes."""

from __future__ import annotations

from xds.security.remembered import Remembered


def test_a_ticket_is_known_under_the_trust_it_was_verified_with():
    """The same generation gives it back, the next one does not."""
    known: Remembered[str] = Remembered()
    digest = Remembered.digest(b"<Assertion/>")
    known.put(digest, 3, "caller")
    assert known.get(digest, 3) == "caller"
    assert known.get(digest, 4) is None


def test_bytes_that_differ_are_other_tickets():
    """One more blank is another digest."""
    assert Remembered.digest(b"<Assertion/>") != Remembered.digest(b"<Assertion />")


def test_the_first_new_ticket_under_a_new_trust_ends_all_older_ones():
    """Going back to the old generation does not bring them back."""
    known: Remembered[str] = Remembered()
    known.put(b"a", 1, "old")
    known.put(b"b", 2, "new")
    assert known.get(b"a", 1) is None
    assert known.get(b"a", 2) is None
    assert known.get(b"b", 2) == "new"


def test_a_ticket_verified_under_an_older_trust_comes_too_late():
    """A slow thread cannot bring a key back that was taken out meanwhile."""
    known: Remembered[str] = Remembered()
    known.put(b"b", 2, "new")
    known.put(b"a", 1, "late")
    assert known.get(b"a", 1) is None
    assert known.get(b"a", 2) is None


def test_the_oldest_goes_when_it_is_full():
    """Three places, four tickets."""
    known: Remembered[int] = Remembered(3)
    for number in range(4):
        known.put(bytes([number]), 1, number)
    assert [known.get(bytes([number]), 1) for number in range(4)] == [None, 1, 2, 3]
