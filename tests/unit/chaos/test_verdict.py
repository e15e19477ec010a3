"""The simulator's verdict sees what is lost, twice or wrong."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from chaos.ledger import Rollup, StoredEvent
from chaos.load import Received
from chaos.script import MODELS, Advice, Conduct, Exchange, Usage
from chaos.verdict import Evidence, judge

HOUR = datetime(2026, 11, 1, 12, tzinfo=UTC)
MODEL = MODELS[0]


def exchange(number: int) -> Exchange:
    return Exchange(
        *(f"exchange-{number}", 0, "acme", "blue", MODEL, Usage(100, 40, 10 + number), Conduct.ANSWERS),
        *(200, 0, 0, 0, 0, None),
    )


def stored(asked: Exchange) -> StoredEvent:
    usage = asked.usage
    return StoredEvent(
        *(request_id(asked), asked.tag, asked.auth_id, asked.resource_id, asked.model.id, "completed", True),
        *(usage.prompt, usage.cached, usage.completion),
    )


def request_id(asked: Exchange) -> str:
    return f"id-of-{asked.tag}"


def cut_off(asked: Exchange) -> StoredEvent:
    """The event of an exchange whose proxy was killed."""
    return replace(
        stored(asked),
        model_id=None,
        outcome="proxy_error",
        usage_found=False,
        prompt_tokens=None,
        cached_tokens=None,
        completion_tokens=None,
    )


def rollup(*asked: Exchange) -> Rollup:
    assert MODEL.rates
    cached = sum(one.usage.cached or 0 for one in asked)
    prompt = sum(one.usage.prompt for one in asked)
    return Rollup(
        auth_id="acme",
        resource_id="blue",
        model_id=MODEL.id,
        window_start=HOUR,
        window_end=HOUR,
        prompt_tokens=prompt,
        cached_tokens=cached,
        completion_tokens=sum(one.usage.completion for one in asked),
        billable_prompt_tokens=prompt - cached,
        cost=sum((one.usage.cost(MODEL.rates) for one in asked), Decimal(0)),
        applied_prompt_rate=MODEL.rates.prompt,
        applied_cached_rate=MODEL.rates.cached,
        applied_completion_rate=MODEL.rates.completion,
        event_count=len(asked),
        base_model=None,
        price_book="book",
    )


ASKED = tuple(exchange(number) for number in range(3))
CLEAN = Evidence(
    exchanges=ASKED,
    received=[Received(one.tag, 200, request_id(one), complete=True) for one in ASKED],
    served={request_id(one): one.tag for one in ASKED},
    arrivals={request_id(one): 1 for one in ASKED},
    events=[stored(one) for one in ASKED],
    rollups=[rollup(ASKED[0]), rollup(*ASKED[1:])],
)


def test_what_was_stored_and_billed_once_is_clean() -> None:
    verdict = judge(CLEAN)
    assert verdict.is_clean
    assert (verdict.admitted, verdict.stored) == (3, 3)


ADVISED = replace(ASKED[0], advice=Advice(MODELS[1], Usage(8, None, 9)))
PART = replace(
    stored(ADVISED),
    request_id="part",
    part_of=request_id(ADVISED),
    model_id=MODELS[1].id,
    prompt_tokens=8,
    cached_tokens=None,
    completion_tokens=9,
)


def advised(*parts: StoredEvent) -> Evidence:
    """The first exchange used another model too, and these are its parts in the books."""
    assert MODELS[1].rates
    billed = replace(
        rollup(ADVISED),
        model_id=MODELS[1].id,
        prompt_tokens=8,
        cached_tokens=0,
        completion_tokens=9,
        cost=Usage(8, None, 9).cost(MODELS[1].rates),
    )
    return replace(
        CLEAN,
        exchanges=(ADVISED, *ASKED[1:]),
        events=[*CLEAN.events, *parts],
        rollups=[*CLEAN.rollups, billed],
    )


def test_what_another_model_used_is_no_exchange_of_its_own() -> None:
    verdict = judge(advised(PART))
    assert verdict.is_clean, verdict
    assert (verdict.admitted, verdict.stored) == (3, 3)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([], "has the parts [], should be"),
        ([replace(PART, completion_tokens=10)], "has the parts"),
        ([PART, replace(PART, request_id="part-2")], "has the parts"),
        ([PART, replace(PART, request_id="part-2", part_of="nobody")], "nobody has parts, and no event"),
    ],
    ids=["missing", "other", "twice", "alone"],
)
def test_parts_that_are_not_what_was_used_are_named(parts: list[StoredEvent], said: str) -> None:
    assert any(said in wrong for wrong in judge(advised(*parts)).wrong)


def test_an_exchange_that_its_proxy_did_not_survive_is_clean() -> None:
    evidence = replace(
        CLEAN,
        received=[*CLEAN.received[:2], Received(ASKED[2].tag, 200, request_id(ASKED[2]))],
        events=[*CLEAN.events[:2], cut_off(ASKED[2])],
        rollups=[rollup(*ASKED[:2])],
    )
    assert judge(evidence).is_clean


def test_an_exchange_that_reached_no_engine_is_clean_if_nothing_is_billed() -> None:
    evidence = replace(
        CLEAN,
        received=[Received(ASKED[0].tag), *CLEAN.received[1:]],
        served={request_id(one): one.tag for one in ASKED[1:]},
        events=[cut_off(ASKED[0]), *CLEAN.events[1:]],
        rollups=[rollup(*ASKED[1:])],
    )
    assert judge(evidence).is_clean
    billed = replace(evidence, events=CLEAN.events, rollups=CLEAN.rollups)
    assert "reached no engine" in judge(billed).wrong[0]


def test_an_event_that_is_not_stored_is_lost() -> None:
    verdict = judge(replace(CLEAN, events=CLEAN.events[1:], rollups=[rollup(*ASKED[1:])]))
    assert verdict.lost == (request_id(ASKED[0]),)
    assert (verdict.admitted, verdict.stored) == (3, 2)


def test_an_answer_that_reached_no_engine_is_missed_too() -> None:
    evidence = replace(CLEAN, served={}, events=CLEAN.events[1:])
    assert judge(evidence).lost == (request_id(ASKED[0]),)


def again(event: StoredEvent) -> StoredEvent:
    """Another event of the same exchange."""
    return replace(cut_off(ASKED[0]), request_id=f"{event.request_id}-again")


@pytest.mark.parametrize(
    ("evidence", "said"),
    [
        (replace(CLEAN, events=[*CLEAN.events, CLEAN.events[0]]), "is stored 2 times"),
        (replace(CLEAN, events=[*CLEAN.events, again(CLEAN.events[0])]), "has 2 events"),
        (replace(CLEAN, arrivals={request_id(ASKED[0]): 2}), "came to the engine 2 times"),
        (replace(CLEAN, rollups=[*CLEAN.rollups, rollup(ASKED[0])]), "billed for 4 events instead of 3"),
    ],
    ids=["stored", "recorded", "served", "billed"],
)
def test_what_is_there_twice_is_named(evidence: Evidence, said: str) -> None:
    assert any(said in twice for twice in judge(evidence).twice)


def changed(**values: object) -> Callable[[Evidence], Evidence]:
    """The first event is another."""
    return lambda evidence: replace(
        evidence,
        events=[replace(evidence.events[0], **values), *evidence.events[1:]],  # type: ignore[arg-type]
    )


def answered(**values: object) -> Callable[[Evidence], Evidence]:
    """The first client got something else."""
    return lambda evidence: replace(
        evidence,
        received=[replace(evidence.received[0], **values), *evidence.received[1:]],  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed(completion_tokens=11), "took 100 (40 cached) + 10 tokens"),
        (changed(cached_tokens=None), "took 100 (40 cached) + 10 tokens"),
        (changed(model_id="another"), "took 100 (40 cached) + 10 tokens"),
        (changed(outcome="aborted"), "came whole with 200, and its event says aborted"),
        (changed(auth_id="globex"), "was asked by acme"),
        (changed(client_request_id="exchange-9"), "which nobody asked for"),
        (changed(usage_found=False), "usage_found is False"),
        (answered(timed_out=True), "never came to an end"),
        (answered(status=503, request_id=None), "was refused and reached the engine all the same"),
        (answered(status=500), "came whole with 500, and its event says completed"),
        (lambda evidence: replace(evidence, rollups=evidence.rollups[1:]), "is billed"),
        (
            lambda evidence: replace(
                evidence,
                rollups=[
                    replace(evidence.rollups[0], cost=evidence.rollups[0].cost + Decimal("0.000000001")),
                    evidence.rollups[1],
                ],
            ),
            "is billed",
        ),
    ],
)
def test_what_is_wrong_is_named(change: Callable[[Evidence], Evidence], said: str) -> None:
    verdict = judge(change(CLEAN))
    assert not verdict.is_clean
    assert any(said in wrong for wrong in verdict.wrong), verdict
