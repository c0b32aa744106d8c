"""Whether the node in this container answers: `python health.py ready` or `live`, status 0 when it does.

The image's HEALTHCHECK runs it, with the node's own settings, so that it knows the port and whether to speak
TLS. It must never need more than the image has, and shows nothing of an answer but its status.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import sys
from ipaddress import ip_address
from pathlib import Path

from xds.config import Settings, load


def healthy(settings: Settings, question: str) -> bool:
    """Whether `/health/<question>` answers 200; with required client certificates, whether it listens."""
    host, port = settings["node.listen"]
    address = ip_address(host)
    if address.is_unspecified:
        host = "::1" if address.version == 6 else "127.0.0.1"
    if settings["tls.client_ca"]:  # whom it lets in it alone knows: that somebody listens is all we can see
        socket.create_connection((host, port), 5).close()
        return True
    connection = http.client.HTTPConnection(host, port, timeout=5)
    if settings["tls.certificate"]:
        # To the same container; its certificate is for the name that others use.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, port, timeout=5, context=context)
    connection.request("GET", f"/health/{question}")
    return connection.getresponse().status == 200


if __name__ == "__main__":
    named = os.environ.get("XDS_CONFIG")
    try:
        good = healthy(load(Path(named) if named else None), sys.argv[1])
    except (OSError, http.client.HTTPException) as error:
        sys.exit(f"no answer: {type(error).__name__}")
    sys.exit(None if good else f"not {sys.argv[1]}")
