"""How a new token is shown."""

from collections.abc import Sequence
from typing import TypedDict

from rater_service.service.access_list import Right
from rater_service.views.documents import Kind


class TokenJson(TypedDict):
    """A new token. token: null if it was written to a file; line: what lets it in, for the tokens file."""

    name: str
    rights: Sequence[Right]
    token: str | None
    line: str


TOKEN = Kind("token", TokenJson)
