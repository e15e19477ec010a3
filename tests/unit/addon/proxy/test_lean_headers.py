"""Headers that are looked up in another way than mitmproxy does: the same is found."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import http

from phoebe_addon.proxy import lean_headers

OWN = {name: getattr(http.Headers, name) for name in ("__init__", "get_all", "set_all")}
"""As they are before a test puts the guard in their place."""
OURS: dict[str, Callable[..., Any]] = {
    "__init__": lean_headers.begin_headers,
    "get_all": lean_headers.get_all,
    "set_all": lean_headers.set_all,
}

names = st.sampled_from(
    [b"host", b"Host", b"HOST", b"X-A", b"x-a", b"", "é".encode(), b"\xe9", b"\xc9", b"X_A"]
)
values = st.sampled_from([b"", b"a", b"a, b", "é".encode(), b"\xff"])
texts = st.sampled_from(["host", "HOST", b"Host", "x-a", b"X-A", "é", "\udce9", "", "missing", None, 5])
fields = st.lists(st.tuples(names, values), max_size=5)


def as_with(functions: dict[str, Callable[..., Any]], work: Callable[[], object]) -> object:
    """Do some work with headers; return what comes of it, or what it raises."""
    with pytest.MonkeyPatch.context() as patch:
        for name, function in functions.items():
            patch.setattr(http.Headers, name, function)
        try:
            return work()
        except Exception as error:
            return type(error), str(error)


@given(fields, texts, st.lists(texts, max_size=4))
def test_the_same_is_found_and_put(given: list[tuple[bytes, bytes]], name: Any, put: list[Any]) -> None:
    def found() -> object:
        headers = http.Headers(given)
        return [
            *(headers.get_all(name), headers.get(name), headers.get(name, "x"), name in headers),
            headers.fields,
        ]

    def changed(change: Callable[[http.Headers], object]) -> Callable[[], object]:
        def work() -> object:
            headers = http.Headers(given)
            return change(headers), headers.fields, bytes(headers), list(headers.items())

        return work

    for work in (
        found,
        changed(lambda headers: headers.set_all(name, list(put))),
        changed(lambda headers: headers.__setitem__(name, put[0] if put else "v")),
        changed(lambda headers: headers.pop(name, None)),
        changed(lambda headers: headers.__delitem__(name)),
        changed(lambda headers: headers.update({"X-A": "1", "Host": "2"})),
    ):
        assert as_with(OURS, work) == as_with(OWN, work)


@pytest.mark.parametrize(
    "given",
    [
        (),
        [(b"a", b"b")],
        [[b"a", b"b"]],
        [("a", b"b")],
        [(b"a", "b")],
        [(b"a", b"b", b"c")],
        [b"ab"],
        None,
        [5],
    ],
    ids=[
        "none",
        "one",
        "a list",
        "a text for a name",
        "a text for a value",
        "three",
        "bytes",
        "nothing",
        "a number",
    ],
)
@pytest.mark.parametrize("named", [{}, {"host": "a"}, {"Content_Type": b"b", "x": "é"}, {"x": 5}], ids=str)
def test_headers_begin_as_mitmproxys_own_do(given: Any, named: dict[str, Any]) -> None:
    def begun() -> object:
        return http.Headers(given, **named).fields

    assert as_with(OURS, begun) == as_with(OWN, begun)
