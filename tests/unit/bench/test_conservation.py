"""A benchmark counts only if metering was on and nothing was lost."""

from collections import Counter

import pytest

from bench.conservation import check_metrics
from rig.metrics import Metrics, parse_metrics

TEXT = """\
# TYPE phoebe_exchanges_admitted_total counter
phoebe_exchanges_admitted_total{api="openai.chat"} 40.0
phoebe_exchanges_admitted_total{api="openai.completions"} 2.0
# TYPE phoebe_exchanges_ended_total counter
phoebe_exchanges_ended_total{outcome="completed"} 42.0
# TYPE phoebe_events_delivered_total counter
phoebe_events_delivered_total{outcome="stored"} 42.0
# TYPE phoebe_spool_events gauge
phoebe_spool_events 0.0
"""
ENDED = "phoebe_exchanges_ended_total"
DELIVERED = "phoebe_events_delivered_total"


def changed(**by: int) -> Metrics:
    """The fitting metrics with some of them changed by an amount, named as in the table below."""
    keys = {
        "admitted": ("phoebe_exchanges_admitted_total", "openai.chat"),
        "completed": (ENDED, "completed"),
        "aborted": (ENDED, "aborted"),
        "stored": (DELIVERED, "stored"),
        "conflict": (DELIVERED, "conflict"),
        "waiting": ("phoebe_spool_events", ""),
    }
    metrics = parse_metrics(TEXT)
    metrics.update({keys[name]: amount for name, amount in by.items()})
    return metrics


def test_every_answer_admitted_completed_and_stored_is_no_problem() -> None:
    assert check_metrics(parse_metrics(TEXT), answers=42) == []


@pytest.mark.parametrize(
    ("metrics", "problems"),
    [
        (changed(admitted=1), ["admitted: 43, should be 42"]),
        (changed(completed=-1, aborted=1), ["completed: 41, should be 42"]),
        (changed(stored=-1, conflict=1), ["delivered and stored: 41, should be 42"]),
        (
            changed(stored=-2, waiting=2),
            ["delivered and stored: 40", "delivered: 40", "left in the spool: 2"],
        ),
        (Counter(), ["admitted: 0", "ended: 0", "completed: 0", "delivered and stored: 0", "delivered: 0"]),
    ],
    ids=["not metered", "not completed", "not stored", "not delivered", "no metering at all"],
)
def test_what_was_lost_is_named(metrics: Metrics, problems: list[str]) -> None:
    found = check_metrics(metrics, answers=42)
    assert len(found) == len(problems)
    assert all(one.startswith(start) for one, start in zip(found, problems, strict=True))
