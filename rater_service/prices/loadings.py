"""Loadings: acts of putting a price file into service. They, and not files, have times.

Of the loadings that stand, the latest whose hour has come is in force. One whose hour has not come gives way
to any later one, so that at most one is to come. One that was withdrawn is as if it had never been, but what
it replaced stays replaced.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import takewhile
from typing import Protocol

from rater_service.hours import HOUR, hour_of, utc_text

BEGINNING = datetime.min.replace(tzinfo=UTC)
"""Before every time there is: a loading that is in force from the beginning comes first."""

SHORT_HASH_CHARS = 12


@dataclass(frozen=True, slots=True)
class Loading:
    """One loading. number: its place in the order of loadings. Times are UTC-aware.

    loaded_by: program, user and machine; db_role: the role of the session; None for what version 0.1.0
    loaded. in_force_from: a whole hour; None: from the beginning. replaced_by: the loading that took its
    place before its hour came.
    """

    number: int
    content_hash: str
    source: str
    loaded_at: datetime
    loaded_by: str | None
    db_role: str | None
    in_force_from: datetime | None
    replaced_by: int | None = None
    withdrawn_at: datetime | None = None
    withdrawn_by: str | None = None

    @property
    def start(self) -> datetime:
        """When it comes into force; the earliest time there is for one from the beginning."""
        return self.in_force_from or BEGINNING

    @property
    def stands(self) -> bool:
        """Whether it was neither replaced nor withdrawn."""
        return self.replaced_by is None and self.withdrawn_at is None

    def describe(self) -> str:
        """Name it as a part of a sentence: what was loaded, from where, when and by whom."""
        by = "version 0.1.0" if self.loaded_by is None else f"{self.loaded_by} as {self.db_role}"
        return (
            f"book {self.content_hash[:SHORT_HASH_CHARS]} (loading {self.number}, {self.source}, "
            f"loaded {utc_text(self.loaded_at)} by {by})"
        )


class State(StrEnum):
    """Where a loading stands at a moment."""

    PAST = "past"
    IN_FORCE = "in force"
    TO_COME = "to come"
    REPLACED = "replaced"
    """No hour is priced by it: another took its place before its hour came, or reaches back before it."""
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Plan:
    """What loading a book would do: from when it would be in force, and which loadings give way to it.

    reaches_back: hours that have begun would be priced by it.
    """

    in_force_from: datetime | None
    replaces: tuple[Loading, ...]
    reaches_back: bool


class Timeline:
    """All loadings there were, and which of them prices which hour."""

    def __init__(self, loadings: Iterable[Loading]) -> None:
        self.loadings = tuple(sorted(loadings, key=lambda loading: loading.number))
        self.in_turn = in_turn(loading for loading in self.loadings if loading.stands)
        """Those that price hours, each from its start to that of the next one."""
        self._starts = [loading.start for loading in self.in_turn]

    @property
    def latest(self) -> Loading | None:
        """What was loaded last, also if it was withdrawn."""
        if not self.loadings or self.loadings[-1].loaded_by is not None:
            return self.loadings[-1] if self.loadings else None
        # Those of version 0.1.0 are numbered by when they are in force.
        others = takewhile(lambda loading: loading.loaded_by is None, reversed(self.loadings))
        return max(others, key=lambda loading: loading.loaded_at)

    def at(self, moment: datetime) -> Loading | None:
        """Give the loading in force at a moment; None: none is."""
        index = bisect_right(self._starts, moment)
        return self.in_turn[index - 1] if index else None

    def prevailing(self, moment: datetime) -> Loading | None:
        """Give the loading by which a moment is priced: before the first is in force that one; None: none."""
        return self.at(moment) or (self.in_turn[0] if self.in_turn else None)

    def to_come(self, now: datetime) -> tuple[Loading, ...]:
        """Give what stands and has not come into force; of what this version loads at most one."""
        return self.in_turn[bisect_right(self._starts, now) :]

    def until(self, loading: Loading) -> datetime | None:
        """Say when a loading that prices hours is followed by the next; None: further notice."""
        index = self.in_turn.index(loading)
        return self._starts[index + 1] if index + 1 < len(self._starts) else None

    def state(self, loading: Loading, now: datetime) -> State:
        """Say where a loading stands."""
        if loading.withdrawn_at is not None:
            return State.WITHDRAWN
        if loading not in self.in_turn:
            return State.REPLACED
        if now < loading.start:
            return State.TO_COME
        until = self.until(loading)
        return State.IN_FORCE if until is None or now < until else State.PAST

    def overtaken_by(self, loading: Loading) -> int | None:
        """Give the number of the loading because of which this one prices no hour, if one took its place."""
        if loading.replaced_by is not None or loading.withdrawn_at is not None:
            return loading.replaced_by
        later = (other for other in self.loadings if other.stands and other.number > loading.number)
        return next((other.number for other in later if other.start <= loading.start), None)

    def pricing(self, content_hash: str, hour: datetime, known_at: datetime) -> Loading:
        """Find the loading by which a run that began at known_at priced an hour by a book that was loaded.

        That is the one in force then; else, for a model that was forgotten, a later one; else, because
        loadings were made or withdrawn since, the last one there was.
        """
        of_book = [loading for loading in self.loadings if loading.content_hash == content_hash]
        in_force = self.at(hour)
        if in_force in of_book:
            return in_force
        later = [loading for loading in of_book if loading in self.in_turn and loading.start > hour]
        known = [loading for loading in of_book if loading.loaded_at <= known_at]
        return (*later[:1], *reversed(known), *of_book)[0]

    def outlook(self, now: datetime) -> tuple[str, ...]:
        """Say in sentences what is in force and what is still to come."""
        in_force, to_come = self.at(now), self.to_come(now)
        lines = [
            "in force: no price book" if in_force is None else f"in force: {self._span(in_force)}",
            *(f"to come: {self._span(loading)}" for loading in to_come),
        ]
        return tuple(lines if to_come else (*lines, "to come: nothing"))

    def _span(self, loading: Loading) -> str:
        until = self.until(loading)
        since = "the beginning" if loading.in_force_from is None else utc_text(loading.in_force_from)
        end = "further notice" if until is None else utc_text(until)
        return f"{loading.describe()}, from {since} until {end}"

    def plan(self, content_hash: str, effective_from: datetime | None, now: datetime) -> Plan:
        """Say what loading a book at `now` (UTC-aware) does.

        It is in force from the `effective_from` of its file, which may reach back; without one from the next
        whole hour, the first of all from the beginning. A book that was loaded before never reaches back: the
        hour that its file names counted then.
        """
        is_known = any(loading.content_hash == content_hash for loading in self.loadings)
        start: datetime | None = hour_of(now) + HOUR
        if effective_from is not None and (effective_from > now or not is_known):
            start = effective_from
        elif not any(loading.stands for loading in self.loadings):
            start = None
        reaches_back = start is not None and start <= now
        return Plan(start, self.to_come(now), reaches_back)


class Starting(Protocol):
    """What is in force from a moment on."""

    @property
    def start(self) -> datetime:
        """When it comes into force."""


def in_turn[T: Starting](loadings: Iterable[T]) -> tuple[T, ...]:
    """Give those of standing loadings, in their order, that price hours, in the order in which they do.

    A loading prices none if a later one starts when it starts, or earlier.
    """
    kept: list[T] = []
    for loading in loadings:
        while kept and kept[-1].start >= loading.start:
            kept.pop()
        kept.append(loading)
    return tuple(kept)
