"""A seed says everything that happens in a run of the simulator."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from chaos.faults import NATURES, Kind
from chaos.plan import ALL_KINDS, CLOCK_BEHIND_MAX_S, draw_plan, jumped
from chaos.script import MODELS, Conduct, Usage
from rater_service.prices.file import parse_price_file
from rater_service.prices.resolution import NoPrice, resolve
from rig.programs import PRICES

seeds = st.integers(min_value=0, max_value=2**63)


@given(seeds)
def test_a_seed_always_gives_the_same_plan(seed: int) -> None:
    assert draw_plan(seed) == draw_plan(seed)


@given(seeds)
def test_other_seeds_give_other_plans(seed: int) -> None:
    assert draw_plan(seed).exchanges != draw_plan(seed + 1).exchanges


@given(seeds)
def test_a_plan_has_nothing_that_can_not_be_done(seed: int) -> None:
    plan = draw_plan(seed)
    assert [exchange.tag for exchange in plan.exchanges] == sorted(
        {exchange.tag for exchange in plan.exchanges}, key=lambda tag: int(tag.partition("-")[2])
    )
    assert {exchange.addon for exchange in plan.exchanges} <= set(range(plan.addons))
    assert {fault.addon for fault in plan.faults} <= set(range(plan.addons))
    moments = [fault.after_exchanges for fault in plan.faults]
    assert moments == sorted(moments)
    assert all(0 <= moment < len(plan.exchanges) for moment in moments)
    assert len(plan.clock_s) == plan.addons
    assert all(-CLOCK_BEHIND_MAX_S <= clock_s <= 0 for clock_s in plan.clock_s)
    for exchange in plan.exchanges:
        assert 0 <= (exchange.usage.cached or 0) <= exchange.usage.prompt
        assert exchange.cut_at <= exchange.chunks
        assert exchange.advice is None or (exchange.advice.model != exchange.model and not exchange.chunks)
        assert (exchange.status == 200) == (exchange.conduct is not Conduct.FAILS)


def test_all_kinds_of_faults_come_up() -> None:
    counted = sum((draw_plan(seed).counted_faults() for seed in range(60)), Counter[str]())
    assert set(counted) == set(ALL_KINDS)
    assert set(NATURES) == set(Kind)


def test_a_plan_can_be_read() -> None:
    plan = draw_plan(1)
    lines = [*plan.summary(), *plan.script()]
    assert lines[0].startswith("seed 1: ")
    assert len(lines) == 1 + len(plan.faults) + len(plan.exchanges)
    assert not any("{" in line for line in lines)


@given(st.integers(-CLOCK_BEHIND_MAX_S, 0), st.integers(-(10**9), 10**9))
def test_a_clock_never_leaves_the_hours_that_can_be_rated(clock_s: int, jump_s: int) -> None:
    assert -CLOCK_BEHIND_MAX_S <= jumped(clock_s, jump_s) <= 0


def test_the_rates_worked_out_by_hand_are_those_of_the_price_file() -> None:
    book = parse_price_file(PRICES.read_bytes(), "prices.yaml").book
    for model in MODELS:
        found = resolve(book, model.id, model.base)
        if isinstance(found, NoPrice):
            assert model.rates is None
        else:
            assert model.rates is not None
            billed = found.billed
            assert (billed.prompt, billed.cached, billed.completion) == (
                *(model.rates.prompt, model.rates.cached),
                model.rates.completion,
            )


def test_cached_tokens_are_part_of_the_prompt_and_cost_their_own_rate() -> None:
    rates = MODELS[0].rates
    assert rates is not None
    assert Usage(1000, 400, 10).cost(rates) == 600 * rates.prompt + 400 * rates.cached + 10 * rates.completion
    assert Usage(1000, None, 0).cost(rates) == 1000 * rates.prompt
