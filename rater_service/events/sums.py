"""The hourly sums of a batch of events, as they are added to those that are kept.

The database has the same definition for events that are stored: migrations/versions/0031_sum_slots/
hourly_usage_sums.sql. A test holds the two together.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import gt
from typing import cast

from rater_service.events.columns import MICROS_PER_SECOND, EventColumns
from rater_service.other_models import OTHER_MODELS

MICROS_PER_HOUR = 3600 * MICROS_PER_SECOND
_BIGINT_MAX = 2**63 - 1
_STATUS_OK = range(200, 300)
_KEY = (
    "hours",
    "auth_ids",
    "resource_ids",
    "model_ids",
    "base_models",
    "usage_founds",
    "model_untrusteds",
    "completeds",
)

type _Numbers = Sequence[int]
type Key = tuple[int, str | None, str | None, str | None, str | None, bool, bool, bool]
"""The hour, as a number since 1970, the customer, resource, model and base model, and the three flags."""


@dataclass(frozen=True, slots=True)
class BatchSums:
    """Sums of a batch, one of each key, in columns.

    keys: the columns that tell keys apart; hours as numbers since 1970. numbers: what adds up. A column of
    what hardly any event has is empty if none of these has it.
    """

    keys: Mapping[str, Sequence[object]]
    numbers: Mapping[str, _Numbers]

    @property
    def fit_in_bigint(self) -> bool:
        """Tell whether all numbers do, as those of any real batch do."""
        return max(max(column, default=0) for column in self.numbers.values()) <= _BIGINT_MAX


@dataclass(frozen=True, slots=True)
class KeyedEvents:
    """Events by the keys under which they are summed.

    keys: all keys, each with its number; numbers: of each event the number of its key.
    """

    events: EventColumns
    keys: Mapping[Key, int]
    numbers: _Numbers

    @classmethod
    def of(cls, events: EventColumns, others: Container[int] = ()) -> "KeyedEvents":
        """Find the keys. others: the places of events that are summed as events of other models."""
        keys: dict[Key, int] = {}
        # The first event of a key gives it the next number.
        numbers = [keys.setdefault(key, len(keys)) for key in _keys(events, others)]
        return cls(events, keys, numbers)

    def by_producer(self) -> "Mapping[str, KeyedEvents]":
        """Take events apart by their producers."""
        producers = self.events.texts("producer_id")
        if len({*producers}) == 1:
            return {producers[0]: self}
        keys = list(self.keys)
        parts: dict[str, list[int]] = {}
        for place, producer in enumerate(producers):
            parts.setdefault(producer, []).append(place)
        apart: dict[str, KeyedEvents] = {}
        for producer, places in parts.items():
            own: dict[Key, int] = {}
            numbers = [own.setdefault(keys[self.numbers[place]], len(own)) for place in places]
            apart[producer] = KeyedEvents(self.events.at(places), own, numbers)
        return apart


def sum_up(keyed: KeyedEvents) -> BatchSums:
    """Add up events, of which there is one at least."""
    events = keyed.events
    adder = _Adder(keyed)
    prompts, cacheds, completions = (
        [count or 0 for count in cast("Sequence[int | None]", events.by_name[name])]
        for name in ("prompt_tokens", "cached_tokens", "completion_tokens")
    )
    excesses: _Numbers = ()
    if any(map(gt, cacheds, prompts)):
        # Of each event: what one has too many must not shorten another's prompt.
        excesses = [max(cached - prompt, 0) for cached, prompt in zip(cacheds, prompts, strict=True)]
        cacheds = list(map(min, cacheds, prompts))
    unbilled = _unbilled_bytes(events)
    echoed = _flags(events, "model_echoed")
    return BatchSums(
        dict(zip(_KEY, zip(*keyed.keys, strict=True), strict=True)),
        {
            "event_counts": adder.add([1] * events.count),
            "prompt_tokens": adder.add(prompts),
            "cached_tokens": adder.add(cacheds),
            "completion_tokens": adder.add(completions),
            "excess_cached_events": adder.add([excess > 0 for excess in excesses]),
            "excess_cached_tokens": adder.add(excesses),
            "partial_usage_events": adder.add(_partial(events)),
            "unbilled_events": adder.add([answer_bytes > 0 for answer_bytes in unbilled]),
            "unbilled_bytes": adder.add(unbilled),
            "echoed_events": adder.add(echoed),
            "echoed_tokens": adder.add(
                [
                    prompt + completion if flag else 0
                    for flag, prompt, completion in zip(echoed, prompts, completions, strict=False)
                ]
            ),
        },
    )


class _Adder:
    """Adds up by key."""

    def __init__(self, keyed: KeyedEvents) -> None:
        self._numbers = keyed.numbers
        self._keys = len(keyed.keys)

    def add(self, values: _Numbers) -> _Numbers:
        """Add up values, one of each event; of none nothing."""
        if not values:
            return ()
        sums = [0] * self._keys
        for number, value in zip(self._numbers, values, strict=True):
            sums[number] += value
        return sums


def _keys(events: EventColumns, others: Container[int]) -> Iterator[Key]:
    models: Sequence[str] = events.texts("model_id")
    if others:
        models = [OTHER_MODELS if place in others else model for place, model in enumerate(models)]
    return zip(
        [moment // MICROS_PER_HOUR for moment in events.times],
        *(
            [text or None for text in texts]
            for texts in (events.texts("auth_id"), events.texts("resource_id"))
        ),
        [model or None for model in models],
        [base_model or None for base_model in events.texts("base_model")],
        cast("Sequence[bool]", events.by_name["usage_found"]),
        cast("Sequence[bool]", events.by_name["model_untrusted"]),
        [outcome == "completed" for outcome in events.texts("outcome")],
        strict=True,
    )


def _flags(events: EventColumns, name: str) -> Sequence[bool]:
    """Give a column of flags; nothing if none is set."""
    flags = cast("Sequence[bool]", events.by_name[name])
    return flags if True in flags else ()


def _partial(events: EventColumns) -> Sequence[bool]:
    """Tell which events have usage that lacks a count.

    Earlier versions of the addon do not say what an API's answers have; a prompt they all have.
    """
    said = events.by_name["usage_partial"]
    prompts = events.by_name["prompt_tokens"]
    if None not in prompts and True not in said:
        return ()
    found = events.by_name["usage_found"]
    return [
        bool(partial or (usage and prompt is None))
        for partial, usage, prompt in zip(said, found, prompts, strict=True)
    ]


def _unbilled_bytes(events: EventColumns) -> _Numbers:
    """Give the bytes of answers that clients were given a part of and that have no usage.

    An error is no output, and of a whole answer without usage runs say so anyway.
    """
    found = events.by_name["usage_found"]
    if False not in found:
        return ()
    outcomes, codes = events.texts("outcome"), events.by_name["status_code"]
    answers = cast("Sequence[int | None]", events.by_name["answer_bytes"])
    return [
        0 if usage or outcome == "completed" or code not in _STATUS_OK else answer_bytes or 0
        for usage, outcome, code, answer_bytes in zip(found, outcomes, codes, answers, strict=True)
    ]
