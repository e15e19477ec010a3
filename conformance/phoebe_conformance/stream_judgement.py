"""Whether an engine's streams are billed, also those that a client leaves."""

import json
from collections.abc import Iterator

from phoebe_addon.apis.family import TakeOut, UsageSwitch
from phoebe_addon.formats.sse import SseParser
from phoebe_addon.gate.request_body import Asking
from phoebe_runtime.counts import counted

from . import advice
from .case import Case, counts
from .metering import Metered
from .questions import ANSWER_TOKENS_MAX
from .report import Finding

_EVENT_BYTES_MAX = 8 * 1024 * 1024


def judge_streamed(case: Case, metered: Metered, plain: Metered) -> Finding:
    """Judge a stream that answers the prompt that a plain answer did."""
    taken_out = ", asked for and taken out" if metered.added_switches else ""
    return (
        _refused(case, metered)
        or case.usage_fault("streamed", metered)
        or _cut(case, metered)
        or _differs(case, metered, plain)
        or _left_over(case, metered)
        or _odd(case, metered)
        or case.ok(
            "streamed",
            f"The stream is complete and has usage{taken_out}: {counts(metered.event)}.",
        )
    )


def judge_aborted(case: Case, metered: Metered) -> Finding:
    """Judge a stream that the client left after its first documents."""
    case.require_served(metered)
    event = metered.event
    if not metered.hung_up:
        return case.warning("aborted", "The answer came in too few pieces to be cut off.")
    if metered.malformed:
        return case.malformed("aborted", metered)
    if event.prompt_tokens and event.completion_tokens:
        return case.ok(
            "aborted", f"When the client left, the counts were known: {counts(event)}.", _declaring_hint(case)
        )
    if any(ask.continuous for ask in metered.added_switches):
        # With `auto` nobody relies on it: what can't be had is not asked for.
        find = case.failed if case.terms.asking is Asking.CONTINUOUS else case.warning
        return find(
            "aborted",
            "Usage on every chunk was asked for and did not come: aborted streams would not be billed.",
            "Set `usage: final` for this engine, and check it with --usage final.",
        )
    if event.prompt_tokens:
        return case.ok("aborted", "Of aborted streams only the prompt is billed.")
    return case.ok("aborted", "Aborted streams are not billed.", _continuous_hint(case))


def judge_refused(case: Case, metered: Metered, unasked: Metered) -> Finding:
    """Judge an engine that refuses to be asked for usage. unasked: a stream that was asked for nothing."""
    refuses = f"The engine refuses a stream asked for as Phoebe asks ({_refusal(metered)})"
    if not unasked.served or (case.terms.continuous and not case.terms.engine.name):
        return case.failed(
            "streamed",
            f"{refuses}.",
            advice.report_in_streams(case.terms.engine, continuous=case.terms.continuous),
        )
    if unasked.event.usage_found:
        return case.failed(
            "streamed",
            f"{refuses}, and reports usage without being asked.",
            "Declare `usage: none` in the resource map, and check it with --usage none.",
        )
    return case.failed(
        "streamed",
        f"{refuses}, and reports no usage when it is not asked: its streams would not be billed.",
        advice.report_in_streams(case.terms.engine, continuous=False),
    )


def _refused(case: Case, metered: Metered) -> Finding | None:
    if metered.served:
        return None
    return case.failed("streamed", f"The engine refuses a stream ({_refusal(metered)}).")


def _refusal(metered: Metered) -> str:
    return f"{metered.event.status_code}: {metered.said}" if metered.said else str(metered.event.status_code)


def _cut(case: Case, metered: Metered) -> Finding | None:
    if metered.event.outcome == "completed":
        return None
    return case.failed(
        "streamed",
        "The stream has an error in it or does not say that it is complete: "
        f"it would be recorded as {metered.event.outcome}.",
        "Look into the engine's log, and for something between that cuts streams.",
    )


def _differs(case: Case, metered: Metered, plain: Metered) -> Finding | None:
    if not plain.event.usage_found or metered.event.prompt_tokens == plain.event.prompt_tokens:
        return None
    return case.failed(
        "streamed",
        f"The same prompt has {counted(plain.event.prompt_tokens, 'token')} in a plain answer and "
        f"{metered.event.prompt_tokens} in a stream: one of them would be billed wrongly.",
        advice.ENGINE_FAULT,
    )


def _left_over(case: Case, metered: Metered) -> Finding | None:
    if not any(_shows_usage(document, metered.added_switches) for document in _documents(metered.seen)):
        return None
    return case.failed(
        "streamed",
        "The usage that Phoebe asks for comes in a shape it does not take out again: clients would see it.",
        "Report the engine and its version to Phoebe's developers.",
    )


def _odd(case: Case, metered: Metered) -> Finding | None:
    if not metered.event.streamed:
        return case.warning("streamed", "A stream was asked for, and one document came.")
    if metered.event.completion_tokens > ANSWER_TOKENS_MAX:
        return case.warning(
            "streamed",
            f"At most {ANSWER_TOKENS_MAX} tokens were asked for, and "
            f"{metered.event.completion_tokens} are reported.",
            "Compare what the engine counts with what it generates.",
        )
    return None


def _declaring_hint(case: Case) -> str | None:
    if case.terms.stated or not case.terms.engine.name or case.terms.asking is not Asking.AUTO:
        return None
    return f"Declare `engine: {case.terms.engine.name}` for the resource: others are not asked for them."


def _continuous_hint(case: Case) -> str | None:
    engine = case.terms.engine
    if not engine.name or not any(ask.continuous for ask in case.family.request.usage_switches):
        return None
    if not engine.continuous_usage:
        wanted = case.terms.asking is Asking.CONTINUOUS
        return f"{engine.name} can't report usage before the end." if wanted else None
    return f"{engine.name} can report usage as far as it came: check it with --usage auto."


def _documents(stream: bytes) -> Iterator[dict[str, object]]:
    parser = SseParser(_EVENT_BYTES_MAX)
    pieces = list(parser.feed(stream))
    last = parser.finish()
    for piece in (*pieces, *([last] if last else ())):
        try:
            document = json.loads(piece.data or b"")
        except ValueError:
            continue
        if isinstance(document, dict):
            yield document


def _shows_usage(document: dict[str, object], added_switches: tuple[UsageSwitch, ...]) -> bool:
    """Whether a document has the usage that the client did not ask for."""
    if not isinstance(document.get("usage"), dict):
        return False
    ways = {ask.take_out for ask in added_switches}
    return TakeOut.RUNNING in ways or (TakeOut.CHUNK in ways and not document.get("choices"))
