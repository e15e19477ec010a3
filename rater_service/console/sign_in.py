"""How callers show who they are: a token with each request, or the form that opens a session with one."""

import logging
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from rater_service.console.access import EVERYONE, WHOLE_S, Sessions
from rater_service.console.query import link
from rater_service.console.rendering import Renderer
from rater_service.service.access_list import Caller
from rater_service.service.call_guard import bearer_token

logger = logging.getLogger(__name__)

_FORM_BYTES_MAX = 4 * 1024
_FORM_FIELDS_MAX = 8


@dataclass(frozen=True, slots=True)
class SignIn:
    """Tells callers apart. cookie: the name of that of sessions. secure: connections are encrypted."""

    sessions: Sessions
    renderer: Renderer
    cookie: str
    secure: bool

    def routes(self) -> list[Route]:
        """Give the paths of the form."""
        return [
            Route("/login", self._form, methods=["GET"]),
            Route("/login", self._sign_in, methods=["POST"]),
            Route("/logout", self._sign_out, methods=["POST"]),
        ]

    def caller(self, request: Request) -> Caller | None:
        """Find who asks; None: nobody that is known. A token counts before a session."""
        if not self.sessions.asks:
            return EVERYONE
        token = bearer_token(request.headers.getlist("authorization"))
        if token is not None:
            return self.sessions.of_token(token)
        cookie = request.cookies.get(self.cookie)
        return None if cookie is None else self.sessions.of_cookie(cookie)

    def may_sign_out(self, request: Request) -> bool:
        """Tell whether the caller has a session."""
        return self.sessions.asks and self.cookie in request.cookies

    def first(self, request: Request) -> Response:
        """Answer somebody who is not known: people are led to the form."""
        if "authorization" in request.headers or "text/html" not in request.headers.get("accept", ""):
            return PlainTextResponse(
                "A token is needed: Authorization: Bearer TOKEN\n", 401, {"WWW-Authenticate": "Bearer"}
            )
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(link("/login", {"next": target}), 303)

    async def _form(self, request: Request) -> Response:
        return self._page(request, 200, None)

    def _page(self, request: Request, status: int, fault: str | None) -> Response:
        target = safe_target(request.query_params.get("next", "/"))
        return self.renderer.html(
            request,
            "login.html",
            status,
            None,
            title="Sign in",
            navigation=[],
            target=target,
            fault=fault,
            asks=self.sessions.asks,
        )

    async def _sign_in(self, request: Request) -> Response:
        if not is_from_here(request):
            return self._page(request, 403, "The form must come from this page.")
        form = await _read_form(request)
        address = request.client.host if request.client else ""
        cookie = self.sessions.sign_in(form.get("token", "").strip(), address) if self.sessions.asks else ""
        if cookie is None:
            logger.warning("the console refused a token from %s", address)
            return self._page(
                request, 403, "The token is not known, or there were too many tries: wait a minute."
            )
        response = RedirectResponse(safe_target(request.query_params.get("next", "/")), 303)
        if cookie:
            response.set_cookie(
                self.cookie,
                cookie,
                max_age=WHOLE_S,
                path="/",
                secure=self.secure,
                httponly=True,
                samesite="strict",
            )
        return response

    async def _sign_out(self, request: Request) -> Response:
        if not is_from_here(request):
            return self.renderer.fault(request, None, 403, "The form must come from a page of the console.")
        cookie = request.cookies.get(self.cookie)
        if cookie is not None:
            self.sessions.sign_out(cookie)
        response = RedirectResponse("/login", 303)
        response.delete_cookie(self.cookie, path="/", secure=self.secure, httponly=True, samesite="strict")
        return response


def safe_target(target: str) -> str:
    """Give a path on this server; `//other`, and what a browser reads as that, lead to the overview.

    Browsers leave tabs and line ends of a link out, and take a backslash for a slash.
    """
    is_path = target.startswith("/") and target[1:2] != "/"
    return target if is_path and target.isascii() and target.isprintable() and "\\" not in target else "/"


def is_from_here(request: Request) -> bool:
    """Tell whether a form was sent by a page of ours: other ports of the host send its cookies, too."""
    origin = request.headers.get("origin")
    if origin is None:
        return request.headers.get("sec-fetch-site") in {None, "same-origin"}
    sent_from = urlsplit(origin).netloc.lower()
    return bool(sent_from) and sent_from == request.headers.get("host", "").lower()


async def _read_form(request: Request) -> dict[str, str]:
    """Read a small form of a field or two; of a larger one nothing."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _FORM_BYTES_MAX:
            return {}
    try:
        return dict(parse_qsl(body.decode("utf-8", "replace"), max_num_fields=_FORM_FIELDS_MAX))
    except ValueError:
        return {}
