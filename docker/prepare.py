"""Makes what docker/compose.yaml mounts: passwords, test certificates, and sample issuers of tickets.

`docker compose run --rm prepare` runs it as root, once, so that each file belongs to the one user who may
read it. It never overwrites. Everything it makes is for a test: nothing of it may come near a real patient.
"""

from __future__ import annotations

import datetime
import os
import secrets
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from xds.demo.tickets import TicketService

#: Who reads the files of each folder: the users of the images. S3's server has no user of its own.
NODE, DATABASE, PROXY, S3 = 10001, 999, 101, 0


class Authority:
    """A certificate authority whose key is gone when this program ends."""

    def __init__(self, now: datetime.datetime) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "xds test authority")])
        self._now = now
        self.certificate = (
            self._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(
                x509.KeyUsage(False, False, False, False, False, True, True, False, False), critical=True
            )
            .sign(self._key, hashes.SHA256())
        )

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        day = datetime.timedelta(days=1)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - day)
            .not_valid_after(self._now + 90 * day)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )

    def issue(self, names: Sequence[str]) -> tuple[bytes, bytes]:
        """Certificate and key, PEM, of a server with these names."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        certificate = (
            self._builder(subject, key.public_key())
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        return _pem(certificate), key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def prepare(folder: Path) -> None:
    """Make everything in `folder`, which must be empty or new; owners are set when root does it."""
    tickets = TicketService(folder / "tickets")
    authority = Authority(datetime.datetime.now(datetime.UTC))
    password, secret = secrets.token_urlsafe(32).encode(), secrets.token_urlsafe(32).encode()
    proxy, s3 = authority.issue(["localhost", "proxy"]), authority.issue(["s3", "localhost"])
    made = {
        (DATABASE, "database/password"): password,
        (NODE, "node/pgpass"): b"database:5432:xds:xds:" + password + b"\n",
        (NODE, "node/s3-secret-key"): secret,
        (S3, "s3/secret-key"): secret,
        (S3, "s3/server.pem"): s3[0],
        (S3, "s3/server.key"): s3[1],
        (PROXY, "proxy/server.pem"): proxy[0],
        (PROXY, "proxy/server.key"): proxy[1],
        # Without the private keys, which lie beside them in tickets/: a node must not have those.
        **{
            (NODE, f"node/trust/{name}"): (tickets.trust.parent / name).read_bytes()
            for name in ("trust.toml", "saml-certificate.pem", "token-keys.json")
        },
    }
    for (owner, name), content in made.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o400)
        path.write_bytes(content)
        if os.geteuid() == 0:
            os.chown(path, owner, owner)
    for public in (folder / "ca.pem", folder / "node/ca.pem"):
        public.write_bytes(_pem(authority.certificate))
        public.chmod(0o444)
    if os.geteuid() == 0:
        shutil.chown(folder / "tickets", NODE, NODE)
        for each in (folder / "tickets").iterdir():
            os.chown(each, NODE, NODE)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    if (target / "ca.pem").exists():
        sys.exit(f"{target} is prepared already; remove what is in it to begin anew")
    prepare(target)
