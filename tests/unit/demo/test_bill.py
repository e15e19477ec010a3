"""The demo says ok only when everything adds up, and names what does not."""

from dataclasses import replace

import pytest

from demo.bill import Bill, check
from demo.errors import DemoError
from demo.upstream import read_upstream
from phoebe_proto.v1.rating_pb2 import RatedUsage, RateWindowResponse


def row(**differing: str | int) -> RatedUsage:
    fitting: dict[str, str | int] = {
        "id": 7,
        "event_count": 2,
        "billable_prompt_tokens": 10,
        "cached_tokens": 4,
        "completion_tokens": 3,
        "applied_prompt_rate": "0.000000200",
        "applied_cached_rate": "0.000000050",
        "applied_completion_rate": "0.000000600",
        "cost": "0.000004000",
    }
    return RatedUsage(**(fitting | differing))  # type: ignore[arg-type]


def run(**differing: str | int) -> RateWindowResponse:
    fitting: dict[str, str | int] = {
        "events_in_window": 4,
        "events_rated": 2,
        "unpriced_events": 1,
        "zero_charge_events": 1,
        "total_cost": "0.000004",
    }
    return RateWindowResponse(**(fitting | differing))  # type: ignore[arg-type]


FITTING = Bill(admitted=4, run=run(), rows=[row()])


def test_a_bill_that_adds_up_has_no_problems() -> None:
    assert check(FITTING, let_through=4) == []


@pytest.mark.parametrize(
    ("bill", "named"),
    [
        (replace(FITTING, admitted=3), ["let through", "admitted is 3"]),
        (replace(FITTING, run=run(events_in_window=5)), ["stored is 5", "accounted for by the run is 4"]),
        (replace(FITTING, run=run(unpriced_events=0)), ["accounted for by the run is 3"]),
        (replace(FITTING, run=run(events_rated=1, zero_charge_events=2)), ["rated is 1"]),
        (replace(FITTING, run=run(total_cost="0.000004001")), ["total_cost is 0.000004001"]),
        (replace(FITTING, rows=[]), ["total_cost", "sum over the rows is 0"]),
        (replace(FITTING, rows=[row(cost="0.000003999")]), ["cost of row 7 is 0.000003999"]),
    ],
)
def test_what_does_not_add_up_is_named(bill: Bill, named: list[str]) -> None:
    problems = "; ".join(check(bill, let_through=4))
    assert all(name in problems for name in named), problems


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000", "http://127.0.0.1:8000/", "http://127.0.0.1:8000/v1"]
)
def test_an_upstream_is_taken_with_or_without_its_path(url: str) -> None:
    upstream = read_upstream({"UPSTREAM": url, "UPSTREAM_API_KEY": "sk-secret"})
    assert upstream is not None
    assert upstream.origin == "http://127.0.0.1:8000"
    assert "sk-secret" not in repr(upstream)


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:8000", "ftp://engine", "http://", "http://engine:port", "http://engine/api", "http://[::1"],
)
def test_an_upstream_that_is_no_servers_url_is_refused(url: str) -> None:
    with pytest.raises(DemoError, match="must look like"):
        read_upstream({"UPSTREAM": url})


def test_a_key_within_the_upstreams_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(DemoError) as refused:
        read_upstream({"UPSTREAM": "http://me:sk-secret@engine:8000"})
    assert "UPSTREAM_API_KEY" in str(refused.value)
    assert "sk-secret" not in str(refused.value)
