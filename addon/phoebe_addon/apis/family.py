"""What there is to say about an API family: where it is served, what its requests and its answers look like.

A family is a value made of these facts; its module in `families` states them, and everything else works by
them. Names with dots are places in JSON: `response.usage` is the member `usage` of the member `response`.
"""

from dataclasses import dataclass
from enum import Enum, auto

from phoebe_addon.apis.usage import Counts

type Path = tuple[str | int, ...]
"""Where a value stands in a JSON document: names of members, indexes of elements, EACH for any element."""

EACH = -1


def at(place: str) -> Path:
    """Read a place written with dots; a number is an index, `*` each element, nothing the document itself."""
    return tuple(_step(step) for step in place.split(".")) if place else ()


def _step(step: str) -> str | int:
    if step == "*":
        return EACH
    return int(step) if step.isdecimal() else step


@dataclass(frozen=True, slots=True)
class Mark:
    """A member that says something by its value: one of `values`, or without these, any but an empty one."""

    place: Path
    values: frozenset[object] = frozenset()


def mark(place: str, *values: object) -> Mark:
    """Make a mark."""
    return Mark(at(place), frozenset(values))


class Streams(Enum):
    """Whether a request asks for a stream."""

    NEVER = auto()
    IF_ASKED = auto()  # `stream` is true
    UNLESS_DECLINED = auto()  # `stream` is not false
    ALWAYS = auto()


class TakeOut(Enum):
    """How what an engine added because Phoebe asked for it is taken out of what the client sees."""

    CHUNK = auto()  # the chunk that has usage and no choices is left out, zeros in the others are taken out
    RUNNING = auto()  # the member is taken out of chunks that have choices
    MEMBER = auto()  # the member is taken out
    NULL = auto()  # the member becomes null


@dataclass(frozen=True, slots=True)
class UsageSwitch:
    """A member of the request that is set to true to be told usage.

    member: of the request, or of its member `parent`. elsewhere: a member of the request inside which it may
    stand instead; where the client has put it, it is set. streams_only: only in requests for a stream.
    continuous: only where continuous usage is wanted. engines: only if the resource declares one of these.
    answer_members: what the engine adds to the answer; take_out: how that is taken out.
    """

    member: str
    parent: str | None
    answer_members: tuple[str, ...]
    take_out: TakeOut
    streams_only: bool = True
    continuous: bool = False
    engines: frozenset[str] = frozenset()
    elsewhere: str | None = None


@dataclass(frozen=True, slots=True)
class Unbillable:
    """A kind of request that is known to be answered without usage, or without all of it.

    It is refused unless the operator allows it by its name. A request is of this kind if everything that is
    stated here is true of it. place: the member at this place has a value that is not in `harmless` and, if
    `harmful` is stated, is in `harmful`. Null and a missing member count only with `missing`. engines: the
    resource declares one of these. sparing: the resource declares none of these. streamed: whether it asks
    for a stream; None: either. several: it asks for more than one result. why: what the client is told.
    """

    name: str
    why: str
    place: Path = ()
    harmless: tuple[object, ...] = ()
    harmful: tuple[object, ...] = ()
    missing: bool = False
    engines: frozenset[str] = frozenset()
    sparing: frozenset[str] = frozenset()
    streamed: bool | None = None
    several: bool = False


@dataclass(frozen=True, slots=True)
class RequestFormat:
    """What the requests of a family look like.

    members: any of them, if it is not null, tells its requests from those of other families on the same path;
    families without such members may all be meant. form: requests are multipart/form-data instead of JSON.
    names_model: they name a model, in `model` or, model_in_path, in the route's `{model}` alone. prompts:
    members that hold the prompts, one or a list; of several, the first that is there. more_prompts: members
    that hold others besides. samples: where the number of answers per prompt stands; of several, the first
    that is there.
    """

    streams: Streams = Streams.IF_ASKED
    usage_switches: tuple[UsageSwitch, ...] = ()
    members: frozenset[str] = frozenset()
    form: bool = False
    names_model: bool = True
    model_in_path: bool = False
    prompts: tuple[str, ...] = ()
    more_prompts: tuple[str, ...] = ()
    samples: tuple[Path, ...] = ()
    unbillable: tuple[Unbillable, ...] = ()


class Fold(Enum):
    """How the usages of several documents of one answer become one.

    CHOICES: usage on a chunk without choices is final for the chunk's `id`, and these are added up. Usage on
    chunks with choices is cumulative for its choice and counts only if no final one came. LAST: the last
    for each result (`index`) counts; results are added up. MERGE: for each count the last that was stated.
    """

    CHOICES = auto()
    LAST = auto()
    MERGE = auto()


@dataclass(frozen=True, slots=True)
class UsagePlace:
    """A place where an answer has counts.

    places: of the object that has them; of several, the first that is there. added: counts of which each
    document states only what is new since the one before. members: of that object, those that are kept as the
    raw usage, if it holds more than usage.
    """

    counts: Counts
    places: tuple[Path, ...]
    added: frozenset[str] = frozenset()
    members: tuple[str, ...] = ()


def usage_at(counts: Counts, *places: str) -> UsagePlace:
    """State where usage stands."""
    return UsagePlace(counts, tuple(at(place) for place in places))


def counts_among(counts: Counts, *places: str, added: tuple[str, ...] = ()) -> UsagePlace:
    """State where counts stand among other things."""
    return UsagePlace(counts, tuple(at(place) for place in places), frozenset(added), counts.names())


@dataclass(frozen=True, slots=True)
class Handover:
    """What says in a stream that another model goes on: the mark says so, and at `model` stands its name."""

    mark: Mark
    model: Path


@dataclass(frozen=True, slots=True)
class AnswerFormat:
    """What the answers of a family look like.

    usage: in order of authority; what one leaves unsaid, a later one may say. models, finish_reasons: where
    these stand; the first model and the last reason stated count. Without models, answers never name theirs.
    finish_reason_at_end: the place of the reason has other words before the end. ends: any of these marks
    says that the answer is whole. last_words: any of these says that a text or a call in it is whole; the
    reason or the usage is still to come. first_words: any of these says that one begins; then the engine
    works, whatever it said before. ends_with_body: nothing but the end of the body says that the answer is
    whole. failures: any of these marks is an error. results: where a document holds several results, each of
    which is read as a document. header_usage: headers that are counts; they say what the body leaves unsaid.
    header_documents: headers that are JSON and read like a document. handover: what is used after it is the
    next model's. unnamed_usage: usage of a further model, which the answer does not name.
    """

    usage: tuple[UsagePlace, ...]
    fold: Fold
    models: tuple[Path, ...] = (("model",),)
    finish_reasons: tuple[Path, ...] = ()
    finish_reason_at_end: bool = False
    ends: tuple[Mark, ...] = ()
    last_words: tuple[Mark, ...] = ()
    first_words: tuple[Mark, ...] = ()
    ends_with_body: bool = False
    failures: tuple[Mark, ...] = ()
    results: tuple[Path, ...] = ()
    header_usage: Counts | None = None
    header_documents: tuple[str, ...] = ()
    handover: Handover | None = None
    unnamed_usage: tuple[UsagePlace, ...] = ()


class ErrorShape(Enum):
    """What a family's error bodies look like."""

    OPENAI = auto()  # {"error": {message, type, param, code}}
    ANTHROPIC = auto()  # {"type": "error", "error": {type, message}}
    TEXT = auto()  # {"error": message}
    TGI = auto()  # {"error": message, "error_type": type}
    COHERE = auto()  # {"message": message}


@dataclass(frozen=True, slots=True)
class Family:
    """An API family. api: its name, the event's `api`. routes: `METHOD /path`, see `routes`.

    generates: whatever is asked for there, a whole answer has a count of completion tokens.
    """

    api: str
    routes: tuple[str, ...]
    request: RequestFormat
    answer: AnswerFormat
    errors: ErrorShape = ErrorShape.OPENAI
    generates: bool = False


def value_at(document: object, path: Path) -> object:
    """Return the value at a place of a document; None: there is none. Of EACH, the last that is not empty."""
    value = document
    for depth, step in enumerate(path):
        if isinstance(step, str):
            if not isinstance(value, dict):
                return None
            value = value.get(step)
        elif not isinstance(value, list):
            return None
        elif step == EACH:
            return _last_of_each(value, path[depth + 1 :])
        else:
            value = value[step] if step < len(value) else None
        if value is None:
            return None
    return value


def _last_of_each(elements: list[object], path: Path) -> object:
    for element in reversed(elements):
        value = value_at(element, path)
        if value:
            return value
    return None


def has_mark(document: object, marks: tuple[Mark, ...]) -> bool:
    """Whether a document has any of the marks."""
    for each in marks:
        value = value_at(document, each.place)
        if value and (not each.values or (isinstance(value, str | int) and value in each.values)):
            return True
    return False
