"""Who is in a grown registry: patients with few and with many documents, and when each submission came.

copies.py writes the rows, growth.py picks patients and documents to ask about. A registry grows in steps; a
patient belongs to one step whole, so that a patient of 50 documents has 50 whatever the registry's size. All
is drawn from seeds: two runs make the same people and the same order.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

#: Documents of one patient -> how many of a thousand documents belong to such patients. Most patients have
#: few, most documents belong to patients with many.
SHARES: Final = {2000: 84, 500: 260, 120: 280, 50: 240, 20: 80, 10: 30, 5: 20, 2: 4, 1: 2}
#: One document of so many was replaced by a later one.
REPLACED: Final = 25
#: Documents in one submission, at most.
TOGETHER: Final = 5
#: UUIDs of documents that are remembered of a step, to ask about.
_REMEMBERED: Final = 5_000

#: What a patient's next submission is: so many new documents; or, as a negative number, so many, the first of
#: which the patient's submission after it replaces; or that replacement.
REPLACEMENT: Final = 0


@dataclass(frozen=True, slots=True)
class Step:
    """So many documents more than there were before: the patients from `first` on, `classes` of them by their
    number of documents.
    """

    number: int
    before: int
    documents: int
    first: int
    classes: dict[int, int]

    @property
    def patients(self) -> int:
        """How many patients come in this step."""
        return sum(self.classes.values())

    def submissions(self, part: int, parts: int) -> Iterator[tuple[int, int]]:
        """(patient, what comes) in the order of time, of every `parts`-th patient from `part` on."""
        chance = random.Random(f"{self.number} {part} {parts}")
        left = {
            patient: _submissions(size, chance)
            for patient, size in enumerate(self._sizes(), self.first)
            if patient % parts == part
        }
        # No patient's documents come together: rows that are asked for together lie apart.
        turns = [patient for patient, those in left.items() for _ in those]
        chance.shuffle(turns)
        for patient in turns:
            yield patient, left[patient].pop()

    def _sizes(self) -> Iterator[int]:
        for size, count in self.classes.items():
            yield from (size for _ in range(count))


def _submissions(documents: int, chance: random.Random) -> list[int]:
    """How a patient's documents come, the last first."""
    replaced = documents // REPLACED
    left = documents - replaced
    sizes = []
    while left:
        sizes.append(chance.randint(1, min(TOGETHER, left)))
        left -= sizes[-1]
    for place in chance.sample(range(len(sizes)), replaced):
        sizes[place] = -sizes[place]
    return [each for size in sizes for each in ((REPLACEMENT, size) if size < 0 else (size,))]


def classes(documents: int) -> dict[int, int]:
    """Documents per patient -> patients, who have exactly `documents` together."""
    found: dict[int, int] = {}
    spare = 0  # in thousandths of a document; the last class has one document for each patient
    for size, share in SHARES.items():
        spare += documents * share
        found[size] = spare // (1000 * size)
        spare -= found[size] * size * 1000
    return {size: count for size, count in found.items() if count}


@dataclass(slots=True)
class Population:
    """All steps so far, and the UUIDs that are remembered of each."""

    steps: list[Step] = field(default_factory=list)
    uuids: list[list[bytes]] = field(default_factory=list)

    @property
    def documents(self) -> int:
        """Document entries so far."""
        return sum(each.documents for each in self.steps)

    @property
    def patients(self) -> int:
        """Patients so far."""
        return sum(each.patients for each in self.steps)

    def next(self, documents: int) -> Step:
        """The step that makes it grow to `documents`."""
        more = documents - self.documents
        return Step(len(self.steps), self.documents, more, self.patients, classes(more))

    def add(self, step: Step, uuids: list[bytes]) -> None:
        """A step is there, and these UUIDs are of documents that it brought."""
        self.steps.append(step)
        self.uuids.append(uuids)

    def of(self, size: int, most: int, chance: random.Random) -> list[int]:
        """Different patients with so many documents, drawn from all of them."""
        ranges = []
        for step in self.steps:
            first = step.first
            for own, count in step.classes.items():
                if own == size:
                    ranges.append(range(first, first + count))
                first += count
        total = sum(map(len, ranges))
        drawn = chance.sample(range(total), min(most, total))
        return [_at(ranges, place) for place in drawn]

    def some_documents(self, most: int, chance: random.Random) -> list[bytes]:
        """UUIDs of documents, drawn from the steps by how many documents each brought."""
        pools = [chance.sample(each, len(each)) for each in self.uuids]
        weights = [step.documents for step in self.steps]
        found: list[bytes] = []
        while len(found) < most:
            (pool,) = chance.choices(pools, weights)
            if not pool:
                break
            found.append(pool.pop())
        return found


def every(documents: int, parts: int) -> int:
    """Of how many documents one UUID is remembered, in each part of a step."""
    return max(1, documents // (_REMEMBERED * parts))


def _at(ranges: list[range], place: int) -> int:
    for each in ranges:
        if place < len(each):
            return each[place]
        place -= len(each)
    raise IndexError(place)
