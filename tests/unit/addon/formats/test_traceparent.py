"""Which trace a request is a part of: the examples and the rules of W3C Trace Context."""

import pytest

from phoebe_addon.formats.traceparent import trace_id_of

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    "header",
    [f"00-{TRACE}-{SPAN}-01", f"01-{TRACE}-{SPAN}-00", f"cc-{TRACE}-{SPAN}-01-what-a-later-version-says"],
)
def test_it_is_read(header: str) -> None:
    assert trace_id_of(header) == TRACE


@pytest.mark.parametrize(
    "header",
    [
        *("", "00", TRACE, f"00-{TRACE}-{SPAN}", f"00-{TRACE.upper()}-{SPAN}-01", f"00-{TRACE}-{SPAN}-1"),
        *(f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01"),
        *(f"00-{TRACE}-{SPAN}-01-more", f" 00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01\n"),
    ],
)
def test_what_is_wrong_names_no_trace(header: str) -> None:
    assert trace_id_of(header) == ""
