"""What is judged in one API family, and how a judgement is worded."""

from dataclasses import dataclass

from phoebe_addon.apis.families import find_family
from phoebe_addon.apis.family import Family
from phoebe_proto.v1.metering_pb2 import MeteringEvent

from . import advice
from .metering import Metered, Terms
from .questions import Question
from .report import Finding, Result, UncheckedError

_RAW_SHOWN = 160


@dataclass(frozen=True, slots=True)
class Case:
    """An engine in one API family. model: the name it is asked for."""

    question: Question
    model: str
    terms: Terms

    @property
    def family(self) -> Family:
        """The facts of the API family."""
        family = find_family(self.question.api)
        assert family
        return family

    def ok(self, name: str, message: str, hint: str | None = None) -> Finding:
        """Find that all is well."""
        return Finding(name, Result.OK, message, hint, self.question.api)

    def warning(self, name: str, message: str, hint: str | None = None) -> Finding:
        """Find something the operator must know, or declare."""
        return Finding(name, Result.WARNING, message, hint, self.question.api)

    def failed(self, name: str, message: str, hint: str | None = None) -> Finding:
        """Find that something would be billed wrongly or not at all."""
        return Finding(name, Result.FAILED, message, hint, self.question.api)

    def require_served(self, metered: Metered, hint: str | None = None) -> None:
        """Raise UncheckedError if the engine refused what it was asked."""
        if not metered.served:
            said = f": {metered.said}" if metered.said else ""
            raise UncheckedError(
                f"The engine answers {metered.event.status_code} to POST {self.question.path}{said}.", hint
            )

    def usage_fault(self, name: str, metered: Metered) -> Finding | None:
        """Find what is wrong with the usage of an answer; None: it can be billed on."""
        event = metered.event
        if metered.malformed:
            return self.malformed(name, metered)
        if not event.usage_found:
            return self._no_usage(name, metered)
        if not event.prompt_tokens:
            return self.failed(name, f"The engine reports no prompt tokens: {counts(event)}.")
        if self.question.generates and not event.completion_tokens:
            return self.failed(name, f"The engine reports no generated tokens: {counts(event)}.")
        return None

    def malformed(self, name: str, metered: Metered) -> Finding:
        """Find that the usage of an answer can't be read."""
        return self.failed(
            name,
            "The usage has a count that is no whole number of tokens, so that none of it is billed: "
            f"{metered.event.usage_raw[:_RAW_SHOWN]}",
            advice.ENGINE_FAULT,
        )

    def _no_usage(self, name: str, metered: Metered) -> Finding:
        event = metered.event
        if event.streamed:
            return self.failed(
                name,
                "The stream came without usage: it would not be billed.",
                advice.report_in_streams(self.terms.engine, continuous=self.terms.continuous),
            )
        what = "is an error" if event.outcome == "upstream_error" else "has no usage"
        return self.failed(
            name,
            f"The answer {what}: it would not be billed.",
            "Check that this is a model server that speaks this API.",
        )


def counts(event: MeteringEvent) -> str:
    """Write the counts of an event."""
    found = ((name, count_of(event, name)) for name in ("prompt", "cached", "completion"))
    return ", ".join(f"{name} {'not reported' if count is None else count}" for name, count in found)


def count_of(event: MeteringEvent, name: str) -> int | None:
    """Return a count of an event; None: not reported."""
    count: int = getattr(event, f"{name}_tokens")
    return count if event.HasField(f"{name}_tokens") else None  # type: ignore[arg-type]
