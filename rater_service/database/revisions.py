"""The revisions of the schema: which there are, and which versions of the code work with which schema.

The history is one line. Each revision states its phase, and that decides whether an earlier version of the
code can work with a schema that is newer than itself.
"""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module
from itertools import takewhile
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

from rater_service.database.database import Connection
from rater_service.errors import OperatorError


class Phase(StrEnum):
    """What a revision does to those who use the schema."""

    EXPAND = "expand"
    """It adds. The version of the code from before it goes on working."""
    CONTRACT = "contract"
    """It takes away what only earlier versions of the code use: none of them may run any more."""


class Extent(StrEnum):
    """How far to migrate."""

    ALL = "all"
    """All revisions."""
    EXPAND = "expand"
    """As far as the version that runs goes on working: not beyond the first revision that contracts."""
    NEEDED = "needed"
    """As far as services of this version need to start. It contracts only what stands before the last
    revision that expands: from an empty database, or where a release was skipped."""


type Prepare = Callable[[Connection, Callable[[str], None]], Awaitable[None]]
"""Is called with a session, outside a transaction, and with how to tell what is being done."""


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision. title: what it does, in a line.

    prepare: what it does before its transaction, in steps of their own, because it takes long. locks: the
    tables from before it that it locks against readers or writers, with PostgreSQL's name of the lock. reads,
    prepares: the tables of which its transaction, or `prepare`, goes through all rows. renames: the tables
    that it gives another name, with that name.
    """

    id: str
    phase: Phase
    title: str = ""
    prepare: "Prepare | None" = field(default=None, compare=False, repr=False)
    locks: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    reads: tuple[str, ...] = field(default=(), compare=False, repr=False)
    prepares: tuple[str, ...] = field(default=(), compare=False, repr=False)
    renames: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Schema:
    """What a database says of itself.

    current: its last revision; None: it has no tables. applied: all that it has, in the order of their ids.
    """

    current: str | None
    applied: tuple[Revision, ...] = ()


@dataclass(frozen=True, slots=True)
class Revisions:
    """The revisions that a program knows, oldest first. folders: where their files are."""

    known: tuple[Revision, ...]
    folders: tuple[Path, ...]

    @property
    def needed(self) -> str:
        """The last revision that adds something: the statements of the program rely on it."""
        return next(revision.id for revision in reversed(self.known) if revision.phase is Phase.EXPAND)

    def pending(self, schema: Schema) -> tuple[Revision, ...]:
        """Return what a schema still lacks; nothing if it is newer than the program."""
        if schema.current is None:
            return self.known
        ids = self._ids()
        return self.known[ids.index(schema.current) + 1 :] if schema.current in ids else ()

    def due(self, schema: Schema, extent: Extent) -> tuple[Revision, ...]:
        """Return what a migration of this extent has to apply to a schema, in order."""
        pending = self.pending(schema)
        match extent:
            case Extent.ALL:
                return pending
            case Extent.EXPAND:
                return tuple(takewhile(lambda one: one.phase is Phase.EXPAND, pending))
            case Extent.NEEDED:
                kept_back = takewhile(lambda one: one.phase is Phase.CONTRACT, reversed(pending))
                return pending[: len(pending) - len(tuple(kept_back))]

    def is_newer(self, schema: Schema) -> bool:
        """Tell whether a later version of the program made the schema what it is."""
        return schema.current is not None and schema.current not in self._ids()

    def refuse_newer(self, schema: Schema) -> None:
        """Raise OperatorError for a schema of a later version that this program can't work with."""
        if not self.is_newer(schema):
            return
        ids = self._ids()
        later = [revision for revision in schema.applied if revision.id not in ids]
        if not later or any(revision.phase is Phase.CONTRACT for revision in later):
            raise OperatorError(
                f"the database schema is {schema.current}, which this version of Phoebe does not know and "
                "can't work with; use the later version that made it"
            )

    def refuse_older(self, schema: Schema) -> None:
        """Raise OperatorError for a schema that lacks what the statements of this program rely on."""
        if any(revision.id == self.needed for revision in self.pending(schema)):
            raise OperatorError(
                f"the database schema is {schema.current or 'empty'}, this version of Phoebe needs "
                f"{self.needed}; run `phoebe migrate`"
            )

    def _ids(self) -> list[str]:
        return [revision.id for revision in self.known]


def load_revisions(*more: Path) -> Revisions:
    """Read the revisions from their files. more: folders with further ones, later than the program's own."""
    own = Path(import_module("rater_service.migrations.versions").__path__[0])
    scripts = list(ScriptDirectory.from_config(alembic_config((own, *more))).walk_revisions())
    return Revisions(
        tuple(
            Revision(
                script.revision,
                Phase(script.module.phase),
                script.doc,
                getattr(script.module, "prepare", None),
                getattr(script.module, "locks", {}),
                getattr(script.module, "reads", ()),
                getattr(script.module, "prepares", ()),
                getattr(script.module, "renames", {}),
            )
            for script in reversed(scripts)
        ),
        (own, *more),
    )


def alembic_config(folders: Sequence[Path]) -> Config:
    """Make Alembic's configuration for revisions in some folders."""
    config = Config()
    script_location = import_module("rater_service.migrations").__path__[0]
    config.set_main_option("script_location", script_location.replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.set_main_option("version_locations", os.pathsep.join(map(str, folders)).replace("%", "%%"))
    return config
