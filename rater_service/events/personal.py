"""Which fields of an event tell of a person, and how an event looks without them."""

from collections.abc import Collection

from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rater_service.database.database import Connection
from rater_service.events.validation import EventRow
from rater_service.statements import bound

PERSONAL = ("user_id", "client_request_id", "usage_raw", "trace_id")
"""Who used it, what the client called the request, what the engine said in its own words, and the trace: it
leads to whatever another system knows of the request.
"""


def without_person(event: MeteringEvent) -> MeteringEvent:
    """Return a copy without what tells of a person."""
    rest = MeteringEvent()
    rest.CopyFrom(event)
    for field in PERSONAL:
        rest.ClearField(field)  # type: ignore[arg-type] # its type is that of a literal
    return rest


def row_without_person(row: EventRow) -> EventRow:
    """Return the same of a row."""
    return row._replace(user_id=None, client_request_id=None, usage_raw=None, trace_id=None)


async def forgotten_among(connection: Connection, request_ids: Collection[str]) -> frozenset[str]:
    """Tell of which events the person was erased; ids in lower case, as they are returned."""
    if not request_ids:
        return frozenset()
    rows = await connection.fetch(*bound("events/forgotten", request_ids=list(request_ids)))
    return frozenset(row["request_id"] for row in rows)
