"""An engine's usage as a form and its numbers: `{"prompt_tokens": #}` and `12`.

The forms of an engine are few, so that each is kept once; the numbers are the event's own. Together they make
the text again, to the last character: here, and in PostgreSQL by event_usage().
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

NUMBER = "#"
"""What stands in a form for each run of digits."""
FORM_LENGTH_MAX = 2_000
# Some 5 MB, of usages as they are; 40 MB at most.
_FORMS_REMEMBERED = 10_000

_DIGITS = str.maketrans("0123456789", NUMBER * 10)
_RUN = re.compile(f"{NUMBER}+")
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


class SplitUsages(NamedTuple):
    """Usages as their forms and their numbers, those of one with a blank between; both empty for one that has
    to be kept as it is.
    """

    forms: Sequence[str]
    numbers: Sequence[str]


class _Forms(dict[str, str]):
    """The forms of usages in which each digit is a NUMBER. They are few: numbers have few lengths."""

    def __missing__(self, masked: str) -> str:
        if len(masked) > 2 * FORM_LENGTH_MAX:
            return ""
        if len(self) >= _FORMS_REMEMBERED:
            self.clear()
        form = _RUN.sub(NUMBER, masked)
        can_be_shared = NUMBER in form and len(form) <= FORM_LENGTH_MAX and _IMPERSONAL.fullmatch(form)
        self[masked] = kept = form if can_be_shared else ""
        return kept


_forms = _Forms()


def split_usages(usages: Sequence[str]) -> SplitUsages:
    """Split usages, "" for none. They have no NUL. It is done in one go: loops run in C."""
    joined = _APART.join(usages)
    if NUMBER in joined or not joined.isascii():
        parts = [split_usages([usage]) if _is_plain(usage) else _WHOLE for usage in usages]
        return SplitUsages([part.forms[0] for part in parts], [part.numbers[0] for part in parts])
    if not usages:
        return SplitUsages((), ())
    forms = [_forms[masked] for masked in joined.translate(_DIGITS).split(_APART)]
    numbers = [" ".join(its.split()) for its in joined.translate(_OTHERS).split(_APART)]
    if "" in forms:
        numbers = [its if form else "" for form, its in zip(forms, numbers, strict=True)]
    return SplitUsages(forms, numbers)


_WHOLE = SplitUsages([""], [""])


def _is_plain(usage: str) -> bool:
    return NUMBER not in usage and usage.isascii()


def join_usage(form: str, numbers: str) -> str:
    """Make a text again."""
    texts = form.split(NUMBER)
    return "".join(text + number for text, number in zip(texts, [*numbers.split(" "), ""], strict=True))
