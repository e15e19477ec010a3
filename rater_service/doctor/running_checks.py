"""Checks of what the database knows: proxies that are silent, rating that is late, events kept aside."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from phoebe_runtime.counts import counted
from phoebe_runtime.durations import in_words
from rater_service.bills.runs import read_run
from rater_service.doctor.access import Access
from rater_service.doctor.findings import Finding, failed, ok, warning
from rater_service.events.producers import Producer, list_producers
from rater_service.events.proxy_names import proxy_in_words
from rater_service.hours import utc_text
from rater_service.rating.late_usage import find_late_hours, late_before
from rater_service.statements import bound

# As deploy/prometheus/rules.yaml has them.
_SILENT_MAX = timedelta(minutes=10)
_BEHIND_MAX = timedelta(minutes=15)
RATING_LATE = timedelta(hours=2, minutes=15)
_NAMED_MAX = 20


async def check_producers(access: Access) -> Sequence[Finding]:
    """Say which proxies are silent or far behind, and which have lost something."""
    now = datetime.now(UTC)
    producers = await list_producers(access.database)
    findings = [finding for each in producers for finding in _of_producer(each, now)][:_NAMED_MAX]
    waited_for = sum(not each.stopped and not each.retired for each in producers)
    return findings or [ok(f"proxies that report and are up to date: {waited_for}")]


def _of_producer(producer: Producer, now: datetime) -> Iterator[Finding]:
    who = proxy_in_words(producer.producer_id, producer.name)
    if producer.retired:
        return
    has = (
        f"{counted(producer.spooled_events, 'event')} in its spool, "
        f"{counted(producer.open_exchanges, 'exchange')} under way"
    )
    silent = producer.silent_for(now)
    if silent is not None:
        # How much it has now, its last word need not tell.
        say = failed if silent > _SILENT_MAX else warning
        yield say(
            f"{who} is silent for {in_words(silent)}; it had {has}",
            "start it again, or deliver its spool: docs/runbooks.md#phoebeproxysilent. If it is gone for "
            f"ever, `phoebe producers retire {producer.producer_id}`",
        )
    elif producer.spooled_events and producer.complete_until is not None:
        behind = now - producer.complete_until
        if behind > _BEHIND_MAX:
            yield warning(f"{who} is {in_words(behind)} behind: {has}", "docs/runbooks.md#phoebespoolold")
    if producer.lost_rows:
        yield failed(
            f"{who} can't read {counted(producer.lost_rows, 'event')} of its spool",
            "docs/runbooks.md#phoebeeventslost",
        )


async def check_runs(access: Access) -> Sequence[Finding]:
    """Say whether rating goes on, and what the last routine run found."""
    now = datetime.now(UTC)
    pool = access.database
    number = await pool.fetchval(*bound("doctor/last_run"))
    async with pool.acquire() as connection:
        late = await find_late_hours(connection, before=late_before(now))
    findings = []
    if late:
        unseen = sum(each.events_unseen for each in late)
        findings.append(
            warning(
                f"on no bill, for no run has seen them: {counted(unseen, 'event')} in "
                f"{counted(len(late), 'hour')} since {utc_text(late[0].hour)}",
                "`phoebe rate` takes those of the last 35 days along: docs/runbooks.md#late_usage",
            )
        )
    if number is None:
        return [
            *findings,
            warning(
                "no routine run ever went through",
                "give `phoebe serve` --rate-every hour, or schedule `phoebe rate`: docs/scheduling.md",
            ),
        ]
    run = await read_run(pool, number)
    since = now - run.finished_at
    if since > RATING_LATE:
        findings.append(
            failed(
                f"the last routine run, {run.id}, ended {in_words(since)} ago",
                "docs/runbooks.md#phoeberatinglate",
            )
        )
    findings += [
        warning(
            f"run {run.id} found {anomaly.reason}, events: {anomaly.events}, {anomaly.when()}", anomaly.advice
        )
        for anomaly in run.anomalies
    ]
    return findings or [
        ok(f"the last routine run, {run.id}, ended {in_words(since)} ago, and found nothing amiss")
    ]


async def check_rejected(access: Access) -> Sequence[Finding]:
    """Say whether events are kept aside."""
    row = await access.database.fetchrow(*bound("doctor/rejected"))
    assert row is not None
    if not row["events"]:
        return [ok("no event is kept aside")]
    return [
        warning(
            f"kept aside and not billed: {counted(row['events'], 'event')}, the oldest since "
            f"{utc_text(row['oldest'])}",
            "`phoebe rejected list` says why: docs/runbooks.md#phoeberejectedevents",
        )
    ]
