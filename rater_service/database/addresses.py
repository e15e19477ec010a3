"""The servers that a URL names: postgresql://user:password@a:5432,b:5432/database."""

from itertools import zip_longest
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit


def one_by_one(url: str) -> tuple[str, ...]:
    """Return for each server of a URL a URL of its own, in order.

    Servers stand where the host stands, or in the parameters `host` and `port`, with commas between them.
    What is no URL comes back as it is, for whoever reads it to say so.
    """
    try:
        parts = urlsplit(url)
        parameters = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        return (url,)
    named = dict(parameters)
    user, at, hosts = parts.netloc.rpartition("@")
    if "," in hosts:
        return tuple(urlunsplit(parts._replace(netloc=f"{user}{at}{host}")) for host in hosts.split(","))
    if "," not in named.get("host", ""):
        return (url,)
    rest = [(name, value) for name, value in parameters if name not in {"host", "port"}]
    front = url.partition("?")[0]
    return tuple(
        f"{front}?{urlencode([*rest, *server], safe='/')}"
        for server in _paired(named["host"].split(","), named.get("port", ""))
    )


def _paired(hosts: list[str], ports: str) -> list[list[tuple[str, str]]]:
    """Give each host its port, as parameters; one port is for all of them."""
    numbers = ports.split(",")
    if len(numbers) == 1:
        numbers *= len(hosts)
    return [
        [("host", host), *([("port", port)] if port else [])]
        for host, port in zip_longest(hosts, numbers, fillvalue="")
        if host
    ]
