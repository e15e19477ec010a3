"""The console as an ASGI application: pages by path, their downloads, who may see them, how they fail."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from ipaddress import ip_address
from urllib.parse import parse_qsl, urlsplit

import asyncpg
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rater_service.console import figures
from rater_service.console.access import EVERYONE, WHOLE_S, Sessions
from rater_service.console.kept_sums import KeptSums
from rater_service.console.pages import money, price_books, proof, running
from rater_service.console.query import BadParameterError, Query, link, read_query
from rater_service.console.static_files import read_static_files
from rater_service.console.tables import Table, table_csv, table_json, value_text
from rater_service.console.view import NotFoundError, Page, Redirect, View
from rater_service.database.database import UNAVAILABLE_ERRORS, Pool
from rater_service.errors import OperatorError
from rater_service.hours import HOUR, utc_text
from rater_service.service.access_list import Caller, Right

logger = logging.getLogger(__name__)

type PageMaker = Callable[[View], Awaitable[Page | Redirect]]

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""On every answer, errors too."""
PAGES_AT_ONCE = 8
"""More wait: each has a session with the database, of which there are few."""
_QUERY_BYTES_MAX = 8 * 1024
_FORM_BYTES_MAX = 4 * 1024
_NEEDS_EVENTS = frozenset({"/event", "/rollup-events"})

PAGES: dict[str, PageMaker] = {
    "/": money.overview,
    "/usage": money.usage,
    "/bill": money.bill,
    "/rollups": proof.rollups,
    "/rollup": proof.rollup,
    "/rollup-events": proof.rollup_events,
    "/event": proof.event,
    "/search": proof.search,
    "/now": running.now,
    "/problems": running.problems,
    "/producers": running.producers,
    "/runs": running.runs,
    "/run": running.run,
    "/prices": price_books.prices,
    "/price-book": price_books.price_book,
    "/quote": price_books.quote,
}
"""Each page also has `.csv` and `.json`: `/usage.csv`, and of the overview `/overview.csv`."""
NAVIGATION = (
    ("/", "Overview"),
    ("/usage", "Usage"),
    ("/now", "Now"),
    ("/problems", "Problems"),
    ("/prices", "Prices"),
    ("/quote", "Quote"),
    ("/producers", "Producers"),
    ("/runs", "Runs"),
)
_KEEP_WINDOW = frozenset({"/", "/usage", "/problems"})


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


class _Refused(Exception):  # noqa: N818 - an answer, and no failure of ours
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Console:
    """The pages of one rater. clock: gives the moment it is, UTC-aware."""

    def __init__(
        self,
        pool: Pool,
        sessions: Sessions,
        settings: ConsoleSettings,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._pool = pool
        self._sessions = sessions
        self._settings = settings
        self._clock = clock
        self._static, names = read_static_files()
        self._sums = KeptSums()
        self._room = asyncio.Semaphore(PAGES_AT_ONCE)
        self._cookie = "__Host-phoebe" if settings.secure else f"phoebe-{settings.port}"
        self._templates = Environment(
            loader=PackageLoader("rater_service.console"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {
            "grouped": figures.grouped,
            "about": figures.about,
            "name": figures.name,
            "utc": utc_text,
            "text": value_text,
        }
        self._templates.globals |= {
            "static": names,
            "version": version("phoebe-metering"),
            "installation": settings.installation,
            "link": link,
            "hour_step": HOUR,
        }

    def application(self) -> ASGIApp:
        """Make the application."""
        pages = [
            Route(path, self._endpoint(path, maker), methods=["GET"])
            for base, maker in PAGES.items()
            for path in (base, f"{_stem(base)}.csv", f"{_stem(base)}.json")
        ]
        return _Guarded(
            Starlette(
                routes=[
                    *pages,
                    Route("/login", self._login_form, methods=["GET"]),
                    Route("/login", self._login, methods=["POST"]),
                    Route("/logout", self._logout, methods=["POST"]),
                    Route("/healthz", _healthz, methods=["GET"]),
                    Route("/static/{name}", self._static_file, methods=["GET"]),
                ],
                exception_handlers={404: self._no_page, 405: self._wrong_method},
            ),
            self._settings,
        )

    def _endpoint(self, path: str, maker: PageMaker) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            caller = self._caller(request)
            if caller is None:
                return self._sign_in_first(request)
            try:
                return await self._answer(request, path, maker, caller)
            except Exception as error:
                fault = _fault_of(error)
                if fault is None:
                    raise
                return self._fault(request, caller, *fault)

        return answer

    async def _answer(self, request: Request, path: str, maker: PageMaker, caller: Caller) -> Response:
        base, _, form = path.rpartition(".") if path.endswith((".csv", ".json")) else (path, "", "")
        base = "/" if base == "/overview" else base
        if Right.READ not in caller.rights:
            raise _Refused(403, f"{caller.name} may not read bills: the right read is missing.")
        if base in _NEEDS_EVENTS and Right.EVENTS not in caller.rights:
            raise _Refused(
                403,
                f"{caller.name} may not see single events, which name users: the right events is missing.",
            )
        now = self._clock()
        parameters = dict(request.query_params)
        query = read_query(parameters, now)
        view = View(self._pool, self._sums, parameters, query, caller, now, download=bool(form))
        async with self._room:
            page = await maker(view)
        if isinstance(page, Redirect):
            return RedirectResponse(page.href, 303)
        if form:
            return _download(page, form, parameters, query, now)
        return self._page(request, base, page, view)

    def _page(self, request: Request, base: str, page: Page, view: View) -> Response:
        return self._html(
            request,
            page.template,
            200,
            view.caller,
            title=page.title,
            path=base,
            query=view.query,
            now=view.now,
            tables=page.tables,
            navigation=[
                (view.query.href(path) if path in _KEEP_WINDOW else path, words, path == base)
                for path, words in NAVIGATION
            ],
            downloads={table.name: _download_links(base, table, request) for table in page.tables},
            windowed=base in {"/", "/usage", "/bill", "/rollups", "/problems"},
            parameters=view.parameters,
            live=False,
            **{name: value for name, value in page.shown.items() if name not in {"live", "windowed"}},
        )

    def _fault(self, request: Request, caller: Caller | None, status: int, message: str) -> Response:
        return self._html(
            request,
            "fault.html",
            status,
            caller,
            title={400: "Not understood", 403: "Not allowed", 404: "Not found"}.get(status, "Not now"),
            message=message,
            navigation=[(path, words, False) for path, words in NAVIGATION] if caller else [],
        )

    def _html(
        self, request: Request, template: str, status: int, caller: Caller | None, **shown: object
    ) -> Response:
        text = self._templates.get_template(template).render(
            caller=caller,
            asks=self._sessions.asks,
            signed_in=self._cookie in request.cookies and self._sessions.asks,
            search_text=request.query_params.get("q", ""),
            **shown,
        )
        return Response(text, status, media_type="text/html")

    def _caller(self, request: Request) -> Caller | None:
        if not self._sessions.asks:
            return EVERYONE
        given = request.headers.getlist("authorization")
        if given:
            scheme, _, token = given[0].partition(" ")
            is_one = len(given) == 1 and scheme.lower() == "bearer"
            return self._sessions.of_token(token.strip()) if is_one else None
        cookie = request.cookies.get(self._cookie)
        return None if cookie is None else self._sessions.of_cookie(cookie)

    def _sign_in_first(self, request: Request) -> Response:
        if "authorization" in request.headers or "text/html" not in request.headers.get("accept", ""):
            return PlainTextResponse(
                "A token is needed: Authorization: Bearer TOKEN\n", 401, {"WWW-Authenticate": "Bearer"}
            )
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(link("/login", {"next": target}), 303)

    async def _login_form(self, request: Request) -> Response:
        return self._login_page(request, 200, None)

    def _login_page(self, request: Request, status: int, fault: str | None) -> Response:
        target = _safe_target(request.query_params.get("next", "/"))
        return self._html(
            request, "login.html", status, None, title="Sign in", navigation=[], target=target, fault=fault
        )

    async def _login(self, request: Request) -> Response:
        if not _is_from_here(request):
            return self._login_page(request, 403, "The form must come from this page.")
        form = await _form(request)
        address = request.client.host if request.client else ""
        cookie = self._sessions.sign_in(form.get("token", "").strip(), address) if self._sessions.asks else ""
        if cookie is None:
            logger.warning("the console refused a token from %s", address)
            return self._login_page(
                request, 403, "The token is not known, or there were too many tries: wait a minute."
            )
        response = RedirectResponse(_safe_target(request.query_params.get("next", "/")), 303)
        if cookie:
            response.set_cookie(
                self._cookie,
                cookie,
                max_age=WHOLE_S,
                path="/",
                secure=self._settings.secure,
                httponly=True,
                samesite="strict",
            )
        return response

    async def _logout(self, request: Request) -> Response:
        if not _is_from_here(request):
            return self._fault(request, None, 403, "The form must come from a page of the console.")
        cookie = request.cookies.get(self._cookie)
        if cookie is not None:
            self._sessions.sign_out(cookie)
        response = RedirectResponse("/login", 303)
        response.delete_cookie(
            self._cookie, path="/", secure=self._settings.secure, httponly=True, samesite="strict"
        )
        return response

    async def _static_file(self, request: Request) -> Response:
        file = self._static.get(request.path_params["name"])
        if file is None:
            return PlainTextResponse("There is no such file.\n", 404)
        kept = {"Cache-Control": "public, max-age=31536000, immutable"}
        return Response(file.content, headers={**kept, "Content-Type": file.content_type})

    async def _no_page(self, request: Request, _error: Exception) -> Response:
        return self._fault(request, self._caller(request), 404, "There is no such page.")

    async def _wrong_method(self, _request: Request, _error: Exception) -> Response:
        return PlainTextResponse("Pages are only read: GET.\n", 405, {"Allow": "GET, HEAD"})


class _Guarded:
    """Puts the headers on every answer, and refuses what no page is asked with."""

    def __init__(self, inner: ASGIApp, settings: ConsoleSettings) -> None:
        self._inner = inner
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(
                        (name.lower().encode(), value.encode())
                        for name, value in HEADERS.items()
                        if name.lower().encode() not in given
                    ),
                ]
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self._inner)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        hosts = Headers(scope=scope).getlist("host")
        if self._settings.hosts is not None and (
            len(hosts) != 1 or hosts[0].lower() not in self._settings.hosts
        ):
            # A page of somebody else, whose name was made to lead here, would read bills.
            return PlainTextResponse("The console answers to its own address only.\n", 421)
        if len(scope["query_string"]) > _QUERY_BYTES_MAX:
            return PlainTextResponse("The address is too long.\n", 414)
        return None


def _fault_of(error: Exception) -> tuple[int, str] | None:
    """Give the status and what is said of an error that is no bug; None: it is one."""
    match error:
        case BadParameterError():
            return 400, f"The parameter {error}."
        case NotFoundError():
            return 404, str(error)
        case _Refused():
            return error.status, error.message
        case OperatorError():
            return 503, str(error)
    return _fault_of_database(error)


def _fault_of_database(error: Exception) -> tuple[int, str] | None:
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        logger.error("the role of the console lacks a right in the database: %s", error)
        return 503, "The role of the service lacks a right in the database."
    if not isinstance(error, UNAVAILABLE_ERRORS):
        return None
    if isinstance(error.__cause__, TimeoutError):
        return 503, "That took too long. Choose a shorter window, or one customer."
    logger.warning("the console can't use the database: %s", error)
    return 503, "The database can't be used now. Try again soon."


def _stem(path: str) -> str:
    return "/overview" if path == "/" else path


async def _healthz(_request: Request) -> Response:
    return PlainTextResponse("ok\n")


def _download_links(base: str, table: Table, request: Request) -> list[tuple[str, str]]:
    told: dict[str, str | int | None] = {
        name: value for name, value in request.query_params.items() if name not in {"after", "before"}
    }
    told["table"] = table.name
    return [
        ("CSV", link(f"{_stem(base)}.csv", told)),
        ("CSV for spreadsheets", link(f"{_stem(base)}.csv", {**told, "spreadsheet": "1"})),
        ("JSON", link(f"{_stem(base)}.json", told)),
    ]


def _download(page: Page, form: str, parameters: Mapping[str, str], query: Query, now: datetime) -> Response:
    wanted = parameters.get("table")
    table = next((one for one in page.tables if wanted in {None, "", one.name}), None)
    if table is None:
        raise NotFoundError(
            f"This page has no such table; it has {', '.join(one.name for one in page.tables)}."
        )
    window = f"{utc_text(query.start)}-{utc_text(query.end)}-at-{utc_text(now.replace(microsecond=0))}"
    # Without what file systems do not take.
    name = f"{table.name}-{window}.{form}".replace(":", "")
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    if form == "json":
        return Response(table_json(table) + "\n", media_type="application/json", headers=headers)
    text = table_csv(table, for_spreadsheets=bool(parameters.get("spreadsheet")))
    return Response(text, headers=headers, media_type="text/csv")


def _safe_target(target: str) -> str:
    """Give a path on this server; `//other`, and what a browser reads as that, lead to the overview."""
    return target if target.startswith("/") and "\\" not in target and target[1:2] != "/" else "/"


def _is_from_here(request: Request) -> bool:
    """Tell whether a form was sent by a page of ours: other ports of the host send its cookies, too."""
    origin = request.headers.get("origin")
    if origin is None:
        return request.headers.get("sec-fetch-site") in {None, "same-origin"}
    return urlsplit(origin).netloc.lower() == request.headers.get("host", "").lower()


async def _form(request: Request) -> dict[str, str]:
    """Read a small form of one field or two; of a larger one nothing."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _FORM_BYTES_MAX:
            return {}
    return dict(parse_qsl(body.decode("utf-8", "replace"), max_num_fields=8))


def own_hosts(host: str, port: int) -> frozenset[str] | None:
    """Give the values of `Host` under which a console on loopback is reached; None for one beyond it."""
    bare = host.removeprefix("[").removesuffix("]")
    try:
        is_loopback = bare == "localhost" or ip_address(bare).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        return None
    names = {"127.0.0.1", "[::1]", "localhost", f"[{bare}]" if ":" in bare else bare}
    return frozenset(f"{name}:{port}" for name in names)
