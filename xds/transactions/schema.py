"""Is the Body's content what our XML Schema says? Asked once for every message, before it is read.

transactions/body.py calls `check`. The schemas are those the node serves with its WSDL. What comes back are
sentences of our own: the validator's quote values, and those may be about a person.
"""

from __future__ import annotations

import copy
import re
import threading
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from lxml import etree

from xds.transport import xml

#: In elements: of a longer Body not every fault is looked for, as that would take the square of its length.
_LONG: Final = 10_000
#: Of a long Body that breaks the schema so many elements of one name are looked at beside each other, and so
#: many in all.
_BESIDE: Final = 100
_KEPT: Final = 1_000
#: Enough to see what is wrong, not a way to make answers grow.
_MOST: Final = 50
# A validator keeps its last errors in itself, so each thread has its own.
_local = threading.local()

_SENTENCES: Final = {
    "SCHEMAV_ELEMENT_CONTENT": "The element is not expected here, or one is missing",
    "SCHEMAV_CVC_COMPLEX_TYPE_2_3": "The element holds text, which it must not",
    "SCHEMAV_CVC_COMPLEX_TYPE_3_2_1": "The element has an attribute that it must not have",
    "SCHEMAV_CVC_COMPLEX_TYPE_3_2_2": "The element has an attribute that it must not have",
    "SCHEMAV_CVC_COMPLEX_TYPE_4": "The element misses a required attribute",
    "SCHEMAV_CVC_MAXLENGTH_VALID": "The value is longer than its type allows",
    "SCHEMAV_CVC_ENUMERATION_VALID": "The value is not one of those its type allows",
}
_OTHERWISE: Final = "The value does not follow its type"
# What these two say comes from our schema, not from the message.
_EXPECTED: Final = re.compile(r"Expected is (?:one of )?\( ([^()]*?) \)")
_REQUIRED: Final = re.compile(r"The attribute '([^']*)' is required but missing")


#: xds/wsdl is the repository's wsdl/, linked so that an installed package has it too.
_SCHEMA: Final = Path(__file__).parents[1] / "wsdl" / "schema" / "all.xsd"


class Misfit(NamedTuple):
    """One thing that breaks the schema: the element's path in the Body, a sentence, and its line."""

    location: str
    sentence: str
    line: int


def check(body: etree._Element) -> list[Misfit]:
    """All that breaks the schema; of a long Body what is at its beginning, or that there is something."""
    validator = getattr(_local, "validator", None)
    if validator is None:
        validator = _local.validator = xml.schema(_SCHEMA)
    if next(islice(body.iter(), _LONG, None), None) is not None:
        if xml.fits(body, validator):
            return []
        body = _beginning(body)
        if validator.validate(body):
            return [Misfit("", "Something in a long list does not follow the schema.", 0)]
    elif validator.validate(body):
        return []
    found = []
    for error in validator.error_log:
        sentence = _SENTENCES.get(error.type_name, _OTHERWISE)
        said = (_REQUIRED if "ATTRIBUTE" in sentence.upper() else _EXPECTED).search(error.message)
        hint = f" ({re.sub(r'{[^}]*}', '', said.group(1))})" if said else ""
        found.append(Misfit(error.path or "", f"{sentence}{hint}.", error.line))
    return found[:_MOST]


def _beginning(body: etree._Element) -> etree._Element:
    """A copy with the first children of each name in each element: the paths in it are those of the Body."""
    beginning = copy.deepcopy(body)
    for parent in list(beginning.iter()):
        names: Counter[object] = Counter()
        for number, child in enumerate(list(parent)):
            names[child.tag] += 1
            if names[child.tag] > _BESIDE or number >= _KEPT:
                parent.remove(child)
    return beginning


def required(element: etree._Element, path: str) -> etree._Element:
    """The one element at `path`, which the schema has made sure of."""
    found = element.find(path)
    assert found is not None, path
    return found
