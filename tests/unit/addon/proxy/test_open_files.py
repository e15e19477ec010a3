import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoebe_addon.proxy.open_files import ClientLimits

COUNTS = st.integers(1, 1_000_000)


@pytest.mark.parametrize(
    ("files_max", "served"),
    [
        (30_200, ClientLimits(10_000, 10_000)),
        (30_199, ClientLimits(9_999, 9_999)),
        (4_096, ClientLimits(1_298, 1_298)),
        (1_024, ClientLimits(274, 274)),
        (256, ClientLimits(18, 18)),
        (10, ClientLimits(1, 1)),
    ],
)
def test_no_more_are_served_than_there_are_files_for(files_max: int, served: ClientLimits) -> None:
    assert ClientLimits(10_000, 10_000).within(files_max) == served


@given(COUNTS, COUNTS, st.integers(300, 10_000_000))
def test_what_is_served_has_its_files_and_is_no_more_than_was_asked_for(
    connections: int, exchanges: int, files_max: int
) -> None:
    asked = ClientLimits(connections, exchanges)
    served = asked.within(files_max)

    assert served.files() <= files_max
    assert served.connections_max <= connections
    assert served.exchanges_max <= exchanges
    assert served == asked or asked.files() > files_max
