"""An engine's usage as a form and its numbers: `{"prompt_tokens": #}` and `12`.

The forms of an engine are few, so that each is kept once; the numbers are the event's own. Together they make
the text again, to the last character: here, and in PostgreSQL by event_usage().
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

NUMBER = "#"
"""What stands in a form for each run of digits."""
FORM_LENGTH_MAX = 2_000
_FORMS_REMEMBERED = 1_000

_DIGITS = str.maketrans("0123456789", NUMBER * 10)
# Whatever is no digit becomes a blank, but for what keeps usages apart here, which none has.
_APART = "\0"
_OTHERS = str.maketrans({character: " " for character in map(chr, range(1, 128)) if not character.isdigit()})
# A form is shared by many events, and stays when a person is erased from them. So it may have no word but
# these, in the names of fields and as values; whatever else an engine says is kept with the event.
_WORDS = (
    "accepted|audio|blocks?|bytes|cached?|candidates|characters|completion|content|count|creat(?:ed|ion)|details?|"
    "disk|draft|duration|ephemeral|eval(?:uated)?|first|generated|hits?|images?|input|iterations|load|miss|"
    "modality|ms|multimodal|new|num|outputs?|per|predict(?:ed|ions?)|prompt|queue|read|reasoning|rejected|requests|"
    "search|seconds?|server|service|speculative|steps?|text|thinking|thoughts|tier|time|timings?|tokens?|tools?|"
    "total|turn|usage|use|video|web|write"
)
_VALUES = "auto|batch|default|flex|on_demand|priority|standard|true|false|null"
_IMPERSONAL = re.compile(
    rf"""(?:
        "(?:(?:{_WORDS}|[#hmn])[_.]?){{1,12}}"\s*:  # the name of a field
        | "?(?:{_VALUES})"? | [\s{{}}\[\],\-+.\#] | (?<=\#)e
    )*""",
    re.IGNORECASE | re.VERBOSE,
)


class SplitUsage(NamedTuple):
    """A usage as its form and its numbers, with a blank between; both empty if it has to be kept as it is."""

    form: str
    numbers: str


_WHOLE = SplitUsage("", "")


def split_usages(usages: Sequence[str]) -> list[SplitUsage]:
    """Split usages, "" for none. They have no NUL. It is done in one go: loops run in C."""
    if not usages:
        return []
    joined = _APART.join(usages)
    if NUMBER in joined or not joined.isascii():
        return [_split(usage) for usage in usages]
    forms = joined.translate(_DIGITS)
    while NUMBER * 2 in forms:
        forms = forms.replace(NUMBER * 2, NUMBER)
    numbers = joined.translate(_OTHERS).split(_APART)
    return [
        SplitUsage(form, " ".join(its.split())) if _can_be_shared(form) else _WHOLE
        for form, its in zip(forms.split(_APART), numbers, strict=True)
    ]


def _split(usage: str) -> SplitUsage:
    if NUMBER in usage or not usage.isascii():
        return _WHOLE
    (split,) = split_usages([usage])
    return split


@lru_cache(_FORMS_REMEMBERED)
def _can_be_shared(form: str) -> bool:
    return NUMBER in form and len(form) <= FORM_LENGTH_MAX and _IMPERSONAL.fullmatch(form) is not None


def join_usage(split: SplitUsage) -> str:
    """Make the text again."""
    texts = split.form.split(NUMBER)
    numbers = split.numbers.split(" ")
    return "".join(text + number for text, number in zip(texts, [*numbers, ""], strict=True))
