"""The files of docker/ are judged by others' programs, and say about the node what is true."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from tests.docker.files import (
    COMPOSE_FILES,
    DOCKER,
    MANIFESTS,
    NO_SETTINGS,
    ROOT,
    compose,
    dockerfile,
    manifests,
    program,
)
from xds.cli import _parser
from xds.config import SETTINGS, load
from xds.transport.limits import Limits

VARIABLES = {setting.variable for setting in SETTINGS} | NO_SETTINGS


def services() -> Iterator[tuple[str, dict[str, Any]]]:
    for name in COMPOSE_FILES:
        for service, said in compose(name)["services"].items():
            yield f"{name}:{service}", said


def containers() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Name, pod and container of every workload of Kubernetes."""
    for each in manifests():
        if each["kind"] in ("Job", "StatefulSet"):
            pod = each["spec"]["template"]["spec"]
            for container in pod["containers"]:
                yield f"{each['metadata']['name']}:{container['name']}", pod, container


def test_linter_of_dockerfiles_finds_nothing() -> None:
    """hadolint, without exceptions."""
    done = subprocess.run(
        [program("hadolint"), "--no-color", "--failure-threshold", "style", DOCKER / "Dockerfile"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout


def test_the_image_runs_as_a_user_with_a_number_and_needs_no_shell() -> None:
    """Kubernetes' runAsNonRoot wants a number; what starts in the image is a list of words."""
    last = dict(dockerfile()[-1])
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", last["USER"])
    assert (last["ENTRYPOINT"], last["CMD"]) == ('["xds"]', '["serve"]')
    health = next(text for instruction, text in dockerfile()[-1] if instruction == "HEALTHCHECK")
    assert health.endswith('CMD ["python", "/opt/xds/container/health.py", "ready"]')
    arguments = re.findall(r"^ARG PYTHON=python:(\S+)$", (DOCKER / "Dockerfile").read_text(), re.M)
    (version,) = arguments
    assert f"Python :: {'.'.join(version.split('.')[:2])}" in (ROOT / "setup.cfg").read_text()
    assert re.fullmatch(r"\d+\.\d+\.\d+-slim-\w+", version)


def test_only_what_the_image_is_made_of_reaches_the_builder() -> None:
    """.dockerignore refuses everything and lets in what is copied, no more and no less."""
    lines = [each for each in (ROOT / ".dockerignore").read_text().splitlines() if each[:1] not in ("#", "")]
    assert lines[0] == "*"
    let_in = {each[1:] for each in lines if each.startswith("!")}
    copied = {
        source
        for stage in dockerfile()
        for instruction, text in stage
        if instruction == "COPY" and "--from" not in text
        for source in text.split()[:-1]
    }
    assert let_in == copied
    assert all((ROOT / each).exists() for each in copied)


@pytest.mark.parametrize(("name", "service"), list(services()), ids=lambda each: each if each else "")
def test_every_container_is_confined(name: str, service: Mapping[str, Any]) -> None:
    """A root that cannot be written, no capabilities, no way to more; images by version."""
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert ("cap_add" in service) == (name == "compose.yaml:prepare")
    assert service["image"] == "xds" or re.fullmatch(r"[\w/-]+:v?\d+\.\d+[\w.-]*", service["image"])
    assert "privileged" not in service


@pytest.mark.parametrize(("name", "service"), list(services()), ids=lambda each: each if each else "")
def test_no_secret_stands_in_the_environment(name: str, service: Mapping[str, Any]) -> None:
    """They are in files, which only the service's user can read."""
    strange = [
        each
        for each in service.get("environment") or {}
        if re.search("PASSWORD|SECRET", each) and not each.endswith("_FILE")
    ]
    assert strange == [], name


@pytest.mark.parametrize(("name", "service"), list(services()), ids=lambda each: each if each else "")
def test_settings_and_commands_of_compose_are_real(name: str, service: Mapping[str, Any]) -> None:
    """Every XDS_ variable is a setting with a value that it may have; every command is one."""
    if service["image"] != "xds":
        assert not any(each.startswith("XDS_") for each in service.get("environment") or {})
        return
    check_settings(service.get("environment") or {})
    if not service["entrypoint"]:
        command = service["command"] or ["serve"]
        _parser().parse_args(["find", "--patient", PATIENT] if name.endswith(":client") else command)
    else:
        assert service["entrypoint"][0] == "python"
        if service["entrypoint"][1].startswith("/opt/"):
            assert (DOCKER / Path(service["entrypoint"][1]).name).exists()
            _parser().parse_args(service["command"])


PATIENT = "17855599120"


def check_settings(environment: Mapping[str, str]) -> None:
    named = {each: str(value) for each, value in environment.items() if each.startswith("XDS_")}
    assert named.keys() <= VARIABLES
    load(None, named)  # raises for what a setting may not be


def test_nodes_start_when_what_they_need_is_there() -> None:
    """Tables and bucket are made before a node starts, and the proxy waits for both nodes."""
    said = compose("compose.yaml")["services"]
    needs = {
        service: {other: each["condition"] for other, each in one.get("depends_on", {}).items()}
        for service, one in said.items()
    }
    done, healthy = "service_completed_successfully", "service_healthy"
    for node in ("node-1", "node-2"):
        assert needs[node] == {"migrate": done, "bucket": done}
        assert said[node]["environment"]["XDS_NODE__NAME"] == node
        assert said[node]["stop_grace_period"] == f"5m{Limits().seconds - 290}s"  # 300 and ten to spare
    assert (needs["migrate"], needs["bucket"]) == ({"database": healthy}, {"s3": healthy})
    assert needs["proxy"] == {"node-1": healthy, "node-2": healthy}
    assert said["proxy"]["stop_grace_period"] == said["node-1"]["stop_grace_period"]
    # The world reaches the proxy, and only nodes reach the database and S3.
    assert [service for service, one in said.items() if one.get("ports")] == ["proxy"]
    assert set(said["proxy"]["networks"]) == {"front"}
    assert set(said["database"]["networks"]) == set(said["s3"]["networks"]) == {"back"}
    assert compose("compose.yaml")["networks"]["back"]["internal"] is True
    for number in ("1", "2"):  # a sweep works on the folder of its node
        volumes = [
            {each["source"] for each in said[f"{kind}-{number}"]["volumes"] if each["type"] == "volume"}
            for kind in ("node", "sweep")
        ]
        assert volumes[0] == volumes[1] == {f"node-{number}"}


def test_nginx_lets_through_what_the_node_does() -> None:
    """Its limits are the node's defaults."""
    text, limits = (DOCKER / "nginx.conf").read_text(), Limits()
    values = dict(re.findall(r"^\s*(\w+) (\d+)s?;", text, re.M))
    assert int(values["client_max_body_size"]) == limits.total_bytes
    assert int(values["client_body_timeout"]) == limits.idle_seconds
    assert int(values["proxy_read_timeout"]) == int(values["proxy_send_timeout"]) == limits.seconds
    assert text.count(" max_fails=0;") == len(re.findall(r"^\s*server node-", text, re.M)) == 2


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
@pytest.mark.parametrize("version", ["1.34", kubernetes_validate.latest_version()])
def test_manifests_are_what_kubernetes_takes(path: Path, version: str) -> None:
    """By its own schemas, in which a strange name is an error."""
    found = [each for each in kubernetes_validate.utils.resources_from_file(str(path)) if each]
    assert found
    for each in found:
        kubernetes_validate.validate(each, version, strict=True)
        assert "namespace" not in each["metadata"]
        assert each["kind"] != "Secret"


@pytest.mark.parametrize(("name", "pod", "container"), list(containers()), ids=lambda each: str(each)[:12])
def test_pods_keep_to_the_restricted_profile(
    name: str, pod: Mapping[str, Any], container: Mapping[str, Any]
) -> None:
    """Kubernetes' Pod Security Standards, and a root that cannot be written; the user is the image's."""
    user = int(dict(dockerfile()[-1])["USER"].split(":")[0])
    context = pod["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] == context["fsGroup"] == user
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    assert not any("hostPath" in volume for volume in pod["volumes"])


@pytest.mark.parametrize(("name", "pod", "container"), list(containers()), ids=lambda each: str(each)[:12])
def test_settings_commands_and_names_in_pods_are_real(
    name: str, pod: Mapping[str, Any], container: Mapping[str, Any]
) -> None:
    """What a container refers to is there: the configuration, the keys of the Secret, volumes."""
    maps = {each["metadata"]["name"]: each["data"] for each in manifests() if each["kind"] == "ConfigMap"}
    text = (DOCKER / "kubernetes/configuration.yaml").read_text()
    secret_keys = set(re.findall(r"--from-file=([\w-]+)=", text))
    environment = dict[str, str]()
    for each in container["envFrom"]:
        environment |= maps[each["configMapRef"]["name"]]
    for each in container["env"]:
        source = each["valueFrom"]
        if "secretKeyRef" in source:
            assert source["secretKeyRef"] == {"name": "xds", "key": "database-password"}
            assert source["secretKeyRef"]["key"] in secret_keys
        else:
            environment[each["name"]] = "xds-0"
    check_settings(environment)
    _parser().parse_args(container["args"])
    volumes = {each["name"]: each for each in pod["volumes"]}
    mounted = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    assert mounted.keys() <= volumes.keys() | {"work"}
    assert volumes["trust"]["configMap"]["name"] in maps
    assert Path(environment["XDS_TRUST"]).parent == Path(mounted["trust"])
    if "secrets" in mounted:
        (item,) = volumes["secrets"]["secret"]["items"]
        assert item["key"] in secret_keys
        assert environment["XDS_S3__SECRET_KEY_FILE"] == f"{mounted['secrets']}/{item['path']}"
        assert environment["XDS_STORE__WORK"].startswith(f"file://{mounted['work']}/")
    assert mounted["tmp"] == "/tmp"


def test_the_node_in_kubernetes_is_asked_where_it_answers() -> None:
    """Probes, port and the time that it may take to end."""
    pod, node = next((pod, each) for name, pod, each in containers() if name == "xds:node")
    assert node["readinessProbe"]["httpGet"]["path"] == "/health/ready"
    # What restarts a pod, at the start too, must not ask for its database and S3.
    assert (
        node["startupProbe"]["httpGet"]["path"] == node["livenessProbe"]["httpGet"]["path"] == "/health/live"
    )
    assert str(node["ports"][0]["containerPort"]) in dict(dockerfile()[-1])["EXPOSE"]
    spare = pod["terminationGracePeriodSeconds"] - node["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert spare >= Limits().seconds


def test_commands_of_the_page_are_of_files_and_services_that_are_there() -> None:
    """docs/containers.md: each `docker compose` names a file and its services, each `xds` command parses."""
    page = (ROOT / "docs/containers.md").read_text()
    lines = [
        shlex.split(line, comments=True)
        for line in re.findall(r"^\$ (docker compose .*)$", page.replace("\\\n", " "), re.M)
    ]
    assert len(lines) > 5
    for words in lines:
        assert words[2] == "--file"
        path = ROOT / words[3]
        said, verb, rest = compose(path.name)["services"], words[4], words[5:]
        assert verb in ("up", "run", "build", "restart", "down")
        if verb == "build":  # without names Compose leaves out the services of profiles
            assert any("build" in said[each] for each in rest or said if rest or "profiles" not in said[each])
        if verb != "run":
            assert {each for each in rest if not each.startswith("-")} <= said.keys()
            continue
        named = next(each for each in rest if each in said)
        if named == "client":
            arguments = [each for each in rest[rest.index(named) + 1 :] if "/here" not in each]
            if arguments[0] == "submit":
                arguments.insert(1, str(ROOT / "README.md"))
            _parser().parse_args(arguments)
