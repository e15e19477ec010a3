"""Checks of the database: the way to it, its server, its schema."""

from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit

from rater_service.database.database import Connection
from rater_service.database.installation import read_installation
from rater_service.database.numbers import refuse_numbers_behind
from rater_service.database.schema import POSTGRES_VERSION_MIN, known_revisions, read_fitting_schema
from rater_service.database.server_facts import ServerFacts, read_server_facts
from rater_service.database.sessions import ServerState, read_state
from rater_service.database.url_parameters import place_of
from rater_service.doctor.access import Access
from rater_service.doctor.certificates import expiry_of, judge_expiry
from rater_service.doctor.findings import Finding, failed, ok, warning
from rater_service.doctor.targets import is_loopback
from rater_service.events.partitions import WEEK, list_taken, missing_partitions, read_width
from rater_service.service.database_watch import SAFE_SETTINGS
from rater_service.statements import bound

# Of the parameter sslmode: those by which the driver proves who the server is.
_VERIFYING = frozenset({"verify-full"})


async def check_connection(access: Access) -> Sequence[Finding]:
    """Say which database it is."""
    facts = await read_server_facts(access.database)
    assert access.url is not None
    place = "the embedded one" if access.embedded else place_of(access.url)
    return [
        ok(f"the database is {facts.name} on {place}, PostgreSQL {facts.version}, as the role {facts.role}")
    ]


async def check_encryption(access: Access) -> Sequence[Finding]:
    """Say whether others can read what goes to the database, and until when its certificate holds."""
    assert access.url is not None
    async with access.database.acquire() as connection:
        row = await connection.fetchrow(*bound("doctor/connection"))
        certificate = _certificate(connection)
    assert row is not None
    if row["server_host"] is None or is_loopback(row["server_host"]):
        return [ok("the database is on this machine")]
    if not row["encrypted"]:
        return [
            failed(
                "bills and events go to the database unencrypted, over a network",
                "add sslmode=verify-full and sslrootcert=FILE to DATABASE_URL, of the rater too",
            )
        ]
    findings = [_proof(access.url, str(row["tls_version"]))]
    if certificate is not None:
        findings.append(judge_expiry(certificate, "the database's certificate", datetime.now(UTC)))
    return findings


def _proof(url: str, tls_version: str) -> Finding:
    mode = dict(parse_qsl(urlsplit(url).query)).get("sslmode", "prefer")
    if mode in _VERIFYING:
        return ok(f"the session is encrypted ({tls_version}), and the server proves who it is")
    return warning(
        f"the session is encrypted ({tls_version}), but with sslmode={mode} another server could answer",
        "set sslmode=verify-full and sslrootcert=FILE in DATABASE_URL, of the rater too",
    )


def _certificate(connection: Connection) -> datetime | None:
    # asyncpg has no public way to its line.
    line = connection._transport.get_extra_info("ssl_object")  # type: ignore[union-attr]
    der = None if line is None else line.getpeercert(True)
    return None if der is None else expiry_of(der)


async def check_server(access: Access) -> Sequence[Finding]:
    """Say whether the server keeps what it was given, as it was given."""
    async with access.database.acquire() as connection:
        state, facts = await read_state(connection), await read_server_facts(connection)
        version = int(await connection.fetchval("SHOW server_version_num")) // 10_000
    findings = [*_version(version, facts), *_keeps(state), *_text(facts)]
    return findings or [ok(f"PostgreSQL {facts.version} keeps what it is given, and takes writes")]


def _version(version: int, facts: ServerFacts) -> list[Finding]:
    if version >= POSTGRES_VERSION_MIN:
        return []
    return [
        failed(
            f"the server is PostgreSQL {facts.version}",
            f"Phoebe needs {POSTGRES_VERSION_MIN} or newer: upgrade it",
        )
    ]


def _keeps(state: ServerState) -> list[Finding]:
    findings = [
        failed(f"the server runs with {name} = off: {without}", f"set {name} = on")
        for name, without in SAFE_SETTINGS.items()
        if not getattr(state, name)
    ]
    if state.in_recovery:
        findings.append(
            warning("the server is a standby: the rater can't write here", "name the primary in DATABASE_URL")
        )
    elif state.read_only:
        findings.append(
            failed(
                "sessions are read-only (default_transaction_read_only)", "set it to off for the rater's role"
            )
        )
    return findings


def _text(facts: ServerFacts) -> list[Finding]:
    findings = []
    if facts.encoding != "UTF8":
        findings.append(
            failed(
                f"the database has the encoding {facts.encoding}, in which names can't all be kept",
                "move to a database with ENCODING 'UTF8'",
            )
        )
    said: list[str] = []
    facts.warn_of_collation(said.append)
    findings += [warning(*text.split(": ", 1)) for text in said]
    return findings


async def check_schema(access: Access) -> Sequence[Finding]:
    """Say whether the tables are those that this version needs, and whether they are whole."""
    if access.schema_trouble is not None:
        return [failed(access.schema_trouble, "run `phoebe migrate` of the newest version in use")]
    async with access.database.acquire() as connection:
        schema = await read_fitting_schema(connection, known_revisions())
        installation = await read_installation(connection)
        width = await read_width(connection)
        findings = [*await _coming_weeks(connection)]
        await refuse_numbers_behind(connection)
    pending = known_revisions().pending(schema)
    if pending:
        findings.append(
            warning(
                f"the schema is {schema.current}, and migrations are to be made: {len(pending)}",
                "run `phoebe migrate`",
            )
        )
    return findings or [
        ok(
            f"the schema is {schema.current}; the database is the installation {installation.id}; new "
            f"partitions of events are by {width}"
        )
    ]


async def _coming_weeks(connection: Connection) -> list[Finding]:
    """Say if a day of the next week has no partition: its events would go to the default one, which slows
    pruning.
    """
    now = datetime.now(UTC)
    there = await list_taken(connection)
    if not missing_partitions(there, await read_width(connection), now, now + WEEK):
        return []
    return [
        warning(
            "the table of events lacks partitions for the next week",
            "run `phoebe migrate` as the owner, at least once a month: docs/roles.md",
        )
    ]
