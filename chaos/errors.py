"""What ends a run without a verdict."""

from rig.errors import RigError


class ChaosError(RigError):
    """The simulator can't go on, in words for the person who started it."""
