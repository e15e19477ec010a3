"""What an engine says about the tokens of one answer.

The engine's usage block is the only authority: nothing is estimated, and a count that is not a whole number
makes the whole block worthless ("malformed"), because the others can't be trusted then either. Details that
are no object at all (`"prompt_tokens_details": []`) state no numbers: they are taken for not reported.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace

EACH_SHARE = -1
# More samplings than any answer takes. The skimmer of long documents keeps no more either.
SHARES_MAX = 1000
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


@dataclass(frozen=True, slots=True)
class Shares:
    """A list in a usage object that states the usage of each sampling of an answer, by one model or several.

    place: the member that is the list. model, kind: members of its elements: whose usage it is, and of what.
    unnamed_kinds: kinds of sampling that are the answering model's own if they name no model. sampled_kinds:
    kinds of sampling that make the answer itself: the last of them is the answering model's.
    """

    place: str
    model: str
    kind: str
    unnamed_kinds: frozenset[str]
    sampled_kinds: frozenset[str]


@dataclass(frozen=True, slots=True)
class Share:
    """One element of such a list. number: which. model: None: it names none.

    usage: as stated; None: it can't be read. is_unnamed, is_sampled: by its kind, see `Shares`; an element
    without a kind is both, one that is no object neither.
    """

    number: int
    model: str | None
    usage: Usage | None
    is_unnamed: bool
    is_sampled: bool


def _paths(names: tuple[str, ...]) -> Paths:
    return tuple(tuple(name.split(".")) for name in names)


class Counts:
    """Which member of a usage object is which count: the facts of one format.

    Each count has names in order of precedence, the first that is not null counts; a dot leads into an
    object. cached_beside_prompt: the format does not include cached and cache_write in its prompt count (the
    Anthropic family); they are added to it. prompt_besides: other parts of the prompt that are counted apart.
    shares: a list in the object whose elements say more exactly what was used, if it is there.
    zero_prompt_is_unsaid: no request of the API has an empty prompt, so that an engine that says 0 never
    counted it.
    """

    def __init__(
        self,
        *,
        cached_beside_prompt: bool = False,
        prompt_besides: tuple[str, ...] = (),
        shares: Shares | None = None,
        zero_prompt_is_unsaid: bool = False,
        **names: tuple[str, ...],
    ) -> None:
        unknown = names.keys() - set(COUNT_NAMES)
        if unknown:
            raise TypeError(f"no such counts: {unknown}")
        self.cached_beside_prompt = cached_beside_prompt
        self._zero_prompt_is_unsaid = zero_prompt_is_unsaid
        self._prompt_besides = _paths(prompt_besides)
        self._shares = shares
        self._paths = {name: _paths(names.get(name, ())) for name in COUNT_NAMES}
        self._given = tuple((name, paths) for name, paths in self._paths.items() if paths)
        self._needed = _BILLED | (_BESIDE_PROMPT if cached_beside_prompt else frozenset())

    def with_cached_in_prompt(self) -> "Counts":
        """Make the same facts for an engine whose prompt count includes the cached tokens."""
        names = {name: tuple(".".join(path) for path in paths) for name, paths in self._given}
        return Counts(
            cached_beside_prompt=False,
            prompt_besides=(),
            shares=self._shares,
            zero_prompt_is_unsaid=self._zero_prompt_is_unsaid,
            **names,
        )

    def names(self) -> tuple[str, ...]:
        """List the members of the block that are read."""
        return tuple(dict.fromkeys(str(place[0]) for place in self.places()))

    def places(self) -> tuple[tuple[str | int, ...], ...]:
        """List where in the block something is read. EACH_SHARE stands for any of its shares."""
        counts = (*(path for _, paths in self._given for path in paths), *self._prompt_besides)
        if not self._shares:
            return counts
        inside = (*counts, (self._shares.model,), (self._shares.kind,))
        shares: list[tuple[str | int, ...]] = [(self._shares.place, EACH_SHARE, *path) for path in inside]
        return (*counts, *shares)

    @property
    def shares_place(self) -> str | None:
        """The member that is the list of shares; None: the format has none."""
        return self._shares.place if self._shares else None

    def read(self, block: Mapping[str, object], bad_details: set[str] | None = None) -> Usage:
        """Read the counts as they are stated, but for those of shares. Raises MalformedUsageError.

        bad_details: takes the names of counts whose details are no object.
        """
        return self._as_said(self._read_one(block, set() if bad_details is None else bad_details))

    def read_shares(
        self, block: Mapping[str, object], bad_details: set[str] | None = None
    ) -> tuple[Share, ...] | None:
        """Read the list of shares; None: there is none.

        Of more than SHARES_MAX the others are one that can't be read.
        """
        facts = self._shares
        stated = block.get(facts.place) if facts else None
        if not facts or stated is None or stated == []:
            return None
        bad = set() if bad_details is None else bad_details
        if not isinstance(stated, list):
            bad.add(facts.place)
            return None
        shares = [self._share(facts, number, each, bad) for number, each in enumerate(stated[:SHARES_MAX])]
        if len(stated) > SHARES_MAX:
            shares.append(Share(SHARES_MAX, None, None, is_unnamed=False, is_sampled=False))
        return tuple(shares)

    def total(self, shares: Iterable[Share]) -> Usage:
        """Add shares up, as stated. Raises MalformedUsageError if one can't be read."""
        usages = [share.usage for share in shares]
        if None in usages:
            raise MalformedUsageError("a share has a count that is not a whole number")
        return self._as_said(
            Usage(*(add_counts(getattr(usage, name) for usage in usages) for name in COUNT_NAMES))
        )

    def _share(self, facts: Shares, number: int, element: object, bad_details: set[str]) -> Share:
        if not isinstance(element, dict):
            return Share(number, None, None, is_unnamed=False, is_sampled=False)
        model, kind = element.get(facts.model), element.get(facts.kind)
        try:
            usage = self._read_one(element, bad_details)
        except MalformedUsageError:
            usage = None
        return Share(
            number,
            model if isinstance(model, str) and model else None,
            usage,
            is_unnamed=kind is None or (isinstance(kind, str) and kind in facts.unnamed_kinds),
            is_sampled=kind is None or (isinstance(kind, str) and kind in facts.sampled_kinds),
        )

    def _as_said(self, usage: Usage) -> Usage:
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
