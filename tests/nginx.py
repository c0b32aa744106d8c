"""nginx before several nodes, as docs/operations.md has it; from Debian's packages, unpacked by .ci/nginx.

`balancer` runs it as a child and ends it by its id. Without the packages tests are skipped, but not where
CI=true.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.ports import free_port

_UNPACKED = Path(__file__).parent.parent / ".venv" / "nginx" / "usr" / "sbin" / "nginx"
_CONFIGURATION = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 2g;
    upstream nodes {{
        {nodes}
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://nodes;
            proxy_http_version 1.1;
            proxy_connect_timeout 2s;
            proxy_next_upstream error timeout http_502 non_idempotent;
            proxy_next_upstream_tries 3;
        }}
    }}
}}
"""


def program() -> str:
    """Where nginx is; skips where there is none."""
    found = str(_UNPACKED) if _UNPACKED.exists() else shutil.which("nginx")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("nginx is not there: run .ci/nginx")
        pytest.skip("nginx is NOT TESTED: run .ci/nginx")
    return found


@contextmanager
def balancer(folder: Path, ports: Sequence[int]) -> Iterator[int]:
    """The port of an nginx that hands requests to nodes at these ports in turn."""
    nginx, port = program(), free_port()
    folder.mkdir()
    configuration = folder / "nginx.conf"
    nodes = "\n        ".join(f"server 127.0.0.1:{each} max_fails=0;" for each in ports)
    user = "user root;" if os.geteuid() == 0 else ""  # else "nobody" would keep bodies in our folder
    configuration.write_text(_CONFIGURATION.format(user=user, folder=folder, nodes=nodes, port=port))
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(
            [nginx, "-c", str(configuration), "-p", str(folder)], stdout=out, stderr=out
        )
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None, (folder / "out").read_text()
                assert time.monotonic() < deadline, "nginx did not start"
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(20)
