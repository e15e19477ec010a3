"""Tells what stands where a value should be from a value: a word for none, or a template never filled in.

Edges send it where they have no value. Nobody is called so: usage under such a name would be on a bill that
nobody gets, and shared by all customers whom the fault befalls.
"""

import re

# Apache and nginx write "-" and "(null)", JavaScript "undefined" and "[object Object]", Python "None",
# Lua and Ruby "nil", Go "<nil>", "<no value>" and "%!s(MISSING)". Signs around a word change nothing.
_WORDS = "null|nil|none|undefined|nan|n/a|unknown|anonymous|unauthenticated|no value|object object"
_PLACEHOLDER = re.compile(
    rf"""
      [^0-9a-z]+                                       # signs alone
    | [^0-9a-z]*(?:{_WORDS.replace(" ", "[ ]")})[^0-9a-z]*
    | .*(?:\{{\{{|\$\{{|%\{{|<%).*    # {{{{x}}}}: Jinja; ${{x}}: shells; %{{x}}: Apache; <%: ERB
    | \$\w+                                            # $http_x: nginx
    | %.*%                                             # %REQ(X)%: Envoy
    | %!.*                                             # Go
    | \{{(?![0-9a-f]{{8}}-)[a-z_][\w.\-]*\}}           # {{http.request.header.X}}: Caddy; a GUID is an id
    """,
    re.IGNORECASE | re.VERBOSE | re.ASCII,
)


# Most ids are told without the pattern: longer than any word, no sign before it, nothing of a template.
_LONGER_THAN_WORDS = 24
_SIGNS_OF_TEMPLATES = frozenset("{$%<")


def is_placeholder(value: str) -> bool:
    """Tell whether a header's value, printable ASCII and not empty, stands for none."""
    if len(value) > _LONGER_THAN_WORDS and value[0].isalnum() and _SIGNS_OF_TEMPLATES.isdisjoint(value):
        return False
    return _PLACEHOLDER.fullmatch(value) is not None
