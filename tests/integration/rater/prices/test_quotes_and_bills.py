"""What is quoted for a moment is what is billed for it, whatever was loaded when."""

import asyncio
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rater_service.money import TokenCounts, cost
from rater_service.prices.history import Quote
from rater_service.prices.store import load_history
from tests.harness.ledger import HOUR, ONE_HOUR, Ledger, make_event, nonzero

pytestmark = pytest.mark.one_postgres

BASES = ["base/a", "base/b"]
FINE_TUNES = ["ft:declared", "ft:own", "ft:unlisted"]

rates = st.fixed_dictionaries(
    {
        name: st.integers(1, 2_000_000).map(lambda tenths: Decimal(tenths).scaleb(-10))
        for name in ("p", "c", "g")
    }
)


def rates_text(drawn: dict[str, Decimal]) -> str:
    prompt, cached, completion = (format(drawn[name] + 1, "f") for name in ("p", "c", "g"))
    return f'{{ prompt: "{prompt}", cached: "{cached}", completion: "{completion}" }}'


@st.composite
def price_files(draw: st.DrawFn) -> bytes:
    bases = draw(st.dictionaries(st.sampled_from(BASES), rates, min_size=1))
    lines = ["version: 1", "base_models:"]
    lines += [f'  "{name}": {rates_text(drawn)}' for name, drawn in bases.items()]
    tunes = []
    if draw(st.booleans()):
        tunes.append(f'  "ft:declared": {{ derived_from: {draw(st.sampled_from(sorted(bases)))} }}')
    if draw(st.booleans()):
        tunes.append(f'  "ft:own": {{ rate: {rates_text(draw(rates))} }}')
    lines += ["fine_tunes:", *tunes] if tunes else []
    premium = draw(st.sampled_from(["identity", "multiplier", "markup"]))
    lines.append(
        {
            "identity": "fine_tune_premium: { policy: identity }",
            "multiplier": 'fine_tune_premium: { policy: multiplier, factor: "1.37" }',
            "markup": 'fine_tune_premium: { policy: markup, markup: "0.0000000055" }',
        }[premium]
    )
    if (hours := draw(st.none() | st.integers(-5, 5))) is not None:
        lines.append(f'effective_from: "{HOUR + hours * ONE_HOUR:%Y-%m-%dT%H:00:00Z}"')
    return "\n".join([*lines, ""]).encode()


loads = st.lists(st.tuples(price_files(), st.integers(-300, 300)), min_size=1, max_size=4)
models = st.sampled_from([*BASES, *FINE_TUNES, "no/price"])
bases = st.sampled_from([None, *BASES, "no/price"])


async def check(
    ledger: Ledger, loaded: list[tuple[bytes, int]], model: str, base: str | None, at: datetime
) -> None:
    await ledger.forget()
    await ledger.forget_prices()
    for content, minutes in sorted(loaded, key=lambda each: each[1]):
        await ledger.load(content, HOUR + timedelta(minutes=minutes))
    tokens = {"prompt_tokens": 1003, "cached_tokens": 17, "completion_tokens": 211}
    await ledger.store(make_event(at, model_id=model, base_model=base, **tokens))
    hour = at.replace(minute=0, second=0, microsecond=0)
    async with ledger.pool.acquire() as connection:
        # An hour is priced by what is in force at its start.
        history = await load_history(connection)
        quoted = history.resolve(model, base, hour)
        # What is needed for a moment is enough for it.
        for moment in (hour, at):
            enough = await load_history(connection, moment)
            assert enough.resolve(model, base, moment) == history.resolve(model, base, moment)
    result = await ledger.rate(hour, hour + ONE_HOUR, now=HOUR + 24 * ONE_HOUR)
    rollups = await ledger.rollups()
    if not isinstance(quoted, Quote):
        assert nonzero(result) == {"unpriced": 1}
        assert [offender.detail for offender in result.anomalies[0].offenders] == [quoted.reason]
        assert rollups == []
        return
    assert nonzero(result) == {"rated": 1}
    [row] = rollups
    assert row["cost"] == result.total_cost == cost(TokenCounts(1003, 17, 211), quoted.price.billed)
    assert row["price_book"] == quoted.book.content_hash
    applied = (row["applied_prompt_rate"], row["applied_cached_rate"], row["applied_completion_rate"])
    assert applied == tuple(quoted.price.billed.by_component().values())


def test_a_quote_and_a_bill_agree_for_any_books_event_and_time(
    oracle_ledger: Ledger, oracle_runner: asyncio.Runner
) -> None:
    @settings(max_examples=30)
    @given(loads, models, bases, st.integers(-6 * 3600, 6 * 3600))
    def agree(loaded: list[tuple[bytes, int]], model: str, base: str | None, second: int) -> None:
        oracle_runner.run(check(oracle_ledger, loaded, model, base, HOUR + timedelta(seconds=second)))

    agree()
