"""The check of versions: of this program, of the rater, of proxies."""

import platform
from collections import defaultdict
from collections.abc import Iterable, Sequence

from grpc_health.v1 import health_pb2, health_pb2_grpc

from rater_service.distribution import installed_version
from rater_service.doctor.access import Access, Need
from rater_service.doctor.findings import Finding, ok, unchecked, warning
from rater_service.doctor.metrics_checks import of_each
from rater_service.doctor.pages import read_samples
from rater_service.doctor.rater_checks import open_channel
from rater_service.events.producers import Producer, list_producers
from rater_service.events.proxy_names import proxy_in_words
from rater_service.service.version_teller import VERSION_KEY

_UPGRADE = "upgrade the rater first, then the proxies"
_NAMED_MAX = 5


async def check_versions(access: Access) -> Sequence[Finding]:
    """Compare the versions of what runs."""

    async def look(url: str) -> list[Finding]:
        builds = (await read_samples(access, url)).of("phoebe_build_info")
        if not builds:
            return [unchecked("it does not say which version it is", "upgrade it")]
        return [
            judge_version(f"the {labels.get('component')}", labels.get("version"), labels.get("python"))
            for labels in (build.labels for build in builds)
        ]

    findings = [ok(f"this program is {installed_version()}, on Python {platform.python_version()}")]
    of_rater = None
    if access.targets.rater is not None:
        of_rater = await _told_version(access)
        findings.append(judge_version("the rater", of_rater))
    if access.lacks(Need.SCHEMA) is None:
        findings += judge_proxies(await list_producers(access.database), of_rater)
    urls = [*filter(None, [access.targets.rater_metrics]), *access.targets.proxy_metrics]
    return [*findings, *await of_each(access, urls, look)]


async def _told_version(access: Access) -> str | None:
    """Ask the rater which version it is; None: it does not say. Raises AioRpcError."""
    assert access.targets.rater is not None
    async with open_channel(access.targets.rater) as channel:
        call = health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(), timeout=access.timeout_s
        )
        await call
        told = dict(await call.trailing_metadata())
    return told.get(VERSION_KEY)


def judge_version(who: str, version: str | None, python: str | None = None) -> Finding:
    """Say whether a program is of the doctor's own version. python: what it runs on, if it says so."""
    if version is None:
        return warning(f"{who} does not say which version it is: it is an earlier one", _UPGRADE)
    said = f"{who} is {version}" + (f", on Python {python}" if python else "")
    if version == installed_version():
        return ok(said)
    return warning(f"{said}, and this program is {installed_version()}", _UPGRADE)


def judge_proxies(producers: Iterable[Producer], of_rater: str | None) -> list[Finding]:
    """Say whether the proxies that report are of the rater's version; if it is not known, of the doctor's."""
    expected = of_rater or installed_version()
    found: defaultdict[str | None, list[str]] = defaultdict(list)
    for one in producers:
        if not one.stopped and not one.retired:
            found[one.version].append(proxy_in_words(one.producer_id, one.name))
    return [
        _of_proxies(version, who, expected, "the rater" if of_rater else "this program")
        for version, who in sorted(found.items(), key=lambda item: item[0] or "")
    ]


def _of_proxies(version: str | None, who: Sequence[str], expected: str, whose: str) -> Finding:
    if version == expected:
        return ok(f"proxies that report and are {version}: {len(who)}")
    named = ", ".join(who[:_NAMED_MAX])
    if len(who) > _NAMED_MAX:
        named += f" and {len(who) - _NAMED_MAX} more"
    if version is None:
        return warning(
            f"proxies that do not say which version they are: {named}",
            "they are earlier ones, or run from a folder that is not installed; " + _UPGRADE,
        )
    return warning(f"proxies that are {version}, and {whose} is {expected}: {named}", _UPGRADE)
