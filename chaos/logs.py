"""What the parts say that they should never say, whatever happens to them."""

from collections.abc import Iterator
from pathlib import Path

# A rater shows where an error of its database came from; an addon has nothing to show.
_NEVER = {
    "addon": ("Traceback (most recent call last)", "was never retrieved", "has crashed"),
    "rater": ("failed in an unexpected way", "raised by servicer method", "Unhandled exception"),
}
_LINES_AROUND = 12


def suspicious_passages(folder: Path) -> list[str]:
    """Look through the logs in a folder; gives the passages that show a bug."""
    return [found for log in sorted(folder.glob("*.log")) for found in _passages_in(log)]


def _passages_in(log: Path) -> Iterator[str]:
    kind = log.name.partition(".")[0].partition("-")[0]
    lines = log.read_text(errors="replace").splitlines()
    for number, line in enumerate(lines):
        if any(phrase in line for phrase in _NEVER.get(kind, ())):
            yield f"{log.name}: " + "\n    ".join(lines[max(0, number - 2) : number + _LINES_AROUND])
            return
