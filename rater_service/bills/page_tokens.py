"""Page tokens: where a listing is, and a digest of its filters, so that a token serves no other listing."""

import base64
import binascii
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

# The longest names, all of them characters that JSON writes as twelve, in base64.
_TOKEN_LENGTH_MAX = 8 * 1024


class InvalidPageToken(ValueError):  # noqa: N818 - the name says it
    """The token was not given out for a listing with these filters."""


def filter_digest(wanted: Mapping[str, datetime | str | None]) -> str:
    """Return a short text that differs for every other filter."""
    values = [value.isoformat() if isinstance(value, datetime) else value for value in wanted.values()]
    return sha256(json.dumps(values).encode()).hexdigest()[:16]


def make_token(parts: Sequence[datetime | str | int]) -> str:
    """Write a token of what `read_token` will give; a moment is read by `token_moment`."""
    written = [part.isoformat() if isinstance(part, datetime) else part for part in parts]
    return base64.urlsafe_b64encode(json.dumps(written).encode()).decode()


def read_token(token: str) -> Any:
    """Read what is written in a token; within `refusing_tokens`, since anybody can write one."""
    if len(token) > _TOKEN_LENGTH_MAX:
        raise InvalidPageToken
    return json.loads(base64.urlsafe_b64decode(token))


def token_moment(written: str) -> datetime:
    """Read a moment of a token; within `refusing_tokens`."""
    # A time without an offset would be taken for one of this machine's zone.
    if not written.endswith("+00:00"):
        raise InvalidPageToken
    return datetime.fromisoformat(written).astimezone(UTC)


def token_text(part: object) -> str:
    """Take a part that is a text, and that PostgreSQL takes too; within `refusing_tokens`."""
    if not isinstance(part, str) or "\0" in part:
        raise InvalidPageToken
    part.encode()  # JSON has lone surrogates
    return part


@contextmanager
def refusing_tokens() -> Iterator[None]:
    """Raise InvalidPageToken for whatever goes wrong while a token is read."""
    try:
        yield
    except (ValueError, TypeError, AttributeError, RecursionError, OverflowError, binascii.Error):
        raise InvalidPageToken from None
