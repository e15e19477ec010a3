"""What the proxy must know of a request body, and the one change it makes to it.

Streams of the OpenAI APIs report usage only if `stream_options.include_usage` is true. It is set, also over
an explicit `false`; every other byte stays as the client sent it.
"""

from dataclasses import dataclass

from .json_members import Member, document_members, last_member, object_members


class BadBodyError(ValueError):
    """The body is not what its path needs. The message is for the client."""


@dataclass(frozen=True, slots=True)
class RequestBody:
    """Facts of a request body.

    model: the model asked for, None if there is none. streaming: an event stream is asked for.
    usage_wanted: the client itself asked for usage in the stream. prompt_count: prompts in the request,
    1 or more. content: the body to forward.
    """

    model: str | None
    streaming: bool
    usage_wanted: bool
    continuous_usage_wanted: bool
    prompt_count: int
    content: bytes


def read_openai_body(content: bytes, *, continuous_usage: bool = False) -> RequestBody:
    """Read the body of a request to an OpenAI API and, for a stream, ask for usage in it.

    continuous_usage: ask also for usage on every chunk (`continuous_usage_stats`; vLLM and SGLang know it).
    Raises BadBodyError when it is not one JSON object in UTF-8 or its `stream_options` is not an object.
    """
    text, members = _parse(content)
    streaming = any(_is_true(member.value) for member in _all_named(members, "stream"))
    model = last_member(members, "model")
    prompt = last_member(members, "prompt")
    options = last_member(members, "stream_options")
    return RequestBody(
        model=model.value if model and isinstance(model.value, str) else None,
        streaming=streaming,
        usage_wanted=_option(options, "include_usage"),
        continuous_usage_wanted=_option(options, "continuous_usage_stats"),
        prompt_count=_count_prompts(prompt.value) if prompt else 1,
        content=_ask_for_usage(text, members, continuous_usage).encode() if streaming else content,
    )


def _parse(content: bytes) -> tuple[str, list[Member]]:
    if not content:
        raise BadBodyError("The request body is empty; a JSON object is needed.")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadBodyError(f"The request body is not UTF-8 (byte {error.start}).") from None
    try:
        return text, document_members(text, strict=True)
    except RecursionError:
        raise BadBodyError("The request body is nested too deeply.") from None
    except ValueError as error:
        raise BadBodyError(f"The request body is not a JSON object: {error}.") from None


def _is_true(value: object) -> bool:
    """Whether an engine may take a value for true: Pydantic, which most engines use, coerces these."""
    if isinstance(value, str):
        return value.lower() in {"1", "true", "t", "yes", "y", "on"}
    return value is True or (isinstance(value, int | float) and value == 1)


def _option(options: Member | None, name: str) -> bool:
    return (
        options is not None and isinstance(options.value, dict) and _is_true(options.value.get(name, False))
    )


def _count_prompts(prompt: object) -> int:
    """Count prompts: a string or a list of token ids is one; a list of either is as many."""
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], str | list):
        return len(prompt)
    return 1


def _all_named(members: list[Member], name: str) -> list[Member]:
    """List every member that some engine may take for the one of that name.

    Engines differ in which of several members of one name counts, and those written in Go (Ollama) take no
    notice of case. A request that is a stream only for its engine would go unmetered.
    """
    return [member for member in members if member.name.casefold() == name]


def _ask_for_usage(text: str, members: list[Member], continuous_usage: bool) -> str:
    wanted = ["include_usage", *(["continuous_usage_stats"] if continuous_usage else [])]
    found = _all_named(members, "stream_options")
    changes = [(member.start, member.end, _set_options(text, member, wanted)) for member in found]
    if not last_member(found, "stream_options"):
        at = members[-1].end
        changes.append((at, at, f',"stream_options":{_options(wanted)}'))
    return _changed(text, changes)


def _set_options(text: str, member: Member, wanted: list[str]) -> str:
    if member.value is None:
        return _options(wanted)
    if not isinstance(member.value, dict):
        raise BadBodyError("stream_options must be an object.")
    value = text[member.start : member.end]
    for name in wanted:
        value = _set_true(value, name)
    return value


def _options(wanted: list[str]) -> str:
    return "{" + ",".join(f'"{name}":true' for name in wanted) + "}"


def _set_true(value: str, name: str) -> str:
    members, end = object_members(value)
    found = _all_named(members, name)
    changes = [(member.start, member.end, "true") for member in found if not _is_true(member.value)]
    if not last_member(found, name):
        separator = "," if members else ""
        changes.append((end - 1, end - 1, f'{separator}"{name}":true'))
    return _changed(value, changes)


def _changed(text: str, changes: list[tuple[int, int, str]]) -> str:
    """Put other text in the place of parts of a text, each given by start and end, from front to back."""
    parts: list[str] = []
    position = 0
    for start, end, replacement in changes:
        parts += (text[position:start], replacement)
        position = end
    return "".join([*parts, text[position:]])
