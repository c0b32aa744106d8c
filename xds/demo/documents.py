"""A patient who does not exist, and three real documents about her: a PDF, a CDA document, a text note.

The demo submits them. Everything is made here, small and valid, so that each opens in an ordinary reader.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from uuid import uuid4

from xds.metadata.national import NATIONAL, with_control_digits
from xds.transport.xml import escape

#: The months of Tenor's synthetic numbers are raised by this, so that no real person has them (Skatteetaten).
_TENOR: Final = 80


@dataclass(frozen=True, slots=True)
class Patient:
    """A synthetic patient: the number of 11 digits, the birth date, and a name that says what she is."""

    number: str
    born: date
    given: str = "Syntetisk"
    family: str = "Prøvepasient"

    @property
    def id(self) -> str:
        """The patient id in document metadata."""
        return f"{self.number}^^^&{NATIONAL}&ISO"


def patient() -> Patient:
    """A new synthetic woman born between 1940 and 1999."""
    while True:
        born = date(1940, 1, 1) + timedelta(days=secrets.randbelow(60 * 365))
        # 000 to 499 stands for the last century; the last digit is even for women.
        individual = 2 * secrets.randbelow(50) + 100 * secrets.randbelow(5)
        number = with_control_digits(f"{born:%d}{born.month + _TENOR}{born:%y}{individual:03d}")
        if number:
            return Patient(number, born)


def pdf(lines: list[str]) -> bytes:
    """One page with these lines (PDF 1.4; Helvetica, which every reader has)."""
    shown = b" T* ".join(b"(" + _pdf_text(line) + b") Tj" for line in lines)
    content = b"BT /F1 14 Tf 20 TL 72 760 Td " + shown + b" ET"
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%b\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    )
    data = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"
    entries = [b"0000000000 65535 f \n"]
    for number, each in enumerate(objects, start=1):
        entries.append(b"%010d 00000 n \n" % len(data))
        data += b"%d 0 obj\n%b\nendobj\n" % (number, each)
    table = b"xref\n0 %d\n%b" % (len(entries), b"".join(entries))
    trailer = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(entries), len(data))
    return data + table + trailer


def _pdf_text(line: str) -> bytes:
    return line.encode("cp1252").replace(b"\\", rb"\\").replace(b"(", rb"\(").replace(b")", rb"\)")


def cda(subject: Patient, written: datetime, title: str, paragraph: str) -> bytes:
    """A CDA R2 document of one section (HL7 Clinical Document Architecture, Release 2; level 2)."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3">
  <typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>
  <id root="2.25.{uuid4().int}"/>
  <code code="11488-4" codeSystem="2.16.840.1.113883.6.1" displayName="Consult note"/>
  <title>{escape(title)}</title>
  <effectiveTime value="{written:%Y%m%d%H%M%S%z}"/>
  <confidentialityCode code="N" codeSystem="2.16.840.1.113883.5.25"/>
  <languageCode code="nb-NO"/>
  <recordTarget>
    <patientRole>
      <id root="{NATIONAL}" extension="{subject.number}"/>
      <patient>
        <name><given>{escape(subject.given)}</given><family>{escape(subject.family)}</family></name>
        <administrativeGenderCode code="F" codeSystem="2.16.840.1.113883.5.1"/>
        <birthTime value="{subject.born:%Y%m%d}"/>
      </patient>
    </patientRole>
  </recordTarget>
  <author>
    <time value="{written:%Y%m%d%H%M%S%z}"/>
    <assignedAuthor>
      <id nullFlavor="NA"/>
      <assignedPerson><name><given>Tuva</given><family>Fjell</family></name></assignedPerson>
    </assignedAuthor>
  </author>
  <custodian>
    <assignedCustodian>
      <representedCustodianOrganization>
        <id nullFlavor="NA"/>
        <name>Eksempelsykehuset</name>
      </representedCustodianOrganization>
    </assignedCustodian>
  </custodian>
  <component>
    <structuredBody>
      <component>
        <section>
          <title>{escape(title)}</title>
          <text><paragraph>{escape(paragraph)}</paragraph></text>
        </section>
      </component>
    </structuredBody>
  </component>
</ClinicalDocument>
""".encode()
