"""What an engine says about the tokens of one answer.

The engine's usage block is the only authority: nothing is estimated, and a count that is not a count makes
the whole block worthless ("malformed"), because the others can't be trusted then either.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace

COUNT_MAX = 2**53  # beyond it JSON numbers are no longer exact for most writers


class MalformedUsageError(ValueError):
    """A usage block has a count that is not an integer from 0 to 2^53."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of an answer; None: the engine did not report it, 0: it reported zero.

    prompt includes cached, cache_write and prompt_audio; completion includes reasoning and completion_audio.
    Each 0 to 2^53.
    """

    prompt: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    prompt_audio: int | None = None
    completion: int | None = None
    reasoning: int | None = None
    completion_audio: int | None = None

    def is_billable(self) -> bool:
        """Whether there is anything to bill on: prompt or completion tokens were reported."""
        return self.prompt is not None or self.completion is not None

    def is_empty(self) -> bool:
        """Whether nothing was reported."""
        return self == _NOTHING

    def filled_from(self, other: "Usage") -> "Usage":
        """Take what is not reported here from another usage."""
        return Usage(
            *(
                getattr(other, name) if getattr(self, name) is None else getattr(self, name)
                for name in COUNT_NAMES
            )
        )


COUNT_NAMES = tuple(field.name for field in fields(Usage))
PROMPT_SIDE = ("prompt", "cached", "cache_write", "prompt_audio")
"""The counts that tell of the prompt: answers that share a prompt repeat them."""
_NOTHING = Usage()

type Paths = tuple[tuple[str, ...], ...]


def _paths(names: tuple[str, ...]) -> Paths:
    return tuple(tuple(name.split(".")) for name in names)


class Counts:
    """Which member of a usage object is which count: the facts of one format.

    Each count has names in order of precedence, the first that is not null counts; a dot leads into an
    object. cached_beside_prompt: the format does not include cached and cache_write in its prompt count (the
    Anthropic family); they are added to it. prompt_besides: other parts of the prompt that are counted apart.
    parts: a list in the object whose elements have the counts of all that was used, if it is there.
    """

    def __init__(
        self,
        *,
        cached_beside_prompt: bool = False,
        prompt_besides: tuple[str, ...] = (),
        parts: str | None = None,
        **names: tuple[str, ...],
    ) -> None:
        unknown = names.keys() - set(COUNT_NAMES)
        if unknown:
            raise TypeError(f"no such counts: {unknown}")
        self.cached_beside_prompt = cached_beside_prompt
        self._prompt_besides = _paths(prompt_besides)
        self._parts = parts
        self._paths = {name: _paths(names.get(name, ())) for name in COUNT_NAMES}
        self._given = tuple((name, paths) for name, paths in self._paths.items() if paths)

    def with_cached_in_prompt(self) -> "Counts":
        """Make the same facts for an engine whose prompt count includes the cached tokens."""
        names = {name: tuple(".".join(path) for path in paths) for name, paths in self._given}
        return Counts(parts=self._parts, cached_beside_prompt=False, prompt_besides=(), **names)

    def names(self) -> tuple[str, ...]:
        """List the members of the block that are read."""
        return tuple(path[0] for _, paths in self._given for path in paths)

    def read(self, block: Mapping[str, object]) -> Usage:
        """Read the counts as they are stated. Raises MalformedUsageError."""
        usage = self._read_one(block)
        parts = block.get(self._parts) if self._parts else None
        if not isinstance(parts, list) or not parts:
            return usage
        usages = [self._read_one(part) for part in parts if isinstance(part, dict)]
        total = Usage(*(add_counts(getattr(each, name) for each in usages) for name in COUNT_NAMES))
        return total.filled_from(usage)

    def _read_one(self, block: Mapping[str, object]) -> Usage:
        usage = Usage(**{name: _first_count(block, paths) for name, paths in self._given})
        if not self._prompt_besides:
            return usage
        besides = [_first_count(block, (path,)) for path in self._prompt_besides]
        return replace(usage, prompt=add_counts((usage.prompt, *besides)))

    def whole_prompt(self, stated: Usage) -> Usage:
        """Turn counts as stated into those whose prompt includes everything. Raises MalformedUsageError."""
        if not self.cached_beside_prompt or stated.prompt is None:
            return stated
        prompt = stated.prompt + (stated.cached or 0) + (stated.cache_write or 0)
        return replace(stated, prompt=read_count(prompt))


def read_count(value: object) -> int | None:
    """Read one token count as JSON gave it; null is None.

    Integral floats count (`812.0`, as Cohere sends). Raises MalformedUsageError for anything else.
    """
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= COUNT_MAX:
        raise MalformedUsageError(f"not a token count: {type(value).__name__}")
    return value


def add_counts(counts: Iterable[int | None]) -> int | None:
    """Add counts up; None if none is known. Raises MalformedUsageError for a sum beyond 2^53."""
    known = [count for count in counts if count is not None]
    return read_count(sum(known)) if known else None


def _first_count(block: Mapping[str, object], paths: Paths) -> int | None:
    for path in paths:
        value = read_count(_member(block, path))
        if value is not None:
            return value
    return None


def _member(block: Mapping[str, object], path: tuple[str, ...]) -> object:
    value: object = block
    for name in path:
        if value is None:
            return None
        if not isinstance(value, dict):
            raise MalformedUsageError(f"{'.'.join(path)}: not inside an object")
        value = value.get(name)
    return value
