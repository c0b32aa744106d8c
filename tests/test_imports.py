"""Imports point one way (docs/architecture.md): an arrow that points back is a fault in the layout."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "xds"

#: From the bottom up: a package may import itself and what stands before it in its line.
MAY_IMPORT = {
    "errors": set(),
    "transport": {"errors"},
    "metadata": {"errors", "transport"},
    "store": {"errors"},
    "security": {"errors", "metrics", "metadata", "store", "transport"},
    "repository": {"errors", "metadata", "store", "transport"},
    "registry": {"errors", "metadata", "store"},
    "access": {"errors", "metadata", "store", "security", "registry"},
    "audit": {"errors", "metrics", "metadata", "store", "security", "transport"},
    "gateway": {"errors", "metrics", "metadata", "store", "security", "transport", "registry"},
    "transactions": {
        "errors",
        "access",
        "audit",
        "gateway",
        "metadata",
        "store",
        "transport",
        "repository",
        "registry",
    },
    "config": {"errors", "metadata", "transport", "security", "access", "audit", "gateway", "repository"},
    "log": set(),
    "metrics": set(),
    "tracing": {"errors", "repository", "transport"},
    "app": {
        "errors",
        "access",
        "audit",
        "config",
        "gateway",
        "log",
        "metrics",
        "tracing",
        "metadata",
        "store",
        "transport",
        "repository",
        "registry",
        "transactions",
        "security",
        "fhir",
        "validate",
    },
    "fhir": {
        "errors",
        "audit",
        "store",
        "transport",
        "security",
        "access",
        "metadata",
        "registry",
        "transactions",
    },
    "validate": {
        "errors",
        "transport",
        "metadata",
        "store",
        "security",
        "registry",
        "repository",
        "gateway",
        "transactions",
        "fhir",
        "client",
    },
    "client": {"errors", "metadata", "transport"},
    "demo": {"errors", "metadata", "transport", "client", "security"},
    "conformance": {"errors", "metadata", "transport", "client", "demo"},
    "commands": {
        "errors",
        "audit",
        "config",
        "metadata",
        "client",
        "access",
        "security",
        "store",
        "registry",
        "repository",
    },
    "cli": {
        "errors",
        "audit",
        "config",
        "store",
        "gateway",
        "repository",
        "registry",
        "client",
        "demo",
        "commands",
        "validate",
        "conformance",
    },
}


def _modules() -> list[Path]:
    return sorted(path for path in ROOT.rglob("*.py") if "migrations" not in path.parts)


def _imported_packages(path: Path) -> set[str]:
    """The parts of xds that a module imports, by their first name below xds."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: imports are written in full"
            names = [node.module] if node.module != "xds" else [f"xds.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("xds.")}
    return {name for name in found if not name.startswith("__")}


@pytest.mark.parametrize("path", _modules(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_module_imports_only_what_stands_below_it(path: Path) -> None:
    """No module imports a package that its own is not allowed to know."""
    own = path.relative_to(ROOT).parts[0].removesuffix(".py")
    if own == "__init__":
        return
    assert _imported_packages(path) - {own} <= MAY_IMPORT[own]


def test_the_table_has_every_package_and_no_other() -> None:
    """A new package gets its line here, with a thought about where it stands."""
    there = {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in _modules()} - {"__init__"}
    assert there == set(MAY_IMPORT)


def test_the_table_has_no_circle() -> None:
    """What a package may import may not import that package."""
    for package, below in MAY_IMPORT.items():
        for other in below:
            assert package not in MAY_IMPORT[other], (package, other)
