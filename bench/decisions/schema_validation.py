"""What it costs to hold every Body against our schema: docs/decisions/0006-schema-validation.md.

Run by hand, from the repository's root: .venv/bin/python -m bench.decisions.schema_validation
Prints microseconds for each kind of request: parsing the message, and validating its Body.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from lxml import etree

from bench import content, messages
from tests.metadata import samples
from xds.transactions import schema
from xds.transport import soap, xml
from xds.transport.message import XOP

_XSD = Path(__file__).parents[2] / "wsdl" / "schema" / "all.xsd"


def microseconds(run: Callable[[], object], calls: int) -> float:
    """The best of seven rounds, per call."""
    best = float("inf")
    for _ in range(7):
        began = time.perf_counter()
        for _ in range(calls):
            run()
        best = min(best, (time.perf_counter() - began) / calls)
    return best * 1e6


def register(documents: int) -> bytes:
    """The XML of an ITI-42 request with so many documents, in an envelope."""
    chance = random.Random(1)
    patient = content.pid(1)
    entries = [content.entry(patient, number, chance) for number in range(documents)]
    objects = samples.submission(*entries, of=content.set_of(patient, 1))
    body = samples.message(objects)
    return (
        b'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body>'
        + body
        + b"</s:Body></s:Envelope>"
    )


def body_of(data: bytes) -> etree._Element:
    """What stands in the Body, without the xop:Include that transport takes out before anybody looks."""
    body = soap.split(xml.parse(data), soap.Version.SOAP12)[1]
    etree.strip_elements(body, f"{{{XOP}}}Include")
    return body


def main() -> None:
    patient = content.pid(1)
    uuids = [f"urn:uuid:00000000-0000-4000-8000-{number:012}" for number in range(50)]
    requests = {
        "FindDocuments": messages.find(patient).xml,
        "GetDocuments, 50 ids": messages.get(uuids).xml,
        "ITI-41, 1 document": messages.provide(patient, 1, b"", random.Random(1)).xml,
        "ITI-42, 1 document": register(1),
        "ITI-42, 10 documents": register(10),
        "ITI-42, 100 documents": register(100),
    }
    began = time.perf_counter()
    xml.schema(_XSD)
    print(f"Compiling the schema, once in a process: {(time.perf_counter() - began) * 1000:.1f} ms")
    print(f"{'':<24}{'bytes':>10}{'parse µs':>10}{'validate µs':>13}")
    for name, data in requests.items():
        body = body_of(data)
        assert schema.check(body, _XSD) == [], name
        calls = max(10, 2_000_000 // len(data))
        parse = microseconds(partial(xml.parse, data), calls)
        check = microseconds(partial(schema.check, body, _XSD), calls)
        print(f"{name:<24}{len(data):>10,}{parse:>10.0f}{check:>13.0f}")
    broken = body_of(register(1).replace(b"rim:ValueList>", b"rim:Values>"))
    found = schema.check(broken, _XSD)
    spent = microseconds(partial(schema.check, broken, _XSD), 300)
    print(f"ITI-42, 1 document, {len(found)} errors: {spent:.0f} µs, the first: {found[0]}")


if __name__ == "__main__":
    main()
