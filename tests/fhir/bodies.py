"""What the tests of FHIR bodies share: streams in pieces, limits that are soon passed, and how to look at the
outcome.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.fuzzing import examples
from xds.errors import Fault, FaultCode
from xds.fhir.body import Received, receive
from xds.transport.limits import Limits
from xds.transport.staged import StagingFolder

JSON = "application/fhir+json"
XML = "application/fhir+xml"
SECRET = "13116900216"
LIMITS = Limits(root_bytes=50_000, document_bytes=3000, total_bytes=90_000, parts=5)
#: Enough for a property's documents.
ROOMY = replace(LIMITS, root_bytes=10_000_000, total_bytes=10_000_000, parts=1000)

property_of = settings(
    max_examples=examples(300),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Chunked:
    """A stream that gives its bytes in pieces of the given sizes, again and again."""

    def __init__(self, data: bytes, *sizes: int) -> None:
        self.data = io.BytesIO(data)
        self.sizes = list(sizes)

    def read(self, size: int, /) -> bytes:
        self.sizes.append(self.sizes.pop(0))
        return self.data.read(min(size, self.sizes[-1]))


def read(
    data: bytes,
    staging: StagingFolder,
    *sizes: int,
    content_type: str = JSON,
    limits: Limits = LIMITS,
) -> Received:
    return receive(Chunked(data, *(sizes or (1 << 20,))), content_type, limits, staging)


def documents(received: Received) -> dict[str, bytes]:
    """The staged bytes by name; their hashes and sizes are looked at, and the files are gone afterwards."""
    found = {}
    for name, staged in received.staged.items():
        with staged.open() as file:
            found[name] = file.read()
        assert staged.size == len(found[name])
        assert staged.sha1 == hashlib.sha1(found[name]).hexdigest()
        assert staged.sha256 == hashlib.sha256(found[name]).hexdigest()
    received.discard()
    return found


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


#: All the 64 signs, among them + and / in every place of a group.
EVERY_SIGN = base64.b64decode("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/++//+A/A")

NOT_BASE64 = "The text of `data` number 2 (counted from 1, from the start of the body) is not base64"


def check_refusal(
    staging: StagingFolder, body: bytes, content_type: str, status: int, sentence: str, size: int = 7
) -> None:
    with pytest.raises(Fault) as caught:
        read(body, staging, size, content_type=content_type)

    assert sentence in caught.value.reason
    assert (caught.value.code, caught.value.status) == (FaultCode.SENDER, status)
    assert SECRET not in caught.value.reason
    assert list(staging.path.iterdir()) == []


# ---- for properties

SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=5)


@st.composite
def base64_texts(draw: st.DrawFn) -> str:
    text = base64.b64encode(draw(st.binary(max_size=40))).decode()
    for place in draw(st.lists(st.integers(0, 60), max_size=2)):
        text = text[:place] + draw(st.sampled_from(["\n", "\r\n", "\r"])) + text[place:]
    return text


def damage(signs: Sequence[str]) -> st.SearchStrategy[list[tuple[int, int, str]]]:
    """Where in a text how many signs go, and what comes there."""
    one = st.tuples(st.integers(0, 400), st.integers(0, 2), st.sampled_from(signs))
    return st.lists(one, min_size=1, max_size=4)


def with_noise(text: str, noise: list[tuple[int, int, str]]) -> str:
    """The text with something else here and there."""
    for place, gone, sign in noise:
        place %= len(text)
        text = text[:place] + sign + text[place + gone :]
    return text
