"""How a worker's memory is looked after: freed buffers are kept, and garbage is sought less often.

Answers are buffers of hundreds of kilobytes; glibc returns such buffers to the kernel when they are freed,
and the next answer pays again for every page (docs/performance.md).
What is there at start stays for good, so the collector need not look at it. app.py calls both once in each
worker. Neither changes a limit: what is kept is bounded by the numbers here.
"""

from __future__ import annotations

import ctypes
import gc
from typing import Final

# mallopt(3): parameter numbers of glibc's malloc.h.
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8

_KEPT: Final = {_MMAP_THRESHOLD: 8 << 20, _TRIM_THRESHOLD: 32 << 20, _ARENA_MAX: 2}


def keep_freed() -> None:
    """Set it for this process; nothing where the C library is not glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in _KEPT.items():
            mallopt(parameter, value)


def collect_seldom() -> None:
    """A request makes hundreds of short-lived containers, none in circles: look at every ten thousandth."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
