"""The demo, run as its users run it, and the documents that it makes."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from xds.client.patients import patient_id
from xds.demo import documents
from xds.transport import xml

COMMAND = [sys.executable, "-m", "xds.demo"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A temporary folder of the demo's own, and settings of the user's that its node must not see."""
    return os.environ | {
        "TMPDIR": str(tmp_path),
        "XDS_ENVIRONMENT": "production",
        "XDS_NODE__LISTEN": "nonsense",
    }


def _serving(folder: Path) -> list[psutil.Process]:
    """The processes whose settings name the folder; one that is dying gets two seconds for it."""
    deadline = time.monotonic() + 2
    while (found := _named(folder)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def _named(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if str(folder) in process.environ().get("XDS_STORE__DATABASE", ""):
                found.append(process)
    return found


def test_the_demo_goes_the_whole_way_and_leaves_nothing(tmp_path: Path, environment: dict[str, str]):
    """Exit 0; each step is told; afterwards there is no process and no file."""
    done = subprocess.run(COMMAND, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    steps = re.findall(r"^(\d+)\. (.+?)  \(\d+ ms\)$", done.stdout, re.MULTILINE)
    assert [int(number) for number, _ in steps] == list(range(1, 16))
    for (_, told), begins in zip(
        steps,
        (
            "Made a ticket service",
            "Started a node",
            "Submitted a PDF",
            "Replaced the text note",
            "Found them",
            "Fetched the PDF",
            "Published a note over FHIR",
            "Submitted two that are not for all",
            "Asked as the clinician: the blocked one is listed without its content, and not given out",
            "Asked as a clinician in an emergency: it is opened",
            "Asked as the patient: the one that is kept from them is not there",
            "Read the access log as the patient",
            "Asked without a ticket: refused",
            "Asked with the same ticket, one letter of it altered: refused",
            "Stopped the node",
        ),
        strict=True,
    ):
        assert told.startswith(begins)
    assert done.stdout.count("Approved") == 3
    assert "byte for byte" in done.stdout
    assert "Where to go from here" in done.stdout
    assert list(tmp_path.iterdir()) == []
    assert _serving(tmp_path) == []


def test_the_folder_is_kept_when_asked_for(tmp_path: Path, environment: dict[str, str]):
    """Database, documents and what was fetched are there to be looked at."""
    done = subprocess.run(
        [*COMMAND, "--keep"], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    (folder,) = tmp_path.iterdir()
    assert str(folder) in done.stdout.splitlines()[-1]
    assert (folder / "xds.db").is_file()
    assert sorted(path.suffix for path in (folder / "fetched").iterdir()) == [".pdf", ".txt"]
    assert (folder / "tickets" / "trust.toml").is_file()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_stopped_leaves_nothing(
    tmp_path: Path, environment: dict[str, str], number: signal.Signals
):
    """Ctrl-C or SIGTERM while the node starts: no process and no file afterwards, and no stack trace."""
    with subprocess.Popen(
        # Whoever runs the tests in the background may have had Ctrl-C ignored, which is inherited.
        ["env", "--default-signal", *COMMAND],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        deadline = time.monotonic() + 20
        while not list(tmp_path.glob("*/node.log")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert process.returncode == (130 if number == signal.SIGINT else 143)
    assert b"Traceback" not in err
    assert list(tmp_path.iterdir()) == []
    assert _serving(tmp_path) == []


def test_a_demo_that_fails_says_why(tmp_path: Path, environment: dict[str, str]):
    """Files may not grow beyond 4 kB, as on a full disk: exit 1, a sentence, and nothing left."""
    limited = ["sh", "-c", 'ulimit -f 8; exec "$@"', "sh", *COMMAND]
    done = subprocess.run(limited, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("The demo failed: The node ended at once.")
    assert list(tmp_path.iterdir()) == []
    assert _serving(tmp_path) == []


def test_the_patient_does_not_exist():
    """The month is raised by 80 and the control digits fit, so the number is of the synthetic series."""
    for _ in range(50):
        patient = documents.patient()
        assert 81 <= int(patient.number[2:4]) <= 92
        assert patient_id(patient.number) == patient.id
        assert 1940 <= patient.born.year <= 1999
        assert int(patient.number[8]) % 2 == 0


def test_the_pdf_is_one():
    """Header, each object where the table says, and startxref at the table (ISO 32000-1, 7.5)."""
    data = documents.pdf(["Blåbær (på øya)", r"C:\temp"])
    assert data.startswith(b"%PDF-1.4\n")
    assert data.endswith(b"%%EOF\n")
    start = int(re.search(rb"startxref\n(\d+)\n", data)[1])
    assert data[start:].startswith(b"xref\n0 6\n0000000000 65535 f \n")
    offsets = re.findall(rb"(\d{10}) 00000 n \n", data[start:])
    assert len(offsets) == 5
    for number, offset in enumerate(offsets, start=1):
        assert data[int(offset) :].startswith(b"%d 0 obj\n" % number)
    length = int(re.search(rb"/Length (\d+)", data)[1])
    stream = data[data.index(b"stream\n") + 7 :]
    assert stream[length:].startswith(b"\nendstream")
    assert b"(Bl\xe5b\xe6r \\(p\xe5 \xf8ya\\)) Tj" in stream
    assert b"(C:\\\\temp) Tj" in stream


def test_the_cda_document_has_what_its_header_must_have():
    """The elements of a CDA R2 header that are required, in the order of the schema, and one section."""
    written = datetime(2026, 3, 11, 9, 45, tzinfo=UTC)
    patient = documents.patient()
    root = xml.parse(documents.cda(patient, written, "Notat & mer", "Blåbær <på> øya"))
    space = "{urn:hl7-org:v3}"
    assert [str(child.tag).removeprefix(space) for child in root] == [
        "typeId", "id", "code", "title", "effectiveTime", "confidentialityCode", "languageCode",
        "recordTarget", "author", "custodian", "component",
    ]  # fmt: skip
    assert root.find(f"{space}typeId").attrib == {
        "root": "2.16.840.1.113883.1.3",
        "extension": "POCD_HD000040",
    }
    assert root.find(f"{space}effectiveTime").get("value") == "20260311094500+0000"
    assert root.find(f".//{space}patientRole/{space}id").get("extension") == patient.number
    assert root.findtext(f".//{space}section/{space}text/{space}paragraph") == "Blåbær <på> øya"
