"""Each anomaly says what to do, with the hours in the command that it names."""

import re

from rater_service.rating import run
from rater_service.rating.advice import REASONS, advice, reason_text
from rater_service.rating.not_billed import UNBILLED_OUTPUT
from rater_service.statements import source
from tests.harness.ledger import HOUR, ONE_HOUR

ANOMALIES = source("rating/anomalies")


def test_every_anomaly_that_a_run_can_find_has_its_advice() -> None:
    categories = re.findall(r"category IN \(([^)]*)\)", ANOMALIES)
    found = set(re.findall(r"'([A-Z_]+)' AS reason", ANOMALIES))
    found |= {name.upper() for listed in categories for name in re.findall(r"'(\w+)'", listed)}
    found |= {run.INCOMPLETE_HOURS, run.LATE_USAGE, run.OUT_OF_TIME, run.CLOCK_SKEW}
    assert found == REASONS


def test_every_reason_is_said_in_words_with_its_name_behind_them() -> None:
    said = {reason: reason_text(reason) for reason in (*REASONS, UNBILLED_OUTPUT)}
    assert len(set(said.values())) == len(said)
    for reason, words in said.items():
        assert re.fullmatch(rf"[a-z][a-z', -]+ \({reason}\)", words)


def test_commands_of_a_window_name_the_hours() -> None:
    window = "--since 2026-11-20T10:00:00Z --until 2026-11-20T11:00:00Z"
    said = {reason: advice(reason, HOUR, HOUR + ONE_HOUR) for reason in REASONS}

    with_window = {reason for reason, each in said.items() if re.search(r"phoebe (rate|report|audit)", each)}
    assert "UNPRICED" in with_window
    for reason, each in said.items():
        assert "{" not in each
        commands = re.findall(r"phoebe (?:rate|report|audit) ", each)
        assert (each.count(window), bool(commands)) == (len(commands), reason in with_window)
