"""Bytes that somebody might send as a message: of any kind of message, made from its descriptor alone."""

import struct
from collections.abc import Sequence

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from hypothesis import strategies as st

VARINT, FIXED64, LENGTH, GROUP_START, GROUP_END, FIXED32 = range(6)
FIELD_NUMBER_MAX = 2**29 - 1
DEPTH_MAX = 3

# The borders of types, of token counts, and of times: years 1, 2000, 2100 and 9999.
NUMBERS = st.sampled_from(
    [
        *(0, 1, 2, 99, 100, 600, 3600, 10**9 - 1, 10**9, 2**31 - 1, 2**31, 2**53, 2**53 + 1, 2**63 - 1),
        *(-1, -2, -(2**31), -(2**63), -(10**9)),
        *(946_684_799, 946_684_800, 4_102_444_799, 4_102_444_800),
        *(-62_135_596_801, -62_135_596_800, 253_402_297_200, 253_402_300_799, 253_402_300_800),
    ]
)
UUID = "0197a0c0-0000-7000-8000-000000000001"
TEXTS = st.sampled_from(
    [
        b"",
        b"\0",
        b"a\0b",
        b" ",
        b"\n",
        b"\x7f",
        b"x" * 64,
        b"x" * 65,
        b"x" * 257,
        b"x" * 20_000,
        "é€\U0001f600\U0010ffff\ufffe\u202e".encode(),
        "\uff41lice".encode(),
        UUID.encode(),
        UUID.upper().encode(),
        UUID.replace("-", "").encode(),
        f"{{{UUID}}}".encode(),
        f"{UUID}\n".encode(),
        UUID.replace("1", "\uff11").encode(),
        b"completed",
        b"proxy_error",
        b"ft:",
        b"%s%n{0}'\";--",
        # No UTF-8: a stray byte, a surrogate, an overlong NUL, a cut character.
        b"\xff",
        "\ud800".encode(errors="surrogatepass"),
        b"\xc0\x80",
        b"\xe2\x82",
    ]
)


def varint(number: int) -> bytes:
    """Encode a number; a negative one as protobuf does, in 64 bits."""
    left, encoded = number % 2**64, bytearray()
    while left > 0x7F:
        encoded.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*encoded, left])


def record(number: int, wire_type: int, payload: bytes) -> bytes:
    """Encode a field; the payload of one with a length gets that length."""
    length = varint(len(payload)) if wire_type == LENGTH else b""
    return varint(number << 3 | wire_type) + length + payload


_payloads_of_types: dict[int, st.SearchStrategy[bytes]] = {
    VARINT: NUMBERS.map(varint),
    FIXED64: st.binary(min_size=8, max_size=8),
    LENGTH: TEXTS | st.binary(max_size=40),
    GROUP_START: st.just(b""),
    GROUP_END: st.just(b""),
    FIXED32: st.binary(min_size=4, max_size=4),
}
_damaged = st.sampled_from(
    [
        b"\xff" * 10 + b"\x01",  # a number of 11 bytes
        b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02",  # a number of 65 bits
        varint(1 << 3 | LENGTH) + varint(2**31) + b"x",  # promises 2 GiB
        varint(1 << 3 | LENGTH) + varint(2**63),
        varint(1 << 3 | GROUP_START) * 5_000,
        varint(FIELD_NUMBER_MAX << 3 | VARINT),
        b"\x00",  # there is no field 0
        b"\x07",  # nor a type 7
    ]
)


def fields(kind: Descriptor, depth: int = DEPTH_MAX) -> st.SearchStrategy[bytes]:
    """One field: mostly of this kind of message and its own type, with a value at some border or beyond."""
    strays = st.builds(
        lambda number, typed: record(number, *typed),
        st.sampled_from([*kind.fields_by_number, 0, 77, FIELD_NUMBER_MAX]),
        st.one_of([st.tuples(st.just(wire_type), made) for wire_type, made in _payloads_of_types.items()]),
    )
    known = [_field(field, depth) for field in kind.fields]
    return st.one_of([*known, strays, _damaged]) if known else st.one_of(strays, _damaged)


def _field(field: FieldDescriptor, depth: int) -> st.SearchStrategy[bytes]:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        if not depth:
            return st.just(record(field.number, LENGTH, b""))
        kind = field.message_type
        assert kind is not None
        inner = st.deferred(lambda: st.lists(fields(kind, depth - 1), max_size=3))
        return inner.map(lambda parts: record(field.number, LENGTH, b"".join(parts)))
    wire_type = {
        FieldDescriptor.TYPE_STRING: LENGTH,
        FieldDescriptor.TYPE_BYTES: LENGTH,
        FieldDescriptor.TYPE_DOUBLE: FIXED64,
        FieldDescriptor.TYPE_FLOAT: FIXED32,
    }.get(field.type, VARINT)
    return _payloads_of_types[wire_type].map(lambda payload: record(field.number, wire_type, payload))


def messages(kind: Descriptor, valid: Sequence[bytes] = (b"",)) -> st.SearchStrategy[bytes]:
    """Make bytes in the place of a message of this kind: noise, valid ones spoiled, and odd but valid ones.

    Of a field that stands there twice the last value holds, so that what follows a valid message spoils it
    field by field and leaves the rest good enough to be looked at.
    """
    good = st.sampled_from(list(valid))
    spoiled = st.builds(lambda start, more: start + b"".join(more), good, st.lists(fields(kind), max_size=4))
    return st.one_of(st.binary(max_size=60), spoiled, spoiled.flatmap(_cut), spoiled.flatmap(_flipped))


def _cut(message: bytes) -> st.SearchStrategy[bytes]:
    return st.integers(0, len(message)).map(lambda end: message[:end])


def _flipped(message: bytes) -> st.SearchStrategy[bytes]:
    if not message:
        return st.just(message)
    bits = st.integers(0, 8 * min(len(message), 4096) - 1)

    def flip(positions: list[int]) -> bytes:
        changed = bytearray(message)
        for position in positions:
            changed[position // 8] ^= 1 << position % 8
        return bytes(changed)

    return st.lists(bits, min_size=1, max_size=4).map(flip)


def frame(message: bytes, compressed: int = 0, length: int | None = None) -> bytes:
    """Put a message on the wire as gRPC does: a flag, the length in 4 bytes, the message."""
    return struct.pack(">BI", compressed, len(message) if length is None else length) + message
