"""The real programs, as a user would start them: command lines, environment, first words."""

import sys
from collections.abc import Mapping
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
PRICES = PROJECT / "demo" / "prices.yaml"
# The commands of the environment this runs in, whatever PATH says.
_BIN = Path(sys.executable).parent
ADDON = PROJECT / "addon" / "phoebe.py"
LISTENING = r"listening on 127\.0\.0\.1:(\d+)"
"""What the service says when it takes calls; the group is its port."""


def phoebe(*words: str) -> list[str]:
    """`phoebe`, with the words of a command."""
    return [str(_BIN / "phoebe"), *words]


def serve(*options: str) -> list[str]:
    """`phoebe serve` on a free port of loopback."""
    return phoebe("serve", "--listen", "127.0.0.1:0", *options)


def mitmdump(port: int, options: Mapping[str, str], *words: str) -> list[str]:
    """`mitmdump` on a port of loopback. options: what `--set` says. words: what else it is told."""
    sets = [word for name, value in options.items() for word in ("--set", f"{name}={value}")]
    return [
        *(str(_BIN / "mitmdump"), "--listen-host", "127.0.0.1", "--listen-port", str(port)),
        *sets,
        *words,
    ]


def module(name: str, *arguments: str) -> list[str]:
    """`python -m`, in the environment this runs in."""
    return [sys.executable, "-m", name, *arguments]


# A make that a part calls would take over what the make above it was told: ARGS=…
_OF_MAKE = frozenset({"ARGS", "MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS"})
_LEFT_OUT = _OF_MAKE | {"DATABASE_URL", "READ_DATABASE_URL", "PYTHONDONTWRITEBYTECODE"}


def environment_of_parts(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without the user's own Phoebe, without a proxy in between and without a make above.

    Python keeps what it compiles, as pip does of what it installs: else each start compiles Phoebe again.
    """
    kept = {
        name: value
        for name, value in environment.items()
        if not name.startswith("PHOEBE_") and not name.lower().endswith("_proxy") and name not in _LEFT_OUT
    }
    return {**kept, "PYTHONUNBUFFERED": "1"}
