"""What ends the demo early."""

from rig.errors import RigError


class DemoError(RigError):
    """What the demo can't go on with, in words for the person who started it."""
