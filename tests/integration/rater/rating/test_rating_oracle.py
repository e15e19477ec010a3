"""RateWindow against a second opinion: a few lines of whole-number arithmetic that share no code with it.

The oracle knows the rates in nano-dollars, worked out by hand, and walks over the events one by one.
"""

import asyncio
import math
from collections import Counter
from datetime import timedelta
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.ledger import HOUR, ONE_HOUR, Ledger, make_event, nonzero

# Of the file that the ledger loads: prompt, cached and completion in nano-dollars.
MODELS = {
    "meta/base-a": (200, 50, 600),
    "meta/base-b": (400, 100, 1200),
    "tiny/nano": (1, 0, 0),
    "free/free": (0, 0, 0),
    "ft:declared": (300, 75, 900),
    "ft:own": (300, 300, 300),
}
BASES = ("meta/base-a", "meta/base-b", "tiny/nano", "free/free")

type Drawn = dict[str, int | str | None]

tokens = st.one_of(st.none(), st.integers(0, 9), st.integers(0, 2**53))
events = st.fixed_dictionaries(
    {
        "offset_s": st.sampled_from([0, 1800, 3599, 3600, 7199]) | st.sampled_from([-1, 7200]),
        # Mostly one of each, so that events meet in rollups.
        "auth_id": st.sampled_from(["a1"] * 6 + ["a2", None]),
        "resource_id": st.sampled_from(["r1"] * 6 + ["r2", None]),
        "model_id": st.sampled_from(["meta/base-a", "ft:x"] * 5 + [None, *MODELS, "ft:y", "nobody/knows"]),
        "base_model": st.sampled_from([None, "meta/base-a"] * 3 + ["tiny/nano", "nobody/knows"]),
        "usage_found": st.sampled_from([True] * 4 + [False]),
        "outcome": st.sampled_from(["completed", "aborted", "upstream_error", "proxy_error"]),
        "prompt_tokens": tokens,
        "cached_tokens": tokens,
        "completion_tokens": tokens,
        "model_untrusted": st.sampled_from([False, False, True]),
        # Of no consequence for money.
        "cache_write_tokens": tokens,
        "prompt_audio_tokens": tokens,
        "completion_audio_tokens": tokens,
    }
)


def nanos(model: str, base: str | None) -> tuple[int, int, int] | None:
    if model in MODELS:
        return MODELS[model]
    if model.startswith("ft:") and base in BASES:
        prompt, cached, completion = (
            math.floor(Fraction(rate * 3, 2) + Fraction(1, 2)) for rate in MODELS[base]
        )
        return prompt, cached, completion
    return None


def second_opinion(
    batch: list[Drawn],
) -> tuple[Counter[str], dict[tuple[object, ...], list[int]]]:
    """The count of each category, and for each rollup its tokens, cost in nano-dollars and events.

    Those under a model that is not to be believed are counted apart from the other unattributable ones.
    """
    bases: dict[tuple[object, ...], set[object]] = {}
    for event in batch:
        if event["usage_found"] and event["base_model"] and not event["model_untrusted"]:
            bases.setdefault(_rollup(event), set()).add(event["base_model"])
    counts: Counter[str] = Counter()
    rollups: dict[tuple[object, ...], list[int]] = {}
    for event in batch:
        model, base = event["model_id"], event["base_model"]
        price = nanos(str(model), str(base) if base else None)
        if not event["auth_id"] or not event["resource_id"] or (event["usage_found"] and not model):
            counts["unattributable"] += 1
        elif not event["usage_found"]:
            counts["missing_usage" if event["outcome"] == "completed" else "zero_charge"] += 1
        elif event["model_untrusted"]:
            counts["model_untrusted"] += 1
        elif str(model).startswith("ft:") and len(bases.get(_rollup(event), ())) > 1:
            counts["ambiguous_base"] += 1
        elif price is None:
            counts["unpriced"] += 1
        else:
            counts["rated"] += 1
            prompt, reported, completion = (
                int(str(event[name] or 0)) for name in ("prompt_tokens", "cached_tokens", "completion_tokens")
            )
            cached = min(reported, prompt)
            counts.update({"cached_above_prompt"} if reported > prompt else ())
            counts.update({"count_not_reported"} if event["prompt_tokens"] is None else ())
            billable = prompt - cached
            cost = billable * price[0] + cached * price[1] + completion * price[2]
            row = rollups.setdefault(_rollup(event), [0] * 6)
            for index, amount in enumerate((prompt, cached, completion, billable, cost, 1)):
                row[index] += amount
    return counts, rollups


def _rollup(event: Drawn) -> tuple[object, ...]:
    hours, _ = divmod(int(str(event["offset_s"])), 3600)
    return HOUR + hours * ONE_HOUR, event["auth_id"], event["resource_id"], event["model_id"]


def _valid(event: Drawn) -> Drawn:
    """Make drawn fields agree with each other: counts come with usage, and usage with counts."""
    if not event["usage_found"]:
        return event | {name: None for name in event if name.endswith("_tokens")}
    if event["prompt_tokens"] is None and event["completion_tokens"] is None:
        return event | {"prompt_tokens": 7}
    return event


def test_every_rollup_and_count_is_what_the_second_opinion_says(
    oracle_ledger: Ledger, oracle_runner: asyncio.Runner
) -> None:
    async def check(batch: list[Drawn]) -> None:
        await oracle_ledger.forget()
        await oracle_ledger.store(
            *(
                make_event(HOUR + timedelta(seconds=int(str(event["offset_s"]))), **_without_offset(event))
                for event in batch
            )
        )
        result = await oracle_ledger.rate(HOUR, HOUR + 2 * ONE_HOUR)
        inside = [event for event in batch if 0 <= int(str(event["offset_s"])) < 2 * 3600]
        counts, expected = second_opinion(inside)
        anomalies = {anomaly.reason: anomaly.events for anomaly in result.anomalies}
        assert anomalies == {name.upper(): counts[name] for name in counts.keys() - {"rated", "zero_charge"}}
        for name in ("cached_above_prompt", "count_not_reported"):  # these are among the rated ones
            counts.pop(name, None)
        if untrusted := counts.pop("model_untrusted", 0):
            counts["unattributable"] += untrusted
        assert nonzero(result) == counts
        assert result.total_cost * 10**9 == sum(row[4] for row in expected.values())
        rows = {
            (row["window_start"], row["auth_id"], row["resource_id"], row["model_id"]): [
                row["prompt_tokens"],
                row["cached_tokens"],
                row["completion_tokens"],
                row["billable_prompt_tokens"],
                int(row["cost"].scaleb(9)),
                row["event_count"],
            ]
            for row in await oracle_ledger.rollups()
        }
        assert rows == expected

    @settings(max_examples=12)
    @given(st.lists(events.map(_valid), max_size=25))
    def agree(batch: list[Drawn]) -> None:
        oracle_runner.run(check(batch))

    agree()


def _without_offset(event: Drawn) -> Drawn:
    return {name: value for name, value in event.items() if name != "offset_s"}
