"""Checks of what programs say of themselves, probes and metrics, and of a spool on this machine."""

import asyncio
import math
import os
import shutil
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import httpx

from phoebe_runtime.counts import counted
from phoebe_runtime.durations import in_words
from rater_service.doctor.access import Access, http_trouble, no_answer
from rater_service.doctor.certificates import judge_expiry
from rater_service.doctor.findings import Finding, Result, failed, ok, unchecked, warning
from rater_service.doctor.pages import Samples, probe, read_samples
from rater_service.errors import OperatorError

# As deploy/prometheus/rules.yaml has them.
_SPOOL_FULL_RATIO = 0.5
_SPOOL_AGE_MAX = timedelta(minutes=15)
# An outage of the rater of some hours fits in, at hundreds of exchanges a second.
_FREE_BYTES_MIN = 1024**3
_FREE_RATIO_MIN = 0.1
_NAME_PORT = "give the URL of its metrics port"
_START = "start it, or give the URL of its metrics port: docs/runbooks.md#phoebetargetdown"


async def check_rater_probes(access: Access) -> Sequence[Finding]:
    """Ask the rater whether it is ready."""
    assert access.targets.rater_metrics is not None
    return await probe(access, access.targets.rater_metrics)


async def check_rater_metrics(access: Access) -> Sequence[Finding]:
    """Read what the rater's metrics say is amiss."""
    assert access.targets.rater_metrics is not None
    samples = await read_samples(access, access.targets.rater_metrics)
    findings = [*_common(samples)]
    if samples.value("phoebe_price_file_latest") == 0:
        findings.append(
            warning(
                "the price file that the rater follows is not what was loaded last",
                "`phoebe prices list` shows what was; docs/price-file.md says which counts",
            )
        )
    if samples.value("phoebe_streams_waiting"):
        findings.append(
            warning(
                "batches wait for room in the rater", "where it lasts, run a second rater: docs/scaling.md"
            )
        )
    return findings or [ok("nothing is amiss in the rater's metrics")]


async def check_proxy_probes(access: Access) -> Sequence[Finding]:
    """Ask the proxies whether they are ready, and whether they reach the rater."""
    return await of_each(access, access.targets.proxy_metrics, lambda url: probe(access, url))


async def check_proxy_metrics(access: Access) -> Sequence[Finding]:
    """Read what the proxies' metrics say of spools, disks and the way to the rater."""

    async def look(url: str) -> list[Finding]:
        samples = await read_samples(access, url)
        found = [*_common(samples), *judge_spool(samples)]
        return found or [ok("the rater is reached, and the spool has room")]

    return await of_each(access, access.targets.proxy_metrics, look)


async def check_spool(access: Access) -> Sequence[Finding]:
    """Look at the disk of a spool on this machine."""
    folder = access.targets.spool
    assert folder is not None
    try:
        usage = await asyncio.to_thread(shutil.disk_usage, folder)
        mode = folder.stat().st_mode
    except OSError as error:
        return [
            failed(
                f"the spool {folder} can't be looked at: {error.strerror}", "name the folder of phoebe_spool"
            )
        ]
    findings = []
    if usage.free < _FREE_BYTES_MIN or usage.free < usage.total * _FREE_RATIO_MIN:
        findings.append(
            warning(
                f"the disk of the spool has {usage.free / 1024**2:,.0f} MiB free of "
                f"{usage.total / 1024**2:,.0f}",
                "make room: a proxy that can't write its spool refuses requests",
            )
        )
    if mode & 0o022:
        findings.append(
            failed(f"others than its owner may change the spool {folder}", f"chmod go-w {folder}")
        )
    if not os.access(folder, os.R_OK | os.X_OK):
        findings.append(unchecked("this user may not read the spool", "run the doctor as the proxy's user"))
    return findings or [ok(f"the disk of the spool has {usage.free / 1024**3:,.1f} GiB free")]


def _common(samples: Samples) -> Iterator[Finding]:
    """Give what both programs say alike."""
    for sample in samples.of("phoebe_file_refused"):
        if sample.value:
            yield failed(
                f"what the file says now can't be used: {sample.labels.get('file')}; what it said before "
                "holds",
                "the log says why: docs/runbooks.md#phoebefilerefused",
            )
    for sample in samples.of("phoebe_task_up"):
        if not sample.value:
            yield failed(
                f"the task {sample.labels.get('task')} keeps crashing",
                "that is a bug; the log has its traceback: docs/runbooks.md#phoebetaskdown",
            )
    now = datetime.now(UTC)
    for sample in samples.of("phoebe_certificate_not_after_timestamp_seconds"):
        if not math.isnan(sample.value):
            ends_at = datetime.fromtimestamp(sample.value, UTC)
            found = judge_expiry(ends_at, f"the certificate for the use {sample.labels.get('use')!r}", now)
            if found.result is not Result.OK:
                yield found


def judge_spool(samples: Samples) -> Iterator[Finding]:
    """Say what a proxy's metrics tell of its spool, its disk and the way to the rater."""
    if samples.value("phoebe_rater_up") == 0:
        yield failed(
            "it does not reach the rater", "its log says why: docs/runbooks.md#phoeberaterunreachable"
        )
    if samples.value("phoebe_spool_writable") == 0:
        yield failed("it can't write its spool, and refuses requests", "docs/runbooks.md#phoebecannotbill")
    holds, limit = samples.value("phoebe_spool_bytes"), samples.value("phoebe_spool_limit_bytes")
    if holds is not None and limit and holds / limit > _SPOOL_FULL_RATIO:
        yield failed(
            f"its spool is filled to {holds / limit:.0%}; when it is full, requests get 503",
            "docs/runbooks.md#phoebespoolfilling",
        )
    oldest = samples.value("phoebe_spool_oldest_event_timestamp_seconds")
    if oldest:
        age = datetime.now(UTC) - datetime.fromtimestamp(oldest, UTC)
        if age > _SPOOL_AGE_MAX:
            yield warning(
                f"an event waits in its spool for {in_words(age)}", "docs/runbooks.md#phoebespoolold"
            )
    lost = samples.value("phoebe_spool_events_lost")
    if lost:
        yield failed(
            f"{counted(round(lost), 'event')} of its spool can't be read", "docs/runbooks.md#phoebeeventslost"
        )
    free = samples.value("phoebe_spool_free_disk_bytes")
    if free is not None and free < _FREE_BYTES_MIN:
        yield warning(f"the disk of its spool has {free / 1024**2:,.0f} MiB free", "make room on it")


async def of_each(
    access: Access, urls: Sequence[str], look: Callable[[str], Awaitable[Sequence[Finding]]]
) -> list[Finding]:
    """Look at each; one that can't be asked, or hangs, keeps nobody from the others."""

    async def at(url: str) -> list[Finding]:
        try:
            async with asyncio.timeout(access.timeout_s):
                found = await look(url)
        except OperatorError as error:
            found = [failed(str(error), _NAME_PORT)]
        except httpx.HTTPError as error:
            found = [failed(http_trouble(error, access.timeout_s), _START)]
        except TimeoutError:
            found = [failed(no_answer(access.timeout_s), _START)]
        return [finding.of(url) for finding in found]

    return [finding for found in await asyncio.gather(*map(at, urls)) for finding in found]
