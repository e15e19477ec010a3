"""The addon's options: `--set name=value`, or the environment variable of the same name in upper case."""

from collections.abc import Collection, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from mitmproxy import addonmanager

from phoebe_addon.answer.abort import Abort
from phoebe_addon.gate.edge_secrets import SECRET_HEADER
from phoebe_addon.gate.identity import HeaderNames
from phoebe_addon.gate.request_body import Asking
from phoebe_addon.settings.effective import SECTION, effective
from phoebe_addon.settings.option import Option, OptionValueError
from phoebe_addon.settings.unknown_names import misspelt_variables, nameless_options, unknown_options
from phoebe_runtime.log_lines import LogFormat
from phoebe_runtime.settings_file import FileValue, SettingsFileError, read_settings_file
from phoebe_runtime.spans import Tracing

_NAMES = HeaderNames()
CONFIG = Option(
    "phoebe_config",
    str | None,
    None,
    "Path of a file of settings: YAML, with these options in its section `addon`, without `phoebe_`. Read at "
    "the start. Default: none.",
)
OPTIONS = (
    CONFIG,
    Option(
        "phoebe_upstream",
        str | None,
        None,
        "The model server: one URL, a URL with {resource_id} in it, or the path of a YAML map from resource "
        "id to {url, engine, models, usage}, which is read again when it changes. Default: the URL of --mode "
        "reverse:URL.",
    ),
    Option(
        "phoebe_engine",
        str | None,
        None,
        "What kind of model server `phoebe_upstream` is, if it is one URL, such as vllm, sglang or ollama.",
    ),
    Option(
        "phoebe_models",
        Sequence[str],
        (),
        "The only model names it serves; another name in a request gets 404. Several: given again, or with "
        "commas.",
    ),
    Option(
        "phoebe_allow_unbillable",
        Sequence[str],
        (),
        "Kinds of requests, by name, that pass although they can't be billed. Several: given again, or with "
        "commas.",
    ),
    Option(
        "phoebe_routes",
        str | None,
        None,
        "Path of a YAML file with more routes that are metered, free or refused, which is read again when it "
        "changes. Default: the built-in ones.",
    ),
    Option(
        "phoebe_name",
        str | None,
        None,
        "What people call this proxy: in logs, in the rater's tables and in what runs say. Up to 64 "
        "printable ASCII characters. Default: the name of the host, which in Kubernetes is the pod's.",
    ),
    Option(
        "phoebe_log_format",
        str,
        "human",
        "How mitmdump's log is written: `human`, for people, or `json`, an object a line; flows are then not "
        "printed.",
        tuple(map(str, LogFormat)),
    ),
    Option(
        "phoebe_log_level",
        str,
        "info",
        "From which level on Phoebe's own lines are written. With `mitmdump -q`, warnings and errors.",
        ("debug", "info", "warning", "error"),
    ),
    Option("phoebe_rater", str, "127.0.0.1:50051", "host:port of the rater that takes the events."),
    Option("phoebe_rater_tls", bool, False, "Whether the connection to the rater is encrypted."),
    Option(
        "phoebe_rater_ca",
        str | None,
        None,
        "PEM file of the authorities that the rater's certificate may come from. Default: the public ones.",
    ),
    Option(
        "phoebe_rater_cert",
        str | None,
        None,
        "PEM file of the certificate to show to the rater, with its chain.",
    ),
    Option(
        "phoebe_rater_key",
        str | None,
        None,
        "PEM file of that certificate's private key, without a passphrase.",
    ),
    Option(
        "phoebe_rater_token_file",
        str | None,
        None,
        "File with the token to show to the rater, and nothing else. Like the other files of the connection "
        "it is read again when it changes.",
    ),
    Option(
        "phoebe_rater_allow_plaintext",
        bool,
        False,
        "Send the token also over a network that is not encrypted.",
    ),
    Option(
        "phoebe_spool",
        str,
        "~/.phoebe/spool",
        "Folder where events wait for the rater. Processes may share it.",
    ),
    Option(
        "phoebe_cors_origins",
        Sequence[str],
        ("*",),
        "Origins whose pages may call from a browser, as OPTIONS tells it: `*`, origins such as "
        "https://chat.example.com, or `none`. Several: given again, or with commas.",
    ),
    Option(
        "phoebe_installation",
        str | None,
        None,
        "Id of the installation that the events are for, as `phoebe migrate` shows it; no rater of another "
        "one gets them. Default: the first rater that a spool meets decides.",
    ),
    Option(
        "phoebe_spool_moved_from",
        Sequence[str],
        (),
        "Ids of installations whose spools in the folder are given to phoebe_installation. Several: given "
        "again, or with commas.",
    ),
    Option(
        "phoebe_spool_trust_group",
        bool,
        False,
        "Take a spool folder to which a group may write, as fsGroup of Kubernetes makes it. Every member "
        "could forge events.",
    ),
    Option("phoebe_spool_limit", str, "1g", "Size of the spool beyond which new requests get 503 (k, m, g)."),
    Option("phoebe_body_limit", str, "16m", "Largest request body; a larger one gets 413 (k, m, g)."),
    Option(
        "phoebe_trusted_edges",
        Sequence[str],
        ("127.0.0.0/8", "::1/128"),
        "Networks (CIDR) requests are taken from; others get 403. Several: given again, or with commas.",
    ),
    Option(
        "phoebe_allow_any_edge",
        bool,
        False,
        "Take requests from everywhere although no secret is asked for.",
    ),
    Option(
        "phoebe_edge_secret_file",
        str | None,
        None,
        "File with the secret that every request must show, or several, one a line; read again when it "
        "changes. Default: none is asked for.",
    ),
    Option(
        "phoebe_usage",
        str,
        "auto",
        "When engines are asked to report usage in streams: `auto`, on every chunk too, so that an aborted "
        "stream has exact counts, of engines that are declared and can, else at the end; `final`, at the "
        "end; `continuous`, on every chunk, but of engines that are declared and can't; `none`: they are not "
        "asked. The map's `usage` takes its place for a resource.",
        tuple(map(str, Asking)),
    ),
    Option(
        "phoebe_abort",
        str,
        "finish",
        "What becomes of an answer whose client goes away: `finish`, once the engine has said that it has "
        "finished, the rest is read without the client, and before that the engine is cut off; `drain`, it "
        "is read to its end once it has begun; `cut`, the engine is cut off at once.",
        tuple(map(str, Abort)),
    ),
    Option(
        "phoebe_abort_timeout",
        str | None,
        None,
        "Seconds for which an answer is read without its client. Default: 60, with `drain` 3600.",
    ),
    Option(
        "phoebe_abort_limit",
        str,
        "256m",
        "How much of an answer is read without its client (k, m, g).",
    ),
    Option(
        "phoebe_engine_timeout",
        str,
        "600",
        "Seconds an engine may send nothing before its exchange ends: with 504 before the answer has begun, "
        "broken off after. 0: no limit.",
    ),
    Option(
        "phoebe_request_timeout",
        str,
        "300",
        "Seconds a request may take from its first byte to its last; then it gets 408. On a new connection "
        "they count from its beginning. 0: no limit.",
    ),
    Option(
        "phoebe_connections_max",
        int,
        10_000,
        "Connections of clients at a time; more are closed. Fewer if the process may not open enough files.",
    ),
    Option(
        "phoebe_exchanges_max",
        int,
        10_000,
        "Exchanges under way at a time; more get 503. Fewer if the process may not open enough files.",
    ),
    Option(
        "phoebe_exchanges_per_auth_max",
        int,
        1000,
        "Exchanges under way at a time for one auth id; more get 429. Less than `phoebe_exchanges_max`, so "
        "that one customer can't have them all.",
    ),
    Option(
        "phoebe_lean",
        bool,
        True,
        "Whether mitmproxy's hooks are spared the addons that do not take part in them, and the middle of a "
        "stream mitmproxy's layers, and reads are small; `false` leaves all of it to mitmproxy.",
    ),
    Option(
        "phoebe_drain_delay",
        str,
        "0",
        "Seconds that requests are served on when the process is told to stop, while /readyz says that it "
        "stops, so that load balancers hear of it before anyone is refused.",
    ),
    Option(
        "phoebe_drain_timeout",
        str,
        "30",
        "Seconds that exchanges under way, and then the events that wait, have when the process is told to "
        "stop. 0: none.",
    ),
    Option(
        "phoebe_metrics",
        str | None,
        None,
        "host:port to serve Prometheus metrics on. Default: not served.",
    ),
    Option(
        "phoebe_tracing",
        str,
        Tracing.OFF.value,
        "Whether spans of exchanges are sent to a collector, as the variables OTEL_* say: `off`; `on`, "
        "without who pays and who asks; `identified`, with that.",
        tuple(map(str, Tracing)),
    ),
    Option("phoebe_auth_id_header", str, _NAMES.auth_id, "Header that says who pays."),
    Option("phoebe_resource_id_header", str, _NAMES.resource_id, "Header that names the deployment."),
    Option("phoebe_base_model_header", str, _NAMES.base_model, "Header that names a fine-tune's base model."),
    Option("phoebe_user_id_header", str, _NAMES.user_id, "Header that names the user."),
    Option("phoebe_group_id_header", str, _NAMES.group_id, "Header that names the user's group."),
    Option(
        "phoebe_resource_type_header",
        str,
        _NAMES.resource_type,
        "Header that names the deployment's kind.",
    ),
    Option("phoebe_edge_secret_header", str, SECRET_HEADER, "Header that the edge shows its secret in."),
    Option(
        "phoebe_forward_identity",
        bool,
        False,
        "Give the identity headers to engines too. Never the edge's secret.",
    ),
)
"""All options of the addon."""

KEYS = frozenset(option.key for option in OPTIONS if option is not CONFIG)
"""The keys of a file of settings, in its section `addon`."""

_BY_NAME = {option.name: option for option in OPTIONS}


def add_options(
    loader: addonmanager.Loader, environment: Mapping[str, str], *, in_worker: bool = False
) -> list[str]:
    """Declare the options; the environment gives their defaults and, below it, the file of settings.

    in_worker: the file's `metrics` are those of `phoebe proxy`. Returns what is wrong with the names and
    values that were given. They count as not given, and the start must not go on.
    """
    faults = misspelt_variables(environment, [option.variable for option in OPTIONS])
    given = given_file(loader.master.options.deferred, environment)
    section: Mapping[str, FileValue] = {}
    try:
        file = None if given is None else read_settings_file(given, {SECTION: KEYS})
    except SettingsFileError as error:
        faults.append(str(error))
        file = None
    if file is not None:
        section = {
            key: value
            for key, value in file.sections[SECTION].items()
            if not (in_worker and key == "metrics")
        }
    for option in OPTIONS:
        default = option.default
        try:
            default = effective(option, environment, given, section).value
        except OptionValueError as error:
            faults.append(str(error))
        explanation = f"{option.help} Environment: {option.variable}."
        loader.add_option(option.name, option.kind, default, explanation, option.choices)
    return faults + take_given(loader.master.options.deferred)


def given_file(deferred: Mapping[str, object], environment: Mapping[str, str]) -> Path | None:
    """Find the file of settings that `--set phoebe_config` names, or the environment. None: there is none."""
    try:
        given = CONFIG.typed(deferred[CONFIG.name]) if CONFIG.name in deferred else None
    except OptionValueError:
        return None  # `take_given` says what is wrong
    named = given or environment.get(CONFIG.variable, "").strip()
    return Path(str(named)).expanduser() if named else None


def take_given(deferred: MutableMapping[str, Any]) -> list[str]:
    """Bring what was given for options of the addon before they were declared into their types.

    deferred: where mitmproxy keeps, by name, what stands behind `--set` and in its configuration files and
    no option has asked for yet. It keeps names that it does not know for ever, without a word; and a value of
    a wrong type ends the loading of the script instead of the process. So both are taken out of it. Returns
    what is wrong with them.
    """
    faults = unknown_options(deferred, _BY_NAME)
    for name in [name for name in deferred if unknown_options([name], _BY_NAME)]:
        del deferred[name]
    for name in _BY_NAME.keys() & deferred.keys():
        try:
            deferred[name] = _BY_NAME[name].typed(deferred[name])
        except OptionValueError as error:
            faults.append(f"{name} {error}")
            del deferred[name]
    return faults


def left_over(deferred: Collection[str]) -> tuple[list[str], list[str]]:
    """Sort the names that nobody has asked for after the start: faults, and what is only worth a warning."""
    faults = nameless_options(deferred, _BY_NAME)
    others = [
        f"nobody knows the option {name}" for name in deferred if not nameless_options([name], _BY_NAME)
    ]
    return faults, others
