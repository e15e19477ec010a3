import pytest

from rater_service.database.url_parameters import parse_url, place_of
from rater_service.errors import OperatorError

BASE = "postgresql://u:p%40%2F@db:5432/phoebe"


@pytest.mark.parametrize(
    "url", [BASE, f"{BASE}?sslmode=require", f"{BASE}?host=/a b&x=%2F", "postgresql://", "no url at all", ""]
)
def test_what_the_driver_knows_is_left_to_the_letter(url: str) -> None:
    parsed = parse_url(url)
    assert (parsed.url, parsed.connect_timeout_s, parsed.socket_options) == (url, None, {})


@pytest.mark.parametrize(("given", "taken_s"), [("7", 7), ("1", 2), ("0", 0), ("-1", 0)])
def test_a_connect_timeout_means_what_it_means_elsewhere(given: str, taken_s: float) -> None:
    parsed = parse_url(f"{BASE}?connect_timeout={given}&sslmode=require")
    assert (parsed.url, parsed.connect_timeout_s) == (f"{BASE}?sslmode=require", taken_s)


def test_keepalives_are_for_our_end_of_the_connection() -> None:
    names = ("keepalives=1", "keepalives_idle=5", "keepalives_interval=2", "keepalives_count=3")
    parsed = parse_url(f"{BASE}?{'&'.join(names)}&tcp_user_timeout=9000")
    assert parsed.url == BASE
    assert parsed.socket_options == {
        "SO_KEEPALIVE": 1,
        "TCP_KEEPIDLE": 5,
        "TCP_KEEPINTVL": 2,
        "TCP_KEEPCNT": 3,
        "TCP_USER_TIMEOUT": 9000,
    }


@pytest.mark.parametrize("given", ["channel_binding=prefer", "channel_binding=disable", "gssencmode=disable"])
def test_a_choice_that_the_driver_does_not_have_is_taken(given: str) -> None:
    assert parse_url(f"{BASE}?{given}").url == BASE


@pytest.mark.parametrize("given", ["channel_binding=require", "channel_binding=x", "connect_timeout=soon"])
def test_what_can_not_be_met_is_refused_in_words(given: str) -> None:
    with pytest.raises(OperatorError, match=given.partition("=")[0]):
        parse_url(f"{BASE}?{given}")


@pytest.mark.parametrize(
    ("url", "place"),
    [
        (BASE, "db:5432"),
        ("postgresql://u:p@a:1,b:2/x", "a:1,b:2"),
        ("postgresql://u:p@/x?host=/run/pg&password=secret", "/run/pg"),
        ("postgresql:///x", "this machine"),
    ],
)
def test_where_a_database_is_holds_no_password(url: str, place: str) -> None:
    assert place_of(url) == place
