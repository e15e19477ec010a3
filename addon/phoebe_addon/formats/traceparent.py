"""The header `traceparent`: which trace a request is a part of.

W3C Trace Context, https://www.w3.org/TR/trace-context/#traceparent-header. Later versions may append fields.
"""

import re

_FORM = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})(?P<trace_id>[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?P<more>-.*)?",
    re.ASCII,
)


def trace_id_of(traceparent: str) -> str:
    """Return the id of the trace, 32 hexadecimal digits; "": the header does not say one, or is wrong."""
    found = _FORM.fullmatch(traceparent)
    if found is None or (found["version"] == "00" and found["more"]):
        return ""
    return found["trace_id"]
