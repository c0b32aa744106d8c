"""Settings of documents in S3: what is wrong is said at once and by name, and no secret is ever shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from xds.config import Settings, check_to_serve, document_store, load
from xds.errors import SettingsError
from xds.repository.s3_options import Bucket

SECRET = "uncommonly-secret"
GOOD = {
    "XDS_NODE__REPOSITORY_UNIQUE_ID": "1.2.3",
    "XDS_ENVIRONMENT": "test",
    "XDS_ACCESS__TICKET": "none",
    "XDS_STORE__DOCUMENTS": "s3://journal/node-1",
    "XDS_STORE__WORK": "file:///var/lib/xds/work",
    "XDS_S3__ENDPOINT": "https://s3.example.org:9000",
    "XDS_S3__ACCESS_KEY": "node-1",
    "XDS_S3__SECRET_KEY": SECRET,
}


def _errors(environment: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        check_to_serve(load(None, environment))
    assert SECRET not in str(caught.value)
    return str(caught.value)


def test_good_settings_are_taken() -> None:
    """A bucket with or without a prefix; the secret is in no representation."""
    settings = load(None, GOOD)
    check_to_serve(settings)
    assert settings["store.documents"] == Bucket("journal", "node-1")
    assert load(None, GOOD | {"XDS_STORE__DOCUMENTS": "s3://journal/"})["store.documents"].prefix == ""
    assert SECRET not in repr(settings)


def test_everything_that_is_missing_is_said_at_once() -> None:
    """By the names of the settings."""
    lines = _errors({name: value for name, value in GOOD.items() if "S3" not in name and "WORK" not in name})
    assert [line.split(" ")[0] for line in lines.splitlines()] == [
        "s3.endpoint",
        "s3.access_key",
        "store.work",
        "s3.secret_key",
    ]


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("STORE__DOCUMENTS", "s3://", "names no bucket"),
        ("STORE__DOCUMENTS", "s3://key:secret@bucket", "names no bucket"),
        ("STORE__DOCUMENTS", "s3://a..b", "names no bucket"),
        ("STORE__DOCUMENTS", "s3://bucket/a/../b", "has a prefix with other characters"),
        ("STORE__DOCUMENTS", "s3://bucket/a b", "has a prefix with other characters"),
        ("STORE__DOCUMENTS", "http://bucket", "is neither file:///… nor s3://…"),
        ("STORE__WORK", "s3://bucket", "is not file:///…"),
        ("S3__ENDPOINT", "s3.example.org", "is not https://host"),
        ("S3__ENDPOINT", "ftp://s3.example.org", "is not https://host"),
        ("S3__ENDPOINT", "https://s3.example.org/bucket", "is not https://host"),
        ("S3__ENDPOINT", "https://s3.example.org:port", "is not https://host"),
        ("S3__ENDPOINT", f"https://node-1:{SECRET}@s3.example.org", "holds more than a host and a port"),
        ("S3__REGION", "here and there", "is not the name of a region"),
        ("S3__ENCRYPTION", "rot13", "is not one of: none, AES256, aws:kms"),
    ],
)
def test_each_wrong_setting_is_named(name: str, value: str, sentence: str) -> None:
    """With what it should be."""
    assert f"XDS_{name} {sentence}" in _errors(GOOD | {f"XDS_{name}": value})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"S3__SECRET_KEY_FILE": "/nowhere"}, "s3.secret_key or s3.secret_key_file is required"),
        ({"S3__SECRET_KEY": "", "S3__SECRET_KEY_FILE": "/nowhere"}, "s3.secret_key_file cannot be read: No"),
        ({"S3__ENCRYPTION": "aws:kms"}, "s3.encryption_key goes together with"),
        ({"S3__ENCRYPTION_KEY": "key-1"}, "s3.encryption_key goes together with"),
        ({"S3__CA": "/nowhere"}, "s3.ca: the file cannot be read: No"),
        ({"S3__CA": __file__}, "s3.ca: the file holds no certificate in PEM"),
        (
            {"ENVIRONMENT": "production", "S3__ENDPOINT": "http://s3.example.org"},
            "s3.endpoint is not encrypted",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(changes: dict[str, str], sentence: str) -> None:
    """Before the node starts."""
    assert sentence in _errors(GOOD | {f"XDS_{name}": value for name, value in changes.items()})


@pytest.mark.parametrize("host", ["127.0.0.1:1", "[::1]:1", "localhost:1"])
def test_only_a_loopback_address_needs_no_encryption(host: str) -> None:
    """In production; a test may do without."""
    endpoint = {"XDS_S3__ENDPOINT": f"http://{host}"}
    errors = _errors(GOOD | endpoint | {"XDS_ENVIRONMENT": "production"})
    assert "s3.endpoint" not in errors
    check_to_serve(load(None, GOOD | {"XDS_S3__ENDPOINT": "http://s3.example.org"}))


def test_the_secret_may_be_in_a_file(tmp_path: Path) -> None:
    """Alone in it, with or without an end of line; a file without a secret is told."""
    file = tmp_path / "secret"
    given = GOOD | {
        "XDS_S3__SECRET_KEY": "",
        "XDS_S3__SECRET_KEY_FILE": str(file),
        "XDS_STORE__WORK": f"file://{tmp_path}",
    }
    for content, good in ((f"{SECRET}\n", True), (SECRET, True), ("", False), ("a\nb\n", False)):
        file.write_text(content)
        settings = load(None, given)
        if good:
            assert_makes_a_store(settings)
        else:
            assert "s3.secret_key_file does not hold the secret key alone" in _errors(given)


def assert_makes_a_store(settings: Settings) -> None:
    """Without asking the server anything."""
    store = document_store(settings)
    assert sorted(path.name for path in store.staging.path.parent.iterdir() if path.is_dir()) == [
        "replies",
        "staging",
    ]
