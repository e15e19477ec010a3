"""A request to a real model, followed from the proxy to its money: its event, its price, a dry run."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

import asyncpg

from phoebe_runtime.counts import counted
from rater_service.bills.event import EventAccount, NoSuchEventError, Standing, account_for
from rater_service.doctor.access import Access, Answered
from rater_service.doctor.findings import Finding, failed, ok, unchecked
from rater_service.doctor.targets import FORGED_AUTH_ID, Canary
from rater_service.hours import HOUR
from rater_service.money import decimal_text
from rater_service.process_owner import process_owner
from rater_service.rating.rating import rate_window
from rater_service.rating.run import Mode, RateRequest

CHAT_PATH = "/v1/chat/completions"
_LOOK_EVERY_S = 0.2


async def check_canary(access: Access) -> Sequence[Finding]:
    """Send it, wait for its event, and say what it will cost, with a run that changes no bill."""
    canary = access.targets.canary
    assert canary is not None
    answer, way = await _send(access, canary)
    request_id = _request_id(answer)
    if answer.status != 200 or request_id is None:
        why = f" ({answer.refusal})" if answer.refusal else ""
        return [
            failed(
                f"the canary was not served: {way} answers with {answer.status}{why}",
                f"see that {canary.model!a} is served, and that the headers are those of a customer",
            )
        ]
    begun_s = time.monotonic()
    account = await _account(access, canary, request_id)
    if account is None:
        return [
            failed(
                f"the event of the canary, {request_id}, is not in the database after "
                f"{canary.within.total_seconds():g} s",
                "look at proxy.metrics and rater.calls; `phoebe event` finds it once it comes",
            )
        ]
    return [
        ok(f"the event {request_id} was stored after {time.monotonic() - begun_s:.1f} s: {_tokens(account)}"),
        _judge_payer(access, account),
        _judge_money(account),
        await _rated(access, account),
    ]


async def _send(access: Access, canary: Canary) -> tuple[Answered, str]:
    """Send the request. Returns what came back, and from where, in words."""
    said = access.targets
    document = {
        "model": canary.model,
        "messages": [{"role": "user", "content": "Say yes."}],
        "max_tokens": 1,
        "stream": False,
    }
    names = said.header_names
    headers: Mapping[str, str]
    if said.edge is not None:
        # The edge has to overwrite what a customer forges: the event tells whether it did.
        headers = names.forged() | dict(said.edge_headers)
        return await access.ask("POST", said.edge + CHAT_PATH, headers, document), "the edge"
    assert said.proxy is not None
    secret = {} if said.edge_secret is None else {names.edge_secret: said.edge_secret}
    headers = {names.auth_id: canary.auth_id, names.resource_id: canary.resource_id, **secret}
    return await access.ask("POST", said.proxy + CHAT_PATH, headers, document), "the proxy"


def _request_id(answer: Answered) -> UUID | None:
    try:
        return UUID(answer.headers.get("x-request-id", ""))
    except ValueError:
        return None


async def _account(access: Access, canary: Canary, request_id: UUID) -> EventAccount | None:
    """Wait for the event; None: it did not come in time."""
    try:
        async with asyncio.timeout(canary.within.total_seconds()):
            while True:
                try:
                    return await account_for(access.database, request_id)
                except NoSuchEventError:
                    await asyncio.sleep(_LOOK_EVERY_S)
    except TimeoutError:
        return None


def _tokens(account: EventAccount) -> str:
    counts = account.event.counts
    return (
        f"{counts.prompt} prompt and {counts.completion} completion tokens of {account.event.row.model_id!a}"
    )


def _judge_payer(access: Access, account: EventAccount) -> Finding:
    payer = account.event.row.auth_id
    if payer == FORGED_AUTH_ID:
        return failed(
            "the edge let a forged auth id pass: a customer can let others pay",
            "set or remove all six headers at the edge: docs/edge.md",
        )
    forged = ", though the request named another" if access.targets.edge is not None else ""
    return ok(f"it is metered to {payer!a}{forged}")


def _judge_money(account: EventAccount) -> Finding:
    amount = account.amount
    if account.standing is Standing.NOT_BILLED or amount is None:
        return failed(
            f"the canary can't be billed: {account.reason}",
            account.advice or "docs/runbooks.md has a section for it",
        )
    return ok(f"it will cost {decimal_text(amount)} USD")


async def _rated(access: Access, account: EventAccount) -> Finding:
    """Rate its hour in a dry run, which is kept among the runs and changes no bill."""
    hour = account.event.hour
    request = RateRequest(
        hour,
        hour + HOUR,
        requested_by=f"doctor:{process_owner()}",
        mode=Mode.BACKFILL,
        dry_run=True,
        names_outside=False,
        ahead=True,
    )
    try:
        run = await rate_window(access.database, request, datetime.now(UTC))
    except asyncpg.InsufficientPrivilegeError:
        return unchecked(
            "a dry run over its hour needs the rights of a service", "give the DATABASE_URL of the rater"
        )
    return ok(
        f"a dry run over its hour, run {run.run_id}, rates {run.events_rated} of "
        f"{counted(run.events_in_window, 'event')}; no bill was changed"
    )
