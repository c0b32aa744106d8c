"""The link to the next page: a search and where it stopped, sealed.

bundles.py writes it and the searches read it. Nothing is kept between two pages, and any node of the same
database can go on; what was asked, a national number among it, can be read in no URL and no log. A cursor
lets nobody see more: every page goes through the gates as the first did.
"""

from __future__ import annotations

import base64
import os
import threading
from typing import Any, Final

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import select

from xds.store.database import Database
from xds.store.dialect import insert_new
from xds.store.schema import maintenance

PARAMETER: Final = "_cursor"
_NAME: Final = "fhir cursor key"
_KEY: Final = select(maintenance.c.value).where(maintenance.c.name == _NAME)
_NONCE: Final = 12
#: Base64 of more than any search that is taken.
_LONGEST: Final = 32_000


class Cursors:
    """Seals and opens cursors with a key that the nodes of one database share; made when first needed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._cipher: AESGCM | None = None

    def seal(self, content: Any) -> str:
        """Plain JSON data as a text for a URL."""
        nonce = os.urandom(_NONCE)
        sealed = self._key().encrypt(nonce, orjson.dumps(content), None)
        return base64.urlsafe_b64encode(nonce + sealed).decode().rstrip("=")

    def open(self, text: str) -> Any:
        """What was sealed; None for a text that is no cursor of this database."""
        if len(text) > _LONGEST:
            return None
        try:
            data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            return orjson.loads(self._key().decrypt(data[:_NONCE], data[_NONCE:], None))
        except (ValueError, InvalidTag):
            return None

    def _key(self) -> AESGCM:
        with self._lock:
            if self._cipher is None:
                self._cipher = AESGCM(bytes.fromhex(self._stored()))
            return self._cipher

    def _stored(self) -> str:
        with self._database.read() as connection:
            found = connection.execute(_KEY).scalar()
        if found is None:
            with self._database.write() as connection:
                given = {"name": _NAME, "value": os.urandom(32).hex()}
                connection.execute(insert_new(maintenance, connection.dialect), given)
                found = connection.execute(_KEY).scalar_one()
        return str(found)
