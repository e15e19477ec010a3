"""What events cost and which count they belong to, on a real database."""

from datetime import timedelta
from decimal import Decimal

import pytest

from rater_service.database.database import Pool
from rater_service.events.hourly_usage import SumsDifference, compare_hour
from tests.harness.ledger import HOUR, ONE_HOUR, PRICES, Ledger, make_event, nonzero


@pytest.mark.parametrize(
    ("fields", "rates", "cost"),
    [
        # 80 uncached, 20 cached and 10 generated tokens of a base model.
        ({}, ("0.000000200", "0.000000050", "0.000000600"), "0.000023"),
        # One nano times 1.5 is billed as two nano: three tokens cost six.
        (
            {"model_id": "ft:x", "base_model": "tiny/nano", "prompt_tokens": 3, "cached_tokens": 0},
            ("0.000000002", "0", "0"),
            "0.000000006",
        ),
        (
            {"model_id": "tiny/half", "prompt_tokens": 3, "cached_tokens": 0},
            ("0.000000001", "0", "0"),
            "0.000000003",
        ),
        ({"model_id": "free/free"}, ("0", "0", "0"), "0"),
        ({"model_id": "ft:declared"}, ("0.000000300", "0.000000075", "0.000000900"), "0.0000345"),
        ({"model_id": "ft:own", "base_model": "meta/base-b"}, ("0.0000003",) * 3, "0.000033"),
        (
            {"model_id": "ft:y", "base_model": "meta/base-b"},
            ("0.0000006", "0.00000015", "0.0000018"),
            "0.000069",
        ),
        # Not reported counts as nothing.
        (
            {"cached_tokens": None, "completion_tokens": None},
            ("0.0000002", "0.00000005", "0.0000006"),
            "0.00002",
        ),
    ],
    ids=[
        "base",
        "nano",
        "half-nano",
        "free",
        "declared",
        "own-rate",
        "undeclared",
        "absent",
    ],
)
async def test_an_event_is_billed_at_its_price(
    ledger: Ledger, fields: dict[str, object], rates: tuple[str, str, str], cost: str
) -> None:
    await ledger.store(make_event(**fields))
    result = await ledger.rate()
    (row,) = await ledger.rollups()
    applied = (row["applied_prompt_rate"], row["applied_cached_rate"], row["applied_completion_rate"])
    assert applied == tuple(Decimal(text) for text in rates)
    assert row["cost"] == result.total_cost == Decimal(cost)
    assert nonzero(result) == {"rated": 1}
    assert (result.rollups_written, result.anomalies) == (1, ())
    assert result.price_books == (row["price_book"],)
    assert row["run"] == result.run_id


async def test_cached_tokens_beyond_the_prompt_are_not_billed_shorten_no_other_prompt_and_are_named(
    ledger: Ledger,
) -> None:
    await ledger.store(
        make_event(prompt_tokens=5, cached_tokens=20),
        make_event(prompt_tokens=None, cached_tokens=3, completion_tokens=1),
        make_event(prompt_tokens=100, cached_tokens=0),
        make_event(prompt_tokens=7, cached_tokens=7),
        make_event(auth_id="bob", prompt_tokens=1, cached_tokens=2, model_untrusted=True),
    )
    result = await ledger.rate()
    (row,) = await ledger.rollups()
    assert (row["prompt_tokens"], row["cached_tokens"], row["billable_prompt_tokens"]) == (112, 12, 100)
    assert row["cost"] == 100 * Decimal("0.0000002") + 12 * Decimal("0.00000005") + 31 * Decimal("0.0000006")
    anomaly = next(each for each in result.anomalies if each.reason == "CACHED_ABOVE_PROMPT")
    assert (anomaly.events, anomaly.tokens) == (2, 18)
    assert anomaly.money_at_risk == 18 * Decimal("0.00000005")
    assert [offender.auth_id for offender in anomaly.offenders] == ["alice"]
    kept = await ledger.pool.fetchval("SELECT max(cached_tokens) FROM billing_event")
    assert kept == 20


async def test_usage_that_lacks_a_count_is_billed_for_what_is_there_and_named(ledger: Ledger) -> None:
    await ledger.store(
        make_event(prompt_tokens=None, cached_tokens=None, completion_tokens=10),
        make_event(prompt_tokens=None, cached_tokens=None, completion_tokens=10, auth_id="bob"),
        make_event(completion_tokens=None, usage_partial=True, auth_id="bob"),
        make_event(completion_tokens=None, cached_tokens=0),  # an embedding has none
        make_event(prompt_tokens=None, cached_tokens=None, model_id="no/price"),
        make_event(usage_found=False),
    )
    result = await ledger.rate()
    assert nonzero(result) == {"rated": 4, "unpriced": 1, "missing_usage": 1}
    assert result.total_cost == (100 + 80) * Decimal("0.0000002") + 20 * Decimal("0.00000005") + 20 * Decimal(
        "0.0000006"
    )
    anomaly = next(each for each in result.anomalies if each.reason == "COUNT_NOT_REPORTED")
    assert (anomaly.events, anomaly.tokens, anomaly.money_at_risk) == (3, 0, None)
    assert [(each.auth_id, each.events) for each in anomaly.offenders] == [("bob", 2), ("alice", 1)]


async def test_sums_from_before_say_nothing_of_counts_that_lack(ledger: Ledger) -> None:
    await ledger.store(make_event(prompt_tokens=None, cached_tokens=None))
    await ledger.pool.execute("UPDATE hourly_usage SET partial_usage_events = NULL")
    await ledger.store(make_event(prompt_tokens=None, cached_tokens=None))
    result = await ledger.rate()
    assert (result.events_rated, result.anomalies) == (2, ())
    assert await ledger.pool.fetchval("SELECT partial_usage_events FROM hourly_usage") is None
    count, _ = await compare_hour_of(ledger.pool)
    assert count == 0


async def compare_hour_of(pool: Pool) -> tuple[int, list[SumsDifference]]:
    async with pool.acquire() as connection:
        return await compare_hour(connection, HOUR, 10)


async def test_two_deployments_of_one_model_in_one_hour_are_two_rollups(ledger: Ledger) -> None:
    await ledger.store(
        make_event(resource_id="d1"), make_event(resource_id="d2"), make_event(resource_id="d2")
    )
    await ledger.rate()
    assert [(row["resource_id"], row["event_count"]) for row in await ledger.rollups()] == [
        ("d1", 1),
        ("d2", 2),
    ]


async def test_a_rollup_can_hold_more_tokens_than_32_bits_can(ledger: Ledger) -> None:
    await ledger.store(
        *(make_event(prompt_tokens=2**53, cached_tokens=0, completion_tokens=2**31) for _ in range(3))
    )
    result = await ledger.rate()
    (row,) = await ledger.rollups()
    assert (row["prompt_tokens"], row["completion_tokens"]) == (3 * 2**53, 3 * 2**31)
    assert result.total_cost == 3 * 2**53 * Decimal("0.0000002") + 3 * 2**31 * Decimal("0.0000006")


async def test_an_event_belongs_to_the_hour_it_ended_in(ledger: Ledger) -> None:
    tick = timedelta(microseconds=1)
    await ledger.store(
        *(make_event(at) for at in (HOUR - tick, HOUR, HOUR + ONE_HOUR - tick, HOUR + ONE_HOUR))
    )
    result = await ledger.rate()
    assert result.events_in_window == 2
    (row,) = await ledger.rollups()
    assert (row["window_start"], row["window_end"], row["event_count"]) == (HOUR, HOUR + ONE_HOUR, 2)


@pytest.mark.parametrize(
    ("fields", "category"),
    [
        ({"auth_id": None}, "unattributable"),
        ({"resource_id": None}, "unattributable"),
        ({"model_id": None}, "unattributable"),
        ({"auth_id": None, "usage_found": False}, "unattributable"),
        ({"usage_found": False}, "missing_usage"),
        ({"usage_found": False, "model_id": None}, "missing_usage"),
        ({"usage_found": False, "outcome": "aborted", "model_id": None}, "zero_charge"),
        ({"usage_found": False, "outcome": "upstream_error"}, "zero_charge"),
        ({"usage_found": False, "outcome": "proxy_error"}, "zero_charge"),
        ({"usage_found": False, "model_untrusted": True}, "missing_usage"),
        ({"usage_found": False, "model_untrusted": True, "outcome": "aborted"}, "zero_charge"),
        ({"model_untrusted": True, "auth_id": None}, "unattributable"),
        ({"model_untrusted": True, "model_id": None}, "unattributable"),
        ({"outcome": "aborted"}, "rated"),
        ({"model_id": "nobody/knows"}, "unpriced"),
        ({"model_id": "ft:z"}, "unpriced"),
        ({"model_id": "ft:z", "base_model": "ft:own"}, "unpriced"),
    ],
)
async def test_every_event_is_counted_in_one_category(
    ledger: Ledger, fields: dict[str, object], category: str
) -> None:
    await ledger.store(make_event(**fields))
    result = await ledger.rate()
    assert nonzero(result) == {category: 1}
    assert len(await ledger.rollups()) == (category == "rated")
    expected = [] if category in ("rated", "zero_charge") else [category.upper()]
    assert [anomaly.reason for anomaly in result.anomalies] == expected


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"model_id": "nobody/knows"}, "NO_PRICE"),
        ({"model_id": "ft:z"}, "FINE_TUNE_WITHOUT_BASE"),
        ({"model_id": "ft:z", "base_model": "ft:own"}, "BASE_NOT_PRICED"),
    ],
)
async def test_an_unpriced_anomaly_says_why_there_is_no_price(
    ledger: Ledger, fields: dict[str, object], detail: str
) -> None:
    await ledger.store(make_event(**fields))
    (anomaly,) = (await ledger.rate()).anomalies
    (offender,) = anomaly.offenders
    assert (offender.model_id, offender.detail, offender.money_at_risk) == (fields["model_id"], detail, None)
    assert (anomaly.events, anomaly.tokens, anomaly.money_at_risk) == (1, 110, None)


async def test_a_fine_tune_with_two_bases_in_one_rollup_is_not_billed_and_risks_the_dearest(
    ledger: Ledger,
) -> None:
    model = {"model_id": "ft:z"}
    await ledger.store(
        make_event(base_model="meta/base-a", **model),
        make_event(base_model="meta/base-b", **model),
        make_event(**model),
        make_event(base_model="meta/base-b", resource_id="other", **model),
    )
    result = await ledger.rate()
    assert nonzero(result) == {"ambiguous_base": 3, "rated": 1}
    (anomaly,) = result.anomalies
    assert (anomaly.reason, anomaly.events, anomaly.tokens) == ("AMBIGUOUS_BASE", 3, 330)
    assert anomaly.money_at_risk == 3 * Decimal("0.000069")
    assert [offender.base_model for offender in anomaly.offenders] == ["meta/base-a, meta/base-b"]
    assert [row["resource_id"] for row in await ledger.rollups()] == ["other"]


async def test_a_declared_fine_tune_with_two_bases_is_ambiguous_too(ledger: Ledger) -> None:
    await ledger.store(
        *(make_event(model_id="ft:declared", base_model=base) for base in ("meta/base-a", "meta/base-b"))
    )
    assert nonzero(await ledger.rate()) == {"ambiguous_base": 2}


async def test_events_of_a_fine_tune_that_lack_its_base_are_unpriced_and_the_others_are_billed(
    ledger: Ledger,
) -> None:
    await ledger.store(make_event(model_id="ft:z", base_model="meta/base-a"), make_event(model_id="ft:z"))
    for _ in range(2):
        assert nonzero(await ledger.rate()) == {"rated": 1, "unpriced": 1}
        (row,) = await ledger.rollups()
        assert (row["base_model"], row["event_count"]) == ("meta/base-a", 1)


async def test_of_two_prices_in_one_rollup_that_of_the_book_that_came_into_force_first_holds(
    ledger: Ledger,
) -> None:
    """One event says its base, which the book in force prices; the other is priced by a later book's name."""
    own = b'  "ft:late": { rate: { prompt: "0.000009", cached: "0.000009", completion: "0.000009" } }\n'
    await ledger.load(PRICES + own, HOUR + ONE_HOUR)
    await ledger.store(
        make_event(model_id="ft:late", base_model="meta/base-a"), make_event(model_id="ft:late")
    )

    assert nonzero(await ledger.rate(now=HOUR + 4 * ONE_HOUR)) == {"rated": 2}

    (row,) = await ledger.rollups()
    assert (row["event_count"], f"{row['applied_prompt_rate']:f}") == (2, "0.000000300")


async def test_a_base_model_on_events_of_a_base_model_changes_nothing(ledger: Ledger) -> None:
    await ledger.store(*(make_event(base_model=base) for base in (None, "x", "y")))
    assert nonzero(await ledger.rate()) == {"rated": 3}
    (row,) = await ledger.rollups()
    assert (row["base_model"], row["event_count"]) == (None, 3)


async def test_unattributable_usage_of_a_priced_model_risks_its_price(ledger: Ledger) -> None:
    await ledger.store(make_event(auth_id=None), make_event(auth_id=None, model_id=None))
    (anomaly,) = (await ledger.rate()).anomalies
    assert (anomaly.events, anomaly.money_at_risk) == (2, Decimal("0.000023"))
    assert [offender.money_at_risk for offender in anomaly.offenders] == [Decimal("0.000023"), None]


async def test_usage_under_a_model_that_may_be_the_clients_own_word_is_not_billed_and_risks_its_price(
    ledger: Ledger,
) -> None:
    await ledger.store(
        make_event(model_untrusted=True),
        make_event(model_untrusted=True, model_id="ft:z", base_model="meta/base-b", outcome="aborted"),
        make_event(model_untrusted=True, model_id="nobody/knows"),
        make_event(model_untrusted=True, model_id="nobody/knows"),
    )
    for _ in range(2):
        result = await ledger.rate()
        assert (nonzero(result), result.total_cost) == ({"unattributable": 4}, Decimal(0))
        assert await ledger.rollups() == []
        (anomaly,) = result.anomalies
        assert (anomaly.reason, anomaly.events, anomaly.tokens) == ("MODEL_UNTRUSTED", 4, 440)
        assert anomaly.money_at_risk == Decimal("0.000023") + Decimal("0.000069")
        assert [(o.model_id, o.events, o.money_at_risk, o.detail) for o in anomaly.offenders] == [
            ("nobody/knows", 2, None, None),
            ("ft:z", 1, Decimal("0.000069"), None),
            ("meta/base-a", 1, Decimal("0.000023"), None),
        ]


async def test_what_is_not_to_be_believed_stays_out_of_the_rollup_it_would_belong_to(ledger: Ledger) -> None:
    await ledger.store(make_event())
    await ledger.rate()
    before = await ledger.rollups()
    await ledger.store(make_event(model_untrusted=True), make_event(auth_id=None))
    result = await ledger.rate()
    assert nonzero(result) == {"rated": 1, "unattributable": 2}
    assert await ledger.rollups() == before
    assert [(anomaly.reason, anomaly.events) for anomaly in result.anomalies] == [
        ("MODEL_UNTRUSTED", 1),
        ("UNATTRIBUTABLE", 1),
    ]


async def test_what_is_not_to_be_believed_makes_no_base_ambiguous(ledger: Ledger) -> None:
    await ledger.store(
        make_event(model_id="ft:z", base_model="meta/base-a"),
        make_event(model_id="ft:z", base_model="meta/base-b", model_untrusted=True),
    )
    assert nonzero(await ledger.rate()) == {"rated": 1, "unattributable": 1}
    (row,) = await ledger.rollups()
    assert (row["base_model"], row["cost"]) == ("meta/base-a", Decimal("0.0000345"))


async def test_tokens_written_to_the_cache_and_audio_tokens_have_no_price_of_their_own(
    ledger: Ledger,
) -> None:
    parts = {"cache_write_tokens": 60, "prompt_audio_tokens": 30, "completion_audio_tokens": 5}
    await ledger.store(make_event(auth_id="a"), make_event(auth_id="b", **parts))
    await ledger.rate()
    assert [row["cost"] for row in await ledger.rollups()] == [Decimal("0.000023")] * 2


async def test_an_anomaly_names_the_ten_that_contribute_most_and_counts_all(ledger: Ledger) -> None:
    await ledger.store(*(make_event(model_id=f"m{n:02}") for n in range(12) for _ in range(n + 1)))
    (anomaly,) = (await ledger.rate()).anomalies
    assert anomaly.events == 78
    assert [(o.model_id, o.events) for o in anomaly.offenders] == [
        (f"m{n:02}", n + 1) for n in range(11, 1, -1)
    ]


async def test_an_empty_window_costs_nothing(ledger: Ledger) -> None:
    result = await ledger.rate()
    assert (result.events_in_window, result.total_cost, result.price_books) == (0, Decimal(0), ())


async def test_a_rollup_of_more_tokens_than_can_be_is_not_billed_and_the_others_are(ledger: Ledger) -> None:
    huge = {"prompt_tokens": 2**53, "cached_tokens": 0, "completion_tokens": 0}
    await ledger.store(make_event(), *(make_event(auth_id="engine-gone-mad", **huge) for _ in range(1024)))
    result = await ledger.rate()
    assert nonzero(result) == {"rated": 1, "unpriced": 1024}
    assert result.total_cost == Decimal("0.000023")
    (anomaly,) = result.anomalies
    assert (anomaly.reason, anomaly.events, anomaly.tokens) == ("TOKENS_OUT_OF_RANGE", 1024, 2**63 - 1)
    assert anomaly.money_at_risk == 2**63 * Decimal("0.000000200")
    assert [offender.auth_id for offender in anomaly.offenders] == ["engine-gone-mad"]
