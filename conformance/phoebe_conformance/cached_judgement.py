"""Whether an engine reports which part of a prompt came from its cache."""

from phoebe_proto.v1.metering_pb2 import MeteringEvent
from phoebe_runtime.counts import counted

from . import advice
from .case import Case, count_of, counts
from .metering import Metered
from .report import Finding

_UNREPORTED = "Cached tokens are not reported: they would be billed as if they had not been cached."


def judge_cached(case: Case, first: Metered, second: Metered, stream: Metered) -> Finding:
    """Judge three answers to one long prompt, the last of them a stream."""
    for metered in (first, second, stream):
        case.require_served(metered, "If the prompt is too long for it, give fewer --prompt-tokens.")
        if fault := case.usage_fault("cached", metered):
            return fault
    events = (first.event, second.event, stream.event)
    if all(count_of(event, "cached") is None for event in events):
        can = advice.can_report_cached(case.terms.engine)
        finding = case.failed if can else case.warning
        return finding("cached", _UNREPORTED, advice.report_cached(case.terms.engine))
    return _too_many(case, events) or _judge_reported(case, second.event, stream.event)


def _too_many(case: Case, events: tuple[MeteringEvent, ...]) -> Finding | None:
    for event in events:
        if event.cached_tokens > event.prompt_tokens:
            return case.failed(
                "cached",
                f"More tokens are reported as cached than the prompt has: {counts(event)}.",
                advice.ENGINE_FAULT,
            )
    return None


def _judge_reported(case: Case, second: MeteringEvent, stream: MeteringEvent) -> Finding:
    plainly, streamed = count_of(second, "cached"), count_of(stream, "cached")
    if not plainly and not streamed:
        return case.warning(
            "cached",
            "Cached tokens are reported, but there were none when the same prompt came again.",
            "Prefix caching is off, another replica answered, or the prompt is too short for it "
            "(--prompt-tokens).",
        )
    if plainly is None or streamed is None:
        return case.failed(
            "cached",
            f"In {'plain answers' if plainly is None else 'streams'} cached tokens are not reported: "
            "there they would be billed as if they had not been cached.",
            advice.ENGINE_FAULT,
        )
    return case.ok(
        "cached",
        f"A prompt of {counted(second.prompt_tokens, 'token')} came again; reported as cached: {plainly}, in "
        f"a stream: {streamed}.",
    )
