"""What to do about each anomaly, with the command to run next."""

from datetime import datetime

from rater_service.hours import utc_text

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
