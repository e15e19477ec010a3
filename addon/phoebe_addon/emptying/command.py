"""The command `phoebe deliver`."""

import argparse
import asyncio
import logging
import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # slow to import, and not there without the extra
    from phoebe_addon.emptying.emptying import Emptied
    from phoebe_addon.settings.settings import Settings

# Of what the extra `addon` brings.
_NEEDED = ("mitmproxy", "grpc", "tenacity", "uuid_utils")
_PATIENCE_S = 60.0
_FAILED = 1
_NEEDS_HUMAN = 2
_OPTIONS = (
    "phoebe_spool",
    "phoebe_spool_trust_group",
    "phoebe_spool_moved_from",
    "phoebe_installation",
    "phoebe_rater",
    "phoebe_rater_tls",
    "phoebe_rater_ca",
    "phoebe_rater_cert",
    "phoebe_rater_key",
    "phoebe_rater_token_file",
    "phoebe_rater_allow_plaintext",
)
"""Those of the addon that say where events are and where they go; it has no use for others."""

DESCRIPTION = """\
Deliver what is left in the spools of a proxy that will not come back: of a pod that was scaled away, of a
machine that is retired. Run it where the volume is, as the proxy's user and with its options.

It takes each spool by its lock. What a living proxy has is left to it, and so is what belongs to another
installation. It ends when nothing is left; the rater is told that the producers have ended, so nobody waits
for them.
"""
EPILOG = f"""\
options of the addon that it knows, by --set or as a variable (PHOEBE_RATER, ...):
  {", ".join(_OPTIONS)}

examples:
  phoebe deliver --spool /var/lib/phoebe/spool --rater rater:50051
  phoebe deliver --spool /spool --set phoebe_rater_tls=true --set phoebe_rater_ca=/etc/phoebe/ca.pem

exit codes: 0 nothing is left; 1 the rater took nothing, the folder can't be used, it was stopped, or wrong
usage: run it again; 2 it is done, but something needs a human: a spool was left, or events are kept aside or
can't be read
"""


class UsageError(Exception):
    """The command line can't be followed. The message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Order:
    """What the command line says. given: texts for options of the addon, by name."""

    given: Mapping[str, str]
    patience: timedelta


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        raise UsageError(message)


def main(arguments: Sequence[str]) -> int:
    """Deliver what is left in the spools of a proxy that will not come back."""
    try:
        order = read(arguments)
    except UsageError as error:
        _say(str(error))
        return _FAILED
    except SystemExit as ended:  # after --help
        return int(ended.code or 0)
    for name in _NEEDED:
        if find_spec(name) is None:
            raise ModuleNotFoundError(f"{name} is not installed", name=name)
    from phoebe_addon.settings.outside import read_some  # noqa: PLC0415 - slow to import
    from phoebe_addon.settings.settings import SettingsError  # noqa: PLC0415 - slow to import

    try:
        settings = read_some(_OPTIONS, order.given, os.environ)
    except SettingsError as error:
        _say(str(error))
        return _FAILED
    if not settings.spool.is_dir():
        _say(f"there is no folder {settings.spool}")
        return _FAILED
    _log_to_stderr()
    return asyncio.run(_deliver(settings, order.patience))


def read(words: Sequence[str]) -> Order:
    """Read the command line. Raises UsageError."""
    parsed = make_parser().parse_args(words)
    given: dict[str, str] = {}
    for each in parsed.set:
        name, equals, value = each.partition("=")
        if not equals or name not in _OPTIONS:
            raise UsageError(f"argument --set: {name!r} is none of {', '.join(_OPTIONS)}")
        given[name] = value
    for name, value in (("phoebe_spool", parsed.spool), ("phoebe_rater", parsed.rater)):
        if value is not None:
            given[name] = value
    return Order(given, timedelta(seconds=parsed.give_up))


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of its options."""
    parser = _Parser(
        prog="phoebe deliver",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--spool", metavar="DIR", help="the folder of the spools; default: PHOEBE_SPOOL")
    parser.add_argument("--rater", metavar="HOST:PORT", help="the rater; default: PHOEBE_RATER")
    parser.add_argument(
        "--set", action="append", default=[], metavar="OPTION=VALUE", help="another option of the addon"
    )
    parser.add_argument(
        "--give-up",
        type=_seconds,
        default=_PATIENCE_S,
        metavar="SECONDS",
        help=f"how long the rater may take nothing before it ends; default: {_PATIENCE_S:g}",
    )
    return parser


def _seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,3})?", text) or not float(text):
        raise argparse.ArgumentTypeError(f"must be seconds, more than 0, not {text!r}")
    return float(text)


def _log_to_stderr() -> None:
    from phoebe_runtime.log_lines import HumanLines, RepeatGuard  # noqa: PLC0415 - with what is slow to import

    handler = logging.StreamHandler()
    handler.setFormatter(HumanLines())
    handler.addFilter(RepeatGuard())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    for name in ("phoebe_addon", "phoebe_runtime"):
        logging.getLogger(name).setLevel(logging.INFO)


async def _deliver(settings: "Settings", patience: timedelta) -> int:
    """Deliver, and return the exit code."""
    from phoebe_addon.delivery.delivery import Delivery  # noqa: PLC0415 - slow to import
    from phoebe_addon.emptying.emptying import Emptied, Emptying, NoAnswerError  # noqa: PLC0415
    from phoebe_addon.spool.spool import SpoolError  # noqa: PLC0415

    done = Emptied()
    emptying = Emptying(
        settings.spool,
        settings.spool_bytes_max,
        settings.belonging,
        settings.spool_trusts_group,
        lambda spool, on_results: Delivery(spool, settings.rater, on_results, settings.rater_credentials),
        patience,
        _say,
    )
    _stop_on_signals()
    try:
        await emptying.run(done)
    except (NoAnswerError, SpoolError) as error:
        _say(f"{error}. What is left stays in its spool: run this again")
        return _end(done, settings.spool, _FAILED)
    except asyncio.CancelledError:
        _say("stopped. What is left stays in its spool: run this again")
        return _end(done, settings.spool, _FAILED)
    return _end(done, settings.spool, 0)


def _say(words: str) -> None:
    sys.stderr.write(f"phoebe deliver: {words}\n")


def _stop_on_signals() -> None:
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    # Not in a thread that is no main one, as in tests.
    with suppress(RuntimeError, ValueError):
        for stop in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(stop, task.cancel)


def _end(done: "Emptied", folder: Path, status: int) -> int:
    """Say what was done, and return the exit code."""
    from phoebe_addon.emptying.emptying import needs_human  # noqa: PLC0415 - slow to import

    if status:
        _say(f"until then it {done.in_words(folder)}")
        return status
    sys.stdout.write(f"{done.in_words(folder)}\n")
    if done.kept_aside:
        sys.stderr.write(
            "phoebe deliver: `phoebe rejected list` says what is wrong with what is kept aside\n"
        )
    return _NEEDS_HUMAN if needs_human(done) else 0
