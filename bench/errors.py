"""What ends a benchmark without a result."""

from rig.errors import RigError


class BenchError(RigError):
    """A benchmark can't be trusted or can't go on, in words for the person who started it."""
