"""Staged files: private, hashed, and gone when they should be."""

from __future__ import annotations

import stat

from xds.transport.staged import StagingFolder

#: FIPS 180-4 example values for "abc".
SHA1_ABC = "a9993e364706816aba3e25717850c26c9cd0d89d"
SHA256_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_size_and_hashes_are_those_of_the_bytes(staging: StagingFolder) -> None:
    """The hashes of the standard's own example, written in two pieces."""
    writer = staging.create()
    writer.write(b"a")
    writer.write(memoryview(b"xbcx")[1:3])
    staged = writer.finish()

    assert (staged.size, staged.sha1, staged.sha256) == (3, SHA1_ABC, SHA256_ABC)
    with staged.open() as file:
        assert file.read() == b"abc"


def test_only_this_user_can_read_a_staged_file(staging: StagingFolder) -> None:
    """Documents are personal data from the first byte on disk."""
    staged = staging.create().finish()

    assert stat.S_IMODE(staged.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(staging.path.stat().st_mode) == 0o700


def test_a_discarded_file_is_gone_and_discarding_twice_is_harmless(staging: StagingFolder) -> None:
    """Also while it is being written, and after it was moved away."""
    staging.create().discard()
    staged = staging.create().finish()
    staged.discard()
    staged.discard()

    assert list(staging.path.iterdir()) == []
