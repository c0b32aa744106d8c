"""Serves our WSDL files and the schemas they import.

The endpoint asks a `Description` for its WSDL; `Schemas` is a Falcon resource of its own. File names come
from the folder as it was at start, never from a request.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import falcon
from lxml import etree

from xds.transport import xml

_ADDRESS: Final = tuple(
    f"{{http://schemas.xmlsoap.org/wsdl/{binding}}}address" for binding in ("soap12/", "soap/")
)
_HOST = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")


class Description:
    """One WSDL file, in which every address is set to where the reader found it.

    `public_url` (scheme and authority, no path) replaces what the request says, for nodes behind a proxy.
    """

    def __init__(self, path: Path, public_url: str = "") -> None:
        self._data = path.read_bytes()
        self._public_url = public_url.rstrip("/")
        xml.parse(self._data)

    def read(self, req: falcon.Request) -> bytes:
        """The file as it is at the address of `req`. Raises HTTPBadRequest for a Host that is none."""
        base = self._public_url
        if not base:
            if not _HOST.fullmatch(req.netloc):
                raise falcon.HTTPBadRequest(description="The Host header is not a host name.")
            base = f"{req.scheme}://{req.netloc}"
        root = xml.parse(self._data)
        for address in root.iter(*_ADDRESS):
            address.set("location", base + req.path)
        return etree.tostring(root, encoding="UTF-8", xml_declaration=True)


class Schemas:
    """Serves `GET …/schema/{name}`: the .xsd files that were in the folder at start, and nothing else."""

    def __init__(self, folder: Path) -> None:
        self._files = {path.name: path.read_bytes() for path in folder.glob("*.xsd")}

    def on_get(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        """The schema called `name`, or 404."""
        data = self._files.get(name)
        if data is None:
            raise falcon.HTTPNotFound(description="There is no such schema.")
        resp.content_type = "text/xml; charset=utf-8"
        resp.data = data
