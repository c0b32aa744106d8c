"""The trust store: what it believes follows files and addresses, without a restart, and fails closed."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.security.addresses import Address, serving, unused_url
from tests.security.authorities import (
    DAY,
    ISSUER,
    NOW,
    certificate,
    der,
    ec_key,
    entity,
    jwk,
    jwks,
    key_descriptor,
    metadata,
    pem,
    revocation_list,
)
from xds.config import load, unsafe_issuers
from xds.demo.tickets import TicketService
from xds.errors import SettingsError
from xds.security import fetch, trust_store
from xds.security.keys import fingerprint
from xds.security.trust import Issuer
from xds.security.trust_store import KEEP_SECONDS, METRICS, REFRESH_SECONDS, TrustStore

OLD, NEW, CA = ec_key(), ec_key(), ec_key()
KEYS = 'certificates = ["signer.pem"]'


class Times:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def clock(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds)

    def ticks(self) -> float:
        return self.seconds

    def pass_by(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def times() -> Times:
    return Times()


@pytest.fixture
def store_of(tmp_path: Path, times: Times) -> Callable[..., TrustStore]:
    """Makes a store of a trust file with one issuer, whose keys a test gives."""
    (tmp_path / "signer.pem").write_bytes(pem(certificate(OLD)))

    def make(keys: str = KEYS, kind: str = "xua", **more: Any) -> TrustStore:
        write(tmp_path, keys, kind)
        return TrustStore(tmp_path / "trust.toml", clock=times.clock, ticks=times.ticks, **more)

    return make


@pytest.fixture
def address() -> Iterator[Address]:
    with serving(jwks(jwk(OLD, "old"))) as found:
        yield found


def write(folder: Path, keys: str = KEYS, kind: str = "xua", name: str = ISSUER, more: str = "") -> None:
    text = f'[[issuer]]\nname = "{name}"\nkind = "{kind}"\naudiences = ["us"]\n{keys}\n{more}'
    (folder / "trust.toml").write_text(text)


def issuer(store: TrustStore, name: str = ISSUER) -> Issuer:
    return store.trust.issuers[name]


def publics(store: TrustStore, name: str = ISSUER) -> list[Any]:
    return [key.public for key in issuer(store, name).keys]


def ids(store: TrustStore) -> list[str]:
    return [key.id for key in issuer(store).keys]


def failures(store: TrustStore) -> dict[str, float]:
    return {
        sample.labels["source"]: sample.value
        for sample in store.samples()
        if sample.name == "xds_trust_failures"
    }


def messages(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= level]


# -- files -----------------------------------------------------------------------------------------


def test_the_same_reading_is_the_same_object(store_of: Callable[..., TrustStore], times: Times) -> None:
    """Who remembers a ticket by generation must not forget it without a reason."""
    store = store_of()
    first = store.trust
    assert publics(store) == [OLD.public_key()]
    assert first.generation == 1
    times.pass_by(3600)
    assert store.trust is first


def test_a_wrong_file_is_an_error_at_the_start(store_of: Callable[..., TrustStore]) -> None:
    """The node then says so instead of refusing everybody."""
    with pytest.raises(SettingsError, match="no keys"):
        store_of("")


def _in_place(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _by_rename(path: Path, data: bytes) -> None:
    other = path.with_suffix(".new")
    other.write_bytes(data)
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    os.replace(other, path)


@pytest.mark.parametrize("replace", [_in_place, _by_rename])
def test_a_key_file_that_changes_is_read_again(
    replace: Callable[[Path, bytes], None],
    store_of: Callable[..., TrustStore],
    times: Times,
    tmp_path: Path,
) -> None:
    """Written in place, or replaced by a file of the same age; within a second nobody looks."""
    store = store_of()
    first = store.trust
    replace(tmp_path / "signer.pem", pem(certificate(NEW)))
    assert store.trust is first
    times.pass_by(1)
    assert publics(store) == [NEW.public_key()]
    assert store.trust.generation == 2
    assert [key.public for key in first.issuers[ISSUER].keys] == [OLD.public_key()]


def test_what_is_written_again_and_says_the_same_changes_nothing(
    store_of: Callable[..., TrustStore], times: Times, tmp_path: Path
) -> None:
    """Certificates, bare keys and the trust file itself."""
    (tmp_path / "bare.pem").write_bytes(pem(NEW.public_key()))
    store = store_of('certificates = ["signer.pem", "bare.pem"]')
    first = store.trust
    for name in ("signer.pem", "bare.pem", "trust.toml"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes() + b"\n")
        times.pass_by(1)
        assert store.trust is first


def test_the_trust_file_that_changes_is_read_again(
    store_of: Callable[..., TrustStore], times: Times, tmp_path: Path
) -> None:
    """With its issuers and what is believed of them."""
    store = store_of()
    write(tmp_path, KEYS, name="https://other.example", more="test = true")
    times.pass_by(1)
    assert list(store.trust.issuers) == ["https://other.example"]
    assert issuer(store, "https://other.example").test


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "signer.pem is empty"),
        (b"garbage", "signer.pem is not a certificate"),
        (pem(certificate(NEW))[:-9], "signer.pem has a PEM block that is not whole"),
        (None, "signer.pem cannot be read"),
    ],
    ids=["empty", "garbage", "half written", "gone"],  # the same in every process
)
def test_a_key_file_that_is_wrong_leaves_the_last_good_one(
    data: bytes | None,
    sentence: str,
    store_of: Callable[..., TrustStore],
    times: Times,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With one line in the log for each change, however long it stays wrong."""
    store = store_of()
    first, path = store.trust, tmp_path / "signer.pem"
    path.unlink()
    if data is not None:
        path.write_bytes(data)
    for _ in range(5):
        times.pass_by(1)
        assert store.trust is first
    (message,) = messages(caplog)
    assert sentence in message
    assert failures(store)["certificates signer.pem"] == 1
    path.write_bytes(pem(certificate(NEW)))
    times.pass_by(1)
    assert publics(store) == [NEW.public_key()]


def test_a_trust_file_that_is_wrong_leaves_the_last_good_one(
    store_of: Callable[..., TrustStore], times: Times, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Until it is right, also when that takes no more than a file that it names."""
    store = store_of()
    first = store.trust
    write(tmp_path, 'certificates = ["new.pem"]')
    for _ in range(5):
        times.pass_by(1)
        assert store.trust is first
    (message,) = messages(caplog)
    assert "new.pem cannot be read" in message
    assert failures(store)["trust.toml"] == 1
    (tmp_path / "new.pem").write_bytes(pem(certificate(NEW)))
    times.pass_by(1)
    assert publics(store) == [NEW.public_key()]
    assert messages(caplog) == [message]


def test_the_keys_of_several_sources_are_all_believed(
    store_of: Callable[..., TrustStore], times: Times, tmp_path: Path
) -> None:
    """Each once, though two sources may name it."""
    (tmp_path / "keys.json").write_bytes(jwks(jwk(NEW, "new")))
    (tmp_path / "same.pem").write_bytes((tmp_path / "signer.pem").read_bytes())
    store = store_of('certificates = ["signer.pem", "same.pem"]\njwks = "keys.json"')
    assert publics(store) == [OLD.public_key(), NEW.public_key()]


# -- addresses -------------------------------------------------------------------------------------


def test_a_key_that_nobody_knows_is_fetched(
    store_of: Callable[..., TrustStore], times: Times, address: Address
) -> None:
    """Key rollover at the issuer: no restart, and no wait for the timer."""
    store = store_of(f'jwks = "{address.url}"', "helseid")
    assert ids(store) == []
    assert store.refresh(ISSUER)
    assert ids(store) == ["old"]
    address.answer = jwks(jwk(NEW, "new"), jwk(OLD, "old"))
    times.pass_by(REFRESH_SECONDS)
    assert ids(store) == ["old"]
    assert store.refresh(ISSUER)
    assert ids(store) == ["new", "old"]
    assert store.trust.generation == 3


def test_a_flood_of_unknown_keys_makes_one_fetch_in_each_interval(
    store_of: Callable[..., TrustStore], times: Times, address: Address
) -> None:
    """From many threads at once; an issuer's address is no target, and nor are we."""
    store = store_of(f'jwks = "{address.url}"', "helseid")
    for interval in range(1, 4):
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda _: store.refresh(ISSUER), range(200)))
        assert len(address.asked) == interval
        times.pass_by(REFRESH_SECONDS)


def test_whoever_asks_after_a_change_is_told_of_it(
    store_of: Callable[..., TrustStore], times: Times, address: Address
) -> None:
    """A request may have begun before another one, or the timer, fetched the keys."""
    store = store_of(f'jwks = "{address.url}"', "helseid")
    store.renew()
    assert store.refresh(ISSUER)
    times.pass_by(REFRESH_SECONDS)
    assert not store.refresh(ISSUER)


@pytest.mark.parametrize("name", ["", "https://nobody.example"])
def test_only_issuers_with_an_address_are_fetched(
    name: str, store_of: Callable[..., TrustStore], times: Times, address: Address
) -> None:
    """What a token says of its issuer sends us nowhere."""
    store = store_of(f'jwks = "{address.url}"', "helseid")
    assert not store.refresh(name)
    assert address.asked == []
    times.pass_by(REFRESH_SECONDS)
    files_only = store_of()
    times.pass_by(REFRESH_SECONDS)
    assert not files_only.refresh(ISSUER)


def test_the_order_of_a_key_set_does_not_matter(
    store_of: Callable[..., TrustStore], times: Times, address: Address
) -> None:
    """Nor do blanks in it."""
    address.answer = jwks(jwk(NEW, "new"), jwk(OLD, "old"))
    store = store_of(f'jwks = "{address.url}"', "helseid")
    store.renew()
    first = store.trust
    address.answer = jwks(jwk(OLD, "old"), jwk(NEW, "new")) + b"\n"
    assert store.renew()
    assert store.trust is first


def test_metadata_may_have_an_address(store_of: Callable[..., TrustStore], address: Address) -> None:
    """Of several entities only the issuer's keys are believed."""
    address.answer = metadata(
        entity("https://other.example", key_descriptor(certificate(NEW))),
        entity(ISSUER, key_descriptor(certificate(OLD))),
    )
    store = store_of(f'metadata = "{address.url}"')
    assert store.renew()
    assert publics(store) == [OLD.public_key()]


BAD_ANSWERS: dict[str, tuple[dict[str, Any], str]] = {
    "500": ({"status": 500}, "answers with status 500"),
    "redirect": ({"status": 301, "headers": {"Location": "/elsewhere"}}, "answers with a redirect"),
    "huge": ({"answer": b" " * 1_048_577}, "answers with more than 1048576 bytes"),
    "slow": ({"delay": 2.0}, "took too long"),
    "garbage": ({"answer": b"<html>"}, "is not JSON"),
    "no keys": ({"answer": jwks()}, "has no RSA or EC key"),
    "private key": ({"answer": jwks(jwk(NEW, "new", d="AAAA"))}, "is a private key"),
}


@pytest.mark.parametrize("case", BAD_ANSWERS)
def test_an_address_that_fails_leaves_the_last_good_keys(
    case: str,
    store_of: Callable[..., TrustStore],
    times: Times,
    address: Address,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With one line in the log until it answers again, and a count of every failure."""
    caplog.set_level(logging.INFO, "xds")
    monkeypatch.setattr(fetch, "TOTAL_SECONDS", 0.3)
    store = store_of(f'jwks = "{address.url}"', "helseid")
    assert store.renew()
    first, good = store.trust, address.answer
    how, sentence = BAD_ANSWERS[case]
    for name, value in how.items():
        setattr(address, name, value)
    for _ in range(3):
        times.pass_by(REFRESH_SECONDS)
        assert not store.renew()
        assert store.trust is first
    times.pass_by(REFRESH_SECONDS)
    assert not store.refresh(ISSUER)
    (message,) = messages(caplog)
    assert sentence in message
    assert failures(store)[f"jwks {address.url}"] == 4
    address.status, address.answer, address.delay, address.headers = 200, good, 0, {}
    assert store.renew()
    assert "answers again" in messages(caplog, logging.INFO)[-1]


def test_an_address_that_nobody_answers_does_not_keep_the_node_from_starting(
    store_of: Callable[..., TrustStore],
) -> None:
    """Its issuer has no keys, and the others have theirs."""
    store = store_of(f'jwks = "{unused_url()}"\n{KEYS}')
    assert not store.renew()
    assert publics(store) == [OLD.public_key()]


def test_keys_of_an_address_are_believed_for_a_day_after_the_last_good_fetch(
    store_of: Callable[..., TrustStore],
    times: Times,
    address: Address,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Then nobody knows any more whether the issuer took them back; keys of files stay."""
    store = store_of(f'jwks = "{address.url}"\n{KEYS}')
    store.renew()
    times.pass_by(KEEP_SECONDS - 1)
    store.renew()
    address.status = 500
    store.renew()
    times.pass_by(KEEP_SECONDS)
    assert len(publics(store)) == 2
    times.pass_by(1)
    assert publics(store) == [OLD.public_key()]
    assert ids(store) == [""]
    assert sum("its keys are dropped" in message for message in messages(caplog)) == 1
    address.status = 200
    store.renew()
    assert len(publics(store)) == 2


def test_keys_of_an_address_stay_when_the_trust_file_changes(
    store_of: Callable[..., TrustStore], times: Times, address: Address, tmp_path: Path
) -> None:
    """As long as the issuer still names it; else they go at once."""
    named = f'jwks = "{address.url}"'
    store = store_of(named, "helseid")
    store.renew()
    write(tmp_path, named, "helseid", more="skew_seconds = 0")
    times.pass_by(1)
    assert ids(store) == ["old"]
    assert issuer(store).skew == timedelta(0)
    write(tmp_path, f'jwks = "{address.url}?other"', "helseid")
    times.pass_by(1)
    assert ids(store) == []


def test_what_comes_from_an_address_that_is_no_longer_named_is_not_believed(
    store_of: Callable[..., TrustStore], times: Times, address: Address, tmp_path: Path
) -> None:
    """The trust file may change while the answer is on its way."""
    store = store_of(f'jwks = "{address.url}"', "helseid")
    address.delay = 0.3
    fetching = threading.Thread(target=store.renew)
    fetching.start()
    while not address.asked:
        time.sleep(0.01)
    write(tmp_path)
    times.pass_by(1)
    assert publics(store) == [OLD.public_key()]
    first = store.trust
    fetching.join()
    assert store.trust is first


def test_no_request_waits_for_the_network_but_one_that_asks_for_it(
    store_of: Callable[..., TrustStore],
    times: Times,
    address: Address,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`trust` never; `refresh` for a while only when another one is at it."""
    monkeypatch.setattr(trust_store, "WAIT_SECONDS", 0.05)
    store = store_of(f'jwks = "{address.url}"', "helseid")
    address.delay = 3
    fetching = threading.Thread(target=store.refresh, args=(ISSUER,))
    fetching.start()
    while not address.asked:
        time.sleep(0.01)
    times.pass_by(1)
    assert store.trust.generation == 1
    assert not store.refresh(ISSUER)
    assert fetching.is_alive()
    fetching.join()
    assert len(address.asked) == 1
    assert ids(store) == ["old"]


# -- revocation ------------------------------------------------------------------------------------


@pytest.fixture
def revoking(tmp_path: Path, store_of: Callable[..., TrustStore]) -> TrustStore:
    """A store with two certificates of an authority, number 17 and 18, and its list, with neither on it."""
    signers = [
        certificate(key, common, by=("ca", CA), serial=serial)
        for key, common, serial in ((OLD, "a", 17), (NEW, "b", 18))
    ]
    (tmp_path / "signer.pem").write_bytes(pem(*signers))
    (tmp_path / "ca.pem").write_bytes(pem(certificate(CA, "ca", authority=True)))
    (tmp_path / "list.crl").write_bytes(der(revocation_list(("ca", CA))))
    return store_of(KEYS + '\nrevocation_lists = ["ca.pem", "list.crl"]')


def test_a_key_that_is_revoked_is_believed_no_more(
    revoking: TrustStore, times: Times, tmp_path: Path
) -> None:
    """As soon as the list is there; the other keys stay."""
    assert len(publics(revoking)) == 2
    (tmp_path / "list.crl").write_bytes(der(revocation_list(("ca", CA), 17)))
    times.pass_by(1)
    assert publics(revoking) == [NEW.public_key()]
    assert issuer(revoking).revoked == {("CN=ca", 17)}


def test_without_a_list_that_is_up_to_date_no_key_is_believed(
    revoking: TrustStore, times: Times, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody knows which of them are revoked; a newer list brings them back."""
    times.pass_by(7 * DAY.total_seconds())
    assert len(publics(revoking)) == 2
    times.pass_by(1)
    assert publics(revoking) == []
    times.pass_by(1)
    assert publics(revoking) == []
    assert sum("out of date" in message for message in messages(caplog)) == 1
    newer = revocation_list(("ca", CA), 17, until=NOW + 14 * DAY)
    (tmp_path / "list.crl").write_bytes(der(newer))
    times.pass_by(1)
    assert publics(revoking) == [NEW.public_key()]


def test_an_authority_has_its_roots_subject_and_list(
    store_of: Callable[..., TrustStore], times: Times, tmp_path: Path
) -> None:
    """And nothing at all when the list is out of date."""
    root = certificate(CA, "ca", authority=True)
    (tmp_path / "ca.pem").write_bytes(pem(root))
    (tmp_path / "list.crl").write_bytes(der(revocation_list(("ca", CA), 17)))
    keys = 'authority = ["ca.pem"]\nsubject = "CN=a"\nrevocation_lists = ["list.crl"]'
    store = store_of(keys)
    believed = issuer(store)
    assert believed.authority is not None
    assert (believed.authority.roots, believed.authority.subject) == ((root,), "CN=a")
    assert believed.revoked == {("CN=ca", 17)}
    assert believed.keys == ()
    times.pass_by(8 * DAY.total_seconds())
    assert issuer(store).authority is None


def test_who_signs_a_revocation_list_is_no_root_for_tickets(
    revoking: TrustStore,
) -> None:
    """The certificate beside the list vouches for the list alone."""
    assert issuer(revoking).authority is None
    assert CA.public_key() not in publics(revoking)


# -- what an operator sees -------------------------------------------------------------------------


def test_the_log_warns_of_a_key_that_ends_soon(
    store_of: Callable[..., TrustStore],
    times: Times,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """At 30, 7 and 1 days, then once a day; a root and a revocation list alike."""
    (tmp_path / "signer.pem").write_bytes(pem(certificate(OLD, after=NOW + 40 * DAY)))
    store = store_of()
    warned: Counter[int] = Counter()
    for hour in range(0, 43 * 24, 6):
        times.seconds = hour * 3600.0
        store.renew()
        warned[hour // 6] = len(messages(caplog))
        caplog.clear()
    assert {n * 6 for n, count in warned.items() if count} == {
        10 * 24,
        33 * 24,
        39 * 24,
        40 * 24,
        41 * 24,
        42 * 24,
    }
    assert set(warned.values()) == {0, 1}


def test_a_warning_names_issuer_key_and_time(
    store_of: Callable[..., TrustStore],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Enough to know whom to call."""
    one = certificate(OLD, after=NOW + 5 * DAY)
    (tmp_path / "signer.pem").write_bytes(pem(one))
    store_of().renew()
    assert messages(caplog) == [f"{ISSUER}: key {fingerprint(one)} ends at 2026-11-06T12:00+00:00"]


def test_the_samples_say_what_ends_when_and_what_failed(revoking: TrustStore, times: Times) -> None:
    """Every metric has its purpose, and no two samples are alike."""
    times.pass_by(1)
    samples = revoking.samples()
    assert list(dict.fromkeys(sample.name for sample in samples)) == list(METRICS)
    assert all(sample.purpose == METRICS[sample.name] for sample in samples)
    labels = [(sample.name, *sorted(sample.labels.items())) for sample in samples]
    assert len(labels) == len(set(labels))
    values = {(sample.name, *sample.labels.values()): sample.value for sample in samples}
    year = (NOW + 365 * DAY).timestamp()
    for key in issuer(revoking).keys:
        name = f"key {fingerprint(key.certificate)}"
        assert values["xds_trust_not_after_seconds", ISSUER, name] == year
    lists = "revocation_lists ca.pem, list.crl"
    assert values["xds_trust_not_after_seconds", ISSUER, lists] == (NOW + 7 * DAY).timestamp()
    assert values["xds_trust_loaded_seconds", ISSUER, lists] == NOW.timestamp()
    assert values["xds_trust_usable_keys", ISSUER] == 2
    assert values["xds_trust_generation",] == 1
    assert values["xds_trust_failures", "", "trust.toml"] == 0
    assert values["xds_trust_failures", ISSUER, lists] == 0
    times.pass_by(366 * DAY.total_seconds())
    values = {(sample.name, *sample.labels.values()): sample.value for sample in revoking.samples()}
    assert values["xds_trust_usable_keys", ISSUER] == 0


def test_the_page_has_a_row_for_every_metric() -> None:
    """docs/trust.md is what an operator sets alarms by."""
    page = (Path(__file__).parents[2] / "docs/trust.md").read_text()
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| `xds_trust")]
    assert {row[0].strip("|` "): row[-1].strip("| ") for row in rows} == dict(METRICS)


# -- the thread ------------------------------------------------------------------------------------


def _soon(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_the_thread_fetches_at_once_and_then_by_the_timer(
    store_of: Callable[..., TrustStore], address: Address
) -> None:
    """And ends when it is told to."""
    store = store_of(f'jwks = "{address.url}"', "helseid", seconds=0.05)
    store.start()
    assert _soon(lambda: ids(store) == ["old"])
    address.answer = jwks(jwk(NEW, "new"))
    assert _soon(lambda: ids(store) == ["new"])
    store.close()
    assert store._thread is not None
    assert not store._thread.is_alive()
    asked = len(address.asked)
    time.sleep(0.2)
    assert len(address.asked) == asked


def test_an_address_that_is_new_in_the_trust_file_is_asked_at_once(
    store_of: Callable[..., TrustStore], times: Times, address: Address, tmp_path: Path
) -> None:
    """Not only when the timer comes round."""
    store = store_of(seconds=3600)
    store.start()
    try:
        write(tmp_path, f'jwks = "{address.url}"', "helseid")
        times.pass_by(1)
        assert _soon(lambda: ids(store) == ["old"])
    finally:
        store.close()


def test_the_thread_survives_what_nobody_thought_of(
    store_of: Callable[..., TrustStore],
    times: Times,
    address: Address,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Here a clock that fails for a moment."""
    store = store_of(f'jwks = "{address.url}"', "helseid", seconds=0.02)
    right = store._clock

    def wrong() -> datetime:
        raise RuntimeError("no time")

    store._clock = wrong
    store.start()
    try:
        assert _soon(lambda: "The trust store could not be renewed" in messages(caplog))
        store._clock = right
        assert _soon(lambda: ids(store) == ["old"])
    finally:
        store.close()


def test_what_the_node_may_not_believe_is_not_believed_after_a_reload_either(tmp_path: Path) -> None:
    """An issuer for tests that is written into the file of a running node: the last good reading stays."""
    service = TicketService(tmp_path)
    text = service.trust.read_text()
    service.trust.write_text(text.replace("test = true", ""))
    now = [0.0]
    settings = load(None, {"XDS_NODE__PUBLIC_URL": "https://xds.example.no", "XDS_TRUST": str(service.trust)})
    store = TrustStore(service.trust, ticks=lambda: now[0], check=partial(unsafe_issuers, settings))
    believed = store.trust
    service.trust.write_text(text)
    now[0] += 2
    assert store.trust is believed
    with pytest.raises(SettingsError, match="test = true"):
        TrustStore(service.trust, check=partial(unsafe_issuers, settings))
