"""Is the Body's content what our XML Schema says? Asked once for every message, before it is read.

transactions/body.py calls `check`. The schemas are those the node serves with its WSDL. What comes back are
sentences of our own: the validator's quote values, and those may be about a person.
"""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Final, NamedTuple

from lxml import etree

from xds.transport import xml

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
    """All that breaks the schema."""
    validator = getattr(_local, "validator", None)
    if validator is None:
        validator = _local.validator = xml.schema(_SCHEMA)
    if validator.validate(body):
        return []
    found = []
    for error in validator.error_log:
        sentence = _SENTENCES.get(error.type_name, _OTHERWISE)
        said = (_REQUIRED if "ATTRIBUTE" in sentence.upper() else _EXPECTED).search(error.message)
        hint = f" ({re.sub(r'{[^}]*}', '', said.group(1))})" if said else ""
        found.append(Misfit(error.path or "", f"{sentence}{hint}.", error.line))
    return found[:_MOST]


def required(element: etree._Element, path: str) -> etree._Element:
    """The one element at `path`, which the schema has made sure of."""
    found = element.find(path)
    assert found is not None, path
    return found
