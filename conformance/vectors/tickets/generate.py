"""Make the ticket vectors: good and hostile security tickets, with keys that are made here and thrown away.

    python conformance/vectors/tickets/generate.py [FOLDER] [--now TIME] [--base-url URL]

Without FOLDER it writes the set beside itself, which is the published one, made for one moment. For a running
node make a set of your own: README.md says how. It needs lxml and cryptography and nothing of the node.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from making import jwt_vectors, people, saml, saml_vectors
from making.jwt_vectors import SCOPE, kid
from making.signatures import new_signer
from making.vectors import Keys, Vector

BASE_URL = "https://xds.example.test"
#: The issuers of the trust file: name, kind, the keys that they sign with, further lines.
ISSUERS = (
    (people.KJERNEJOURNAL, "kjernejournal", ("kjernejournal", "kjernejournal_ec"), ""),
    (people.HELSENORGE, "helsenorge", ("helsenorge",), ""),
    (people.HSO, "hso", ("hso",), ""),
    (people.XUA, "xua", ("xua",), ""),
    (people.SYSTEM, "system", ("system",), ""),
    (people.ONCE, "xua", ("xua",), "once = true\n"),
    (people.HELSEID, "helseid", ("helseid", "helseid_ec"), f'token = "dpop"\nscopes = ["{SCOPE}"]\n'),
    (people.HELSEID_BEARER, "helseid", ("helseid_bearer",), 'token = "bearer"\n'),
)
CURVES = frozenset({"kjernejournal_ec", "helseid_ec", "client", "other_client"})


def write_trust(folder: Path, keys: Keys) -> None:
    """trust.toml, and the certificates and key sets that it names."""
    (folder / "keys").mkdir(parents=True, exist_ok=True)
    lines = [
        "# Issuers of the ticket vectors. For tests only: their keys were made for these files and are gone."
    ]
    for name, kind, by, more in ISSUERS:
        signers = {each: getattr(keys, each) for each in by}
        if kind == "helseid":
            of = f'jwks = "keys/{by[0]}.jwks"'
            jwks = {"keys": [{"kid": kid(each), "use": "sig"} | each.public for each in signers.values()]}
            (folder / "keys" / f"{by[0]}.jwks").write_text(json.dumps(jwks, indent=1) + "\n")
        else:
            of = f"certificates = {json.dumps([f'keys/{each}.pem' for each in by])}"
            for each, signer in signers.items():
                (folder / "keys" / f"{each}.pem").write_text(signer.pem)
        lines.append(
            f'\n[[issuer]]\nname = "{name}"\nkind = "{kind}"\naudiences = ["{people.AUDIENCE}"]\n'
            f"{of}\n{more}test = true"
        )
    (folder / "trust.toml").write_text("\n".join(lines) + "\n")


def write_vector(folder: Path, vector: Vector, at: datetime) -> dict[str, object]:
    """The file or files of a vector; its lines in the index."""
    end = {"saml": "mime" if "multipart" in vector.more.get("content_type", "") else "xml", "jwt": "jwt"}[
        vector.kind
    ]
    file = f"{vector.kind}/{vector.name}.{end}"
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_bytes(vector.content)
    entry = vector.entry(file, at)
    if proof := entry.get("proof"):
        entry["proof"] = f"{vector.kind}/{vector.name}.proof"
        (folder / str(entry["proof"])).write_text(str(proof))
    return entry


def new_keys(now: datetime) -> Keys:
    """A new key pair for every issuer and client."""
    names = Keys.__dataclass_fields__
    return Keys(**{each: new_signer(f"xds vectors {each}", now, each in CURVES) for each in names})


def generate(folder: Path, now: datetime | None = None, base_url: str = BASE_URL) -> None:
    """Write a whole set into `folder`, to be judged at `now`."""
    keys = new_keys(now or datetime.now(UTC))
    write_trust(folder, keys)
    at = (now or datetime.now(UTC)).replace(microsecond=0)
    vectors = [
        *saml_vectors.good(at, keys),
        *saml_vectors.hostile(at, keys),
        *jwt_vectors.vectors(at, keys, base_url),
    ]
    twice = [
        name for name, number in Counter((each.kind, each.name) for each in vectors).items() if number > 1
    ]
    assert not twice, twice
    index = {
        "now": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "trust": "trust.toml",
        "base_url": base_url,
        "soap_path": saml.PATH,
        "vectors": [write_vector(folder, each, at) for each in vectors],
    }
    (folder / "index.json").write_text(json.dumps(index, indent=1, ensure_ascii=False) + "\n")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent)
    parser.add_argument(
        "--now", type=datetime.fromisoformat, help="the time at which to judge them; default: now"
    )
    parser.add_argument("--base-url", default=BASE_URL, help="scheme and authority in the proofs' htu")
    given = parser.parse_args()
    generate(given.folder, given.now and given.now.astimezone(UTC), given.base_url.rstrip("/"))


if __name__ == "__main__":
    main()
