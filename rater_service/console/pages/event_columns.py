"""The columns of tables of events."""

from rater_service.console.tables import Column, Kind

EVENT_COLUMNS = (
    Column("request_id", "request id", Kind.ID),
    Column("event_time", "ended", Kind.TIME),
    Column("user_id", "user", Kind.NAME),
    Column("client_request_id", "client's own id", Kind.NAME),
    Column("prompt_tokens", "prompt tokens", Kind.COUNT),
    Column("cached_tokens", "of these cached", Kind.COUNT),
    Column("completion_tokens", "completion tokens", Kind.COUNT),
    Column("outcome", "outcome"),
)
