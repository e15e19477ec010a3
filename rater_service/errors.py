"""How a command ends without a fault of its own: what an operator can mend, and what its status tells."""

from phoebe_runtime.errors import OperatorError

__all__ = ["NeedsAttention", "NoPriceBookError", "OperatorError", "ProgramEnded"]


class NeedsAttention(Exception):  # noqa: N818 - nothing failed
    """The command did its work, and what it found needs a human."""


class ProgramEnded(Exception):  # noqa: N818 - nothing failed that is ours
    """The program that the command ran has ended; its exit status is the command's."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the program ended with status {status}")
        self.status = status


class NoPriceBookError(OperatorError):
    """There is nothing to rate or quote by."""

    def __init__(self) -> None:
        super().__init__(
            "no price file was ever loaded, or all were withdrawn; start `phoebe serve` with --prices FILE"
        )
