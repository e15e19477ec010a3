"""The verdict: whether what is in the books is what happened, by the engine's and the clients' own word.

Pure.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from chaos.ledger import Rollup, StoredEvent
from chaos.load import Received
from chaos.script import Exchange, Usage
from phoebe_runtime.counts import counted

# What may become of an exchange that reached no engine: its client left, or its proxy was killed or stopped.
_OUTCOMES_WITHOUT_ENGINE = {"aborted", "proxy_error"}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What happened and what is in the books.

    served: by request id, the tags of what reached the engine. arrivals: how often each id came to it.
    """

    exchanges: Sequence[Exchange]
    received: Sequence[Received]
    served: Mapping[str, str]
    arrivals: Mapping[str, int]
    events: Sequence[StoredEvent]
    rollups: Sequence[Rollup]


@dataclass(frozen=True, slots=True)
class Verdict:
    """lost: request ids that were admitted and are not stored. twice: what is stored or billed twice.

    admitted: how many exchanges were. wrong: everything else that does not fit, in words.
    """

    admitted: int
    stored: int
    lost: tuple[str, ...]
    twice: tuple[str, ...]
    wrong: tuple[str, ...]

    @property
    def is_clean(self) -> bool:
        """Whether all is as it should be."""
        return not (self.lost or self.twice or self.wrong)


class _Key(NamedTuple):
    auth_id: str
    resource_id: str
    model_id: str


@dataclass(slots=True)
class _Sum:
    events: int = 0
    prompt: int = 0
    cached: int = 0
    completion: int = 0
    cost: Decimal = Decimal(0)


def judge(evidence: Evidence) -> Verdict:
    """Compare what happened with what is in the books."""
    own = [event for event in evidence.events if event.part_of is None]
    events = {event.request_id: event for event in own}
    answered = {answer.request_id for answer in evidence.received if answer.request_id}
    seen = {*evidence.served, *answered}
    billed, expected = _billed(evidence.rollups), _expected(evidence)
    return Verdict(
        admitted=len(seen | events.keys()),
        stored=len(own),
        lost=tuple(sorted(seen - events.keys())),
        twice=(*_stored_twice(evidence), *_billed_twice(billed, expected)),
        wrong=(
            *_wrong_answers(evidence, events),
            *_wrong_events(evidence, own),
            *_wrong_parts(evidence, events),
            *_wrong_bills(billed, expected),
        ),
    )


def _stored_twice(evidence: Evidence) -> Iterator[str]:
    ids = Counter(event.request_id for event in evidence.events)
    yield from (f"{request_id} is stored {count} times" for request_id, count in ids.items() if count > 1)
    yield from (
        f"{request_id} came to the engine {count} times"
        for request_id, count in evidence.arrivals.items()
        if count > 1
    )
    tags = Counter(event.client_request_id for event in evidence.events if event.part_of is None)
    yield from (f"{tag} has {count} events" for tag, count in tags.items() if count > 1)


def _billed_twice(billed: Mapping[_Key, _Sum], expected: Mapping[_Key, _Sum]) -> Iterator[str]:
    for key, found in billed.items():
        if found.events > expected[key].events:
            yield f"{key} is billed for {counted(found.events, 'event')} instead of {expected[key].events}"


def _wrong_answers(evidence: Evidence, events: Mapping[str, StoredEvent]) -> Iterator[str]:
    """What clients got that the books do not tell, or tell otherwise."""
    served_tags = set(evidence.served.values())
    for exchange, received in zip(evidence.exchanges, evidence.received, strict=True):
        if received.timed_out:
            yield f"{exchange.tag} never came to an end for its client"
        if received.refused and exchange.tag in served_tags:
            yield f"{exchange.tag} was refused and reached the engine all the same"
        event = events.get(received.request_id or "")
        if event is None or not received.complete:
            continue
        expected = "completed" if received.status == 200 else "upstream_error"
        if event.outcome != expected:
            yield f"{exchange.tag} came whole with {received.status}, and its event says {event.outcome}"
        if event.usage_found != (received.status == 200):
            yield f"{exchange.tag} came whole with {received.status}, and usage_found is {event.usage_found}"


def _wrong_parts(evidence: Evidence, own: Mapping[str, StoredEvent]) -> Iterator[str]:
    """What the books tell of the other models of exchanges that was not so."""
    asked = {exchange.tag: exchange for exchange in evidence.exchanges}
    parts: defaultdict[str, list[StoredEvent]] = defaultdict(list)
    for event in evidence.events:
        if event.part_of is not None:
            parts[event.part_of].append(event)
    yield from (f"{request_id} has parts, and no event" for request_id in parts.keys() - own.keys())
    for event in own.values():
        exchange = asked.get(event.client_request_id or "")
        advice = exchange.advice if exchange and event.usage_found else None
        expected = [(event.auth_id, event.outcome, advice.model.id, advice.usage)] if advice else []
        found = [(part.auth_id, part.outcome, *_reported(part)) for part in parts[event.request_id]]
        if found != expected:
            yield f"{event.client_request_id} has the parts {found}, should be {expected}"


def _wrong_events(evidence: Evidence, own: Iterable[StoredEvent]) -> Iterator[str]:
    """What the books tell of exchanges that were not so."""
    asked = {exchange.tag: exchange for exchange in evidence.exchanges}
    for event in own:
        exchange = asked.get(event.client_request_id or "")
        if exchange is None:
            yield f"event {event.request_id} is of {event.client_request_id!r}, which nobody asked for"
            continue
        if (event.auth_id, event.resource_id) != (exchange.auth_id, exchange.resource_id):
            yield f"{exchange.tag} was asked by {exchange.auth_id} for {exchange.resource_id}: {event}"
        if event.request_id not in evidence.served:
            if event.usage_found or event.outcome not in _OUTCOMES_WITHOUT_ENGINE:
                yield f"{exchange.tag} reached no engine, and its event says {event.outcome}: {event}"
        elif evidence.served[event.request_id] != exchange.tag:
            yield f"{event.request_id} is {evidence.served[event.request_id]} to the engine: {event}"
        if event.usage_found and _reported(event) != (exchange.model.id, exchange.usage):
            yield f"{exchange.tag} took {exchange.usage} of {exchange.model.id}, and its event says {event}"


def _reported(event: StoredEvent) -> tuple[str | None, Usage | None]:
    if event.prompt_tokens is None or event.completion_tokens is None:
        return event.model_id, None
    return event.model_id, Usage(event.prompt_tokens, event.cached_tokens, event.completion_tokens)


def _expected(evidence: Evidence) -> Mapping[_Key, _Sum]:
    """What must be billed: what the engine reported in every exchange whose event has its usage.

    That these are all that came whole is checked elsewhere.
    """
    asked = {exchange.tag: exchange for exchange in evidence.exchanges}
    used = {event.client_request_id or "" for event in evidence.events if event.usage_found}
    sums: defaultdict[_Key, _Sum] = defaultdict(_Sum)
    for exchange in (asked[tag] for tag in used if tag in asked):
        advised = [(exchange.advice.model, exchange.advice.usage)] if exchange.advice else []
        for model, usage in [(exchange.model, exchange.usage), *advised]:
            if rates := model.rates:
                key = _Key(exchange.auth_id, exchange.resource_id, model.id)
                _add(sums[key], usage, usage.cost(rates))
    return sums


def _add(to: _Sum, usage: Usage, cost: Decimal) -> None:
    to.events += 1
    to.prompt += usage.prompt
    to.cached += usage.cached or 0
    to.completion += usage.completion
    to.cost += cost


def _billed(rollups: Iterable[Rollup]) -> Mapping[_Key, _Sum]:
    sums: defaultdict[_Key, _Sum] = defaultdict(_Sum)
    for rollup in rollups:
        found = sums[_Key(rollup.auth_id, rollup.resource_id, rollup.model_id)]
        found.events += rollup.event_count
        found.prompt += rollup.prompt_tokens
        found.cached += rollup.cached_tokens
        found.completion += rollup.completion_tokens
        found.cost += rollup.cost
    return sums


def _wrong_bills(billed: Mapping[_Key, _Sum], expected: Mapping[_Key, _Sum]) -> Iterator[str]:
    for key in sorted({*billed, *expected}):
        found, should_be = billed.get(key, _Sum()), expected.get(key, _Sum())
        if found != should_be:
            yield f"{key} is billed {found}, should be {should_be}"
