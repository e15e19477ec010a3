"""The command line of `phoebe proxy`."""

import argparse
import asyncio
import logging
import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from phoebe_addon.addon_version import addon_version
from phoebe_addon.log_events import event_of
from phoebe_addon.settings.effective import Source
from phoebe_addon.settings.option import OptionValueError
from phoebe_addon.settings.settings import proxy_name
from phoebe_addon.workers.cores import cores
from phoebe_addon.workers.merged_metrics import Merged, Snapshot
from phoebe_addon.workers.proxy_settings import (
    SECTION,
    Setting,
    read_file,
    settings_json,
    settings_text,
    workers_settings,
)
from phoebe_addon.workers.supervisor import GivenUpError, Supervisor
from phoebe_addon.workers.worker_process import OWN_VARIABLES
from phoebe_runtime.background import Background
from phoebe_runtime.log_lines import LogFormat, RepeatGuard, formatter
from phoebe_runtime.operator_port import Answer, OperatorPort
from phoebe_runtime.probes import probe_pages
from phoebe_runtime.settings_file import VARIABLE, SettingsFile, SettingsFileError

logger = logging.getLogger(__name__)

WORKERS_MAX = 256
RETIRE_S_DEFAULT = 300.0
_ADDRESS = re.compile(r"(?P<host>\[[^\]]+\]|[^:\[\]]+):(?P<port>[0-9]{1,5})")
OWN_METRICS = (
    ("phoebe_workers", "gauge", "Workers that take new connections."),
    ("phoebe_workers_wanted", "gauge", "Workers that there are to be."),
    ("phoebe_workers_died", "counter", "Workers that ended although nobody told them to."),
)
"""What is measured of the workers together: name, type, help."""
_OF_LOG = frozenset({"log_format", "log_level", "name"})
_LEVELS = frozenset({"DEBUG", "INFO", "WARNING", "ERROR"})
_OWN_SCRIPT = re.compile(r"(.*/)?phoebe\.py")

DESCRIPTION = """\
Run several mitmdump processes with the addon behind one address, because one
of them uses one core. One that dies is started again; meanwhile the others
take its connections.

What stands behind -- goes to each mitmdump, as in `mitmdump -s
addon/phoebe.py`; the addon itself need not be named. Options of the addon are
read from the environment (PHOEBE_UPSTREAM and others) as well. Limits, such as
phoebe_connections_max and phoebe_spool_limit, hold for each worker.
"""
EPILOG = """\
examples:
  phoebe proxy -- --mode reverse:http://127.0.0.1:8000 --listen-port 8080
  phoebe proxy --workers 4 --metrics 127.0.0.1:9090 -- -p 8080 \\
    --set phoebe_upstream=upstreams.yaml

signals:
  SIGTERM, SIGINT  all workers drain and end; a second one: what is under way
                   is cut off
  SIGHUP           workers are replaced one after the other, and no request is
                   refused

exit codes: 0 stopped when told to; 1 it could not start, or wrong usage
"""


class UsageError(Exception):
    """The command line can't be followed. The message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Order:
    """What the command line says. metrics: host and port. retire_s: what an old worker has at a reload.

    config: the file of settings.
    """

    workers: int
    metrics: tuple[str, int] | None
    retire_s: float
    arguments: tuple[str, ...]
    config: Path | None = None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        raise UsageError(message)


def read(words: Sequence[str], environment: Mapping[str, str], default_workers: int) -> Order:
    """Read a command line. Raises UsageError."""
    return _read(words, environment, default_workers)[0]


def _read(
    words: Sequence[str], environment: Mapping[str, str], default_workers: int
) -> tuple[Order, argparse.Namespace, list[Setting]]:
    """Read a command line: the order, what was parsed, and where each setting comes from."""
    own, arguments = _split(words)
    parser = make_parser(default_workers)
    given, others = parser.parse_known_args(own)
    if others:
        raise UsageError(f"there is no option {others[0]!r} here: mitmdump's arguments stand behind --")
    settings = _complete(given, environment, default_workers)
    for script in _scripts(arguments):
        if _OWN_SCRIPT.fullmatch(script):
            raise UsageError(f"leave `-s {script}` out: `phoebe proxy` brings the addon itself")
    order = Order(given.workers, given.metrics, given.reload_timeout, arguments, given.config)
    return order, given, settings


def _complete(
    given: argparse.Namespace, environment: Mapping[str, str], default_workers: int
) -> list[Setting]:
    """Fill in what the command line does not say; say where each setting comes from. Raises UsageError."""
    named = environment.get(VARIABLE, "").strip()
    given.config = given.config or (Path(named) if named else None)
    try:
        given.file = None if given.config is None else read_file(given.config, list(_OWN))
    except SettingsFileError as error:
        raise UsageError(str(error)) from None
    settings = []
    for key, (read_one, default) in _OWN.items():
        value, source, place = getattr(given, key), Source.OPTION, f"--{key.replace('_', '-')}"
        if value is None:
            text, source, place = _text_of(key, environment, given.file)
            try:
                value = read_one(text) if text is not None else default
            except argparse.ArgumentTypeError as error:
                raise UsageError(f"{place}: {key}: {error}") from None
        if key == "workers" and value is None:
            value = default_workers
        setattr(given, key, value)
        shown = ":".join(map(str, value)) if isinstance(value, tuple) else value
        text_shown = None if shown is None else f"{shown:g}" if isinstance(shown, float) else str(shown)
        settings.append(
            Setting("proxy", key, text_shown, source, None if source is Source.DEFAULT else place)
        )
    return settings


def _text_of(
    key: str, environment: Mapping[str, str], file: SettingsFile | None
) -> tuple[str | None, Source, str]:
    """Find what the environment or the file says of a setting, and where. Raises UsageError."""
    variable = "PHOEBE_METRICS"
    if key == "metrics" and environment.get(variable):
        return environment[variable], Source.ENVIRONMENT, variable
    sections = {} if file is None else file.sections
    found = sections.get(SECTION, {}).get(key)
    if found is None and key == "metrics":
        # It is the same variable, too: workers have no port of their own.
        found = sections.get("addon", {}).get(key)
    if file is None or found is None:
        return None, Source.DEFAULT, ""
    place = f"{file.path}, line {found.line}"
    if found.is_list:
        raise UsageError(f"{place}: {key} takes one value")
    return found.texts[0], Source.FILE, place


def main(words: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    try:
        order, given, settings = _read(words, os.environ, cores())
        if given.show_config:
            settings += workers_settings(order.arguments, _of_workers(os.environ), _for_workers(given.file))
            text = settings_json(settings, order.config) if given.json else settings_text(settings)
            sys.stdout.write(text)
            return 0
        if order.config is not None:
            os.environ[VARIABLE] = str(order.config)  # which workers inherit
        _check_platform(order.workers)
        _write_log(
            workers_settings(order.arguments, _of_workers(os.environ), _for_workers(given.file)),
        )
        asyncio.run(_run(order))
    except (UsageError, OptionValueError) as error:
        sys.stderr.write(f"phoebe proxy: {error}. `phoebe proxy --help` says more.\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"phoebe proxy: metrics can't be served: {error}\n")
        return 1
    except GivenUpError as error:
        logger.error("%s", error)
        return 1
    return 0


def _write_log(settings: Iterable[Setting]) -> None:
    """Have the log written as workers write theirs, which is beside it. settings: those of workers."""
    told = {each.setting: str(each.value or "") for each in settings if each.setting in _OF_LOG}
    style, level = told["log_format"], told["log_level"].upper()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        # What is no such value ends the first worker, which says so.
        formatter(
            LogFormat(style) if style in set(LogFormat) else LogFormat.HUMAN,
            *("phoebe-addon", addon_version(), proxy_name(told["name"])),
            event_of,
        )
    )
    handler.addFilter(RepeatGuard())
    logging.basicConfig(level=level if level in _LEVELS else "INFO", handlers=[handler])


async def _run(order: Order) -> None:
    supervisor = Supervisor(order.workers, order.arguments, order.retire_s)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stop)
    loop.add_signal_handler(signal.SIGHUP, supervisor.reload)

    async def page(headers: Mapping[str, str]) -> Answer:
        snapshot = [*await supervisor.metrics(), *_own_metrics(supervisor)]
        registry = CollectorRegistry()
        registry.register(Merged(lambda: snapshot))
        encode, content_type = choose_encoder(headers.get("accept", ""))
        return Answer(encode(registry), content_type)

    pages = {"/metrics": page, **probe_pages(supervisor.conditions)}
    port = OperatorPort(*order.metrics, pages, addon_version()) if order.metrics else None
    background = Background(lambda _name, _is_up: None)
    if port:
        background.start("metrics endpoint", port.run, "metrics can't be read")
        background.start("reports", supervisor.follow_reports, "probes hear of the workers' trouble late")
    try:
        await supervisor.run()
    finally:
        background.cancel()
        if port:
            port.close()


def _own_metrics(supervisor: Supervisor) -> Snapshot:
    values = (supervisor.serving, supervisor.count, supervisor.died)
    return [
        (name, kind, text, [(name + ("_total" if kind == "counter" else ""), {}, float(value))])
        for (name, kind, text), value in zip(OWN_METRICS, values, strict=True)
    ]


def _split(words: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    own = list(words)
    if "--" not in own:
        return own, ()
    at = own.index("--")
    return own[:at], tuple(own[at + 1 :])


def make_parser(default_workers: int) -> argparse.ArgumentParser:
    """Make the parser of the command's own options, before `--`. default_workers: what the help says."""
    parser = _Parser(
        prog="phoebe proxy",
        usage="phoebe proxy [--config FILE] [--workers N] [--metrics HOST:PORT]\n"
        "                    [--reload-timeout SECONDS] [--show-config [--json]]\n"
        "                    -- [mitmdump's arguments]",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--workers",
        type=_workers,
        metavar="N",
        help=f"how many processes; default: the cores that this one may use, here {default_workers}",
    )
    parser.add_argument(
        "--metrics",
        type=_address,
        metavar="HOST:PORT",
        help="where Prometheus can read the metrics of all workers, added up, and probes ask (/livez, "
        "/readyz); default: PHOEBE_METRICS, or nowhere",
    )
    parser.add_argument(
        "--reload-timeout",
        type=_seconds,
        metavar="SECONDS",
        help="how long an old worker may go on with what it has under way at a reload, before it is told to "
        f"stop; default: {RETIRE_S_DEFAULT:g}",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="file of settings (YAML), also for the workers; default: PHOEBE_CONFIG, or none",
    )
    parser.add_argument(
        "--show-config",
        action="store_true",
        help="show every setting, of the workers too, and where it comes from; run nothing",
    )
    parser.add_argument("--json", action="store_true", help="with --show-config: as JSON")
    return parser


def _of_workers(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in OWN_VARIABLES}


def _for_workers(file: SettingsFile | None) -> SettingsFile | None:
    """Leave out what workers leave to `phoebe proxy`."""
    if file is None:
        return None
    kept = {key: value for key, value in file.sections["addon"].items() if key != "metrics"}
    return SettingsFile(file.path, {**file.sections, "addon": kept})


def _workers(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= WORKERS_MAX:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {WORKERS_MAX}, not {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,3})?", text):
        raise argparse.ArgumentTypeError(f"must be seconds, 0 or more, not {text!r}")
    return float(text)


def _address(text: str) -> tuple[str, int]:
    found = _ADDRESS.fullmatch(text)
    if not found or int(found["port"]) > 65535:
        raise argparse.ArgumentTypeError(f"must be HOST:PORT, not {text!r}")
    return found["host"].strip("[]"), int(found["port"])


_OWN: Mapping[str, tuple[Callable[[str], object], object]] = {
    "workers": (_workers, None),
    "metrics": (_address, None),
    "reload_timeout": (_seconds, RETIRE_S_DEFAULT),
}
"""By its key in the file, how a setting is read and its default; workers: as many as there are cores."""


def _scripts(arguments: Sequence[str]) -> list[str]:
    """Find the scripts that mitmdump is told to load."""
    found = [after for word, after in pairwise(arguments) if word in {"-s", "--scripts"}]
    return found + [word.partition("=")[2] for word in arguments if word.startswith("--scripts=")]


def _check_platform(workers: int) -> None:
    if workers > 1 and not hasattr(socket, "SO_REUSEPORT"):
        raise UsageError("this system can't share a port between processes (SO_REUSEPORT): give --workers 1")
