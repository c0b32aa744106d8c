"""How long the properties look for what is wrong: as a test run has time for, or as long as is wanted.

`make fuzz TIMES=20` draws twenty times as many examples of every property (XDS_FUZZ_TIMES).
"""

import os

_TIMES = int(os.environ.get("XDS_FUZZ_TIMES", "1"))


def examples(number: int) -> int:
    """So many in a test run."""
    return number * _TIMES
