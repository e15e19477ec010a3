"""What the guard goes by, in one value that is exchanged as a whole.

mitmproxy makes its connections and streams itself, so nothing can be handed to them. They look here.
"""

from dataclasses import dataclass
from typing import ClassVar

from phoebe_addon.answer.abort import DEFAULT_RULES, AbortRules
from phoebe_addon.gate.built_in_routes import built_in_routes
from phoebe_addon.gate.routes import RouteTable


@dataclass(frozen=True, slots=True)
class GuardRules:
    """What the guard goes by.

    body_bytes_max: of a request's body, in bytes. routes: they tell what the errors of a path look like.
    engine_timeout_s: for how long an engine that owes an answer may send nothing, in seconds; 0: for ever.
    request_timeout_s: how long a request may take from its beginning to its end, in seconds; 0: for ever.
    abort: what becomes of answers whose clients go away. last_answers: whether each answer of HTTP/1 is the
    last on its connection.
    in_force: the rules of this process. An option that changes puts others in their place.
    """

    body_bytes_max: int
    routes: RouteTable
    engine_timeout_s: float
    request_timeout_s: float
    abort: AbortRules
    last_answers: bool = False

    in_force: ClassVar["GuardRules"]


# Until the options are read. Nothing is let through before that.
GuardRules.in_force = GuardRules(
    body_bytes_max=16 * 1024 * 1024,
    routes=RouteTable(built_in_routes()),
    engine_timeout_s=600.0,
    request_timeout_s=300.0,
    abort=DEFAULT_RULES,
)
