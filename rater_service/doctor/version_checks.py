"""The check of versions: of this program, of the rater, of proxies."""

import platform
from collections.abc import Sequence

from grpc_health.v1 import health_pb2, health_pb2_grpc

from rater_service.distribution import installed_version
from rater_service.doctor.access import Access
from rater_service.doctor.findings import Finding, ok, unchecked, warning
from rater_service.doctor.metrics_checks import of_each
from rater_service.doctor.pages import read_samples
from rater_service.doctor.rater_checks import open_channel
from rater_service.service.version_teller import VERSION_KEY

_UPGRADE = "upgrade the rater first, then the proxies"


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
    if access.targets.rater is not None:
        findings.append(judge_version("the rater", await _told_version(access)))
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
