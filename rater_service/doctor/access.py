"""What checks ask with: sessions with the database, HTTP, and why one of them is not there."""

import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import httpx

from rater_service.database.database import OPERATOR_ERRORS, Pool, open_database, open_pool
from rater_service.database.embedded import has_data
from rater_service.database.schema import known_revisions, read_fitting_schema
from rater_service.database.sessions import reason
from rater_service.doctor.certificates import lenient
from rater_service.doctor.targets import Targets
from rater_service.errors import OperatorError

# An answer of a probe or a list of models is a few kilobytes, one of metrics some hundred.
PAGE_BYTES_MAX = 8 * 1024 * 1024


class Need(StrEnum):
    """What a check cannot do without, and what gives it."""

    DATABASE = "give --database-url, or DATABASE_URL"
    STANDBY = "give --read-database-url, or READ_DATABASE_URL"
    SCHEMA = "give --database-url of a database that `phoebe migrate` has brought up to date"
    RATER = "give --rater HOST:PORT"
    RATER_METRICS = "give --rater-metrics URL, where `phoebe serve --metrics` serves them"
    PROXY_METRICS = "give --proxy-metrics URL, where the addon's phoebe_metrics serves them"
    VERSIONS = "give --database-url, --rater HOST:PORT, --rater-metrics URL or --proxy-metrics URL"
    PROXY = "give --proxy URL, where the proxy takes requests"
    EDGE = "give --edge URL, where customers call"
    CONSOLE = "give --console URL"
    SPOOL = "give --spool DIR, on the machine of a proxy"
    CANARY = "give --canary MODEL, with --proxy URL or --edge URL, and --database-url"


@dataclass(frozen=True, slots=True)
class Answered:
    """What an HTTP server answered. headers: by name, whatever its case."""

    status: int
    text: str
    headers: Mapping[str, str]

    @property
    def refusal(self) -> str | None:
        """Why Phoebe refused a request, in the error shape of OpenAI; None: it did not, or is not Phoebe."""
        try:
            code = json.loads(self.text)["error"]["code"]
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        return code if isinstance(code, str) else None


@dataclass(frozen=True, slots=True)
class Access:
    """What checks ask with.

    timeout_s: how long an answer may take. pool: of the database; None: it was not named, or can't be used,
    then database_trouble says why. url: of the database, perhaps with a password. embedded: it is the
    embedded one. schema_trouble: why its tables can't be read.
    """

    targets: Targets
    http: httpx.AsyncClient
    tls: ssl.SSLContext
    timeout_s: float
    pool: Pool | None = None
    url: str | None = field(default=None, repr=False)
    embedded: bool = False
    database_trouble: str | None = None
    schema_trouble: str | None = None

    @property
    def database(self) -> Pool:
        """The sessions with the database, for checks that need it."""
        assert self.pool is not None
        return self.pool

    def lacks(self, need: Need) -> str | None:
        """Say why what is needed is not there; None: it is."""
        said = self.targets
        canary = said.canary and (said.proxy or said.edge)
        database = None if self.pool else self.database_trouble or "no database was named"
        any_program = (
            said.rater or said.rater_metrics or said.proxy_metrics or not (database or self.schema_trouble)
        )
        missing = {
            Need.DATABASE: database,
            Need.STANDBY: None if said.read_database_url else "no standby was named",
            Need.SCHEMA: database or self.schema_trouble,
            Need.RATER: None if said.rater else "no rater was named",
            Need.RATER_METRICS: None if said.rater_metrics else "the rater's metrics port was not named",
            Need.PROXY_METRICS: None if said.proxy_metrics else "no proxy's metrics port was named",
            Need.VERSIONS: None if any_program else "no program was named",
            Need.PROXY: None if said.proxy else "no proxy was named",
            Need.EDGE: None if said.edge else "no edge was named",
            Need.CONSOLE: None if said.console else "no console was named",
            Need.SPOOL: None if said.spool else "no spool was named",
            Need.CANARY: (database or self.schema_trouble) if canary else "no canary is to be sent",
        }
        return missing[need]

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> Answered:
        """Fetch a page, whatever its status. Raises httpx.HTTPError; OperatorError: it does not end."""
        return await self.ask("GET", url, headers or {})

    async def ask(
        self, method: str, url: str, headers: Mapping[str, str], document: object = None
    ) -> Answered:
        """Send a request, with a document as JSON if there is one; raises as `get`."""
        async with self.http.stream(method, url, headers=dict(headers), json=document) as answer:
            content = bytearray()
            async for piece in answer.aiter_bytes():
                content += piece
                if len(content) > PAGE_BYTES_MAX:
                    raise OperatorError(f"{url} answers with more than {PAGE_BYTES_MAX:,} bytes")
        return Answered(answer.status_code, content.decode("utf-8", "replace"), answer.headers)


def http_trouble(error: httpx.HTTPError, timeout_s: float) -> str:
    """Say what kept a server from being asked by HTTP."""
    if isinstance(error, httpx.TimeoutException):
        return no_answer(timeout_s)
    return f"it can't be asked: {str(error) or type(error).__name__}"


def no_answer(timeout_s: float) -> str:
    """Say that something took longer than it may."""
    return f"no answer within {timeout_s:g} s"


@asynccontextmanager
async def open_access(
    targets: Targets, database_url: str | None, data_dir: Path, timeout_s: float, sessions_max: int
) -> AsyncIterator[Access]:
    """Open what checks ask with. Raises OperatorError for a file of certificates that can't be read.

    database_url: None for the embedded database, if there is data of one in data_dir. It is never migrated.
    """
    tls = _trusting(targets.ca_file)
    # Neither proxies nor credentials of the environment: what is asked is the part itself.
    async with httpx.AsyncClient(timeout=timeout_s, verify=tls, trust_env=False) as http:
        if database_url is None and not has_data(data_dir):
            yield Access(targets, http, tls, timeout_s)
            return
        async with AsyncExitStack() as stack:
            url, pool, trouble = await _opened(stack, database_url, data_dir, timeout_s, sessions_max)
            yield Access(
                targets,
                http,
                tls,
                timeout_s,
                pool,
                url,
                embedded=database_url is None,
                database_trouble=trouble,
                schema_trouble=None if pool is None else await _schema_trouble(pool),
            )


async def _opened(
    stack: AsyncExitStack, database_url: str | None, data_dir: Path, timeout_s: float, sessions_max: int
) -> tuple[str | None, Pool | None, str | None]:
    """Give the database's URL and sessions, as long as the stack holds them, or why there are none."""
    try:
        url = await stack.enter_async_context(open_database(database_url, data_dir))
        pool = await stack.enter_async_context(
            open_pool(url, writes=False, connections_max=sessions_max, command_timeout_s=timeout_s)
        )
    except OperatorError as error:
        return None, None, str(error)
    return url, pool, None


async def _schema_trouble(pool: Pool) -> str | None:
    try:
        async with pool.acquire() as connection:
            await read_fitting_schema(connection, known_revisions())
    except OperatorError as error:
        return str(error)
    except OPERATOR_ERRORS as error:
        return f"the schema can't be read: {reason(error)}"
    return None


def _trusting(ca_file: Path | None) -> ssl.SSLContext:
    context = lenient(ssl.create_default_context())
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError) as error:
            raise OperatorError(f"{ca_file}: no certificates can be read from it") from error
    return context
