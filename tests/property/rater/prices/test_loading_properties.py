"""Any order of loadings, withdrawals and hours that pass: which book prices each hour.

The second opinion keeps, hour by hour, what would price it; it knows no starts, no states and no turns.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from hypothesis import example, given
from hypothesis import strategies as st

from rater_service.prices.loadings import Loading, State, Timeline

EPOCH = datetime(2026, 11, 20, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOURS = 12
MINUTES_MAX = 60 * HOURS


def at(hour: int) -> datetime:
    return EPOCH + hour * 60 * MINUTE


@dataclass
class Service:
    """What a database keeps, by the code of the product, and a clock that goes on."""

    loadings: dict[int, Loading] = field(default_factory=dict)
    minute: int = 0

    @property
    def now(self) -> datetime:
        return EPOCH + self.minute * MINUTE

    @property
    def timeline(self) -> Timeline:
        return Timeline(self.loadings.values())

    def load(self, book: str, effective: int | None) -> Loading | None:
        if (latest := self.timeline.latest) is not None and latest.content_hash == book:
            return None
        plan = self.timeline.plan(book, None if effective is None else at(effective), self.now)
        number = len(self.loadings) + 1
        for replaced in plan.replaces:
            self.loadings[replaced.number] = replace(replaced, replaced_by=number)
        made = Loading(number, book, "f", self.now, "by", "role", plan.in_force_from)
        self.loadings[number] = made
        return made

    def withdraw(self, number: int) -> None:
        self.loadings[number] = replace(
            self.loadings[number], withdrawn_at=self.now, withdrawn_by="ops", replaced_by=None
        )


@dataclass
class SecondOpinion:
    """Hours, and the number of the loading that prices each; 0: none."""

    loaded: dict[int, tuple[int, bool]] = field(default_factory=dict)
    """By number: the first hour, and whether it still stands."""

    def hours(self) -> list[int]:
        found = [0] * HOURS
        for number, (first, stands) in sorted(self.loaded.items()):
            if stands:
                found[max(first, 0) :] = [number] * (HOURS - max(first, 0))
        return found

    def load(self, number: int, first: int, minute: int) -> None:
        for other, (begins, _) in self.loaded.items():
            if begins * 60 > minute:
                self.loaded[other] = (begins, False)
        self.loaded[number] = (first, True)

    def withdraw(self, number: int) -> None:
        self.loaded[number] = (self.loaded[number][0], False)


loads = st.tuples(st.just("load"), st.sampled_from("abc"), st.none() | st.integers(0, HOURS - 1))
withdrawals = st.tuples(st.just("withdraw"), st.integers(1, 8), st.none())
waits = st.tuples(st.just("wait"), st.sampled_from([1, 29, 59, 60, 61, 119]), st.none())
# Of one file the hour never changes: it stands in the file.
STORIES = st.lists(loads | withdrawals | waits, max_size=14)
SLIP_TAKEN_BACK = [("load", "a", None), ("wait", 60, None), ("load", "b", None), ("load", "a", None)]


@given(STORIES)
@example(SLIP_TAKEN_BACK)
@example([("load", "a", 11), ("load", "b", None), ("wait", 60, None)])
def test_each_hour_is_priced_by_the_book_that_the_second_opinion_says(
    story: list[tuple[str, str | int, int | None]],
) -> None:
    service, opinion, effective_of = Service(), SecondOpinion(), dict[str, int | None]()
    for step, what, effective in story:
        match step, what:
            case "wait", int(minutes):
                service.minute = min(service.minute + minutes, MINUTES_MAX - 1)
            case "withdraw", int(number) if number in service.loadings and service.loadings[number].stands:
                service.withdraw(number)
                opinion.withdraw(number)
            case "load", str(book):
                first = effective_of.setdefault(book, effective)
                known = any(each.content_hash == book for each in service.loadings.values())
                stands = any(stands for _, stands in opinion.loaded.values())
                if service.load(book, first) is None:
                    continue
                if first is None or (known and first * 60 <= service.minute):
                    first = service.minute // 60 + 1 if stands else -1
                opinion.load(len(service.loadings), first, service.minute)
        check(service, opinion)


def check(service: Service, opinion: SecondOpinion) -> None:
    timeline = service.timeline
    found = [timeline.at(at(hour)) for hour in range(HOURS)]
    assert [each.number if each else 0 for each in found] == opinion.hours()
    assert len(timeline.to_come(service.now)) <= 1
    states = [timeline.state(each, service.now) for each in timeline.loadings]
    assert states.count(State.IN_FORCE) == (timeline.at(service.now) is not None)
    assert states.count(State.TO_COME) == len(timeline.to_come(service.now))
    # Not to be reminded of what it does not change: a service that starts again with the latest file.
    if timeline.latest is not None:
        assert service.load(timeline.latest.content_hash, None) is None


@given(STORIES)
def test_what_begins_without_being_told_begins_later(
    story: list[tuple[str, str | int, int | None]],
) -> None:
    """No file without an hour of its own prices what was served before it was loaded, but the first."""
    service = Service()
    for step, what, _ in story:
        before = [service.timeline.at(at(hour)) for hour in range(service.minute // 60 + 1)]
        if step == "wait" and isinstance(what, int):
            service.minute = min(service.minute + what, MINUTES_MAX - 1)
        elif step == "load" and isinstance(what, str):
            service.load(what, None)
            after = [service.timeline.at(at(hour)) for hour in range(len(before))]
            assert after == before or before == [None] * len(before)
