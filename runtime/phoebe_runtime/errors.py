"""What an operator can mend; the message says what is wrong and what to do."""


class OperatorError(Exception):
    """An expected failure. Its text is complete and may be shown as it is; it holds no secrets."""
