"""Which trace a request is a part of is read as OpenTelemetry's own library reads it."""

from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from phoebe_addon.formats.traceparent import trace_id_of

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def hexadecimal(digits: int) -> st.SearchStrategy[str]:
    length = st.sampled_from([digits] * 6 + [digits - 1, digits + 1])
    return st.one_of(
        st.integers(0, 16**digits - 1).map(lambda number: f"{number:0{digits}x}"),
        length.map(lambda count: "0" * count),
        length.flatmap(lambda count: st.text("0123456789abcdefAg\u0660", min_size=count, max_size=count)),
    )


@st.composite
def headers(draw: st.DrawFn) -> str:
    """Headers that are right but for a part or two. HTTP has taken the blanks around them away."""
    parts = [draw(st.sampled_from(["00", "01", "fe"])), TRACE, SPAN, "01"]
    kinds = [st.one_of(st.just("ff"), hexadecimal(2)), hexadecimal(32), hexadecimal(16), hexadecimal(2)]
    for place in draw(st.lists(st.integers(0, 3), max_size=2)):
        parts[place] = draw(kinds[place])
    return "-".join(parts) + draw(
        st.sampled_from(["", "", "-", "-x", "-00-1", "x", "-" + "x" * 200, "-" + "x" * 201])
    )


@given(st.one_of(headers(), st.text("0123456789abcdef-", max_size=60)))
@example(f"00-{TRACE}-{SPAN}-01")
@example(f"01-{TRACE}-{SPAN}-01-more")
@example(f"00-{TRACE}-{SPAN}-01-more")
def test_a_trace_is_read_as_the_library_reads_it(header: str) -> None:
    context = TraceContextTextMapPropagator().extract({"traceparent": header})
    found = get_current_span(context).get_span_context()
    assert trace_id_of(header) == (f"{found.trace_id:032x}" if found.is_valid else "")
