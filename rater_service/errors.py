"""Conditions an operator can mend; the message says what is wrong and what to do."""


class OperatorError(Exception):
    """An expected failure. Its text is complete and may be shown as it is; it holds no secrets."""


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
