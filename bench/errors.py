"""What ends a benchmark without a result."""


class BenchError(Exception):
    """A benchmark can't be trusted or can't go on, in words for the person who started it."""
