"""Makes checks, some at a time and each bounded in time, so that a part that hangs holds up no other."""

import asyncio
from collections.abc import Sequence

import asyncpg
import grpc
import httpx

from phoebe_client import PhoebeError
from rater_service.database.database import OPERATOR_ERRORS
from rater_service.database.sessions import reason
from rater_service.doctor.access import Access, http_trouble, no_answer
from rater_service.doctor.checks import Check
from rater_service.doctor.findings import Checked, Finding, Report, failed, unchecked
from rater_service.doctor.rater_checks import unreached
from rater_service.errors import OperatorError

AT_A_TIME = 8

_START = "start it, or name its address; look at networks between"
_EXPECTED = (
    TimeoutError,
    OperatorError,
    *OPERATOR_ERRORS,
    grpc.RpcError,
    PhoebeError,
    httpx.HTTPError,
    OSError,
)


async def examine(access: Access, checks: Sequence[Check], timeout_s: float) -> Report:
    """Make checks and report in their order. timeout_s: how long each may take that does not bound itself."""
    places = asyncio.Semaphore(AT_A_TIME)

    async def made(check: Check) -> Checked:
        async with places:
            return Checked(check.name, await _make(access, check, timeout_s))

    return Report(await asyncio.gather(*map(made, checks)))


async def _make(access: Access, check: Check, timeout_s: float) -> Sequence[Finding]:
    """Make a check. What is expected to go wrong is a finding; anything else is a bug, and raised."""
    lacking = access.lacks(check.need)
    if lacking is not None:
        return [_not_there(access, check, lacking)]
    try:
        async with asyncio.timeout(None if check.own_time else timeout_s):
            return await check.look(access)
    except _EXPECTED as error:
        return [_explained(error, timeout_s)]


def _explained(error: Exception, timeout_s: float) -> Finding:
    """Say in words what kept a check from its end."""
    match error:
        case TimeoutError():
            said = no_answer(timeout_s), "see whether it is overloaded; --timeout waits longer"
        case OperatorError():
            said = str(error), "docs/doctor.md says what this check looks at"
        case PhoebeError():
            said = f"the rater answers {error}", "see rater.calls"
        case asyncpg.InsufficientPrivilegeError():
            return unchecked(f"the role of DATABASE_URL may not look at it: {error}", "see database.role")
        case grpc.RpcError():
            return unreached(error)
        case httpx.HTTPError():
            said = http_trouble(error, timeout_s), _START
        case OSError():
            said = f"it can't be asked: {error}", _START
        case _:
            said = f"the database can't be used: {reason(error)}", "see database.connection"
    return failed(*said)


def _not_there(access: Access, check: Check, lacking: str) -> Finding:
    """Say that what a check needs is not there. A database that was named and can't be used has failed."""
    if check.name == "database.connection" and access.database_trouble is not None:
        return failed(lacking, "start PostgreSQL, or correct DATABASE_URL: docs/databases.md")
    if lacking == access.database_trouble:
        return unchecked("the database can't be used", "see database.connection")
    if lacking == access.schema_trouble:
        return unchecked("the tables can't be read", "see database.schema")
    return unchecked(lacking, check.need.value)
