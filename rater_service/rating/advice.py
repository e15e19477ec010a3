"""What each anomaly is, in words, and what to do about it, with the command to run next."""

from datetime import datetime

from rater_service.hours import utc_text

_WORDS = {
    "UNPRICED": "usage without a price",
    "UNATTRIBUTABLE": "usage without a customer, a resource or a model",
    "AMBIGUOUS_BASE": "a fine-tune with two base models",
    "MISSING_USAGE": "answers without usage",
    "MODEL_UNTRUSTED": "a model that only the client names",
    "MODEL_ECHOED": "a resource that answers by every name",
    "TOO_MANY_MODELS": "more models than there can be",
    "TOKENS_OUT_OF_RANGE": "more tokens than there can be",
    "CACHED_ABOVE_PROMPT": "more cached than prompt tokens",
    "COUNT_NOT_REPORTED": "a count that the engine left out",
    "BILLED_ROLLUP_DELETED": "a billed row that a run removed",
    "ROLLUP_TAMPERED": "a billed row that something else changed",
    "INCOMPLETE_HOURS": "hours that may not be complete yet",
    "LATE_USAGE": "usage that came after its hour was rated",
    "OUT_OF_TIME": "events with a time that can't be right",
    "CLOCK_SKEW": "a clock that is wrong",
    # Of what is on no bill; in runs it is no anomaly.
    "UNBILLED_OUTPUT": "output of answers that broke off",
}
# {window}: the anomaly's hours as options of a command.
_ADVICE = {
    "UNPRICED": "add the price to the price file, then: phoebe rate {window}",
    "UNATTRIBUTABLE": "make the edge state who pays and for what, and the engine its model; these events "
    "stay unbilled: phoebe report {window} counts them",
    "AMBIGUOUS_BASE": "make the edge state one base model for the fine-tune, or name it in the price file "
    "under fine_tunes, then: phoebe rate {window}",
    "MISSING_USAGE": "ask the engine whether it reports usage: phoebe conformance URL",
    "MODEL_UNTRUSTED": "declare the models of the resource in the map of phoebe_upstream; these events stay "
    "unbilled: phoebe report {window} counts them",
    "MODEL_ECHOED": "declare the models of the resource, or its engine if that answers by its own name, in "
    "the map of phoebe_upstream; phoebe conformance URL tells which it does. Whose usage is billed under "
    "which name: phoebe report {window} --by resource,model,customer",
    "TOO_MANY_MODELS": "if clients invent the names, declare the models of the resource in the map of "
    "phoebe_upstream; these events stay unbilled. If some are to be billed, add their prices to the price "
    "file, then: phoebe rate {window}",
    "TOKENS_OUT_OF_RANGE": "find the engine that counts wrongly: phoebe report {window} --by resource,model",
    "CACHED_ABOVE_PROMPT": "find the engine that counts wrongly: phoebe conformance URL",
    "COUNT_NOT_REPORTED": "ask the engine whether it reports all counts: phoebe conformance URL",
    "BILLED_ROLLUP_DELETED": "look what was billed and by which run it went: phoebe explain --auth A "
    "--resource R --model M --hour H",
    "ROLLUP_TAMPERED": "find out who else writes to the table rated_usage, then: phoebe audit {window}",
    "INCOMPLETE_HOURS": "phoebe producers list; once they have sent what they have: phoebe rate {window}; "
    "if one never comes back: phoebe producers retire ID",
    "LATE_USAGE": "phoebe rate {window}",
    "OUT_OF_TIME": "set the clock of that machine right, by NTP. An hour is rated by itself once it has "
    "come; to bill one as it is: phoebe rate {window}",
    "CLOCK_SKEW": "set it right, by NTP; then see `phoebe producers list`",
}


REASONS = frozenset(_ADVICE)
"""The anomalies there are."""


def advice(reason: str, window_start: datetime, window_end: datetime) -> str:
    """Say what to do about an anomaly, one of REASONS, in the hours [window_start, window_end)."""
    window = f"--since {utc_text(window_start)} --until {utc_text(window_end)}"
    return _ADVICE[reason].format(window=window)


def reason_text(reason: str) -> str:
    """Say an anomaly, or another reason for which usage is on no bill, in words with its name behind them."""
    return f"{_WORDS[reason]} ({reason})"
