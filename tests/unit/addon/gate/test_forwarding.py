from hypothesis import given
from hypothesis import strategies as st

from phoebe_addon.gate.forwarding import Fields, Forwarding
from phoebe_addon.gate.identity import HeaderNames

NAMES = HeaderNames().all()
SECRET = "X-Phoebe-Edge-Secret"
QUIET = Forwarding(NAMES, SECRET, forward_identity=False)
TELLING = Forwarding(NAMES, SECRET, forward_identity=True)
IDENTITY: Fields = tuple((name.encode(), b"v") for name in NAMES)
OTHERS: Fields = ((b"Host", b"h"), (b"X-Any", b"1"), (b"x-any", b"2"), (b"Content-Type", b"t"))


def to_engine(forwarding: Forwarding, fields: Fields) -> Fields:
    return forwarding.to_engine(fields, "GET", 0)


spellings = st.sampled_from([*NAMES, SECRET]).flatmap(
    lambda name: st.tuples(*(st.sampled_from([c.lower(), c.upper(), "_" if c == "-" else c]) for c in name))
)


def test_an_engine_is_not_told_who_pays() -> None:
    assert to_engine(QUIET, OTHERS + IDENTITY) == OTHERS


def test_an_engine_is_told_who_pays_if_that_is_wanted() -> None:
    assert to_engine(TELLING, OTHERS + IDENTITY) == OTHERS + IDENTITY


@given(st.lists(spellings.map(lambda letters: "".join(letters).encode())))
def test_no_spelling_of_what_is_the_edges_reaches_the_engine(names: list[bytes]) -> None:
    fields = tuple((name, b"v") for name in names)

    assert to_engine(QUIET, OTHERS + fields) == OTHERS
    told = to_engine(TELLING, OTHERS + fields)
    assert told[: len(OTHERS)] == OTHERS
    assert {name.lower() for name, _ in told[len(OTHERS) :]} <= {name.lower().encode() for name in NAMES}


@given(spellings.map(lambda letters: "".join(letters).encode()))
def test_the_secret_is_taken_out_and_nothing_else(name: bytes) -> None:
    is_secret = name.lower().replace(b"_", b"-") == SECRET.lower().encode()

    assert QUIET.without_secret((*OTHERS, (name, b"s"))) == (OTHERS if is_secret else (*OTHERS, (name, b"s")))


def test_what_is_for_one_connection_ends_here() -> None:
    fields = (
        *OTHERS,
        *((b"TE", b"trailers"), (b"Trailer", b"X-Sum"), (b"Keep-Alive", b"timeout=5")),
        *((b"Proxy-Authorization", b"Basic eDp5"), (b"Proxy-Connection", b"close"), (b"X-Hop", b"1")),
        *((b"Connection", b"TE, x-hop"), (b"connection", b" X-More")),
        (b"X-More", b"1"),
    )

    assert to_engine(QUIET, fields) == OTHERS


def test_whether_the_client_stays_is_kept() -> None:
    assert to_engine(QUIET, (*OTHERS, (b"connection", b"TE, Close"))) == (*OTHERS, (b"Connection", b"close"))
    assert to_engine(QUIET, ((b"Connection", b"Keep-Alive"),)) == ((b"Connection", b"keep-alive"),)


def test_no_client_can_take_away_what_the_gate_or_the_engine_reads() -> None:
    fields = (*OTHERS, *IDENTITY, (b"X-Request-Id", b"1"))
    names = b", ".join((*(name for name, _ in fields), b"Accept-Encoding"))
    told = to_engine(TELLING, (*fields, (b"Connection", names), (b"Accept-Encoding", b"identity")))

    assert (b"Content-Type", b"t") in told
    assert (b"X-Request-Id", b"1") in told
    assert (b"Accept-Encoding", b"identity") in told
    assert set(IDENTITY) <= set(told)
    assert (b"X-Any", b"1") not in told


def test_how_long_a_body_is_is_said_by_who_has_it() -> None:
    claims = ((b"content-length", b"1"), (b"Content-Length", b"2"), (b"Transfer-Encoding", b"chunked"))

    assert QUIET.to_engine(OTHERS + claims, "POST", 13) == (*OTHERS, (b"Content-Length", b"13"))
    assert QUIET.to_engine(OTHERS, "POST", 0) == (*OTHERS, (b"Content-Length", b"0"))
    assert QUIET.to_engine(OTHERS, "GET", 5) == (*OTHERS, (b"Content-Length", b"5"))
    assert QUIET.to_engine(OTHERS + claims, "GET", 0) == OTHERS
