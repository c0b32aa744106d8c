"""A node that keeps no access log, for the figures of what the log costs: no setting does that.

bench/servers.py puts this folder on the path of a node that it starts; Python imports it before all else.
"""

from xds.audit.trail import Trail


def _nothing(self: object, *deeds: object) -> None:
    """In the place of what would be written."""


Trail.seen = _nothing  # type: ignore[assignment, method-assign]
Trail.done = _nothing  # type: ignore[assignment, method-assign]
Trail.close = _nothing  # type: ignore[method-assign]
