"""The check of the database's role: whether it has the rights that it needs, and no more."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from phoebe_runtime.counts import counted
from rater_service.doctor.access import Access
from rater_service.doctor.findings import Finding, failed, ok, warning
from rater_service.doctor.targets import Purpose
from rater_service.statements import bound

_RIGHTS = {"reads": "SELECT", "adds": "INSERT", "changes": "UPDATE", "deletes": "DELETE"}
_POWERS = {
    "makes_roles": "CREATEROLE",
    "makes_databases": "CREATEDB",
    "passes_row_security": "BYPASSRLS",
    "replicates": "REPLICATION",
}
_NEEDED: Mapping[Purpose, frozenset[str]] = {
    Purpose.SERVICE: frozenset(_RIGHTS),
    Purpose.READER: frozenset({"reads"}),
    Purpose.OWNER: frozenset(_RIGHTS),
}
# The migrations' own; nobody but the owner writes it.
_MIGRATIONS_OWN = frozenset({"alembic_version", "schema_revision"})
_SERVICE_SESSIONS_MIN = 3
_GRANTS = "grant what docs/roles.md lists for it, and to tables of later migrations by default"
_OWN_ROLE = "give it a role of its own: docs/roles.md has the statements"
_NAMED_MAX = 5


@dataclass(frozen=True, slots=True)
class TableRights:
    """What a role may do with a table, or a sequence; owned: it can change its definition."""

    name: str
    is_sequence: bool
    owned: bool
    reads: bool
    adds: bool
    changes: bool
    deletes: bool

    def missing(self, purpose: Purpose) -> list[str]:
        """Name the rights that a purpose needs and the role lacks."""
        if self.is_sequence:
            return [] if self.reads or purpose is Purpose.READER else ["USAGE"]
        needed = {"reads"} if self.name in _MIGRATIONS_OWN else _NEEDED[purpose]
        return [word for right, word in _RIGHTS.items() if right in needed and not getattr(self, right)]

    def beyond(self, purpose: Purpose) -> list[str]:
        """Name the rights that the role has and a purpose does not need."""
        if self.is_sequence or purpose is not Purpose.READER:
            return []
        return [word for right, word in _RIGHTS.items() if right != "reads" and getattr(self, right)]


async def check_role(access: Access) -> Sequence[Finding]:
    """Say what the role lacks for its purpose, and what it may beyond."""
    async with access.database.acquire() as connection:
        role = await connection.fetchrow(*bound("doctor/role"))
        tables = [TableRights(**row) for row in await connection.fetch(*bound("doctor/table_rights"))]
        others = await connection.fetch(*bound("doctor/other_roles"))
    assert role is not None
    if access.embedded:
        return [ok("the embedded PostgreSQL has one role, which only this machine's user can use")]
    purpose = access.targets.purpose
    findings = [
        *_too_few(role, tables, purpose),
        *_too_many(role, tables, purpose),
        *_others(others, purpose),
    ]
    if role["everybody_connects"]:
        findings.append(
            warning(
                "every role of the server may connect to this database",
                "REVOKE ALL ON DATABASE … FROM PUBLIC: docs/roles.md",
            )
        )
    return findings or [ok(f"the role {role['name']} has what a {purpose} needs, and no more")]


def _too_few(role: asyncpg.Record, tables: Sequence[TableRights], purpose: Purpose) -> Iterator[Finding]:
    lacking = [f"{' and '.join(words)} on {each.name}" for each in tables if (words := each.missing(purpose))]
    if lacking:
        yield failed(f"the role {role['name']} lacks {_listed(lacking)}, which a {purpose} needs", _GRANTS)
    if purpose is not Purpose.READER and not role["temporary"]:
        yield failed(
            f"the role {role['name']} may not make temporary tables, in which runs compute",
            "GRANT TEMPORARY ON DATABASE … to it: docs/roles.md",
        )
    if purpose is Purpose.OWNER and not role["can_make"]:
        yield failed(f"the role {role['name']} may not make tables, which migrations do", _GRANTS)
    if purpose is Purpose.SERVICE and 0 <= role["sessions_max"] < _SERVICE_SESSIONS_MIN:
        yield failed(
            f"the role {role['name']} may have {counted(role['sessions_max'], 'session')}, and a service "
            f"needs {_SERVICE_SESSIONS_MIN}",
            "ALTER ROLE … CONNECTION LIMIT 40: docs/roles.md",
        )


def _too_many(role: asyncpg.Record, tables: Sequence[TableRights], purpose: Purpose) -> Iterator[Finding]:
    name = role["name"]
    if role["superuser"]:
        yield warning(
            f"the role {name} is a superuser: it can change also what is append-only, runs and bills",
            _OWN_ROLE,
        )
        return
    powers = [word for power, word in _POWERS.items() if role[power]]
    if powers:
        yield warning(f"the role {name} has {' and '.join(powers)}, which Phoebe never needs", _OWN_ROLE)
    if purpose is Purpose.OWNER:
        return
    owned = [each.name for each in tables if each.owned]
    if owned:
        yield warning(
            f"the role {name} owns {_listed(owned)}: it can take away what keeps the ledger append-only",
            _OWN_ROLE,
        )
        return
    if role["can_make"]:
        yield warning(
            f"the role {name} may make tables in Phoebe's schema", "REVOKE CREATE ON SCHEMA … FROM it"
        )
    beyond = [f"{' and '.join(words)} on {each.name}" for each in tables if (words := each.beyond(purpose))]
    if beyond:
        yield warning(f"the role {name} has {_listed(beyond)}, which a {purpose} does not need", _OWN_ROLE)


def _others(others: Sequence[asyncpg.Record], purpose: Purpose) -> Iterator[Finding]:
    if purpose is Purpose.OWNER:
        return
    for row in others:
        what = "a superuser" if row["superuser"] else "the owner of the tables"
        yield warning(f"another session of Phoebe runs as the role {row['name']}, {what}", _OWN_ROLE)


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED_MAX
    return ", ".join(names[:_NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
