"""The addon's options: `--set name=value`, or the environment variable of the same name in upper case."""

import os
from typing import NamedTuple

from mitmproxy import addonmanager

from phoebe_addon.gate.edge_secrets import SECRET_HEADER
from phoebe_addon.gate.identity import HeaderNames


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
        "phoebe_engine",
        "",
        "What kind of model server `phoebe_upstream` is, if it is one URL, such as vllm, sglang or ollama.",
    ),
    _Option(
        "phoebe_models",
        "",
        "The only model names it serves, separated by commas; another name in a request gets 404.",
    ),
    _Option(
        "phoebe_allow_unbillable",
        "",
        "Kinds of requests, by name, separated by commas, that pass although they can't be billed.",
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
        "phoebe_edge_secret_file",
        "",
        "File with the secret that every request must show, or several, one a line; read again when it "
        "changes. Default: none is asked for.",
    ),
    _Option(
        "phoebe_usage",
        "final",
        "When engines are asked to report usage in streams: `final`, at the end; `continuous`, on every "
        "chunk too, so that an aborted stream has exact counts, but of engines that are declared and can't; "
        "`auto`, on every chunk of engines that are declared and can, else at the end; `none`: they are not "
        "asked. The map's `usage` takes its place for a resource.",
    ),
    _Option(
        "phoebe_engine_timeout",
        "600",
        "Seconds an engine may send nothing before its exchange ends: with 504 before the answer has begun, "
        "broken off after. 0: no limit.",
    ),
    _Option(
        "phoebe_request_timeout",
        "300",
        "Seconds a request may take from its first byte to its last; then it gets 408. On a new connection "
        "they count from its beginning. 0: no limit.",
    ),
    _Option(
        "phoebe_connections_max",
        "10000",
        "Connections of clients at a time; more are closed. Fewer if the process may not open enough files.",
    ),
    _Option(
        "phoebe_exchanges_max",
        "10000",
        "Metered exchanges under way at a time; more get 503. Fewer if the process may not open enough "
        "files.",
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
    _Option("phoebe_edge_secret_header", SECRET_HEADER, "Header that the edge shows its secret in."),
    _Option(
        "phoebe_forward_identity",
        "off",
        "`on`: engines get the identity headers too. Never the edge's secret.",
    ),
)


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
