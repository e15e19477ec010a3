"""The decoder of content codings against the encoders, over any bytes, any codings and any cuts."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from phoebe_addon.formats.content_coding import CODINGS_MAX
from tests.harness.content_codings import ENCODERS, decode, encode, encode_list

contents = st.one_of(
    st.binary(max_size=300),
    st.builds(lambda part, times: part * times, st.binary(max_size=20), st.integers(0, 20_000)),
    st.builds(
        lambda rng, size: rng.randbytes(size), st.randoms(use_true_random=False), st.integers(0, 5_000)
    ),
)
codings = st.sampled_from(list(ENCODERS))
lists_of_codings = st.one_of(
    codings.map(lambda coding: [coding]), st.lists(codings, min_size=1, max_size=CODINGS_MAX)
)
BROTLI_PIECE_BYTES = 128 * 1024
places = st.lists(st.integers(0, 10_000), max_size=5)
damages = st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), min_size=1, max_size=3)


def cut(body: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(body) + 1) for place in at), len(body)]
    return [body[start:end] for start, end in pairwise(edges)]


def single_bytes(body: bytes) -> list[bytes]:
    return [bytes((byte,)) for byte in body]


def damage(body: bytes, changes: list[tuple[int, int]]) -> bytes:
    damaged = bytearray(body)
    for place, change in changes:
        damaged[place % len(body)] ^= change
    return bytes(damaged)


@given(contents, lists_of_codings, places)
def test_what_was_encoded_comes_out_whatever_the_codings_and_the_cuts(
    content: bytes, applied: list[str], at: list[int]
) -> None:
    content_encoding, body = encode_list(applied, content)

    assert decode(content_encoding, cut(body, at)) == (content, False, True)


@given(st.lists(contents, min_size=1, max_size=4), st.sampled_from(["gzip", "zstd"]), places)
def test_members_come_out_one_after_the_other(members: list[bytes], coding: str, at: list[int]) -> None:
    body = b"".join(encode(coding, content) for content in members)

    assert decode(coding, cut(body, at)) == (b"".join(members), False, True)


@given(contents, lists_of_codings, st.integers(0, 10_000), places)
def test_of_a_body_cut_short_a_beginning_comes_out(
    content: bytes, applied: list[str], end: int, at: list[int]
) -> None:
    content_encoding, body = encode_list(applied, content)
    short = body[: end % len(body)]
    output, damaged, complete = decode(content_encoding, cut(short, at))

    assert content.startswith(output)
    assert (damaged, complete) == (False, False)
    assert decode(content_encoding, single_bytes(short)) == (output, False, False)


def agree(outcome: tuple[bytes, bool, bool], other: tuple[bytes, bool, bool], content_encoding: str) -> bool:
    """Compare the outcomes of two cuts, up to what a damaged byte in br may give."""
    if outcome == other:
        return True
    shorter, longer = sorted((outcome[0], other[0]), key=len)
    may_differ = content_encoding != "br" or len(longer) > BROTLI_PIECE_BYTES
    return (
        "br" in content_encoding
        and may_differ
        and longer.startswith(shorter)
        and outcome[1:] == other[1:] == (True, False)
    )


@given(contents, lists_of_codings, damages, places)
def test_what_comes_out_of_damaged_bodies_does_not_depend_on_the_cuts(
    content: bytes, applied: list[str], changes: list[tuple[int, int]], at: list[int]
) -> None:
    content_encoding, body = encode_list(applied, content)
    damaged = damage(body, changes)
    outcome = decode(content_encoding, single_bytes(damaged))

    assert agree(decode(content_encoding, [damaged]), outcome, content_encoding)
    assert agree(decode(content_encoding, cut(damaged, at)), outcome, content_encoding)


@given(
    st.sampled_from(["gzip", "deflate", "br", "zstd", "gzip, br", "zstd, deflate"]),
    st.sampled_from([b"", b"\x1f\x8b\x08\0\0\0\0\0\0\xff", b"\x78\x9c", b"\x28\xb5\x2f\xfd"]),
    st.binary(max_size=200),
    places,
)
def test_no_bytes_raise_anything_but_the_error_of_the_decoder(
    content_encoding: str, start: bytes, body: bytes, at: list[int]
) -> None:
    outcome = decode(content_encoding, single_bytes(start + body))

    assert agree(decode(content_encoding, cut(start + body, at)), outcome, content_encoding)


@given(contents, codings, st.binary(max_size=2000), places)
def test_what_comes_behind_the_end_takes_nothing_away(
    content: bytes, coding: str, behind: bytes, at: list[int]
) -> None:
    output, _, _ = decode(ENCODERS[coding][0], cut(encode(coding, content) + behind, at))

    assert output.startswith(content)
