"""Which lines and branches of the gates the tests reach; `make check` prints it, and fails below LEAST.

The figures are of the tests beside the code (tests/access, tests/metadata, tests/security), in one process
with it: what nodes do in processes of their own is not counted.
"""

import json
import sys
from collections import Counter
from pathlib import Path

PACKAGES = ("access", "metadata", "security")
#: Branches reached, of a hundred.
LEAST = 95.0


def main(path: Path) -> int:
    """Print a line for each package; 1 if one has too few branches reached."""
    status = 0
    files = json.loads(path.read_text())["files"]
    for package in PACKAGES:
        total: Counter[str] = Counter()
        for name, file in files.items():
            if name.startswith(f"xds/{package}/"):
                total.update({key: value for key, value in file["summary"].items() if type(value) is int})
        lines = 100 * total["covered_lines"] / total["num_statements"]
        branches = 100 * total["covered_branches"] / total["num_branches"]
        print(f"{package + '/':<10} lines {lines:5.1f} %   branches {branches:5.1f} %")
        status |= branches < LEAST
    if status:
        print(f"Fewer than {LEAST} % of the branches of a package are reached.")
    return status


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
