"""What a name that is not known was meant to be."""

from collections.abc import Iterable
from difflib import get_close_matches

# Of difflib's ratio, from 0 to 1. One letter too many, missing, wrong or elsewhere is far above.
_CLOSE = 0.6


def nearest(name: str, known: Iterable[str], close: float = _CLOSE) -> str | None:
    """Return the known name that is closest to a name, whatever the case; None if none is close enough."""
    folded = {each.lower(): each for each in known}
    found = get_close_matches(name.lower(), folded, n=1, cutoff=close)
    return folded[found[0]] if found else None
