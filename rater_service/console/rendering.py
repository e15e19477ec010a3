"""Pages as HTML: the templates, and what all of them know."""

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response

from phoebe_runtime.counts import counted, noun
from rater_service.console import figures
from rater_service.console.access import EVERYONE
from rater_service.console.downloads import download_links
from rater_service.console.page_list import KEEP_WINDOW, NAVIGATION, WINDOWED
from rater_service.console.query import link
from rater_service.console.tables import value_text
from rater_service.console.view import Page, View
from rater_service.distribution import installed_version
from rater_service.hours import HOUR, utc_text
from rater_service.service.access_list import Caller
from rater_service.views.terminal import printable

_FAULT_TITLES = {400: "Not understood", 403: "Not allowed", 404: "Not found"}


class Renderer:
    """Writes pages. installation: which one it is. static: where files are served, by their names."""

    def __init__(self, installation: str, static: dict[str, str]) -> None:
        self._templates = Environment(
            loader=PackageLoader("rater_service.console"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {
            "grouped": figures.grouped,
            "counted": counted,
            "noun": noun,
            "about": figures.about,
            "name": figures.name,
            "sentence": figures.sentence,
            "printable": printable,
            "utc": utc_text,
            "text": value_text,
        }
        self._templates.globals |= {
            "static": static,
            "version": installed_version(),
            "installation": installation,
            "link": link,
            "hour_step": HOUR,
        }

        # Compiled now, so that the first who looks at a page need not wait for it.
        for name in self._templates.list_templates():
            self._templates.get_template(name)

    def page(self, request: Request, base: str, page: Page, view: View, *, signed_in: bool) -> Response:
        """Write a page. base: its path. signed_in: whether the caller can sign out."""
        return self.html(
            request,
            page.template,
            200,
            view.caller,
            signed_in=signed_in,
            title=page.title,
            path=base,
            query=view.query,
            now=view.now,
            read_from=view.source.freshness.in_words() if view.source.freshness else None,
            tables=page.tables,
            navigation=[
                (view.query.href(path) if path in KEEP_WINDOW else path, words, path == base)
                for path, words in NAVIGATION
            ],
            downloads={
                table.name: download_links(base, table, request.query_params) for table in page.tables
            },
            windowed=base in WINDOWED,
            parameters=view.parameters,
            **page.shown,
        )

    def fault(self, request: Request, caller: Caller | None, status: int, message: str) -> Response:
        """Write a page that says what went wrong."""
        return self.html(
            request,
            "fault.html",
            status,
            caller,
            title=_FAULT_TITLES.get(status, "Not now"),
            message=message,
            navigation=[(path, words, False) for path, words in NAVIGATION] if caller else [],
        )

    def html(
        self,
        request: Request,
        template: str,
        status: int,
        caller: Caller | None,
        *,
        signed_in: bool = False,
        **shown: object,
    ) -> Response:
        """Fill a template in."""
        text = self._templates.get_template(template).render(
            reader=caller.name if caller and caller is not EVERYONE else None,
            signed_in=signed_in,
            search_text=request.query_params.get("q", ""),
            **shown,
        )
        return Response(text, status, media_type="text/html")
