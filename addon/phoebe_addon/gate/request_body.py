"""What the proxy must know of a request body, and the one change it makes to it.

Some engines report usage only if they are asked to. The member that asks for it is set to true, also over an
explicit `false`; every other byte stays as the client sent it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from phoebe_addon.apis.engines import UNDECLARED, Engine
from phoebe_addon.apis.family import (
    EACH,
    Family,
    Path,
    RequestFormat,
    Streams,
    Unbillable,
    UsageSwitch,
    value_at,
)
from phoebe_addon.apis.further_models import FURTHER_MODEL_PLACES
from phoebe_addon.formats.json_members import Member, document_members, last_member, replaced
from phoebe_addon.formats.json_nesting import is_nested_deeper
from phoebe_addon.formats.long_json import NESTING_MAX, JsonBoundError, long_document_members
from phoebe_addon.formats.multipart_body import Form, FormError, read_form, with_fields
from phoebe_addon.formats.steps import Steps
from phoebe_addon.gate.routes import BodyKind, Match
from phoebe_addon.gate.unbillable import ValuesAt, chosen_adapters, find_unbillable
from phoebe_runtime.counts import counted

SHORT_BYTES_MAX = 64 * 1024
"""Bodies up to here are parsed in one go, by a C function: it takes a millisecond or two at most."""


class BadBodyError(ValueError):
    """The body is not what its path needs. The message is for the client."""


class Asking(StrEnum):
    """What engines are asked to report in streams."""

    AUTO = "auto"  # usage on every chunk where the engine is declared and can, else at the end
    FINAL = "final"  # usage at the end
    CONTINUOUS = "continuous"  # usage on every chunk, unless the engine is declared and can't
    NONE = "none"  # nothing; usage that comes without being asked for is read


@dataclass(frozen=True, slots=True)
class UsagePolicy:
    """How the engine of a resource is asked for usage."""

    engine: Engine = UNDECLARED
    asking: Asking = Asking.AUTO

    @property
    def continuous(self) -> bool:
        """Whether usage is asked for on every chunk."""
        if self.asking is Asking.AUTO:
            return self.engine is not UNDECLARED and self.engine.continuous_usage
        return self.asking is Asking.CONTINUOUS and self.engine.continuous_usage


@dataclass(frozen=True, slots=True)
class RequestBody:
    """Facts of a request body.

    families: the APIs that may be meant, the likeliest first. models: every name that some engine may take
    for the model asked for, the likeliest last. streaming: a stream is asked for. added_switches: what is
    asked for but not by the client. prompts: how many, 1 or more. samples: answers per prompt, 1 or more.
    content: the body to forward. unbillable: what keeps usage out of the answer. adapters: those that are
    chosen; None: one that has no name. further_models: those that are to work beside the one asked for.
    billed_model: the name that is billed, whatever the answer says; None: the answer's.
    """

    families: tuple[Family, ...]
    models: tuple[str, ...]
    streaming: bool
    added_switches: tuple[UsageSwitch, ...]
    prompts: int
    samples: int
    content: bytes
    unbillable: tuple[Unbillable, ...] = ()
    adapters: tuple[str | None, ...] = ()
    further_models: tuple[str, ...] = ()
    billed_model: str | None = None

    @property
    def family(self) -> Family:
        """The API that is likeliest meant."""
        return self.families[0]


def read_request(
    content: bytes, content_type: str, match: Match, usage_policy: UsagePolicy
) -> Steps[RequestBody]:
    """Read the body of a metered request and ask for usage in it, in the ways of all APIs that may be meant.

    A long body is read in steps, of which the first does nothing.

    Raises BadBodyError when it is not what its path needs: one JSON object in UTF-8, or a form; or when what
    it has can't be asked for usage in all those ways.
    """
    path_model = match.parameters.get("model")
    if match.route.families[0].request.form:
        family = match.route.families[0]
        return (yield from _read_form_request(content, content_type, family, path_model, usage_policy))
    members = yield from _parse(content)
    families = _fitting(match.route.families, members)
    form = families[0].request
    values = {member.name: member.value for member in members}
    forms = tuple((family.request, _streams(family.request, members)) for family in families)
    usage_switches = _unique(
        switch for each, streaming in forms for switch in _applicable(each, usage_policy, streaming=streaming)
    )
    prompts, samples = _count_prompts(form, values), _count_samples(form, values)
    facts = _UnbillableFacts(usage_policy.engine, _values_in(members), several=prompts * samples > 1)
    asking = yield from _with_switches_on(content, members, usage_switches, values)
    return RequestBody(
        families=families,
        models=_models(members, form, path_model),
        streaming=any(streaming for _, streaming in forms),
        added_switches=tuple(
            switch
            for switch in usage_switches
            if not _client_switches_on(switch, values, usage_policy.engine)
        ),
        prompts=prompts,
        samples=samples,
        content=asking,
        unbillable=facts.of(forms),
        adapters=chosen_adapters(facts.values_at),
        further_models=_further_models(facts.values_at),
    )


def check_body_kind(content: bytes, content_type: str, kind: BodyKind) -> Steps[None]:
    """Check that a body is of a kind, from its first byte to its last. Raises BadBodyError."""
    if kind is BodyKind.JSON or (kind is BodyKind.JSON_OR_NONE and content):
        yield from _parse(content)
    elif kind is BodyKind.FORM:
        yield from _parse_form(content, content_type)
    elif content:
        raise BadBodyError(
            f"A request of this kind has no body, but this one has {counted(len(content), 'byte')}."
        )


def _parse_form(content: bytes, content_type: str) -> Steps[Form]:
    try:
        return (yield from read_form(content, content_type))
    except FormError as error:
        raise BadBodyError(f"The request body is not a form (multipart/form-data): {error}.") from None


@dataclass(frozen=True, slots=True)
class _UnbillableFacts:
    """What tells whether a request can be billed. several: it asks for more than one result."""

    engine: Engine
    values_at: ValuesAt
    several: bool

    def of(self, forms: Iterable[tuple[RequestFormat, bool]]) -> tuple[Unbillable, ...]:
        """Find what keeps usage out of the answer.

        forms: of the APIs that may be meant, and whether a stream is asked for in each.
        """
        return tuple(
            each
            for form, streaming in forms
            for each in find_unbillable(
                form, self.engine, self.values_at, streaming=streaming, several=self.several
            )
        )


def _fitting(families: tuple[Family, ...], members: list[Member]) -> tuple[Family, ...]:
    """Find the families that a body fits; if none, the one that goes before."""
    stated = {member.name.casefold() for member in members if member.value is not None}
    named = tuple(family for family in families if family.request.members & stated)
    return named or tuple(family for family in families if not family.request.members) or families[:1]


def _unique(usage_switches: Iterable[UsageSwitch]) -> list[UsageSwitch]:
    return list(dict.fromkeys(usage_switches))


def _values_in(members: list[Member]) -> ValuesAt:
    """Make what finds values in a body: of members of one name, every one, without regard to case."""
    by_name: dict[object, list[object]] = {}
    for member in members:
        by_name.setdefault(member.name.casefold(), []).append(member.value)

    def values_at(place: Path) -> Sequence[object]:
        values = by_name.get(place[0], [])
        for step in place[1:]:
            values = _elements(values) if step == EACH else _inside(values, step)
        return values

    return values_at


def _elements(values: Iterable[object]) -> list[object]:
    return [each for value in values if isinstance(value, list) for each in value]


def _inside(values: Iterable[object], step: str | int) -> list[object]:
    objects = [value for value in values if isinstance(value, dict)]
    return [each for value in objects for name, each in value.items() if name.casefold() == step]


def _read_form_request(
    content: bytes, content_type: str, family: Family, path_model: str | None, usage_policy: UsagePolicy
) -> Steps[RequestBody]:
    form = yield from _parse_form(content, content_type)
    streaming = any(_is_true(value) for value in form.fields.get("stream", ()))
    added_switches = tuple(
        switch
        for switch in _applicable(family.request, usage_policy, streaming=streaming)
        if not _is_true(form.fields.get(switch.member, ("",))[-1])
    )
    if added_switches:
        content = with_fields(content, form, {switch.member: "true" for switch in added_switches})
    models = tuple(model for model in (*form.fields.get("model", ()), path_model) if model)

    def values_at(place: Path) -> Sequence[object]:
        return form.fields.get(str(place[0]), ()) if len(place) == 1 else ()

    facts = _UnbillableFacts(usage_policy.engine, values_at, several=False)
    return RequestBody(
        families=(family,),
        models=models,
        streaming=streaming,
        added_switches=added_switches,
        prompts=1,
        samples=1,
        content=content,
        unbillable=facts.of(((family.request, streaming),)),
        adapters=chosen_adapters(values_at),
    )


def _parse(content: bytes) -> Steps[list[Member]]:
    """List the members of a body that is one JSON object; where they stand is told in bytes."""
    if not content:
        raise BadBodyError("The request body is empty; a JSON object is needed.")
    try:
        if len(content) > SHORT_BYTES_MAX:
            return (yield from long_document_members(content))
        return _members(content)
    except UnicodeDecodeError as error:
        raise BadBodyError(f"The request body is not UTF-8 (byte {error.start}).") from None
    except JsonBoundError as error:
        raise BadBodyError(f"The request body {error}.") from None
    except ValueError as error:
        raise BadBodyError(f"The request body is not a JSON object: {error}.") from None


def _members(content: bytes) -> list[Member]:
    if is_nested_deeper(content, NESTING_MAX):
        raise JsonBoundError(f"is nested too deeply: {NESTING_MAX} levels are allowed")
    text = content.decode("utf-8")
    members = document_members(text, strict=True)
    return members if text.isascii() else _placed_in_bytes(members, text)


def _placed_in_bytes(members: list[Member], text: str) -> list[Member]:
    placed: list[Member] = []
    position = in_bytes = 0
    for member in members:
        places: list[int] = []
        for place in (member.name_start, member.start, member.end):
            in_bytes += len(text[position:place].encode())
            position = place
            places.append(in_bytes)
        placed.append(Member(member.name, member.value, *places))
    return placed


def _is_true(value: object) -> bool:
    """Whether an engine may take a value for true: Pydantic, which most engines use, coerces these."""
    if isinstance(value, str):
        return value.lower() in {"1", "true", "t", "yes", "y", "on"}
    return value is True or (isinstance(value, int | float) and value == 1)


def _all_named(members: list[Member], name: str) -> list[Member]:
    """List every member that some engine may take for the one of that name.

    Engines differ in which of several members of one name counts, and those written in Go (Ollama) take no
    notice of case. A request that is a stream only for its engine would go unmetered.
    """
    return [member for member in members if member.name.casefold() == name]


def _streams(form: RequestFormat, members: list[Member]) -> bool:
    if form.streams in {Streams.NEVER, Streams.ALWAYS}:
        return form.streams is Streams.ALWAYS
    stated = [_is_true(member.value) for member in _all_named(members, "stream") if member.value is not None]
    return any(stated) or (form.streams is Streams.UNLESS_DECLINED and not stated)


def _models(members: list[Member], form: RequestFormat, path_model: str | None) -> tuple[str, ...]:
    if path_model and form.model_in_path:
        return (path_model,)
    exact = [member for member in _all_named(members, "model") if member.name == "model"]
    other = [member for member in _all_named(members, "model") if member.name != "model"]
    values = [*(member.value for member in (*other, *exact)), path_model]
    return tuple(value for value in values if isinstance(value, str) and value)


def _further_models(values_at: ValuesAt) -> tuple[str, ...]:
    named = (value for place in FURTHER_MODEL_PLACES for value in values_at(place))
    return tuple(dict.fromkeys(name for name in named if isinstance(name, str) and name))


def _applicable(form: RequestFormat, usage_policy: UsagePolicy, *, streaming: bool) -> list[UsageSwitch]:
    if usage_policy.asking is Asking.NONE:
        return []
    return [
        switch
        for switch in form.usage_switches
        if (streaming or not switch.streams_only)
        and (usage_policy.continuous or not switch.continuous)
        and (not switch.engines or usage_policy.engine.name in switch.engines)
    ]


def _client_switches_on(switch: UsageSwitch, values: Mapping[str, object], engine: Engine) -> bool:
    """Whether the client asks for it itself."""
    if _stands_elsewhere(switch, values):
        return True
    place = values.get(switch.parent) if switch.parent else values
    return isinstance(place, Mapping) and _is_true(
        place.get(switch.member, switch.member in engine.default_switches)
    )


def _stands_elsewhere(switch: UsageSwitch, values: Mapping[str, object], *, true: bool = True) -> bool:
    """Whether the client has put a switch into `elsewhere`. true: whether it is also switched on there."""
    inside = values.get(switch.elsewhere) if switch.elsewhere else None
    if not isinstance(inside, Mapping) or switch.member not in inside:
        return False
    return _is_true(inside[switch.member]) if true else True


def _count_prompts(form: RequestFormat, values: Mapping[str, object]) -> int:
    first = next((values[name] for name in form.prompts if values.get(name) is not None), None)
    more = (values.get(name) for name in form.more_prompts)
    return max(1, sum(map(_prompts_in, (first, *more))))


def _prompts_in(prompts: object) -> int:
    """Count prompts: a string or a list of token ids is one; a list of anything else is as many."""
    if not isinstance(prompts, list):
        return 0 if prompts in (None, "") else 1
    is_batch = bool(prompts) and isinstance(prompts[0], str | list | dict)
    return len(prompts) if is_batch else 1


def _count_samples(form: RequestFormat, values: Mapping[str, object]) -> int:
    stated = (value_at(values, place) for place in form.samples)
    samples = next((value for value in stated if value is not None), None)
    return int(samples) if isinstance(samples, int | float) and 1 <= samples <= 65_536 else 1


type _Switches = dict[str, "_Switches | None"]
"""Members to set to true (None), and what to set inside members that are objects."""


def _with_switches_on(
    content: bytes, members: list[Member], usage_switches: list[UsageSwitch], values: Mapping[str, object]
) -> Steps[bytes]:
    """Ask for usage, also if the client asks: engines differ in which of two members of one name counts."""
    if not usage_switches:
        return content
    return (yield from _set(content, members, _switches_in(usage_switches, values)))


def _switches_in(usage_switches: list[UsageSwitch], values: Mapping[str, object]) -> _Switches:
    switches: _Switches = {}
    for switch in usage_switches:
        elsewhere = _stands_elsewhere(switch, values, true=False)
        if elsewhere and switch.member in values:
            continue  # an engine refuses a request that has the switch in both places
        parent = switch.elsewhere if elsewhere else switch.parent
        if parent is None:
            switches[switch.member] = None
        else:
            inside = switches.setdefault(parent, {})
            assert inside is not None
            inside[switch.member] = None
    return switches


def _set(content: bytes, members: list[Member], switches: _Switches) -> Steps[bytes]:
    """Set members of a text that is a JSON object. The same object if there is nothing to change."""
    changes: list[tuple[int, int, bytes]] = []
    missing: list[str] = []
    for name, inside in switches.items():
        found = _all_named(members, name)
        for member in found:
            value = content[member.start : member.end]
            new = yield from _new_value(value, member, inside)
            if new != value:
                changes.append((member.start, member.end, new))
        if not last_member(found, name):
            missing.append(f'"{name}":{_new_text(inside)}')
    if missing:
        at = members[-1].end if members else content.rindex(b"}")
        changes.append((at, at, (("," if members else "") + ",".join(missing)).encode()))
    return replaced(content, sorted(changes)) if changes else content


def _new_value(value: bytes, member: Member, inside: _Switches | None) -> Steps[bytes]:
    if inside is None:
        return value if _is_true(member.value) else b"true"
    if member.value is None:
        return _new_text(inside).encode()
    if not isinstance(member.value, dict):
        raise BadBodyError(f"{member.name} must be an object.")
    return (yield from _set(value, (yield from _parse(value)), inside))


def _new_text(inside: _Switches | None) -> str:
    if inside is None:
        return "true"
    return "{" + ",".join(f'"{name}":{_new_text(each)}' for name, each in inside.items()) + "}"
