"""XML is parsed in one place, xds/transport/xml.py: every other module must go through it.

Reads the syntax tree of every module of the package; a name is forbidden wherever it is mentioned, called or
not.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import xds

PACKAGE = Path(xds.__file__).parent
THE_PLACE = PACKAGE / "transport" / "xml.py"

#: What lxml.etree offers for turning text into elements, or for reading files and addresses by itself.
PARSING = {
    "ETCompatXMLParser", "HTML", "HTMLParser", "HTMLPullParser", "XInclude", "XML", "XMLDTDID", "XMLID",
    "XMLParser", "XMLPullParser", "XMLSchema", "XMLSchemaParseError", "XSLT", "DTD", "RelaxNG", "fromstring",
    "fromstringlist", "get_default_parser", "iterparse",
    "parse", "parseid", "set_default_parser", "adopt_external_document",
}  # fmt: skip
#: Modules that parse XML, or do so behind one's back.
MODULES = (
    "xml", "lxml.html", "lxml.objectify", "lxml.sax", "lxml.cssselect", "lxml.isoschematron", "bs4",
    "xmltodict", "defusedxml", "html.parser", "plistlib", "pyexpat", "zeep", "_elementtree",
    "lxml.ElementInclude", "lxml.usedoctest",
)  # fmt: skip


def _is_forbidden(module: str) -> bool:
    return any(module == name or module.startswith(name + ".") for name in MODULES)


def findings(source: str) -> list[int]:
    """The lines of `source` that parse XML or import something that does."""
    tree = ast.parse(source)
    etree_names = {"lxml.etree"}
    lines: list[int] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if _is_forbidden(alias.name):
                    lines.append(node.lineno)
                if alias.name == "lxml.etree" and alias.asname:
                    etree_names.add(alias.asname)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            module = node.module or ""
            for alias in node.names:
                if _is_forbidden(module) or _is_forbidden(f"{module}.{alias.name}"):
                    lines.append(node.lineno)
                if module == "lxml.etree" and (alias.name in PARSING or alias.name == "*"):
                    lines.append(node.lineno)
                if (module, alias.name) == ("lxml", "etree"):
                    etree_names.add(alias.asname or "etree")
    lines += [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in PARSING and ast.unparse(node.value) in etree_names
    ]
    return sorted(set(lines))


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_only_the_transport_parses_xml(path: Path) -> None:
    """No module but transport/xml.py parses XML."""
    found = findings(path.read_text("utf-8"))

    assert bool(found) == (path == THE_PLACE), (
        f"{path.name} parses XML at lines {found}: use xds.transport.xml.parse"
    )


@pytest.mark.parametrize(
    "source",
    [
        "from lxml import etree\netree.fromstring(b'')",
        "from lxml import etree as e\ne.parse('x')",
        "import lxml.etree\nlxml.etree.XML('')",
        "import lxml.etree as t\nf = t.iterparse",
        "from lxml.etree import XMLParser",
        "from lxml.etree import *",
        "from lxml import objectify",
        "from lxml import html",
        "import xml.etree.ElementTree as ET",
        "from xml.dom import minidom",
        "from xml.parsers import expat",
        "import pyexpat",
        "def f():\n    import xml.sax",
    ],
)
def test_the_check_sees_every_way_to_parse(source: str) -> None:
    """Each known way to reach a parser is noticed."""
    assert findings(source)


@pytest.mark.parametrize(
    "source",
    [
        "from lxml import etree\netree.tostring(x); etree.Element('a'); etree.QName(x)",
        "from xds.transport import xml\nxml.parse(b'')",
        "from urllib.parse import unquote",
        "import json\njson.parse",
    ],
)
def test_the_check_leaves_other_code_alone(source: str) -> None:
    """Building and writing XML is no parsing."""
    assert findings(source) == []
