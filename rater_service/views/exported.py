"""How it is shown what was exported."""

from collections.abc import Sequence
from datetime import datetime

from rater_service.bills.explanation import RunStamp
from rater_service.bills.export import Exported
from rater_service.bills.rollups import Selection
from rater_service.views.documents import Kind
from rater_service.views.freshness import ReadJson


class ExportedJson(ReadJson):
    """What a file has. rollups: how many; as_of, run: of which moment it is, null: of now.

    unrated_hours: complete hours that have usage which no run has rated.
    """

    file: str
    format: str
    window_start: datetime
    window_end: datetime
    auth_id: str | None
    resource_id: str | None
    model_id: str | None
    as_of: datetime | None
    run: RunStamp | None
    rollups: int
    unrated_hours: Sequence[datetime]
    unrated_events: int


EXPORTED = Kind("exported", ExportedJson)


def exported_json(file: str, form: str, selection: Selection, exported: Exported) -> ExportedJson:
    """Return what is written of an export as JSON."""
    as_of = exported.as_of
    return {
        "file": file,
        "format": form,
        "window_start": selection.window_start,
        "window_end": selection.window_end,
        "auth_id": selection.auth_id,
        "resource_id": selection.resource_id,
        "model_id": selection.model_id,
        "as_of": None if as_of is None else as_of.moment,
        "run": None if as_of is None else as_of.run,
        "rollups": exported.rollups,
        "unrated_hours": exported.holes.hours,
        "unrated_events": exported.holes.unrated_events,
    }
