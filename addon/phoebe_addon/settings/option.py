"""One option: its type, and how text becomes a value of it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

type Value = bool | int | str | Sequence[str] | None

_WHOLE = re.compile(r"-?[0-9]{1,9}")
_SWITCH = {"true": True, "false": False}


class OptionValueError(ValueError):
    """A value does not fit its option. The message goes on after the option's name."""


@dataclass(frozen=True, slots=True)
class Option:
    """An option of the addon.

    kind: one of the types that mitmproxy's options can have: bool, int, str, `str | None` (None: not set) or
    Sequence[str]. default: a value of it. choices: all values there are; empty: any.
    """

    name: str
    kind: Any
    default: Value
    help: str
    choices: tuple[str, ...] | None = None

    @property
    def variable(self) -> str:
        """The environment variable that gives the default."""
        return self.name.upper()

    @property
    def key(self) -> str:
        """Its name in a file of settings."""
        return self.name.removeprefix("phoebe_")

    def typed(self, given: object) -> Value:
        """Bring a value into the option's type, as it stood behind `--set` or in a configuration file.

        given: what mitmproxy keeps of `--set` (an object with the texts in `val`), or a value out of YAML.
        Raises OptionValueError.
        """
        texts = getattr(given, "val", None)
        if isinstance(texts, list):
            return self.parse(texts)
        if isinstance(given, list) and all(isinstance(each, str) for each in given):
            return self.parse(given)
        if isinstance(given, bool):
            given = "true" if given else "false"
        if not isinstance(given, str | int | float):
            raise OptionValueError(f"is {given!r}, which is no value of it")
        return self.parse([str(given)])

    def parse(self, texts: Sequence[str]) -> Value:
        """Parse what was given for the option: a text for each time. Raises OptionValueError."""
        if any(not text.strip() for text in texts):
            raise OptionValueError("is empty: give a value, or leave it out")
        if self.kind == Sequence[str]:
            return tuple(text.strip() for text in texts)
        if len(texts) > 1:
            raise OptionValueError("is given more than once")
        return self._parse_one(texts[0].strip() if texts else None)

    def _parse_one(self, text: str | None) -> Value:
        if self.kind is bool:
            value = _SWITCH.get("true" if text is None else text)
            if value is None:
                raise OptionValueError(f"is {text!r}, which is neither true nor false")
            return value
        if text is None:
            raise OptionValueError("has no value")
        if self.kind is int:
            if not _WHOLE.fullmatch(text):
                raise OptionValueError(f"is {text!r}, which is not a whole number")
            return int(text)
        if self.choices and text not in self.choices:
            raise OptionValueError(f"is {text!r}, which is none of {', '.join(self.choices)}")
        return text
