"""The node's addresses, and that it does not come up when it must not."""

from __future__ import annotations

from pathlib import Path

import pytest
from falcon.testing import TestClient

from xds.app import create_app
from xds.config import load
from xds.errors import SettingsError
from xds.store.database import Database


def settings(folder: Path, **more: str) -> dict[str, str]:
    """The environment of a test node in a folder."""
    return {
        "XDS_ENVIRONMENT": "test",
        "XDS_ACCESS__TICKET": "none",
        "XDS_NODE__REPOSITORY_UNIQUE_ID": "1.2.3",
        "XDS_STORE__DATABASE": f"sqlite:///{folder}/xds.db",
        "XDS_STORE__DOCUMENTS": f"file://{folder}/documents",
    } | more


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    environment = settings(tmp_path)
    Database(environment["XDS_STORE__DATABASE"]).migrate()
    return TestClient(create_app(load(None, environment)))


def test_an_application_on_an_old_database_does_not_come_up(tmp_path: Path) -> None:
    """It says which command helps."""
    with pytest.raises(SettingsError, match="xds migrate"):
        create_app(load(None, settings(tmp_path)))


def test_an_application_with_unsafe_settings_does_not_come_up(tmp_path: Path) -> None:
    """Whoever starts it, by `xds serve` or otherwise."""
    with pytest.raises(SettingsError, match=r"access\.ticket"):
        create_app(load(None, settings(tmp_path, XDS_ACCESS__TICKET="required")))


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_health_is_told(client: TestClient, path: str) -> None:
    """In plain text, for whoever restarts nodes."""
    assert client.simulate_get(path).status_code == 200


def test_a_node_without_its_document_folder_is_not_ready(client: TestClient, tmp_path: Path) -> None:
    """It lives, and cannot work."""
    (tmp_path / "documents/staging").rmdir()
    assert client.simulate_get("/health/live").status_code == 200
    assert client.simulate_get("/health/ready").status_code == 503


def test_a_node_without_room_for_one_document_is_not_ready(tmp_path: Path) -> None:
    """It could not keep what limits.document_bytes promises."""
    environment = settings(tmp_path, XDS_LIMITS__DOCUMENT_BYTES=str(2**60))
    Database(environment["XDS_STORE__DATABASE"]).migrate()
    client = TestClient(create_app(load(None, environment)))
    assert client.simulate_get("/health/ready").status_code == 503


@pytest.mark.parametrize("endpoint", ["registry", "repository"])
def test_an_endpoint_describes_itself_at_its_own_address(client: TestClient, endpoint: str) -> None:
    """The WSDL names the address it was read from, and its schemas are where it says."""
    answer = client.simulate_get(f"/xds/{endpoint}?wsdl", host="node.example", port=8443)
    assert answer.status_code == 200
    assert f'location="http://node.example:8443/xds/{endpoint}"' in answer.text
    assert "localhost" not in answer.text
    for name in ("rim", "rs", "lcm", "query", "xds", "xml"):
        assert client.simulate_get(f"/xds/schema/{name}.xsd").status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/xds", "/xds/registry/", "/xds/schema/none.xsd", "/xds/schema/..%2fregistry.wsdl"]
)
def test_there_is_nothing_else(client: TestClient, path: str) -> None:
    """404, with a line of text."""
    assert client.simulate_get(path).status_code == 404
