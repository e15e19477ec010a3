"""The console as an ASGI application: pages by path, their downloads, and the calls of programs."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from rater_service.console.access import Sessions
from rater_service.console.downloads import file_headers, form_of, wanted_table, whole_file
from rater_service.console.faults import NotAllowedError, fault_of
from rater_service.console.guard import Guarded
from rater_service.console.json_calls import AS_OF_HEADER, PREFIX, JsonCalls, no_such_call
from rater_service.console.kept_sums import KeptSums
from rater_service.console.page_list import NEED_EVENTS, PAGES, PageMaker, stem
from rater_service.console.query import read_query
from rater_service.console.rendering import Renderer
from rater_service.console.sign_in import SignIn
from rater_service.console.static_files import read_static_files
from rater_service.console.streamed_table import StreamedTable
from rater_service.console.view import Page, Redirect, View
from rater_service.hours import utc_text
from rater_service.service.access_list import Caller, Right
from rater_service.service.reads import Reads

PAGES_AT_ONCE = 8
"""More wait: each has a session with the database, of which there are few."""
PAGE_TIMEOUT_S = 15.0
"""How long a page may take, its wait for others included: then its session is free for the next."""
DOWNLOADS_AT_ONCE = 2
"""Each has a session of its own for as long as it lasts; more wait."""


@dataclass(frozen=True, slots=True)
class ConsoleSettings:
    """What the console shows of itself, and how it is protected.

    hosts: the values of `Host` it answers to; None: any, because callers are asked who they are. secure:
    connections are encrypted, so cookies may say so.
    """

    installation: str
    hosts: frozenset[str] | None
    secure: bool
    port: int


class Console:
    """The pages of one rater.

    reads: gives what to read from. calls: of programs. clock: gives the moment it is, UTC-aware.
    reads_of_downloads: the same for what may take long; None: that of pages.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what it is made of
        self,
        reads: Reads,
        sessions: Sessions,
        settings: ConsoleSettings,
        calls: JsonCalls,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        reads_of_downloads: Reads | None = None,
    ) -> None:
        self._reads = reads
        self._reads_of_downloads = reads_of_downloads or reads
        self._settings = settings
        self._calls = calls
        self._clock = clock
        self._static, names = read_static_files()
        self._sums = KeptSums()
        self._room = asyncio.Semaphore(PAGES_AT_ONCE)
        self._room_of_downloads = asyncio.Semaphore(DOWNLOADS_AT_ONCE)
        self._renderer = Renderer(settings.installation, names)
        cookie = "__Host-phoebe" if settings.secure else f"phoebe-{settings.port}"
        self._sign_in = SignIn(sessions, self._renderer, cookie, settings.secure)

    def application(self) -> ASGIApp:
        """Make the application."""
        pages = [
            Route(path, self._endpoint(path, maker), methods=["GET"])
            for base, maker in PAGES.items()
            for path in (base, f"{stem(base)}.csv", f"{stem(base)}.json")
        ]
        routes = [
            *pages,
            *self._sign_in.routes(),
            *self._calls.routes(),
            Route("/healthz", _healthz, methods=["GET"]),
            Route("/static/{name}", self._static_file, methods=["GET"]),
        ]
        handlers = {404: self._no_page, 405: self._wrong_method}
        application = Starlette(routes=routes, exception_handlers=handlers)
        # What is not there is not found: a redirect would lead to whatever the caller calls this host.
        application.router.redirect_slashes = False
        return Guarded(application, self._settings.hosts)

    def _endpoint(self, path: str, maker: PageMaker) -> Callable[[Request], Awaitable[ASGIApp]]:
        async def answer(request: Request) -> ASGIApp:
            caller = self._sign_in.caller(request)
            if caller is None:
                return self._sign_in.first(request)
            try:
                return await self._answer(request, path, maker, caller)
            except Exception as error:
                fault = fault_of(error)
                if fault is None:
                    raise
                return self._renderer.fault(request, caller, *fault)

        return answer

    async def _answer(self, request: Request, path: str, maker: PageMaker, caller: Caller) -> ASGIApp:
        base, _, form = path.rpartition(".") if path.endswith((".csv", ".json")) else (path, "", "")
        base = "/" if base == "/overview" else base
        _refuse_without_right(caller, base)
        parameters = dict(request.query_params)
        read_query(parameters, self._clock())  # what can't be needs no room
        async with asyncio.timeout(PAGE_TIMEOUT_S), self._room:
            source = await self._reads.source()
            now = source.at(self._clock())
            query = read_query(parameters, now)
            view = View(source, self._sums, parameters, query, caller, now, download=bool(form))
            page = await source.read(lambda: maker(view))
        if isinstance(page, Redirect):
            return RedirectResponse(page.href, 303)
        if form:
            return await self._download(request, page, form, view)
        signed_in = self._sign_in.may_sign_out(request)
        response = self._renderer.page(request, base, page, view, signed_in=signed_in)
        if source.is_standby:
            response.headers[AS_OF_HEADER] = utc_text(now)
        return response

    async def _download(self, request: Request, page: Page, form: str, view: View) -> ASGIApp:
        table = wanted_table(page, view.parameters)
        written = form_of(table, form, view.parameters)
        source = view.source if table.source is None else await self._reads_of_downloads.source()
        now = source.at(self._clock())
        headers = file_headers(table, form, view.query, now)
        if source.is_standby:
            headers[AS_OF_HEADER] = utc_text(now)
        if table.source is None:
            return whole_file(written, table.rows, table.total, headers)
        return StreamedTable(
            source.pool,
            self._room_of_downloads,
            table.source,
            written,
            headers,
            refused=lambda status, words: self._renderer.fault(request, view.caller, status, words),
        )

    async def _static_file(self, request: Request) -> Response:
        file = self._static.get(request.path_params["name"])
        if file is None:
            return PlainTextResponse("There is no such file.\n", 404)
        kept = {"Cache-Control": "public, max-age=31536000, immutable"}
        return Response(file.content, headers={**kept, "Content-Type": file.content_type})

    async def _no_page(self, request: Request, _error: Exception) -> Response:
        if request.url.path.startswith(PREFIX):
            return no_such_call(404)
        return self._renderer.fault(request, self._sign_in.caller(request), 404, "There is no such page.")

    async def _wrong_method(self, request: Request, error: Exception) -> Response:
        if request.url.path.startswith(PREFIX):
            return no_such_call(405)
        headers = error.headers if isinstance(error, HTTPException) else None
        return PlainTextResponse("Pages are only read: GET.\n", 405, headers)


def _refuse_without_right(caller: Caller, base: str) -> None:
    """Raise NotAllowedError for a page that the caller may not see."""
    if Right.READ not in caller.rights:
        raise NotAllowedError(f"{caller.name} may not read bills: the right read is missing.")
    if base in NEED_EVENTS and Right.EVENTS not in caller.rights:
        raise NotAllowedError(
            f"{caller.name} may not see single events, which name users: the right events is missing."
        )


async def _healthz(_request: Request) -> Response:
    return PlainTextResponse("ok\n")
