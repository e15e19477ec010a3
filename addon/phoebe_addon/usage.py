"""What an engine says about the tokens of one answer.

The engine's usage block is the only authority: nothing is estimated, and a count that is not a count makes
the whole block worthless ("malformed"), because the others can't be trusted then either.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields

COUNT_MAX = 2**53  # beyond it JSON numbers are no longer exact for most writers


class MalformedUsageError(ValueError):
    """A usage block has a count that is not an integer from 0 to 2^53."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of an answer; None: the engine did not report it, 0: it reported zero.

    prompt includes cached; completion includes reasoning. Each 0 to 2^53.
    """

    prompt: int | None = None
    cached: int | None = None
    completion: int | None = None
    reasoning: int | None = None

    def is_billable(self) -> bool:
        """Whether there is anything to bill on: prompt or completion tokens were reported."""
        return self.prompt is not None or self.completion is not None


def read_count(value: object) -> int | None:
    """Read one token count as JSON gave it; null is None.

    Integral floats count (`812.0`, as Cohere sends). Raises MalformedUsageError for anything else.
    """
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= COUNT_MAX:
        raise MalformedUsageError(f"not a token count: {value!r:.60}")
    return value


def read_openai_usage(block: dict[str, object]) -> Usage:
    """Read the usage block of the OpenAI chat and completions APIs.

    cached and reasoning stand in `prompt_tokens_details.cached_tokens` and
    `completion_tokens_details.reasoning_tokens`; SGLang gives reasoning_tokens also at the top.
    Raises MalformedUsageError.
    """
    reasoning = _detail(block, "completion_tokens_details", "reasoning_tokens")
    return Usage(
        prompt=read_count(block.get("prompt_tokens")),
        cached=_detail(block, "prompt_tokens_details", "cached_tokens"),
        completion=read_count(block.get("completion_tokens")),
        reasoning=read_count(block.get("reasoning_tokens")) if reasoning is None else reasoning,
    )


def add_usages(usages: Iterable[Usage]) -> Usage:
    """Add usages up, field by field; a field none of them has stays None.

    Raises MalformedUsageError for a sum beyond 2^53.
    """
    listed = list(usages)

    def total(name: str) -> int | None:
        known = [count for usage in listed if (count := getattr(usage, name)) is not None]
        return read_count(sum(known)) if known else None

    return Usage(**{field.name: total(field.name) for field in fields(Usage)})


def _detail(block: dict[str, object], details: str, name: str) -> int | None:
    group = block.get(details)
    if group is None:
        return None
    if not isinstance(group, dict):
        raise MalformedUsageError(f"{details} is not an object")
    return read_count(group.get(name))
