"""Folding the usages of an answer's documents into one.

How engines differ, and what is made of it:
- Usage on a chunk without choices is final for the chunk's `id`. TensorRT-LLM sends one for each prompt,
  each with an id of its own: they are added up. llama.cpp sends one for each result, all under one id.
- Usage on chunks with choices is cumulative for its choice (vLLM's continuous usage; TGI puts one on the last
  chunk of each prompt). Ollama sends zeros there until the end.
- Answers to one prompt repeat its counts: completion tokens are added over answers, the prompt's are not.
- A list of shares says more exactly what was used than the totals beside it, and by which model. A later list
  takes the place of an earlier one; counts that are stated after the list hold, as everywhere.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from phoebe_addon.answer.usage_by_model import Division, FurtherUsage, divide, further_usage, is_nothing
from phoebe_addon.apis.family import Fold, Path, UsagePlace, value_at
from phoebe_addon.apis.usage import (
    COUNT_NAMES,
    PROMPT_SIDE,
    MalformedUsageError,
    Share,
    Usage,
    add_counts,
)
from phoebe_addon.formats.json_members import element_texts, only_member_text, text_at

USAGE_RAW_BYTES_MAX = 16 * 1024
# More results than any request asks for. Beyond it the sum would be wrong, so there is none.
RESULTS_MAX = 65_536
# Of so many results the documents are kept for the raw usage; together they bound what the proxy keeps.
_DOCUMENTS_KEPT_MAX = 64
_ID_LENGTH_MAX = 256


@dataclass(frozen=True, slots=True)
class ResultKey:
    """Which result a usage is for: the document's id, and its number within the answer."""

    id: str
    index: int


def result_key(document_id: object, index: object) -> ResultKey:
    """Make the key of a result. An id or an index of a wrong type counts as if it were not there."""
    known_id = document_id[:_ID_LENGTH_MAX] if isinstance(document_id, str) else ""
    return ResultKey(known_id, index if isinstance(index, int) and index >= 0 else 0)


class FoundUsage(NamedTuple):
    """A usage object, and where in its document it stands."""

    block: dict[str, object]
    path: Path


_NOTHING = Usage()


@dataclass(frozen=True, slots=True)
class _Statement:
    """What was stated of one result. usage: None when malformed. texts: of it; None: not all kept.

    shares: those of the last list, which stands in shares_text; None: there is none. since: what was stated
    after it.
    """

    usage: Usage | None
    texts: tuple["_UsageText", ...] | None
    shares: tuple[Share, ...] | None = None
    shares_text: "_UsageText | None" = None
    since: Usage = _NOTHING


@dataclass(frozen=True, slots=True)
class _UsageText:
    """The text of a usage object, cut out of its document only when it is asked for: chunks come fast."""

    document: str
    path: Path
    members: tuple[str, ...]

    def cut(self) -> str | None:
        # The usage was found there: if its name stands in the document once, it is this one.
        if len(self.path) == 1 and (text := only_member_text(self.document, str(self.path[0]))):
            return text_at(text, (), self.members) if self.members else text
        return text_at(self.document, self.path, self.members)

    def elements(self, place: str, numbers: Iterable[int]) -> str | None:
        """Cut elements out of the list at a place, as an array."""
        try:
            texts = element_texts(self.document, (*self.path, place))
            joined = f"[{','.join(texts[number] for number in numbers)}]"
        except (ValueError, LookupError, RecursionError):
            return None
        return joined if len(joined.encode()) <= USAGE_RAW_BYTES_MAX else None


class UsageLedger:
    """Collects what the documents of one answer state in one place.

    answers_per_prompt: results that share a prompt, 1 or more; None: all do. bad_details: names of counts
    whose details were no object.
    """

    def __init__(self, place: UsagePlace, fold: Fold, answers_per_prompt: int | None) -> None:
        self._place = place
        self._fold = fold
        self._answers_per_prompt = answers_per_prompt
        self._final: dict[ResultKey, _Statement] = {}
        self._running: dict[ResultKey, _Statement] = {}
        self._overflowed = False
        self.bad_details: set[str] = set()

    def find(self, document: object) -> FoundUsage | None:
        """Find the usage object of a document."""
        for path in self._place.places:
            block = value_at(document, path)
            if isinstance(block, dict):
                return FoundUsage(block, path)
        return None

    def state(self, found: FoundUsage, document: str, key: ResultKey, *, final: bool) -> bool:
        """Take what a usage object states.

        document: the text it stands in. final: nothing later replaces it. Returns whether it states anything.
        """
        text = _UsageText(document, found.path, self._place.members)
        return self._state(found.block, text, key, final=final)

    def _state(self, block: dict[str, object], text: _UsageText, key: ResultKey, *, final: bool) -> bool:
        counts = self._place.counts
        shares = counts.read_shares(block, self.bad_details)
        try:
            usage = counts.read(block, self.bad_details)
        except MalformedUsageError:
            usage = None
        known = self._final if final else self._running
        before = known.get(key)
        if usage is not None and not shares and self._says_nothing(usage, before, final=final):
            return False
        if before is None and len(known) >= RESULTS_MAX:
            self._overflowed = True
            return True
        results = len(known) + (before is None)
        texts = self._kept(text) if results <= _DOCUMENTS_KEPT_MAX else None
        shares_text = texts[0] if texts else None
        if self._fold is Fold.MERGE and before is not None:
            known[key] = self._merged_statement(before, _Statement(usage, texts, shares, shares_text))
        else:
            known[key] = _Statement(usage, texts, shares, shares_text)
        return True

    def _merged_statement(self, before: _Statement, now: _Statement) -> _Statement:
        usage, texts = self._merged(before.usage, now.usage), _together(before.texts, now.texts)
        if now.shares is not None:
            return _Statement(usage, texts, now.shares, now.shares_text)
        since = now.usage.filled_from(before.since) if now.usage else before.since
        return _Statement(usage, texts, before.shares, before.shares_text, since)

    def usage(self, model: str | None = None) -> Usage | None:
        """Add up what was stated of the answering model; None: nothing was. Raises MalformedUsageError.

        model: what the answer says made it; None: it names none.
        """
        known = self._final or self._running
        usages = {key: self._own(statement, model) for key, statement in known.items()}
        if self._overflowed:
            raise MalformedUsageError("too many results to add up")
        if not usages:
            return None
        if len(usages) == 1:
            (only,) = usages.values()
            return self._place.counts.whole_prompt(_well_formed(only))
        return self._total(
            {key: self._place.counts.whole_prompt(_well_formed(u)) for key, u in usages.items()}
        )

    def further(self, model: str | None) -> list[FurtherUsage]:
        """List what other models used than the answering one."""
        further: list[FurtherUsage] = []
        for statement, division in self._divisions(model):
            for name, shares in division.others.items():
                usage = further_usage(shares, self._place.counts)
                if not is_nothing(usage):
                    further.append(FurtherUsage(name, usage, self._shares_raw(statement, shares)))
        return further

    def own_name(self, model: str | None) -> str | None:
        """Return what the list of shares calls the answering model; None: there is no list, or no name."""
        return next((division.own_name for _, division in self._divisions(model)), None)

    def _divisions(self, model: str | None) -> list[tuple[_Statement, Division]]:
        statements = (self._final or self._running).values()
        return [(each, divide(each.shares, model)) for each in statements if each.shares is not None]

    def _own(self, statement: _Statement, model: str | None) -> Usage | None:
        """Return what a statement says of the answering model, as stated; None: it can't be read."""
        if statement.usage is None or statement.shares is None:
            return statement.usage
        own = divide(statement.shares, model).own
        try:
            total = self._place.counts.total(own)
        except MalformedUsageError:
            return None
        return statement.since.filled_from(total).filled_from(statement.usage)

    def _shares_raw(self, statement: _Statement, shares: Iterable[Share]) -> str | None:
        place = self._place.counts.shares_place
        if place is None or statement.shares_text is None:
            return None
        return statement.shares_text.elements(place, (share.number for share in shares))

    def raw(self) -> list[str] | None:
        """Return the usage objects as the engine sent them; None if they were not all kept."""
        raws: list[str] = []
        for statement in (self._final or self._running).values():
            for text in statement.texts if statement.texts is not None else (None,):
                raw = text.cut() if text else None
                if raw is None:
                    return None
                raws.append(raw)
        return raws

    def _kept(self, text: _UsageText) -> tuple[_UsageText, ...] | None:
        if len(text.document) <= USAGE_RAW_BYTES_MAX:
            return (text,)
        cut = text.cut()
        if cut is not None and len(cut) > USAGE_RAW_BYTES_MAX:
            # Of a usage object with long members beside its counts, these are kept.
            cut = text_at(cut, (), self._place.counts.names())
        if cut is None or len(cut) > USAGE_RAW_BYTES_MAX:
            return None
        return (_UsageText(cut, (), ()),)

    def _says_nothing(self, usage: Usage, before: _Statement | None, *, final: bool) -> bool:
        if self._place.members and usage.is_empty():
            return True  # the object has other purposes, and no counts yet
        placeholder = not final and not any(getattr(usage, name) for name in COUNT_NAMES)
        return placeholder and (before is None or self._fold is Fold.CHOICES)

    def _merged(self, before: Usage | None, now: Usage | None) -> Usage | None:
        if before is None or now is None:
            return None
        merged = now.filled_from(before)
        try:
            added = {
                name: add_counts((getattr(before, name), getattr(now, name))) for name in self._place.added
            }
        except MalformedUsageError:
            return None
        return replace(merged, **added)

    def _total(self, usages: dict[ResultKey, Usage]) -> Usage:
        by_prompt: dict[ResultKey, Usage] = {}
        for key, usage in usages.items():
            prompt_key = self._prompt_key(key)
            by_prompt[prompt_key] = usage.filled_from(by_prompt.get(prompt_key, Usage()))
        return Usage(
            **{
                name: add_counts(
                    getattr(usage, name) for usage in (by_prompt if name in PROMPT_SIDE else usages).values()
                )
                for name in COUNT_NAMES
            }
        )

    def _prompt_key(self, key: ResultKey) -> ResultKey:
        if self._answers_per_prompt is None:
            return ResultKey("", 0)
        return ResultKey(key.id, key.index // self._answers_per_prompt)


def _together(
    before: tuple[_UsageText, ...] | None, now: tuple[_UsageText, ...] | None
) -> tuple[_UsageText, ...] | None:
    if before is None or now is None or len(before) >= _DOCUMENTS_KEPT_MAX:
        return None
    return before + now


def _well_formed(usage: Usage | None) -> Usage:
    if usage is None:
        raise MalformedUsageError("one of the usages has a count that is not a whole number")
    return usage
