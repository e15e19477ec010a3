"""How figures, names and sentences stand in pages."""

import re
from decimal import ROUND_HALF_UP, Decimal

from markupsafe import Markup, escape

from rater_service.money import decimal_text
from rater_service.views.terminal import printable

_CENT = Decimal("0.01")
_COMMAND = re.compile(r"`(phoebe [^`]*)`")


def grouped(number: int | Decimal | str) -> Markup:
    """Group the digits of a number by threes, with space between that is not copied with the text."""
    text = decimal_text(number) if isinstance(number, Decimal) else str(number)
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    whole, point, fraction = digits.partition(".")
    first = len(whole) % 3 or 3
    groups = [whole[:first], *(whole[at : at + 3] for at in range(first, len(whole), 3))]
    rest = [fraction[at : at + 3] for at in range(0, len(fraction), 3)]
    spaced = Markup("").join(
        [
            escape(sign + groups[0]),
            *(Markup("<i>{}</i>").format(group) for group in groups[1:]),
            escape(point + (rest[0] if rest else "")),
            *(Markup("<i>{}</i>").format(group) for group in rest[1:]),
        ]
    )
    return Markup('<span class="n">{}</span>').format(spaced)


def about(amount: Decimal) -> str:
    """Say an amount, USD, for a glance: to cents, and said to be so."""
    if not amount:
        return "0"
    if abs(amount) < _CENT:
        return "< 0.01" if amount > 0 else "> -0.01"
    rounded = amount.quantize(_CENT, ROUND_HALF_UP)
    return f"{'' if rounded == amount else '≈ '}{rounded:,}".replace(",", "\u202f")


def name(text: object) -> Markup:
    """Write a name: whatever steers a reader or a screen is written out, and its direction is its own."""
    return Markup("<bdi>{}</bdi>").format(printable(str(text)))


def sentence(text: str) -> Markup:
    """Write a sentence that stands on terminals, too: it begins with a capital, and its commands are code.

    Names in it are written as by `name`.
    """
    parts = _COMMAND.split(text[:1].upper() + text[1:])
    written = (
        Markup("<code>{}</code>").format(printable(part)) if place % 2 else escape(printable(part))
        for place, part in enumerate(parts)
    )
    return Markup("<bdi>{}</bdi>").format(Markup("").join(written))
