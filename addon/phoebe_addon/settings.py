"""The addon's options: `--set name=value`, or the environment variable of the same name in upper case."""

import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mitmproxy import addonmanager, optmanager
from mitmproxy.utils import human

from .gate import GateRules, Network
from .identity import HeaderNames
from .rater_credentials import PLAINTEXT, CredentialFiles, RaterCredentialsError
from .routes import RouteTable, built_in_routes
from .routes_file import RoutesFileError, read_routes
from .upstreams import Upstreams, UpstreamsError, parse_setting
from .upstreams_file import UpstreamsFile

type Address = tuple[str, int]

_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


class SettingsError(ValueError):
    """Options that can't be used. The message names each and says what to do."""


class _Option(NamedTuple):
    name: str
    default: str
    help: str


_NAMES = HeaderNames()
OPTIONS = (
    _Option(
        "phoebe_upstream",
        "",
        "The model server: one URL, a URL with {resource_id} in it, or the path of a YAML map from resource "
        "id to {url, engine, models, usage}, which is read again when it changes. Default: the URL of --mode "
        "reverse:URL.",
    ),
    _Option(
        "phoebe_routes",
        "",
        "Path of a YAML file with more routes that are metered, free or refused. Default: the built-in ones.",
    ),
    _Option("phoebe_rater", "127.0.0.1:50051", "host:port of the rater that takes the events."),
    _Option("phoebe_rater_tls", "off", "Whether the connection to the rater is encrypted: `on` or `off`."),
    _Option(
        "phoebe_rater_ca",
        "",
        "PEM file of the authorities that the rater's certificate may come from. Default: the public ones.",
    ),
    _Option("phoebe_rater_cert", "", "PEM file of the certificate to show to the rater, with its chain."),
    _Option("phoebe_rater_key", "", "PEM file of that certificate's private key, without a passphrase."),
    _Option(
        "phoebe_rater_token_file",
        "",
        "File with the token to show to the rater, and nothing else. Like the other files of the connection "
        "it is read again when it changes.",
    ),
    _Option(
        "phoebe_rater_allow_plaintext",
        "off",
        "`on`: send the token also over a network that is not encrypted.",
    ),
    _Option(
        "phoebe_spool", "~/.phoebe/spool", "Folder where events wait for the rater. Processes may share it."
    ),
    _Option("phoebe_spool_limit", "1g", "Size of the spool beyond which new requests get 503 (k, m, g)."),
    _Option("phoebe_body_limit", "16m", "Largest request body; a larger one gets 413 (k, m, g)."),
    _Option(
        "phoebe_trusted_edges",
        "127.0.0.0/8,::1/128",
        "Networks (CIDR, separated by commas) requests are taken from; others get 403.",
    ),
    _Option(
        "phoebe_usage",
        "final",
        "When engines are asked to report usage in streams: `final`, at the end; `continuous`, on every "
        "chunk too, so that an aborted stream has exact counts. Engines that are declared and can't are not "
        "asked. The map's `usage` takes its place for a resource.",
    ),
    _Option(
        "phoebe_engine_timeout",
        "600",
        "Seconds an engine may send nothing before its exchange ends: with 504 before the answer has begun, "
        "broken off after. 0: no limit.",
    ),
    _Option(
        "phoebe_lean",
        "true",
        "Whether mitmproxy's hooks are spared the addons that do not take part in them; `false` leaves "
        "mitmproxy as it is.",
    ),
    _Option(
        "phoebe_drain_timeout",
        "30",
        "Seconds that exchanges under way, and then the events that wait, have when the process is told to "
        "stop. 0: none.",
    ),
    _Option("phoebe_metrics", "", "host:port to serve Prometheus metrics on. Default: not served."),
    _Option("phoebe_auth_id_header", _NAMES.auth_id, "Header that says who pays."),
    _Option("phoebe_resource_id_header", _NAMES.resource_id, "Header that names the deployment."),
    _Option("phoebe_base_model_header", _NAMES.base_model, "Header that names a fine-tune's base model."),
    _Option("phoebe_user_id_header", _NAMES.user_id, "Header that names the user."),
    _Option("phoebe_group_id_header", _NAMES.group_id, "Header that names the user's group."),
    _Option("phoebe_resource_type_header", _NAMES.resource_type, "Header that names the deployment's kind."),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Options, read and checked. Sizes are in bytes.

    upstreams: None when the option is not set. metrics: where to serve metrics, None: nowhere.
    lean: whether addons are asked only for hooks they have. engine_timeout_s: how long an engine may be
    silent; 0: for ever.
    """

    upstreams: Upstreams | UpstreamsFile | None
    rater: str
    spool: Path
    spool_bytes_max: int
    metrics: Address | None
    lean: bool
    engine_timeout_s: float
    rules: GateRules
    rater_credentials: CredentialFiles = PLAINTEXT
    drain_timeout_s: float = 30.0


def add_options(loader: addonmanager.Loader) -> None:
    """Declare the options; the environment gives their defaults."""
    for option in OPTIONS:
        variable = option.name.upper()
        loader.add_option(
            option.name,
            str,
            os.environ.get(variable, option.default),
            f"{option.help} Environment: {variable}.",
        )


def read_settings(options: optmanager.OptManager) -> Settings:
    """Read and check all options. Raises SettingsError with everything that is wrong."""
    reader = _Reader(options)
    settings = Settings(
        upstreams=reader.upstreams(),
        rater=reader.rater(),
        rater_credentials=reader.rater_credentials(),
        spool=Path(reader.text("phoebe_spool")).expanduser(),
        spool_bytes_max=reader.size("phoebe_spool_limit"),
        metrics=reader.metrics(),
        lean=reader.lean(),
        engine_timeout_s=reader.seconds("phoebe_engine_timeout"),
        drain_timeout_s=reader.seconds("phoebe_drain_timeout"),
        rules=GateRules(
            trusted_edges=reader.networks(),
            header_names=reader.header_names(),
            body_bytes_max=reader.size("phoebe_body_limit"),
            routes=reader.routes(),
            continuous_usage=reader.continuous_usage(),
        ),
    )
    if reader.faults:
        raise SettingsError("; ".join(reader.faults))
    return settings


class _Reader:
    def __init__(self, options: optmanager.OptManager) -> None:
        self._options = options
        self.faults: list[str] = []

    def text(self, name: str) -> str:
        value = str(getattr(self._options, name)).strip()
        if not value:
            self.faults.append(f"{name} is empty")
        return value

    def upstreams(self) -> Upstreams | UpstreamsFile | None:
        setting = str(self._options.phoebe_upstream).strip()
        if not setting:
            return None
        try:
            return parse_setting(setting) or UpstreamsFile(Path(setting).expanduser())
        except UpstreamsError as error:
            self.faults.append(f"phoebe_upstream: {error}")
            return None

    def routes(self) -> RouteTable:
        setting = str(self._options.phoebe_routes).strip()
        try:
            return read_routes(Path(setting).expanduser()) if setting else RouteTable(built_in_routes())
        except RoutesFileError as error:
            self.faults.append(f"phoebe_routes: {error}")
            return RouteTable(())

    def rater(self) -> str:
        target = self.text("phoebe_rater")
        if target and _address(target) is None:
            self.faults.append(f"phoebe_rater: {target!r} is not host:port")
        return target

    def rater_credentials(self) -> CredentialFiles:
        files = CredentialFiles(
            tls=self.switch("phoebe_rater_tls"),
            ca=self.path("phoebe_rater_ca"),
            certificate=self.path("phoebe_rater_cert"),
            key=self.path("phoebe_rater_key"),
            token=self.path("phoebe_rater_token_file"),
        )
        if not files.tls and (files.ca or files.certificate or files.key):
            self.faults.append(
                "phoebe_rater_ca, phoebe_rater_cert and phoebe_rater_key need phoebe_rater_tls=on"
            )
        if (files.certificate is None) != (files.key is None):
            self.faults.append("phoebe_rater_cert and phoebe_rater_key go together")
        if files.token and not files.tls and not self._may_send_in_clear():
            self.faults.append(
                "phoebe_rater_token_file: the token would cross the network unencrypted; set "
                "phoebe_rater_tls=on, or allow it with phoebe_rater_allow_plaintext=on"
            )
        try:
            files.read()
        except RaterCredentialsError as error:
            self.faults.append(str(error))
        return files

    def _may_send_in_clear(self) -> bool:
        address = _address(str(self._options.phoebe_rater).strip())
        return self.switch("phoebe_rater_allow_plaintext") or (
            address is not None and _is_loopback(address[0])
        )

    def path(self, name: str) -> Path | None:
        setting = str(getattr(self._options, name)).strip()
        return Path(setting).expanduser() if setting else None

    def switch(self, name: str) -> bool:
        value = self.text(name)
        if value not in {"on", "off"}:
            self.faults.append(f"{name}: {value!r} is neither on nor off")
        return value == "on"

    def metrics(self) -> Address | None:
        listen = str(self._options.phoebe_metrics).strip()
        address = _address(listen)
        if listen and address is None:
            self.faults.append(f"phoebe_metrics: {listen!r} is not host:port")
        return address

    def size(self, name: str) -> int:
        value = self.text(name)
        try:
            size = human.parse_size(value)
        except ValueError:
            size = None
        if not size or size < 0:
            self.faults.append(f"{name}: {value!r} is not a size like 500k, 16m or 1g")
            return 0
        return size

    def seconds(self, name: str) -> float:
        value = self.text(name)
        if not _SECONDS.fullmatch(value):
            self.faults.append(f"{name}: {value!r} is not a number of seconds like 600, 2.5 or 0")
            return 0
        return float(value)

    def networks(self) -> tuple[Network, ...]:
        networks: list[Network] = []
        for text in self.text("phoebe_trusted_edges").split(","):
            try:
                networks.append(ipaddress.ip_network(text.strip()))
            except ValueError as error:
                self.faults.append(f"phoebe_trusted_edges: {error}")
        return tuple(networks)

    def continuous_usage(self) -> bool:
        usage = self.text("phoebe_usage")
        if usage not in {"final", "continuous"}:
            self.faults.append(f"phoebe_usage: {usage!r} is neither final nor continuous")
        return usage == "continuous"

    def lean(self) -> bool:
        lean = self.text("phoebe_lean").lower()
        if lean not in {"true", "false"}:
            self.faults.append(f"phoebe_lean: {lean!r} is neither true nor false")
        return lean == "true"

    def header_names(self) -> HeaderNames:
        return HeaderNames(
            auth_id=self.text("phoebe_auth_id_header"),
            resource_id=self.text("phoebe_resource_id_header"),
            base_model=self.text("phoebe_base_model_header"),
            user_id=self.text("phoebe_user_id_header"),
            group_id=self.text("phoebe_group_id_header"),
            resource_type=self.text("phoebe_resource_type_header"),
        )


def _address(text: str) -> Address | None:
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        return None
    return host.strip("[]"), int(port)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
