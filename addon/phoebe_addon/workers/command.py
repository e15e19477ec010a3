"""The command `phoebe proxy`: hands over to the program, in a process that has nothing else in it."""

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

PROGRAM = "phoebe_addon.workers"
# Of what the extra `addon` brings. The program needs the last two, and mitmdump the first.
_NEEDED = ("mitmproxy", "prometheus_client", "h11")


def main(arguments: Sequence[str]) -> int:
    """Run the metering proxy on all cores: several mitmdump behind one port."""
    for name in _NEEDED:
        if find_spec(name) is None:
            raise ModuleNotFoundError(f"{name} is not installed", name=name)
    # -P: what lies in the working folder is not imported. The process stays the same, and hears all signals.
    return os.execv(sys.executable, [sys.executable, "-P", "-m", PROGRAM, *arguments])  # noqa: S606 - ours


def make_parser() -> "argparse.ArgumentParser":
    """Make the parser of its options, for shells to complete them. Raises ModuleNotFoundError as `main`."""
    from phoebe_addon.workers.program import make_parser  # noqa: PLC0415 - not there without the extra

    return make_parser(1)
