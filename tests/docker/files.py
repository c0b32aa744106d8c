"""What the files of docker/ say, for the tests beside: compose files, manifests, the Dockerfile.

Compose files are resolved by docker compose itself, from PyPI; no container engine is needed or asked.
"""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
DOCKER = ROOT / "docker"
COMPOSE_FILES = ("compose.one.yaml", "compose.yaml")
MANIFESTS = sorted((DOCKER / "kubernetes").glob("*.yaml"))
#: Variables of XDS_ that are no settings (docs/settings.md).
NO_SETTINGS = {"XDS_CONFIG", "XDS_URL", "XDS_TICKET", "XDS_SOURCE_ID"}


def program(name: str) -> Path:
    """One that a package of the development extras has brought."""
    return Path(sys.executable).parent / name


@functools.cache
def compose(name: str) -> dict[str, Any]:
    """A compose file with all its profiles, as docker compose reads it; fails on a warning."""
    done = subprocess.run(
        [program("docker-compose"), "--file", DOCKER / name, "--profile", "*", "config", "--format", "json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def manifests() -> list[dict[str, Any]]:
    """Every resource of docker/kubernetes."""
    return [each for path in MANIFESTS for each in yaml.safe_load_all(path.read_text()) if each]


def dockerfile() -> list[list[tuple[str, str]]]:
    """The stages of the Dockerfile: instructions and their arguments, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (DOCKER / "Dockerfile").read_text(), flags=re.M).replace("\\\n", " ")
    stages: list[list[tuple[str, str]]] = []
    for line in filter(None, text.splitlines()):
        instruction, arguments = line.strip().split(maxsplit=1)
        if instruction == "FROM":
            stages.append([])
        if stages:
            stages[-1].append((instruction, " ".join(arguments.split())))
    return stages
