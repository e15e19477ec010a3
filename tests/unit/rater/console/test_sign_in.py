"""Where a sign-in leads to, and from where its form may come."""

import pytest
from starlette.requests import Request

from rater_service.console.sign_in import is_from_here, safe_target


@pytest.mark.parametrize("target", ["/", "/usage?by=day&customer=a%2Fb", "/price-book?hash=0#L4", "/?q=%09"])
def test_a_path_of_ours_is_kept(target: str) -> None:
    assert safe_target(target) == target


@pytest.mark.parametrize(
    "target",
    [
        "",
        "evil.example",
        "https://evil.example/",
        "javascript:alert(1)",
        "//evil.example/",
        "/\\evil.example/",
        "/\t/evil.example/",
        "/\n/evil.example/",
        "\t//evil.example/",
        "/\r\nSet-Cookie: a=b",
        "/\u2028x",
    ],
    ids=[
        "empty",
        "name",
        "url",
        "script",
        "slashes",
        "backslash",
        "tab",
        "line",
        "tab first",
        "header",
        "sign",
    ],
)
def test_what_a_browser_would_take_for_another_place_leads_to_the_overview(target: str) -> None:
    assert safe_target(target) == "/"


def request_with(**headers: str) -> Request:
    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "path": "/login", "headers": given})


def test_a_form_comes_from_a_page_of_this_address() -> None:
    host = "127.0.0.1:8080"
    assert is_from_here(request_with(host=host, origin=f"http://{host}"))
    assert is_from_here(request_with(host=host, sec_fetch_site="same-origin"))
    assert is_from_here(request_with(host=host)), "programs say nothing of it"
    for origin in ("http://127.0.0.1:8081", "null", "", "http://evil.example", f"http://{host}.evil.example"):
        assert not is_from_here(request_with(host=host, origin=origin)), origin
    for site in ("cross-site", "same-site", "none"):
        assert not is_from_here(request_with(host=host, sec_fetch_site=site)), site
    assert not is_from_here(request_with(origin="null")), "no address is not the same as none"
