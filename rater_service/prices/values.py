"""The single values of a price file: text in, number or time out."""

import re
from datetime import UTC, datetime
from decimal import Decimal

from rater_service.money import billed_rate, decimal_text
from rater_service.prices.faults import shown
from rater_service.prices.file_yaml import Node, Scalar

# Longer than any price needs; exact arithmetic holds a product of two.
_DECIMAL_CHARS_MAX = 40
# Far above any price, and far below what NUMERIC(20,9) holds, also after the largest premium.
_RATE_USD_MAX = Decimal(1_000_000)
_FACTOR_MAX = Decimal(1_000)

_PLAIN_DECIMAL = re.compile(r"[0-9]+(\.[0-9]+)?")
_WHOLE_HOUR = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}):00:00(Z|\+00:00)")


class BadValueError(Exception):
    """A value is not what its place needs; the message says what is wrong and what to write."""


def rate(node: Node) -> Decimal:
    """Read a rate, USD per token: 0 for free, otherwise at least half a nano-dollar, at most 1,000,000.

    Raises BadValueError, also for a rate that is not 0 but would be billed as 0.
    """
    value = amount(node)
    if value and not billed_rate(value):
        raise BadValueError(
            f'{shown(text(node))} rounds to zero at 9 decimals; write "0" if it shall be free'
        )
    return value


def amount(node: Node) -> Decimal:
    """Read USD per token, 0 to 1,000,000, however small. Raises BadValueError."""
    return _at_most(_RATE_USD_MAX, _decimal(node), "USD per token")


def factor(node: Node) -> Decimal:
    """Read the factor of a multiplier, 0 to 1,000. Raises BadValueError."""
    return _at_most(_FACTOR_MAX, _decimal(node), "as a factor")


def whole_hour(node: Node) -> datetime:
    """Read a whole UTC hour, "2026-12-01T00:00:00Z", quoted or not. Raises BadValueError."""
    written = text(node)
    match = _WHOLE_HOUR.fullmatch(written)
    try:
        if match:
            return datetime.fromisoformat(match[1] + ":00:00").replace(tzinfo=UTC)
    except ValueError:
        pass  # the digits are in place but name no hour, which is said below
    raise BadValueError(f'{shown(written)} is not a whole UTC hour; write it like "2026-12-01T00:00:00Z"')


def text(node: Node) -> str:
    """Read a single value as it is written. Raises BadValueError for a mapping or a list."""
    return _scalar(node).text


def _scalar(node: Node) -> Scalar:
    if not isinstance(node, Scalar):
        raise BadValueError("must be a single value, not a mapping or a list")
    return node


def _decimal(node: Node) -> Decimal:
    number = _scalar(node)
    if not _PLAIN_DECIMAL.fullmatch(number.text):
        raise BadValueError(
            f'{shown(number.text)} is not a plain decimal; write it like "0.000000200": digits and at most'
            " one point, no exponent, sign or spaces"
        )
    if len(number.text) > _DECIMAL_CHARS_MAX:
        raise BadValueError(f"{shown(number.text)} is longer than {_DECIMAL_CHARS_MAX} characters")
    if not number.quoted:
        raise BadValueError(f'{number.text} is not quoted; write "{number.text}"')
    return Decimal(number.text)


def _at_most(limit: Decimal, value: Decimal, unit: str) -> Decimal:
    if value > limit:
        raise BadValueError(f"{decimal_text(value)} is more than {limit:,} {unit}")
    return value
