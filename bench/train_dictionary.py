"""Trains a compression dictionary for xds/store/bodies.py: `python -m bench.train_dictionary KIND FILE`.

A dictionary that is in use must never change: give a new one the next number there. The objects vary in all
that varies between real ones (ids, times, names, codes), so that the dictionary holds what they have in
common.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import zstandard

from bench import audit, content
from tests.metadata import samples
from xds.metadata.entries import Entry, registry_object
from xds.registry import elements
from xds.store import schema

SIZE = 16 * 1024
LEVEL = -1
DOCUMENTS = 3000


def objects(chance: random.Random) -> Iterator[tuple[int, Entry]]:
    """Ten documents for each set, link and folder: the dictionary is mostly theirs."""
    for number in range(DOCUMENTS):
        patient = content.pid(chance.randrange(10**8))
        own = f"urn:uuid:{UUID(int=chance.getrandbits(128), version=4)}"
        yield (
            schema.KIND_DOCUMENT_ENTRY,
            content.entry(patient, chance.randrange(10**9), chance, entry_uuid=own),
        )
        if number % 10 == 0:
            the_set = content.set_of(patient, chance.randrange(10**9))
            yield schema.KIND_SUBMISSION_SET, the_set
            yield schema.KIND_ASSOCIATION, samples.member(the_set.entry_uuid, own, "Original")
            yield schema.KIND_FOLDER, samples.folder(unique_id=f"2.999.{chance.randrange(10**9)}")


def registry_texts(chance: random.Random) -> list[bytes]:
    """The lasting texts of registry objects."""
    texts = []
    for kind, entry in objects(chance):
        ids = {entry.entry_uuid: f"urn:uuid:{UUID(int=chance.getrandbits(128), version=4)}"}
        texts.append(elements.lasting(kind, registry_object(entry), ids))
    return texts


def audit_texts(chance: random.Random) -> list[bytes]:
    """AuditEvents of queries, retrievals and submissions, by people whose tickets say much or little."""
    return [audit.event(chance) for _ in range(DOCUMENTS)]


KINDS = {"objects": registry_texts, "audit": audit_texts}


def main(kind: str, path: Path) -> None:
    """Train and write."""
    texts = KINDS[kind](random.Random(1))
    path.write_bytes(zstandard.train_dictionary(SIZE, texts, level=LEVEL).as_bytes())
    print(f"{path}: trained on {len(texts)} texts, {sum(map(len, texts))} bytes")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
