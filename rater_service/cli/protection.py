"""The options of `phoebe serve` that say what protects it; see `rater_service.service.protection`."""

from pathlib import Path
from typing import Annotated

import typer


def _file_option(flag: str, variable: str, explanation: str) -> typer.models.OptionInfo:
    info = typer.Option(flag, envvar=variable, metavar="FILE", show_default=False, help=explanation)
    assert isinstance(info, typer.models.OptionInfo)
    return info


TlsCert = Annotated[
    Path | None,
    _file_option(
        "--tls-cert",
        "PHOEBE_TLS_CERT",
        "Encrypt connections: the PEM file of the certificate, with its chain. Read again when it changes. "
        "Default: they are not encrypted.",
    ),
]
TlsKey = Annotated[
    Path | None,
    _file_option(
        "--tls-key", "PHOEBE_TLS_KEY", "The PEM file of the certificate's private key. Default: none."
    ),
]
TlsClientCa = Annotated[
    Path | None,
    _file_option(
        "--tls-client-ca",
        "PHOEBE_TLS_CLIENT_CA",
        "Take connections only from holders of a certificate of the authorities in this PEM file. Default: "
        "callers need none.",
    ),
]
Tokens = Annotated[
    Path | None,
    _file_option(
        "--tokens",
        "PHOEBE_TOKENS",
        "Answer only callers that this file names, with the rights it gives them; `phoebe token new` writes "
        "its lines. Read again when it changes. Default: everyone has all rights.",
    ),
]
