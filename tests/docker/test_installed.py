"""What is built is whole: the steps of the Dockerfile, run in a folder of their own, make a node that works.

No container engine is needed. The wheel's node has nothing of this repository: it is installed elsewhere, and
runs with the settings and commands of the compose files. nginx, S3 and PostgreSQL are real.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3

from tests import ceph, nginx, postgres
from tests.client.documents import SOURCE_ID, document
from tests.docker.files import DOCKER, ROOT, compose, dockerfile
from tests.ports import free_port
from xds.client import Client, build
from xds.metadata.national import NATIONAL

pytestmark = pytest.mark.slow

PATIENT = "17855599120"


@dataclass(frozen=True)
class Image:
    """A folder with what the image has: `python` and `xds` in `bin`, and docker/'s own programs."""

    folder: Path

    def run(
        self, words: Sequence[str], environment: Mapping[str, str], *, status: int = 0
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the image, with nothing of this process's environment but where programs are."""
        done = subprocess.run(
            [str(self.folder / "bin" / words[0]), *words[1:]],
            env={"PATH": os.environ["PATH"], **environment},
            cwd=self.folder.parent,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == status, done.stderr
        return done


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Made once in a test run, by whichever process asks first."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return _made(tmp_path_factory.mktemp("image"))
    root = tmp_path_factory.getbasetemp().parent / "image"  # beside the folders of all workers of this run
    root.mkdir(exist_ok=True)
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = root / "done"
        image = Image(root / "xds") if done.exists() else _made(root)
        done.touch()
    return image


def _made(root: Path) -> Image:
    """By the COPY and RUN lines of the Dockerfile's first stage."""
    source = root / "source"
    source.mkdir()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    ran = 0
    for instruction, text in dockerfile()[0]:
        if instruction == "COPY":
            *sources, target = text.replace("/opt/xds", str(root / "xds")).split()
            for each in sources:
                whole = source / target  # an absolute target stays what it is
                if (ROOT / each).is_dir():
                    shutil.copytree(ROOT / each, whole, symlinks=True, dirs_exist_ok=True)
                else:
                    into = whole / Path(each).name if target.endswith("/") else whole
                    into.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(ROOT / each, into)
        elif instruction == "RUN":
            command = text.replace("/opt/xds", str(root / "xds"))
            subprocess.run(["sh", "-c", command], cwd=source, env={**os.environ, "PATH": path}, check=True)
            ran += 1
    assert ran == 1
    shutil.rmtree(source)  # nothing may be left that the installed node would need
    return Image(root / "xds")


def test_the_wheel_has_every_file_that_the_node_reads(image: Image) -> None:
    """Tables, schemas, dictionaries, migrations: whatever is under xds/ here but for descriptions."""
    listed = subprocess.run(
        ["git", "ls-files", "xds", "wsdl", "codesystems"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    wanted = {name.removeprefix("xds/") for name in listed if not name.endswith("README.md")}
    wanted -= {"wsdl", "codesystems"}  # the links; their files are listed by themselves
    (package,) = (image.folder / "lib").glob("python*/site-packages/xds")
    there = {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()}
    assert len(wanted) > 300
    assert wanted - there == set()
    where = image.run(["python", "-c", "import xds; print(xds.__file__)"], {})
    assert where.stdout.startswith(str(package))


@contextlib.contextmanager
def serving(image: Image, environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The image's ENTRYPOINT and CMD, until its HEALTHCHECK is content; ended as an engine ends it."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [image.folder / "bin/xds", "serve"],
            env={"PATH": os.environ["PATH"], **environment},
            cwd=image.folder.parent,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 60
        while health(image, environment, "ready") != 0:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def health(image: Image, environment: Mapping[str, str], question: str) -> int:
    return subprocess.run(
        [image.folder / "bin/python", image.folder / "container/health.py", question],
        env={"PATH": os.environ["PATH"], **environment},
        cwd=image.folder.parent,
        capture_output=True,
        check=False,
    ).returncode


def test_the_first_hour(image: Image, tmp_path: Path) -> None:
    """compose.one.yaml: a sample ticket, a node, and a document there and back, byte for byte."""
    said, port = compose("compose.one.yaml")["services"], free_port()

    def here(text: str) -> str:
        return text.replace("/var/lib/xds", str(tmp_path)).replace(
            "http://node:8080", f"http://127.0.0.1:{port}"
        )

    def environment(service: str) -> dict[str, str]:
        return {name: here(value) for name, value in (said[service].get("environment") or {}).items()}

    image.run(["xds", *map(here, said["tickets"]["command"])], {})
    image_default = dict(dockerfile()[-1])["ENV"]
    assert "XDS_NODE__LISTEN=0.0.0.0:8080" in image_default
    node = environment("node") | {
        "XDS_NODE__LISTEN": f"127.0.0.1:{port}",
        "XDS_STORE__DATABASE": f"sqlite:///{tmp_path}/xds.db",
        "XDS_STORE__DOCUMENTS": f"file://{tmp_path}/documents",
    }
    assert health(image, node, "ready") == 1
    with serving(image, node, tmp_path / "log"):
        assert health(image, node, "live") == 0
        assert image.run(["xds", "check"], {**node, "XDS_NODE__LISTEN": f"127.0.0.1:{free_port()}"})
        letter, client = tmp_path / "letter.txt", environment("client")
        letter.write_bytes(b"Epikrise\r\n" * 1000)
        image.run(["xds", "submit", str(letter), "--patient", PATIENT], client)
        found = image.run(["xds", "find", "--patient", PATIENT, "--json"], client).stdout
        (entry,) = json.loads(found)
        (tmp_path / "back").mkdir()
        image.run(["xds", "fetch", entry["entry_uuid"], "--to", str(tmp_path / "back")], client)
        (fetched,) = (tmp_path / "back").iterdir()
        assert fetched.read_bytes() == letter.read_bytes()
        # The container beside it: one sweep at once, and an end when it is told to.
        hourly = subprocess.Popen(
            [image.folder / "bin/python", image.folder / "container/hourly.py", "sweep"],
            env={"PATH": os.environ["PATH"], **node},
            stdout=subprocess.PIPE,
        )
        assert hourly.stdout is not None
        assert hourly.stdout.readline().startswith(b"Removed 0 unfinished and 0 unregistered")
        hourly.terminate()
        assert hourly.wait(10) == 0
        hourly.stdout.close()
    assert health(image, node, "live") == 1


def nginx_before(folder: Path, prepared: Path, ports: Sequence[int], port: int) -> list[str]:
    """The command of an nginx with docker/nginx.conf, of which only places and ports are changed."""
    text = (DOCKER / "nginx.conf").read_text()
    for was, is_ in {
        "listen 8443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "/run/secrets/proxy-certificate": f"{prepared}/proxy/server.pem",
        "/run/secrets/proxy-key": f"{prepared}/proxy/server.key",
        "/tmp/nginx.pid": f"{folder}/nginx.pid",
        "/dev/stderr": f"{folder}/error.log",
        "/var/cache/nginx": str(folder),
        "node-1:8080": f"127.0.0.1:{ports[0]}",
        "node-2:8080": f"127.0.0.1:{ports[1]}",
        "worker_processes auto;": "worker_processes 1;",
    }.items():
        assert was in text, was
        text = text.replace(was, is_)
    folder.mkdir()
    (folder / "nginx.conf").write_text(text)
    user = "user root; " if os.geteuid() == 0 else ""
    return [
        nginx.program(),
        "-c",
        str(folder / "nginx.conf"),
        "-p",
        str(folder),
        "-g",
        f"{user}daemon off;",
    ]


def test_two_nodes_behind_nginx(image: Image, tmp_path: Path) -> None:
    """compose.yaml: keys, certificates, bucket, tables, TLS, and a node that goes without being missed."""
    said, prepared = compose("compose.yaml"), tmp_path / "prepared"
    image.run(["python", str(DOCKER / "prepare.py"), str(prepared)], {})
    image.run(["python", str(DOCKER / "prepare.py"), str(prepared)], {}, status=1)  # never twice
    owners = {
        Path(each["file"]): said["services"][service].get("user", "")
        for service in ("database", "proxy", "node-1", "s3")
        for each in (said["secrets"][used["source"]] for used in said["services"][service]["secrets"])
    }
    assert len(owners) == 9
    users = {"database": 999, "node": 10001, "proxy": 101, "s3": 0}
    for path in owners:
        made = prepared / path.relative_to(DOCKER / "prepared")
        assert made.stat().st_mode & 0o777 == (0o444 if made.name == "ca.pem" else 0o400)
        if os.geteuid() == 0 and made.name != "ca.pem":
            assert made.stat().st_uid == users[made.parent.name]
    assert not any(
        b"PRIVATE" in each.read_bytes() for each in (prepared / "node").rglob("*") if each.is_file()
    )

    settings = {
        name: value
        for name, value in said["services"]["node-1"]["environment"].items()
        if name.startswith("XDS_")
    }
    port = free_port()
    secret = tmp_path / "s3-secret"
    secret.write_text(ceph.SECRET_KEY)
    settings |= {
        "XDS_STORE__DATABASE": postgres.new_database(),
        "XDS_S3__ENDPOINT": ceph.endpoint(),
        "XDS_S3__ACCESS_KEY": ceph.ACCESS_KEY,
        "XDS_S3__SECRET_KEY_FILE": str(secret),
        "XDS_STORE__DOCUMENTS": f"s3://compose-{os.getpid()}/xds",
        "XDS_STORE__WORK": f"file://{tmp_path}/work",
        "XDS_TRUST": str(prepared / "node/trust/trust.toml"),
        "XDS_NODE__PUBLIC_URL": f"https://localhost:{port}",
    }
    del settings["XDS_S3__CA"]
    for _ in range(2):  # a service that is started again finds it done
        image.run(["python", str(DOCKER / "bucket.py")], settings)
        image.run(["xds", "migrate"], settings)

    ports = free_port(), free_port()
    environments = [
        settings
        | {
            "XDS_NODE__LISTEN": f"127.0.0.1:{each}",
            "XDS_NODE__NAME": f"node-{number}",
            "XDS_STORE__WORK": f"file://{tmp_path}/work-{number}",
        }
        for number, each in enumerate(ports, 1)
    ]
    with contextlib.ExitStack() as stack:
        nodes = [
            stack.enter_context(serving(image, each, tmp_path / f"log-{number}"))
            for number, each in enumerate(environments, 1)
        ]
        command = nginx_before(tmp_path / "nginx", prepared, ports, port)
        subprocess.run([*command, "-t"], check=True, capture_output=True)
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        stack.callback(process.wait, 20)
        stack.callback(process.terminate)

        url, authority = f"https://localhost:{port}", prepared / "ca.pem"
        pool = stack.enter_context(urllib3.PoolManager(ca_certs=str(authority), retries=False, timeout=20))
        wait_for(pool, f"{url}/health/live")
        assert pool.request("GET", f"{url}/metrics").status == 404
        assert f"{url}/xds/registry" in pool.request("GET", f"{url}/xds/registry?wsdl").data.decode()

        ticket = image.run(
            ["xds", "ticket", "issue", "--kind", "personnel", "--folder", str(prepared / "tickets")], {}
        ).stdout.strip()
        client = stack.enter_context(Client(url, ca_file=authority, ticket=ticket))
        patient = f"{PATIENT}^^^&{NATIONAL}&ISO"  # whom the ticket is for

        def there_and_back() -> None:
            content = os.urandom(
                3_000_000
            )  # more than nginx lets through unasked, and than it holds in memory
            receipt = client.send(build([document(content)], patient_id=patient, source_id=SOURCE_ID))
            entries = [each for each in client.find(patient) if each.entry_uuid in receipt.entry_uuids]
            (fetched,) = client.fetch(entries, into=tmp_path / receipt.submission_set_unique_id)
            assert fetched.path.read_bytes() == content

        there_and_back()
        nodes[0].terminate()
        assert nodes[0].wait(20) == 0
        for _ in range(4):  # in turn: half of the requests are for the node that is gone
            there_and_back()


def wait_for(pool: urllib3.PoolManager, address: str) -> None:
    """Until it answers 200."""
    deadline = time.monotonic() + 20
    while True:
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            if pool.request("GET", address).status == 200:
                return
        assert time.monotonic() < deadline, "nginx did not start"
        time.sleep(0.05)
