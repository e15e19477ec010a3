"""What ends a run without a verdict."""


class ChaosError(Exception):
    """The simulator can't go on, in words for the person who started it."""
