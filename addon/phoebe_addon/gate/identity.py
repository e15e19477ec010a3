"""Who an exchange is billed to, as the trusted edge states it in request headers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from phoebe_addon.gate.placeholders import is_placeholder
from phoebe_addon.gate.refusal import Refusal, RefusalReason

ID_LENGTH_MAX = 64
CONTEXT_LENGTH_MAX = 256


@dataclass(frozen=True, slots=True)
class HeaderNames:
    """The names of the identity headers; compared without regard to case."""

    auth_id: str = "X-Saturn-Auth-Id"
    resource_id: str = "X-Saturn-Resource-Id"
    base_model: str = "X-Saturn-Base-Model"
    user_id: str = "X-Saturn-User-Id"
    group_id: str = "X-Saturn-Group-Id"
    resource_type: str = "X-Saturn-Resource-Type"

    def all(self) -> tuple[str, ...]:
        """Return every identity header's name."""
        return (
            self.auth_id,
            self.resource_id,
            self.base_model,
            self.user_id,
            self.group_id,
            self.resource_type,
        )


@dataclass(frozen=True, slots=True)
class Identity:
    """Who pays and for which deployment. None: the edge did not say."""

    auth_id: str
    resource_id: str
    base_model: str | None = None
    user_id: str | None = None
    group_id: str | None = None
    resource_type: str | None = None


@dataclass(slots=True)
class _HeaderReader:
    """Reads single-valued headers and collects what is wrong with them."""

    headers: Mapping[str, Sequence[str]]
    faults: list[str] = field(default_factory=list)

    def required(self, name: str) -> str:
        values = self.headers.get(name.lower(), ())
        if not values:
            self.faults.append(f"{name} is missing")
            return ""
        value = self._single(name, values, ID_LENGTH_MAX)
        if value == "":
            self.faults.append(f"{name} is empty")
        if value and is_placeholder(value):
            self.faults.append(
                f"{name} is missing: it has a placeholder, a word like `null` or a template that nobody "
                "filled in"
            )
        return value or ""

    def optional(self, name: str) -> str | None:
        values = self.headers.get(name.lower(), ())
        value = self._single(name, values, CONTEXT_LENGTH_MAX) if values else None
        return value if value and not is_placeholder(value) else None

    def _single(self, name: str, values: Sequence[str], length_max: int) -> str | None:
        if len(values) > 1:
            self.faults.append(f"{name} is given {len(values)} times")
            return None
        value = values[0].strip(" \t")
        if len(value) > length_max:
            self.faults.append(f"{name} is longer than {length_max} characters")
            return None
        if not (value.isascii() and value.isprintable()):
            self.faults.append(f"{name} has characters that are not printable ASCII")
            return None
        if "," in value:  # so HTTP joins two headers of one name (RFC 9110, 5.3)
            self.faults.append(f"{name} has a comma, as if two values had been joined")
            return None
        return value


def read_identity(headers: Mapping[str, Sequence[str]], names: HeaderNames) -> Identity | Refusal:
    """Read the identity from request headers.

    headers: every value of each header, by lower-case name. Auth id and resource id are required, once
    each, 1 to 64 printable ASCII characters after trimming. The others are optional, up to 256 printable
    ASCII characters; empty means absent. None has a comma. A placeholder for a value that the edge did not
    have counts as missing.

    Returns a Refusal (400) that names every offending header when a rule is broken.
    """
    reader = _HeaderReader(headers)
    identity = Identity(
        auth_id=reader.required(names.auth_id),
        resource_id=reader.required(names.resource_id),
        base_model=reader.optional(names.base_model),
        user_id=reader.optional(names.user_id),
        group_id=reader.optional(names.group_id),
        resource_type=reader.optional(names.resource_type),
    )
    if reader.faults:
        return Refusal(
            400,
            RefusalReason.IDENTITY,
            f"The request can't be billed: {'; '.join(reader.faults)}. "
            "These headers are set by the trusted edge in front of this proxy.",
        )
    return identity
