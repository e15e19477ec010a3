"""Checks of what is asked by HTTP: proxy and edge with forged headers, the console; their certificates."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from rater_service.doctor.access import Access, Answered
from rater_service.doctor.certificates import judge, look_at_certificate
from rater_service.doctor.findings import Finding, failed, ok, unchecked, warning
from rater_service.doctor.targets import FORGED_RESOURCE_ID, address_of_url

# It is free on every proxy, and most model servers answer it.
FREE_PATH = "/v1/models"
# What the proxy's gate says of a request that it does not believe to come from an edge.
_NOT_BELIEVED = frozenset({"untrusted_peer", "edge_secret"})
_NO_UPSTREAM = "no_upstream"
_SECRET_BYTES = 24


async def check_proxy_headers(access: Access) -> Sequence[Finding]:
    """Send forged billing headers to the proxy, without the edge's secret and with a wrong one."""
    url = access.targets.proxy
    assert url is not None
    names = access.targets.header_names
    wrong = {names.edge_secret: secrets.token_hex(_SECRET_BYTES)}
    findings = [
        await _believed(access, url, names.forged() | secret, how)
        for secret, how in (({}, "without the edge's secret"), (wrong, "with a wrong secret"))
    ]
    return [finding for finding in findings if finding is not None] or [
        ok("the proxy refuses billing headers of whoever does not know the edge's secret, or is no edge")
    ]


async def _believed(access: Access, url: str, headers: Mapping[str, str], how: str) -> Finding | None:
    """Say if the proxy took the headers for an edge's; None: it refused them."""
    answer = await access.get(f"{url}{FREE_PATH}", headers)
    if answer.refusal in _NOT_BELIEVED:
        return None
    if answer.status == 503:
        return unchecked(
            f"the proxy answers with 503 ({answer.refusal or 'no reason'})", "look at proxy.probes"
        )
    message = f"the proxy believed forged billing headers {how} (it answered with {answer.status})"
    if address_of_url(url).is_loopback:
        return warning(
            f"{message}: whoever is on this machine can say who pays",
            "give the edge a secret, phoebe_edge_secret_file: docs/edge.md#the-secret",
        )
    return failed(
        f"{message}: whoever reaches it from here can say who pays",
        "set phoebe_trusted_edges to the edge's networks, and phoebe_edge_secret_file: docs/edge.md",
    )


async def check_edge_headers(access: Access) -> Sequence[Finding]:
    """Send forged billing headers to the edge, as someone without credentials."""
    url = access.targets.edge
    assert url is not None
    names = access.targets.header_names
    forged = names.forged() | {names.edge_secret: secrets.token_hex(_SECRET_BYTES)}
    return [judge_edge(await access.get(f"{url}{FREE_PATH}", forged))]


def judge_edge(answer: Answered) -> Finding:
    """Say what an edge's answer to forged headers without credentials means."""
    advice = "remove or set all six headers at the edge: docs/edge.md has configurations"
    status = answer.status
    if status < 400 or answer.refusal == _NO_UPSTREAM or FORGED_RESOURCE_ID in answer.text:
        return failed(
            f"forged billing headers pass the edge: it answered with {status}, without credentials", advice
        )
    if status >= 500:
        return unchecked(f"the edge answers with {status}", "look at the edge, and at proxy.probes")
    if status == 404:
        return unchecked(
            "the edge answers with 404, which does not tell whether it looked at the headers",
            f"give --edge the URL in front of which {FREE_PATH} can stand",
        )
    return ok(f"the edge lets no forged billing headers pass without credentials: it answers with {status}")


async def check_proxy_encryption(access: Access) -> Sequence[Finding]:
    """Say until when the proxy's certificate holds, if it has one."""
    assert access.targets.proxy is not None
    return [
        await _encryption(access, access.targets.proxy, "the proxy's", "the line from the edge to the proxy")
    ]


async def check_edge_encryption(access: Access) -> Sequence[Finding]:
    """Say whether customers can call encrypted, and until when the certificate holds."""
    assert access.targets.edge is not None
    return [
        await _encryption(access, access.targets.edge, "the edge's", "the line from customers to the edge")
    ]


async def check_console(access: Access) -> Sequence[Finding]:
    """Say whether the console is there, encrypted, and asks who reads."""
    url = access.targets.console
    assert url is not None
    answer = await access.get(f"{url}/")
    return [
        await _encryption(access, url, "the console's", "the line from browsers to the console"),
        judge_console(answer, address_of_url(url).is_loopback),
    ]


def judge_console(answer: Answered, is_loopback: bool) -> Finding:
    """Say what the console's answer to a stranger means. is_loopback: only this machine can ask."""
    asks = answer.status in {401, 403} or "/login" in answer.headers.get("location", "")
    if asks:
        return ok("the console asks who reads")
    if answer.status >= 500:
        return failed(f"the console answers with {answer.status}", "the rater's log has the reason")
    if answer.status >= 400:
        return failed(
            f"there is no console at this URL: it answers with {answer.status}",
            "give `phoebe serve` --console HOST:PORT",
        )
    if is_loopback:
        return ok("the console answers, and asks nobody who they are, at this machine's own address")
    return failed(
        "whoever reaches the console reads all bills: it asks nobody who they are",
        "give `phoebe serve` --tokens: docs/console.md",
    )


async def _encryption(access: Access, url: str, whose: str, line: str) -> Finding:
    address = address_of_url(url)
    if not url.startswith("https:"):
        if address.is_loopback:
            return ok(f"{line} stays on this machine, without TLS")
        return warning(
            f"{line} is not encrypted", "use TLS, or a network that nobody else is on: docs/security.md"
        )
    return judge(await look_at_certificate(address, access.tls), whose, datetime.now(UTC))
