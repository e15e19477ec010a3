"""How it is shown how current the answers are of a database that was read from."""

from datetime import datetime
from typing import NotRequired, TypedDict

from rater_service.database.freshness import Freshness
from rater_service.views.terminal import write


class ReadFromJson(TypedDict):
    """From where it was read: what was committed by `as_of` is in it, and that was `behind_s` seconds ago at
    most. standby: whether the server was one.
    """

    as_of: datetime
    behind_s: float
    standby: bool


class ReadJson(TypedDict):
    """What was read. read_from: only if that was a standby, or a server named for reading."""

    read_from: NotRequired[ReadFromJson]


def read_from_json(freshness: Freshness | None) -> ReadJson:
    """Return what is written of it as JSON."""
    if freshness is None:
        return {}
    return {
        "read_from": {
            "as_of": freshness.as_of,
            "behind_s": freshness.behind.total_seconds(),
            "standby": freshness.is_standby,
        }
    }


def show_freshness(freshness: Freshness | None) -> None:
    """Say it in a line, in front of the result."""
    if freshness is not None:
        write(freshness.in_words())
