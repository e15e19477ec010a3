"""What a plan says of a revision: whom its locks keep waiting, and about how long, by the size of tables."""

from rater_service.database.plan import planned
from rater_service.database.revisions import Phase, Revision

SIZES = {"billing_event": (10_000_000, 4_000_000_000), "rated_usage": (4_000_000, 1_000_000_000)}


async def prepare(_connection: object, _tell: object) -> None:
    """Do nothing."""


def describe(**fields: object) -> str:
    revision = Revision("0099", Phase.EXPAND, "A revision", **fields)  # type: ignore[arg-type] # tests name them
    return planned(revision, SIZES).describe()


def test_a_change_of_the_catalog_takes_a_moment_however_large_the_table_is() -> None:
    assert describe(locks={"billing_event": "ACCESS EXCLUSIVE"}) == (
        "locks billing_event (ACCESS EXCLUSIVE: all who use it wait, under a second)"
    )


def test_what_goes_through_all_rows_takes_longer_the_more_there_are() -> None:
    said = describe(locks={"rated_usage": "SHARE"}, reads=("rated_usage",))
    assert said == "locks rated_usage (SHARE: all who write to it wait, about 20 seconds)"


def test_what_is_prepared_is_told_apart_from_what_is_locked() -> None:
    said = describe(prepare=prepare, prepares=("billing_event",))
    assert said == (
        "first works about 3 minutes on what nobody waits for; locks nothing that anybody waits for"
    )


def test_a_table_that_is_not_there_yet_is_not_locked() -> None:
    assert describe(locks={"producer": "ACCESS EXCLUSIVE"}) == "locks nothing that anybody waits for"
