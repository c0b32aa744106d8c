"""`/tools/validate`: the same as `xds validate`, as a page of a node in a test environment.

app.py adds it when `environment = test`, and it is there in no other. What is pasted is judged in memory and
in a folder that is gone with the answer; nothing of it is stored or logged, and every text is escaped.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from html import escape
from typing import Final

import falcon
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from xds.errors import Fault
from xds.transport.limits import Limits
from xds.transport.timed import TimedStream
from xds.validate.desk import Settings
from xds.validate.findings import note
from xds.validate.judging import judge
from xds.validate.kinds import KINDS
from xds.validate.report import STYLE_HASH, page, section

ADDRESS: Final = "/tools/validate"
#: What one form may hold, in bytes.
MOST_BYTES: Final = 4 * 1024 * 1024
_POLICY: Final = (
    f"default-src 'none'; style-src {STYLE_HASH}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_MOST_PARTS: Final = 8
#: A form full of empty objects has half a million findings, which would be a page of 150 MB.
_MOST_FINDINGS: Final = 1000
#: The parser would log characters of what is sent.
_SILENT: Final = logging.Logger("xds.validate.page", logging.CRITICAL + 1)


class ValidatePage:
    """The Falcon resource; `settings` are those by which is judged."""

    def __init__(self, settings: Settings, limits: Limits) -> None:
        self._settings = settings
        self._limits = limits

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The form."""
        _send(resp, _form())

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """What was found, over the form again."""
        length = req.content_length
        if length is not None and length > MOST_BYTES:
            raise falcon.HTTPContentTooLarge(description=f"A form has at most {MOST_BYTES} bytes.")
        try:
            stream = TimedStream(req.stream.read, self._limits, length)
            fields = _fields(stream, req.content_type or "")
        except (Fault, MultipartParseError):
            raise falcon.HTTPBadRequest(description="The form could not be read: send it again.") from None
        kind = fields.get("kind", b"").decode("ascii", "replace")
        data = fields.get("file") or fields.get("text", b"")
        if kind not in ("", *KINDS):
            raise falcon.HTTPBadRequest(description="There is no such kind.")
        report = judge("What was sent", data, _of_kind(self._settings, kind))
        if len(report.findings) > _MOST_FINDINGS:
            more = note(f"Only the first {_MOST_FINDINGS} findings are shown: `xds validate` tells them all.")
            report = replace(report, findings=(*report.findings[:_MOST_FINDINGS], more))
        _send(resp, section(report) + _form(kind))


def _of_kind(settings: Settings, kind: str) -> Settings:
    return replace(settings, kind=kind)


def _send(resp: falcon.Response, content: str) -> None:
    resp.content_type = "text/html; charset=utf-8"
    resp.set_header("Content-Security-Policy", _POLICY)
    resp.set_header("Cache-Control", "no-store")
    resp.set_header("Referrer-Policy", "no-referrer")
    resp.set_header("X-Content-Type-Options", "nosniff")
    resp.text = page("Validate a message", content)


def _form(chosen: str = "") -> str:
    options = "".join(
        f'<option value="{name}"{" selected" if name == chosen else ""}>{escape(words)}</option>'
        for name, words in (("", "what it looks like"), *KINDS.items())
    )
    return (
        f'<form method="post" action="{ADDRESS}" enctype="multipart/form-data"><h2>What to validate</h2>'
        '<p><label for="text">Paste a message, resource or ticket</label><br>'
        '<textarea id="text" name="text" spellcheck="false"></textarea></p>'
        '<p><label for="file">Or choose a file</label> <input id="file" name="file" type="file"></p>'
        f'<p><label for="kind">It is</label> <select id="kind" name="kind">{options}</select></p>'
        '<p><button type="submit">Validate</button></p></form>'
        "<p>Nothing of it is stored or logged.</p>"
    )


class _Form:
    """The fields of a form (RFC 7578), by name."""

    def __init__(self) -> None:
        self.fields: dict[str, bytes] = {}
        self._header = [bytearray(), bytearray()]
        self._name = ""
        self._data = bytearray()
        self._parts = 0

    def begin(self) -> None:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise MultipartParseError("too many fields")
        self._name, self._data = "", bytearray()

    def header_end(self) -> None:
        name, value = (bytes(each) for each in self._header)
        self._header = [bytearray(), bytearray()]
        if name.lower() == b"content-disposition":
            given = parse_options_header(value)[1].get(b"name", b"")
            self._name = given.decode("ascii", "replace")

    def end(self) -> None:
        self.fields[self._name] = bytes(self._data)


def _fields(stream: TimedStream, content_type: str) -> dict[str, bytes]:
    kind, parameters = parse_options_header(content_type)
    boundary = parameters.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 0 < len(boundary) <= 200:
        raise MultipartParseError("no form")
    form = _Form()
    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": form.begin,
            "on_header_field": lambda data, start, end: form._header[0].extend(data[start:end]),
            "on_header_value": lambda data, start, end: form._header[1].extend(data[start:end]),
            "on_header_end": form.header_end,
            "on_part_data": lambda data, start, end: form._data.extend(data[start:end]),
            "on_part_end": form.end,
        },
        max_size=MOST_BYTES,
    )
    parser.logger = _SILENT
    total = 0
    while piece := stream.read(64 * 1024):
        total += len(piece)
        if total > MOST_BYTES:
            raise MultipartParseError("too large")
        parser.write(piece)
    parser.finalize()
    return form.fields
