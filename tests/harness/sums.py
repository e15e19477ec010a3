"""The hourly sums as they must be: counted event by event, in a few lines that share no code with Phoebe."""

from datetime import datetime

from rater_service.database.database import Pool

type Key = tuple[object, ...]
KEY = "window_start, auth_id, resource_id, model_id, base_model, usage_found, model_untrusted, completed"


NUMBERS = (
    "event_count, prompt_tokens, cached_tokens, completion_tokens, billable_prompt_tokens,"
    " excess_cached_events, excess_cached_tokens, partial_usage_events, unbilled_events, unbilled_bytes,"
    " echoed_events, echoed_tokens"
)


async def kept_sums(pool: Pool) -> dict[Key, list[object]]:
    """What the database keeps, over all slots."""
    numbers = ", ".join(f"sum({name})" for name in NUMBERS.split(","))
    rows = await pool.fetch(
        f"SELECT {KEY}, {numbers}, min(first_stored_at), max(last_stored_at) FROM hourly_usage GROUP BY {KEY}"
    )
    return {tuple(row)[:8]: list(row)[8:] for row in rows}


async def sum_again(pool: Pool) -> None:
    """Make all sums again of the events that a test has put there, at once."""
    await pool.execute(
        "TRUNCATE hourly_usage;"
        " INSERT INTO hourly_usage SELECT * FROM hourly_usage_of_events('-infinity', 'infinity')"
    )


async def counted_sums(pool: Pool) -> dict[Key, list[object]]:
    """What the stored events make."""
    sums: dict[Key, list[object]] = {}
    for event in await pool.fetch("SELECT * FROM billing_event"):
        ended: datetime = event["event_time"]
        key = (
            ended.replace(minute=0, second=0, microsecond=0),
            *(event[name] for name in ("auth_id", "resource_id")),
            "(other models)" if event["summed_as_other"] else event["model_id"],
            event["base_model"],
            *(event[name] for name in ("usage_found", "model_untrusted")),
            event["outcome"] == "completed",
        )
        prompt, cached, completion = (
            event[name] or 0 for name in ("prompt_tokens", "cached_tokens", "completion_tokens")
        )
        stored_at = event["stored_at"]
        partial = event["usage_partial"] or (event["usage_found"] and event["prompt_tokens"] is None)
        so_far = sums.get(key, [*[0] * 12, stored_at, stored_at])
        used = cached if cached < prompt else prompt
        given = 0 if event["usage_found"] or event["outcome"] == "completed" else event["answer_bytes"] or 0
        if event["status_code"] is None or event["status_code"] // 100 != 2:
            given = 0
        excess = (int(cached > used), cached - used)
        echoed = (1, prompt + completion) if event["model_echoed"] else (0, 0)
        more = (
            *(1, prompt, used, completion, prompt - used, *excess, int(partial), int(given > 0), given),
            *echoed,
        )
        sums[key] = [
            *(old + new for old, new in zip(so_far, more, strict=False)),
            min(so_far[12], stored_at),
            max(so_far[13], stored_at),
        ]
    return sums


def moved(column: str, by: str) -> str:
    """What moves a time by an interval, in an UPDATE that a distributed database takes: what it says
    depends on no setting of the session.
    """
    return f"{column} = ({column} AT TIME ZONE 'UTC' + interval '{by}') AT TIME ZONE 'UTC'"
