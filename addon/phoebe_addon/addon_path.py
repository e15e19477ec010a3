"""The command `phoebe addon-path`: where the file is that mitmdump loads."""

import sys
from collections.abc import Sequence
from pathlib import Path

# It has a folder of its own, because mitmproxy puts that on `sys.path`.
PATH = Path(__file__).parent / "loaded" / "phoebe.py"
_USAGE = """\
Usage: phoebe addon-path

  Show the path of the file that mitmdump loads:
  mitmdump -s "$(phoebe addon-path)"
"""


def main(arguments: Sequence[str]) -> int:
    """Show the path of the file that mitmdump loads."""
    if not arguments:
        sys.stdout.write(f"{PATH}\n")
        return 0
    asked = set(arguments) <= {"-h", "--help"}
    (sys.stdout if asked else sys.stderr).write(_USAGE)
    return 0 if asked else 1
