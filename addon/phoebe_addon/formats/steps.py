"""Work in steps, so that whoever does it can do something else between two of them.

A step is short, however much there is to do: it takes a millisecond or so.
"""

from collections.abc import Generator

type Steps[T] = Generator[None, None, T]
"""What is done in steps, and has a result in the end."""


def at_once[T](steps: Steps[T]) -> T:
    """Take all steps one after the other."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
