"""Reads what there is to say of one rollup, in one snapshot."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from uuid import UUID

import asyncpg

from rater_service.archive.files import unarchived_since
from rater_service.archive.reading import ArchivedSelection, EventRecord, as_json, read_archived
from rater_service.bills.explanation import (
    EventSums,
    Explanation,
    RateOrigin,
    RollupChange,
    RunStamp,
)
from rater_service.bills.rollups import reading
from rater_service.database.database import Connection, Pool
from rater_service.errors import OperatorError
from rater_service.hours import HOUR
from rater_service.prices.lines import lines_of
from rater_service.prices.loadings import BEGINNING
from rater_service.prices.resolution import NoPrice, Price, resolve
from rater_service.prices.store import load_history, load_kept_file, read_timeline
from rater_service.rating.run import RUN_OVERLAP
from rater_service.rollup import KEY, VALUES, RollupKey, Version
from rater_service.statements import Bound, bound

_SUMMED = (
    *("events", "prompt_tokens", "cached_tokens", "completion_tokens", "billable_prompt_tokens"),
    *("without_usage", "untrusted"),
)
_READ = ("usage_found", "model_untrusted", "prompt_tokens", "cached_tokens", "completion_tokens", "stored_at")
_STAMP = tuple(field.name for field in fields(RunStamp) if field.name != "id")


@dataclass(frozen=True, slots=True)
class EventPage:
    """Some of the events behind a rollup, as records of billing_event. has_more: others follow."""

    events: tuple[asyncpg.Record, ...]
    has_more: bool


class NoSuchRollupError(OperatorError):
    """There is no such rollup, and never was."""


async def explain_rollup(pool: Pool, wanted: int | RollupKey, *, by_sums: bool = False) -> Explanation:
    """Explain a rollup by its number or its key. By its key also one that was deleted.

    by_sums: compare it with the hourly sums instead of with its events, which takes as long as there are any
    in its hour. Raises NoSuchRollupError.
    """
    async with reading(pool) as connection:
        return await _explain(connection, wanted, by_sums)


async def list_events(pool: Pool, key: RollupKey, after: UUID | None, limit: int) -> EventPage:
    """Read a page of the events of a key and hour, billed or not, in the order of their ids."""
    async with reading(pool) as connection:
        records = await connection.fetch(*await over_events_of(connection, key, after, limit + 1))
    return EventPage(tuple(records[:limit]), len(records) > limit)


def _archived(key: RollupKey, columns: Sequence[str] = ()) -> ArchivedSelection:
    names = {name: value for name, value in asdict(key).items() if name != "window_start"}
    return ArchivedSelection(key.window_start, key.window_start + HOUR, names, columns)


async def over_events_of(
    connection: Connection, key: RollupKey, after: UUID | None = None, limit: int | None = None
) -> Bound:
    """Give the statement that reads the events of a key and hour, archived ones too.

    limit: how many at most; None: all. Raises OperatorError if the archive can't be read.
    """
    archived = as_json(await read_archived(connection, _archived(key)))
    return bound("bills/explain_event_page", **asdict(key), archived=archived, after=after, limit=limit)


async def _explain(connection: Connection, wanted: int | RollupKey, by_sums: bool) -> Explanation:
    row = await _find(connection, wanted)
    if row is None and isinstance(wanted, int):
        raise NoSuchRollupError(
            f"there is no rollup {wanted}. If it was deleted, name its key: "
            "phoebe explain --auth A --resource R --model M --hour H"
        )
    key = wanted if isinstance(wanted, RollupKey) else _key(row)
    changes = [
        _change(record) for record in await connection.fetch(*bound("bills/explain_changes", **asdict(key)))
    ]
    if row is None and not changes:
        raise NoSuchRollupError(
            f"{key.auth_id} was never billed for {key.model_id} on {key.resource_id} in this hour; "
            f"`phoebe report --by hour,resource,model --auth {key.auth_id}` lists what was"
        )
    now = None if row is None else _version(row)
    run = None if row is None else await _run(connection, row["run"])
    return Explanation(
        key=key,
        id=changes[-1].rollup if row is None else row["id"],
        now=now,
        run=run,
        origin=None if now is None else await _origin(connection, key, now, run),
        changes=tuple(changes),
        events=await _events(connection, key, by_sums),
    )


async def _find(connection: Connection, wanted: int | RollupKey) -> asyncpg.Record | None:
    number = wanted if isinstance(wanted, int) else None
    key = dict.fromkeys(KEY) if isinstance(wanted, int) else asdict(wanted)
    return await connection.fetchrow(*bound("bills/explain_rollup", id=number, **key))


def _key(row: asyncpg.Record | None) -> RollupKey:
    assert row is not None
    return RollupKey(**{name: row[name] for name in KEY})


def _version(record: asyncpg.Record, prefix: str = "") -> Version:
    return Version(**{name: record[prefix + name] for name in VALUES})


def _change(record: asyncpg.Record) -> RollupChange:
    return RollupChange(
        run=RunStamp(id=record["run"], **{name: record[name] for name in _STAMP}),
        rollup=record["rollup"],
        old=None if record["kind"] == "INSERT" else _version(record, "old_"),
        new=None if record["kind"] == "DELETE" else _version(record, "new_"),
    )


async def _run(connection: Connection, number: int) -> RunStamp | None:
    record = await connection.fetchrow(*bound("bills/explain_run", id=number))
    return None if record is None else RunStamp(**dict(record))


async def _origin(connection: Connection, key: RollupKey, now: Version, run: RunStamp | None) -> RateOrigin:
    timeline = await read_timeline(connection)
    known_at = BEGINNING if run is None else run.knowledge_at
    loading = timeline.pricing(now.price_book, key.window_start, known_at)
    file = await load_kept_file(connection, now.price_book)
    book = file.book
    found = resolve(book, key.model_id, now.base_model)
    price = found if isinstance(found, Price) else None
    history = await load_history(connection, key.window_start)
    current = history.resolve(key.model_id, now.base_model, key.window_start)
    prices_hours = loading in timeline.in_turn
    return RateOrigin(
        loading=loading,
        prices_hours=prices_hours,
        in_force_until=timeline.until(loading) if prices_hours else None,
        price=price,
        base=None if price is None or price.derived_from is None else book.base_models[price.derived_from],
        current=current if not isinstance(current, NoPrice) else None,
        lines=() if price is None else lines_of(file, key.model_id, price),
    )


async def _events(connection: Connection, key: RollupKey, by_sums: bool) -> EventSums:
    hour = key.window_start
    pruned_at = await unarchived_since(connection, hour)
    is_by_event = pruned_at is None and not by_sums
    name = "bills/explain_events" if is_by_event else "bills/explain_sums"
    sums = await connection.fetchrow(*bound(name, **asdict(key)))
    last_run = await connection.fetchrow(*bound("bills/explain_last_run", hour=hour))
    assert sums is not None
    last_stored_at = sums["last_stored_at"]
    counts = {name: int(sums[name]) for name in _SUMMED}
    if is_by_event:
        archived = await read_archived(connection, _archived(key, _READ))
        counts, last_stored_at = _with_archived(counts, last_stored_at, archived)
    return EventSums(**counts, pruned_at=pruned_at, came_late=_came_late(last_stored_at, last_run))


def _with_archived(
    counts: dict[str, int], last_stored_at: datetime | None, archived: Sequence[EventRecord]
) -> tuple[dict[str, int], datetime | None]:
    """Add archived events to the sums of those that are here, by the rules of explain_events.sql."""
    for row in archived:
        if not row["usage_found"]:
            counts["without_usage"] += 1
        elif row["model_untrusted"]:
            counts["untrusted"] += 1
        else:
            prompt, cached = row["prompt_tokens"] or 0, row["cached_tokens"] or 0
            counts["events"] += 1
            counts["prompt_tokens"] += prompt
            counts["cached_tokens"] += min(cached, prompt)
            counts["completion_tokens"] += row["completion_tokens"] or 0
            counts["billable_prompt_tokens"] += max(prompt - cached, 0)
            last_stored_at = max(last_stored_at or row["stored_at"], row["stored_at"])
    return counts, last_stored_at


def _came_late(last_stored_at: datetime | None, last_run: asyncpg.Record | None) -> bool:
    if last_stored_at is None or last_run is None:
        return False
    started_at: datetime = last_run["started_at"]
    return last_stored_at >= started_at - RUN_OVERLAP
