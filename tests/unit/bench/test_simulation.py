"""What the simulation computes, and that the page says the same."""

import json
from dataclasses import replace

import pytest

from bench.simulate import DAY, Stored, compare, costs_of, main
from bench.simulation import Costs, Day, Figure, read_costs, simulate, table, text
from rig.programs import PROJECT

COSTS = Costs(
    1000, event_bytes=400, wal_bytes=600, key_hour_bytes=800, proxy_us=700, rater_us=14, server_us=7
)


def figures(day: Day) -> dict[tuple[str, str], float]:
    return {(one.part, one.what): one.value for one in simulate(COSTS, day)}


def test_each_part_has_what_the_events_and_the_keys_of_a_day_make() -> None:
    found = figures(Day(events_per_s=100, peak=3, keys=50, days_kept=10))
    assert found == {
        ("all", "events a day"): 8_640_000,
        ("all", "events a second at the peak"): 300,
        ("proxies", "cores at the peak"): pytest.approx(0.3),
        ("raters", "cores at the peak"): pytest.approx(0.006),
        ("PostgreSQL", "cores at the peak"): pytest.approx(0.003),
        ("PostgreSQL", "log at the peak"): 180_000,
        ("PostgreSQL", "log a day"): 8_640_000 * 600,
        ("disk", "events of 10 days"): 8_640_000 * 400 * 10,
        ("disk", "sums, bills and ledger of a year"): 50 * 24 * 365 * 800,
    }


def test_an_hour_has_no_more_keys_than_events() -> None:
    kept = "sums, bills and ledger of a year"
    assert figures(Day(1, 3, 10**9, 1))["disk", kept] == 3600 * 24 * 365 * 800


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (12_345.6, "", "12,346"),
        (0.0123, "cores", "0.012 cores"),
        (999.0, "B", "999 B"),
        (1000.0, "B/s", "1 kB/s"),
        (2.5e15, "B", "2.5 PB"),
    ],
)
def test_figures_have_the_digits_that_count(value: float, unit: str, said: str) -> None:
    assert text(Figure("", "", value, unit, "")) == said


def test_what_was_really_taken_is_compared_and_too_much_is_named() -> None:
    stored = Stored(1000, 10, 400_000, 600_000, 8_000, 0.014, 0.007)
    assert costs_of(stored, 700) == COSTS
    assert compare(COSTS, stored)[1] == []
    lines, faults = compare(COSTS, replace(stored, event_bytes=500_000, rater_s=0.010))
    assert "+25%" in lines[0]
    assert faults == ["event_bytes is off by +25%, and may be by 15%"]


def test_the_page_says_what_the_last_measurement_makes() -> None:
    page = (PROJECT / "docs/scaling.md").read_text("utf-8")
    assert "\n".join(table(read_costs(), DAY)) in page, "put in what `make simulate` writes"


def test_a_day_can_be_had_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--events-per-s", "100", "--json"])
    first = json.loads(capsys.readouterr().out)[0]
    assert (first["what"], first["value"], first["text"]) == ("events a day", 8_640_000, "8,640,000")


@pytest.mark.parametrize("words", [["--check", "7"], ["--events-per-s", "0"]])
def test_what_can_not_be_is_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(words)
