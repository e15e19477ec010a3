"""What an engine says about the tokens of one answer.

The engine's usage block is the only authority: nothing is estimated, and a count that is not a whole number
makes the whole block worthless ("malformed"), because the others can't be trusted then either. Details that
are no object at all (`"prompt_tokens_details": []`) state no numbers: they are taken for not reported.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace

EACH_PART = -1
COUNT_MAX = 2**53  # beyond it JSON numbers are no longer exact for most writers


class MalformedUsageError(ValueError):
    """A usage block has a count that is not an integer from 0 to 2^53."""


class _NoObjectError(MalformedUsageError):
    """What counts are looked for in is no object."""


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
_BILLED = frozenset({"prompt", "completion"})
_BESIDE_PROMPT = frozenset({"cached", "cache_write"})
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
    zero_prompt_is_unsaid: no request of the API has an empty prompt, so that an engine that says 0 never
    counted it.
    """

    def __init__(
        self,
        *,
        cached_beside_prompt: bool = False,
        prompt_besides: tuple[str, ...] = (),
        parts: str | None = None,
        zero_prompt_is_unsaid: bool = False,
        **names: tuple[str, ...],
    ) -> None:
        unknown = names.keys() - set(COUNT_NAMES)
        if unknown:
            raise TypeError(f"no such counts: {unknown}")
        self.cached_beside_prompt = cached_beside_prompt
        self._zero_prompt_is_unsaid = zero_prompt_is_unsaid
        self._prompt_besides = _paths(prompt_besides)
        self._parts = parts
        self._paths = {name: _paths(names.get(name, ())) for name in COUNT_NAMES}
        self._given = tuple((name, paths) for name, paths in self._paths.items() if paths)
        self._needed = _BILLED | (_BESIDE_PROMPT if cached_beside_prompt else frozenset())

    def with_cached_in_prompt(self) -> "Counts":
        """Make the same facts for an engine whose prompt count includes the cached tokens."""
        names = {name: tuple(".".join(path) for path in paths) for name, paths in self._given}
        return Counts(
            cached_beside_prompt=False,
            prompt_besides=(),
            parts=self._parts,
            zero_prompt_is_unsaid=self._zero_prompt_is_unsaid,
            **names,
        )

    def names(self) -> tuple[str, ...]:
        """List the members of the block that are read."""
        return tuple(dict.fromkeys(str(place[0]) for place in self.places()))

    def places(self) -> tuple[tuple[str | int, ...], ...]:
        """List where in the block counts are read. EACH_PART stands for any of its parts."""
        counts = (*(path for _, paths in self._given for path in paths), *self._prompt_besides)
        if not self._parts:
            return counts
        parts: list[tuple[str | int, ...]] = [(self._parts, EACH_PART, *path) for path in counts]
        return (*counts, *parts)

    def read(self, block: Mapping[str, object], bad_details: set[str] | None = None) -> Usage:
        """Read the counts as they are stated. Raises MalformedUsageError.

        bad_details: takes the names of counts whose details are no object.
        """
        bad = set() if bad_details is None else bad_details
        usage = self._read_one(block, bad)
        parts = block.get(self._parts) if self._parts else None
        if isinstance(parts, list) and parts:
            usages = [self._read_one(part, bad) for part in parts if isinstance(part, dict)]
            total = Usage(*(add_counts(getattr(each, name) for each in usages) for name in COUNT_NAMES))
            usage = total.filled_from(usage)
        return self._without_unsaid_prompt(usage) if self._zero_prompt_is_unsaid else usage

    def _without_unsaid_prompt(self, usage: Usage) -> Usage:
        # A prompt that came wholly from the cache may be stated as 0.
        is_unsaid = usage.prompt == 0 and not usage.cached and not usage.cache_write
        return replace(usage, prompt=None) if is_unsaid else usage

    def _read_one(self, block: Mapping[str, object], bad_details: set[str]) -> Usage:
        counts: dict[str, int | None] = {}
        for name, paths in self._given:
            try:
                counts[name] = _first_count(block, paths)
            except _NoObjectError:
                if name in self._needed:
                    raise
                bad_details.add(name)
        usage = Usage(**counts)
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
    """Read the first count that is stated. Raises MalformedUsageError."""
    no_object: _NoObjectError | None = None
    for path in paths:
        try:
            value = _member(block, path)
        except _NoObjectError as error:
            no_object = error
            continue
        count = read_count(value)
        if count is not None:
            return count
    if no_object:
        raise no_object
    return None


def _member(block: Mapping[str, object], path: tuple[str, ...]) -> object:
    value: object = block
    for name in path:
        if value is None:
            return None
        if not isinstance(value, dict):
            raise _NoObjectError(f"{'.'.join(path)}: not inside an object")
        value = value.get(name)
    return value
