"""The addon's options, read and checked."""

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from mitmproxy import optmanager
from mitmproxy.utils import human

from phoebe_addon.answer.abort import DEFAULT_RULES, TIMEOUT_S, Abort, AbortRules
from phoebe_addon.apis.engines import UNDECLARED, UnknownEngineError, named_engine
from phoebe_addon.delivery.credentials import PLAINTEXT, CredentialFiles, Credentials
from phoebe_addon.gate.built_in_routes import built_in_routes
from phoebe_addon.gate.declared import UNSAID, Declared
from phoebe_addon.gate.edge_secrets import SECRET_HEADER, EdgeSecrets
from phoebe_addon.gate.forwarding import Forwarding
from phoebe_addon.gate.gate import GateRules
from phoebe_addon.gate.identity import HeaderNames
from phoebe_addon.gate.preflight import is_origin
from phoebe_addon.gate.request_body import Asking
from phoebe_addon.gate.routes import RouteTable
from phoebe_addon.gate.trusted_edges import Network, let_anyone_in
from phoebe_addon.gate.unbillable import unbillable_names
from phoebe_addon.gate.upstreams import Upstreams, UpstreamsError, parse_setting
from phoebe_addon.settings.files import follow_edge_secrets, follow_routes, follow_upstreams
from phoebe_addon.spool.spools import ANY_INSTALLATION, Belonging
from phoebe_runtime.errors import OperatorError
from phoebe_runtime.followed_files import Followed, UnusableFileError
from phoebe_runtime.spans import Tracing

type Address = tuple[str, int]

_COUNT_MAX = 1_000_000
_NO_ORIGIN = "none"
_NAME_LENGTH_MAX = 64
_NOT_PRINTABLE = re.compile(r"[^ -~]")
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


class SettingsError(ValueError):
    """Options that can't be used. The message names each and says what to do."""


_UNTOLD = Forwarding(HeaderNames().all(), SECRET_HEADER, forward_identity=False)
_NO_SECRETS = Followed.fixed(EdgeSecrets())
_BUILT_IN_ROUTES = Followed.fixed(RouteTable(built_in_routes()))
_PLAINTEXT = PLAINTEXT.follow()


@dataclass(frozen=True, slots=True)
class Settings:
    """Options, read and checked. Sizes are in bytes.

    upstreams: None when the option is not set. declared: of the one model server there is then. metrics:
    where to serve metrics, None: nowhere. lean: whether addons are asked only for hooks they have.
    engine_timeout_s: how long an engine may be silent; 0: for ever. request_timeout_s: how long a request may
    take to come; 0: for ever. belonging: to which installation events belong. spool_trusts_group: whether
    members of the spool folder's group are trusted. forwarding: of requests' headers. routes: as the file has
    them now; those of `rules` are as they were when it was read.
    name: what people call the proxy. tracing: whether spans are made.
    """

    upstreams: Followed[Upstreams] | None
    rater: str
    spool: Path
    spool_bytes_max: int
    metrics: Address | None
    lean: bool
    engine_timeout_s: float
    rules: GateRules
    forwarding: Forwarding = _UNTOLD
    edge_secrets: Followed[EdgeSecrets] = _NO_SECRETS
    routes: Followed[RouteTable] = _BUILT_IN_ROUTES
    rater_files: CredentialFiles = PLAINTEXT
    belonging: Belonging = ANY_INSTALLATION
    spool_trusts_group: bool = False
    rater_credentials: Followed[Credentials] = _PLAINTEXT
    drain_timeout_s: float = 30.0
    drain_delay_s: float = 0.0
    request_timeout_s: float = 300.0
    connections_max: int = 10_000
    exchanges_max: int = 10_000
    exchanges_per_auth_max: int = 1000
    declared: Declared = UNSAID
    abort: AbortRules = DEFAULT_RULES
    name: str = ""
    tracing: Tracing = Tracing.OFF


def read_settings(
    options: optmanager.OptManager, earlier: Settings | None = None, faults: Sequence[str] = ()
) -> Settings:
    """Read and check all options. Raises SettingsError with everything that is wrong.

    earlier: the settings in use, whose files go on being followed where options name the same ones. faults:
    what is known to be wrong already.
    """
    reader = _Reader(options, earlier, faults)
    header_names = reader.header_names()
    secret_header = reader.text("phoebe_edge_secret_header")
    routes = reader.routes()
    edge_secrets = reader.edge_secrets()
    rater_files = reader.rater_files()
    settings = Settings(
        upstreams=reader.upstreams(),
        rater=reader.rater(),
        rater_files=rater_files,
        rater_credentials=reader.rater_credentials(rater_files),
        spool=Path(reader.text("phoebe_spool")).expanduser(),
        spool_bytes_max=reader.size("phoebe_spool_limit"),
        metrics=reader.metrics(),
        lean=options.phoebe_lean,
        tracing=reader.tracing(),
        engine_timeout_s=reader.seconds("phoebe_engine_timeout"),
        drain_timeout_s=reader.seconds("phoebe_drain_timeout"),
        drain_delay_s=reader.seconds("phoebe_drain_delay"),
        request_timeout_s=reader.seconds("phoebe_request_timeout"),
        connections_max=reader.count("phoebe_connections_max"),
        exchanges_max=reader.count("phoebe_exchanges_max"),
        exchanges_per_auth_max=reader.count("phoebe_exchanges_per_auth_max"),
        rules=GateRules(
            trusted_edges=reader.trusted_edges(edge_secrets),
            header_names=header_names,
            body_bytes_max=reader.size("phoebe_body_limit"),
            routes=routes.value,
            asking=reader.asking(),
            secret_header=secret_header,
            allowed_unbillable=reader.allowed_unbillable(),
            cors_origins=reader.cors_origins(),
        ),
        forwarding=reader.forwarding(header_names, secret_header),
        edge_secrets=edge_secrets,
        declared=reader.declared(),
        abort=reader.abort(),
        routes=routes,
        belonging=reader.belonging(),
        spool_trusts_group=options.phoebe_spool_trust_group,
        name=reader.name(),
    )
    if reader.faults:
        raise SettingsError("; ".join(reader.faults))
    return settings


_NEEDS_RESTART = {
    "phoebe_name": "name",
    "phoebe_rater": "rater",
    "phoebe_rater_tls and what goes with it": "rater_files",
    "phoebe_spool": "spool",
    "phoebe_spool_limit": "spool_bytes_max",
    "phoebe_spool_trust_group": "spool_trusts_group",
    "phoebe_installation and phoebe_spool_moved_from": "belonging",
    "phoebe_metrics": "metrics",
    "phoebe_lean": "lean",
    "phoebe_tracing": "tracing",
}
"""Options the meter is made with, and what they are called in the settings."""


def refuse_late_changes(used: Settings, wanted: Settings) -> None:
    """Raise SettingsError for settings that can't take the place of those in use before the next start."""
    changed = [
        option for option, name in _NEEDS_RESTART.items() if getattr(used, name) != getattr(wanted, name)
    ]
    if changed:
        raise SettingsError(f"{', '.join(changed)} can't be changed while running: restart mitmdump")


class _Reader:
    def __init__(
        self, options: optmanager.OptManager, earlier: Settings | None, faults: Sequence[str]
    ) -> None:
        self._options = options
        self._earlier = earlier
        self.faults = list(faults)

    def text(self, name: str) -> str:
        return self.optional(name) or ""

    def optional(self, name: str) -> str | None:
        """Read an option that may be left out: then it is None, never empty."""
        value: str | None = getattr(self._options, name)
        if value is not None and not value.strip():
            self.faults.append(f"{name} is empty: give a value, or leave it out")
        return value.strip() if value else None

    def upstreams(self) -> Followed[Upstreams] | None:
        setting = self.optional("phoebe_upstream")
        if setting is None:
            return None
        declared = self.declared()
        try:
            upstreams = parse_setting(setting, declared)
        except UpstreamsError as error:
            self.faults.append(f"phoebe_upstream: {error}")
            return None
        if upstreams:
            return Followed.fixed(upstreams)
        if not declared.says_nothing():
            self.faults.append("phoebe_engine and phoebe_models go with one URL: a map declares itself")
        earlier = self._earlier.upstreams if self._earlier else None
        return self._follow("phoebe_upstream", follow_upstreams, earlier)

    def routes(self) -> Followed[RouteTable]:
        earlier = self._earlier.routes if self._earlier else None
        return self._follow("phoebe_routes", follow_routes, earlier) or _BUILT_IN_ROUTES

    def edge_secrets(self) -> Followed[EdgeSecrets]:
        earlier = self._earlier.edge_secrets if self._earlier else None
        return self._follow("phoebe_edge_secret_file", follow_edge_secrets, earlier) or _NO_SECRETS

    def _follow[T](
        self, name: str, follow: Callable[[Path], Followed[T]], earlier: Followed[T] | None
    ) -> Followed[T] | None:
        """Read the file that an option names, unless it is followed already. None: there is none."""
        path = self.path(name)
        if path is None:
            return None
        if earlier and earlier.paths == (path,):
            return earlier
        try:
            return follow(path)
        except OperatorError as error:
            self.faults.append(f"{name}: {error}")
            return None

    def name(self) -> str:
        given = self.optional("phoebe_name")
        if given is None:
            return proxy_name(None)
        if len(given) > _NAME_LENGTH_MAX or _NOT_PRINTABLE.search(given):
            self.faults.append(
                f"phoebe_name: {given!a} is not up to {_NAME_LENGTH_MAX} printable ASCII characters"
            )
        return given

    def rater(self) -> str:
        target = self.text("phoebe_rater")
        if target and _address(target) is None:
            self.faults.append(f"phoebe_rater: {target!r} is not host:port")
        return target

    def belonging(self) -> Belonging:
        given = self.optional("phoebe_installation")
        moved_from = self.names("phoebe_spool_moved_from")
        if moved_from and not given:
            self.faults.append("phoebe_spool_moved_from needs phoebe_installation, which it moves spools to")
        return Belonging(
            self._installation("phoebe_installation", given) if given else None,
            frozenset(self._installation("phoebe_spool_moved_from", each) for each in moved_from),
        )

    def _installation(self, name: str, given: str) -> str:
        try:
            return str(UUID(given))
        except ValueError:
            self.faults.append(f"{name}: {given!r} is not an id as `phoebe migrate` shows it")
            return ""

    def rater_files(self) -> CredentialFiles:
        files = CredentialFiles(
            tls=self._options.phoebe_rater_tls,
            ca=self.path("phoebe_rater_ca"),
            certificate=self.path("phoebe_rater_cert"),
            key=self.path("phoebe_rater_key"),
            token=self.path("phoebe_rater_token_file"),
        )
        faults = (
            (
                not files.tls and (files.ca or files.certificate or files.key),
                "phoebe_rater_ca, phoebe_rater_cert and phoebe_rater_key need phoebe_rater_tls=true",
            ),
            (
                (files.certificate is None) != (files.key is None),
                "phoebe_rater_cert and phoebe_rater_key go together",
            ),
            (
                files.token and not files.tls and not self._may_send_in_clear(),
                "phoebe_rater_token_file: the token would cross the network unencrypted; set "
                "phoebe_rater_tls=true, or allow it with phoebe_rater_allow_plaintext=true",
            ),
        )
        self.faults += [fault for is_so, fault in faults if is_so]
        return files

    def rater_credentials(self, files: CredentialFiles) -> Followed[Credentials]:
        if self._earlier and self._earlier.rater_files == files:
            return self._earlier.rater_credentials
        try:
            return files.follow()
        except UnusableFileError as error:
            self.faults.append(str(error))
            return _PLAINTEXT

    def _may_send_in_clear(self) -> bool:
        address = _address(self.text("phoebe_rater"))
        return self._options.phoebe_rater_allow_plaintext or (
            address is not None and _is_loopback(address[0])
        )

    def path(self, name: str) -> Path | None:
        setting = self.optional(name)
        return Path(setting).expanduser() if setting else None

    def metrics(self) -> Address | None:
        listen = self.optional("phoebe_metrics")
        address = _address(listen) if listen else None
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

    def count(self, name: str) -> int:
        value: int = getattr(self._options, name)
        if not 1 <= value <= _COUNT_MAX:
            self.faults.append(f"{name}: {value} is not from 1 to {_COUNT_MAX}")
        return value

    def trusted_edges(self, edge_secrets: Followed[EdgeSecrets]) -> tuple[Network, ...]:
        networks: list[Network] = []
        for text in self.names("phoebe_trusted_edges"):
            try:
                networks.append(ipaddress.ip_network(text))
            except ValueError as error:
                self.faults.append(f"phoebe_trusted_edges: {error}")
        if not self._options.phoebe_trusted_edges:
            self.faults.append("phoebe_trusted_edges is empty: no request would be taken")
        asked_for_secret = bool(edge_secrets.value.secrets)
        if not asked_for_secret and not self._options.phoebe_allow_any_edge and let_anyone_in(networks):
            self.faults.append(
                "phoebe_trusted_edges lets anyone in, who could then bill whom they like: name the edge's "
                "networks, ask for a secret with phoebe_edge_secret_file, or allow it with "
                "phoebe_allow_any_edge=true"
            )
        return tuple(networks)

    def tracing(self) -> Tracing:
        tracing = self.text("phoebe_tracing")
        if tracing not in set(Tracing):
            self.faults.append(f"phoebe_tracing: {tracing!r} is none of {', '.join(Tracing)}")
            return Tracing.OFF
        return Tracing(tracing)

    def asking(self) -> Asking:
        usage = self.text("phoebe_usage")
        if usage not in set(Asking):
            self.faults.append(f"phoebe_usage: {usage!r} is none of {', '.join(Asking)}")
            return Asking.AUTO
        return Asking(usage)

    def abort(self) -> AbortRules:
        policy = self.text("phoebe_abort")
        if policy not in set(Abort):
            self.faults.append(f"phoebe_abort: {policy!r} is none of {', '.join(Abort)}")
            policy = Abort.FINISH
        return AbortRules(
            Abort(policy), self._abort_timeout_s(Abort(policy)), self.size("phoebe_abort_limit")
        )

    def _abort_timeout_s(self, policy: Abort) -> float:
        given = self.optional("phoebe_abort_timeout")
        if not given:
            return TIMEOUT_S[policy]
        timeout_s = float(given) if _SECONDS.fullmatch(given) else 0.0
        if not timeout_s:
            self.faults.append(
                f"phoebe_abort_timeout: {given!r} is not a number of seconds above 0, like 60 or 2.5, and "
                "without a unit; phoebe_abort=cut reads nothing without its client"
            )
        return timeout_s

    def declared(self) -> Declared:
        try:
            engine = named_engine(self.optional("phoebe_engine"))
        except UnknownEngineError as error:
            self.faults.append(f"phoebe_engine: {error}")
            engine = UNDECLARED
        return Declared(engine, self.names("phoebe_models"))

    def allowed_unbillable(self) -> frozenset[str]:
        names = frozenset(self.names("phoebe_allow_unbillable"))
        known = unbillable_names()
        unknown = ", ".join(sorted(names - set(known)))
        if unknown:
            self.faults.append(f"phoebe_allow_unbillable: unknown: {unknown}; known: {', '.join(known)}")
        return names

    def cors_origins(self) -> frozenset[str]:
        names = frozenset(self.names("phoebe_cors_origins"))
        if names == {_NO_ORIGIN}:
            return frozenset()
        wrong = sorted(name for name in names if not is_origin(name))
        if wrong or not names:
            self.faults.append(
                f"phoebe_cors_origins: {', '.join(wrong) or 'nothing'} is no origin like "
                "https://chat.example.com; `*` stands for any, `none` alone for none"
            )
        return names

    def names(self, option: str) -> tuple[str, ...]:
        """Read what is given one by one, or separated by commas."""
        given = ",".join(getattr(self._options, option)).split(",")
        return tuple(name.strip() for name in given if name.strip())

    def header_names(self) -> HeaderNames:
        return HeaderNames(
            auth_id=self.text("phoebe_auth_id_header"),
            resource_id=self.text("phoebe_resource_id_header"),
            base_model=self.text("phoebe_base_model_header"),
            user_id=self.text("phoebe_user_id_header"),
            group_id=self.text("phoebe_group_id_header"),
            resource_type=self.text("phoebe_resource_type_header"),
        )

    def forwarding(self, names: HeaderNames, secret_header: str) -> Forwarding:
        identity = names.all()
        if secret_header.lower() in {name.lower() for name in identity}:
            self.faults.append(f"phoebe_edge_secret_header: {secret_header} is an identity header")
        return Forwarding(identity, secret_header, forward_identity=self._options.phoebe_forward_identity)


def proxy_name(given: str | None) -> str:
    """Give what people call the proxy: what was given, or else the host's name."""
    return given or _NOT_PRINTABLE.sub("?", socket.gethostname())[:_NAME_LENGTH_MAX]


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
