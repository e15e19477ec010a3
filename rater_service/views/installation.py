"""How it is shown which installation a database is."""

from datetime import datetime
from typing import TypedDict
from uuid import UUID

from rater_service.views.documents import Kind


class InstallationJson(TypedDict):
    """An installation; see `Installation`."""

    id: UUID
    since: datetime
    set_by: str | None


class InstallationChangeJson(TypedDict):
    """Which installation the database was (null: none), and which it is now."""

    before: UUID | None
    after: UUID


INSTALLATION = Kind("installation", InstallationJson)
INSTALLATION_CHANGE = Kind("installation-change", InstallationChangeJson)
