"""What Hypothesis draws for the oracle and the product: price files and events."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from hashlib import sha256

from hypothesis import strategies as st

from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rater_service.wire_time import to_timestamp
from tests.oracle.rating_oracle import Book, Event, Rates

# The clocks of New York go back in the third hour, those of Lord Howe (by half an hour) in no hour of UTC's.
FIRST_HOUR = datetime(2026, 11, 1, 4, tzinfo=UTC)
HOURS = 5
BASES = ["base/a", "base/b"]
TUNES = ["ft:named", "ft:own", "ft:free"]

tenths = st.integers(10, 40_000)
"""Tenths of a nano-dollar: rates that have to be rounded."""
rates = st.tuples(tenths, tenths, tenths)
hours = st.integers(0, HOURS - 1)


@dataclass(frozen=True)
class DrawnBook:
    """A price file as bytes, and the same for the oracle. `effective`: an hour, or None."""

    content: bytes
    book: Book
    effective: int | None


@st.composite
def books(draw: st.DrawFn) -> DrawnBook:
    """Price files that mostly price what events are drawn for."""
    bases = draw(st.dictionaries(st.sampled_from(BASES), rates, min_size=1))
    named = draw(st.none() | st.sampled_from(sorted(bases)))
    own = draw(st.none() | rates)
    policy, by = draw(
        st.sampled_from([("identity", "0"), ("multiplier", "1.5"), ("multiplier", "0.77"), ("markup", "3.5")])
    )
    effective = draw(st.none() | st.integers(-1, HOURS))
    lines = ["version: 1", "base_models:", *(f'  "{name}": {_rates(each)}' for name, each in bases.items())]
    if named or own:
        lines.append("fine_tunes:")
    if named:
        lines.append(f'  "ft:named": {{ derived_from: "{named}" }}')
    if own:
        lines.append(f'  "ft:own": {{ rate: {_rates(own)} }}')
    lines.append(
        {
            "identity": "fine_tune_premium: { policy: identity }",
            "multiplier": f'fine_tune_premium: {{ policy: multiplier, factor: "{by}" }}',
            "markup": 'fine_tune_premium: { policy: markup, markup: "0.0000000035" }',
        }[policy]
    )
    if effective is not None:
        lines.append(f'effective_from: "{FIRST_HOUR + timedelta(hours=effective):%Y-%m-%dT%H:00:00Z}"')
    content = "\n".join([*lines, ""]).encode()
    book = Book(
        name=sha256(content).hexdigest(),
        bases={name: _exact(each) for name, each in bases.items()},
        derived={"ft:named": named} if named else {},
        own={"ft:own": _exact(own)} if own else {},
        premium=(policy, Fraction(by)),
    )
    return DrawnBook(content, book, effective)


@dataclass(frozen=True)
class DrawnEvent:
    """An event as it is sent, and the same for the oracle."""

    sent: MeteringEvent
    event: Event


counts = st.none() | st.integers(0, 20) | st.integers(0, 2**53)


@dataclass(frozen=True)
class Names:
    """What the events of one test can be about. The fewer names, the more of them meet in a rollup."""

    models: list[str | None]
    bases: list[str | None]


names = st.builds(
    Names,
    st.just(["ft:named"])
    | st.lists(st.sampled_from([*BASES, *TUNES, "no/price", None]), min_size=1, max_size=6),
    st.just([None, "base/a"]) | st.lists(st.sampled_from([None, *BASES, "no/price"]), min_size=1, max_size=4),
)


@st.composite
def events(draw: st.DrawFn, about: Names) -> DrawnEvent:
    """Valid events."""
    hour, second = draw(hours), draw(st.sampled_from([0, 1800, 3599.999999]))
    usage = draw(st.sampled_from([True] * 5 + [False]))
    prompt, cached, completion = (draw(counts) if usage else None for _ in range(3))
    if usage and prompt is None and completion is None:
        prompt = 7
    outcome = draw(st.sampled_from(["completed", "completed", "aborted", "upstream_error", "proxy_error"]))
    event = Event(
        hour=hour,
        auth=draw(st.sampled_from(["alice"] * 5 + ["bob", None])),
        resource=draw(st.sampled_from(["blue"] * 5 + ["green", None])),
        model=draw(st.sampled_from(about.models)),
        base=draw(st.sampled_from(about.bases)),
        usage=usage,
        completed=outcome == "completed",
        untrusted=draw(st.sampled_from([False] * 6 + [True])),
        prompt=prompt,
        cached=cached,
        completion=completion,
    )
    sent = {
        "request_id": str(draw(st.uuids())),
        "auth_id": event.auth,
        "resource_id": event.resource,
        "model_id": event.model,
        "base_model": event.base,
        "usage_found": usage,
        "outcome": outcome,
        "model_untrusted": event.untrusted,
        "prompt_tokens": prompt,
        "cached_tokens": cached,
        "completion_tokens": completion,
        "event_time": to_timestamp(FIRST_HOUR + timedelta(hours=hour, seconds=second)),
        # By whom a distributed database keeps them; no bill depends on it.
        "producer_id": draw(st.sampled_from(["spool-1", "spool-2"])),
    }
    given = {name: value for name, value in sent.items() if value is not None}
    return DrawnEvent(MeteringEvent(**given), event)  # type: ignore[arg-type] # the names are the fields'


def _rates(drawn: tuple[int, int, int]) -> str:
    prompt, cached, completion = (f'"0.{rate:010}"' for rate in drawn)
    return f"{{ prompt: {prompt}, cached: {cached}, completion: {completion} }}"


def _exact(drawn: tuple[int, int, int]) -> Rates:
    prompt, cached, completion = (Fraction(rate, 10) for rate in drawn)
    return prompt, cached, completion
