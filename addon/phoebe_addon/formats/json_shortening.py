"""Making values of a JSON document short, so that what is asked of them can still be told.

A value is a string, a number or empty as it was before. No value becomes a count that it was not.
"""

import json
import re

KEPT_BYTES_MAX = 16 * 1024
"""Values up to here are kept as they are."""
STRING_BYTES_KEPT = 4 * 1024
"""Of a longer string so much is kept, or a few bytes less."""

NOT_EMPTY = {b"{": b'{"":true}', b"[": b"[true]"}
"""What stands for an object or an array that is not kept, by its first byte."""

_PLAIN = re.compile(rb'-?[1-9][0-9]{0,15}|0|"[ !#-\[\]-~]*+"|null|true|false')
_WHOLE_ESCAPES = re.compile(rb"(?:[^\\]|\\u[0-9a-fA-F]{4}|\\[^u])*+", re.DOTALL)
_NO_COUNT = b"1e999"  # no parser takes it for a whole number
_NO_TEXT = b'"?"'
_DECODER = json.JSONDecoder(parse_int=float, strict=False)  # Python refuses to read long integers


def kept(first: bytes, content: bytes) -> bytes:
    """Return what is kept of a value that is not looked into. content: at least so much as may be kept."""
    if len(content) > KEPT_BYTES_MAX:
        return _shortened(first, content)
    return content if _PLAIN.fullmatch(content) or is_json(content) else _stand_in(first)


def is_json(content: bytes) -> bool:
    """Whether a short text is JSON, as far as Python takes it for that."""
    try:
        _DECODER.decode(content.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return False
    return True


def _shortened(first: bytes, beginning: bytes) -> bytes:
    """Shorten a value that is too long and begins like this."""
    if first != b'"':
        return _stand_in(first)
    match = _WHOLE_ESCAPES.match(beginning[1:STRING_BYTES_KEPT])
    assert match
    text = b'"' + match[0] + b'"'
    return text if is_json(text) else _stand_in(first)


def _stand_in(first: bytes) -> bytes:
    """Return a value of the same kind for one that is not kept. None of them is empty."""
    return _NO_TEXT if first == b'"' else NOT_EMPTY.get(first, _NO_COUNT)
