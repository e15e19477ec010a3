"""What those who use real programs can't go on with."""


class RigError(Exception):
    """Something does not do what it should, in words for the person who started it."""
