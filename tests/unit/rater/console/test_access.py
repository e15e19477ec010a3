"""Sessions begin with a token and end; too many wrong tokens of an address lock it out for a minute."""

from dataclasses import dataclass, field

import pytest

from rater_service.console.access import EVERYONE, FAILURES_MAX, IDLE_S, SESSIONS_MAX, WHOLE_S, Sessions
from rater_service.service.access_list import AccessList, Right, new_token, parse_access_list, token_line

TOKEN, OTHER = new_token(), new_token()
LINES = [token_line("ann", [Right.READ], TOKEN), token_line("ben", [Right.READ], OTHER)]


@dataclass(slots=True)
class Desk:
    """Sessions with a clock that is turned by hand, and a tokens file that may change."""

    now_s: float = 1000.0
    lines: list[str] = field(default_factory=lambda: list(LINES))

    def sessions(self) -> Sessions:
        return Sessions(self.access, lambda: self.now_s)

    def access(self) -> AccessList:
        return parse_access_list("\n".join(self.lines), "tokens")


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_session_is_its_callers_until_it_is_idle_or_old_or_ended(desk: Desk) -> None:
    sessions = desk.sessions()
    cookie = sessions.sign_in(TOKEN, "here")
    assert cookie is not None
    assert TOKEN not in cookie
    caller = sessions.of_cookie(cookie)
    assert caller is not None
    assert caller.name == "ann"
    desk.now_s += IDLE_S + 1
    assert sessions.of_cookie(cookie) is None
    desk.now_s -= IDLE_S
    assert sessions.of_cookie(cookie) is None, "what has ended does not begin again"
    kept = sessions.sign_in(TOKEN, "here")
    assert kept is not None
    for _ in range(int(WHOLE_S / IDLE_S * 2)):
        desk.now_s += IDLE_S / 2 + 1
        still = sessions.of_cookie(kept)
    assert still is None, "use does not make a session last for ever"
    ended = sessions.sign_in(TOKEN, "here")
    assert ended is not None
    sessions.sign_out(ended)
    assert sessions.of_cookie(ended) is None


def test_a_session_ends_with_its_token(desk: Desk) -> None:
    sessions = desk.sessions()
    cookie = sessions.sign_in(TOKEN, "here")
    assert cookie is not None
    del desk.lines[0]
    assert sessions.of_cookie(cookie) is None


def test_wrong_tokens_lock_their_address_out_for_a_minute_and_no_other(desk: Desk) -> None:
    sessions = desk.sessions()
    for _ in range(FAILURES_MAX):
        assert sessions.sign_in("x" * 40, "there") is None
    assert sessions.sign_in(TOKEN, "there") is None
    assert sessions.sign_in(TOKEN, "here") is not None
    desk.now_s += 59
    assert sessions.sign_in("x" * 40, "there") is None
    desk.now_s += 2
    assert sessions.sign_in(TOKEN, "there") is not None, "tries meanwhile do not lock it out for longer"


def test_of_too_many_sessions_the_one_that_was_used_longest_ago_goes(desk: Desk) -> None:
    sessions = desk.sessions()
    cookies = []
    for _ in range(SESSIONS_MAX + 1):
        desk.now_s += 0.1
        cookies.append(sessions.sign_in(TOKEN, "here"))
    assert sessions.of_cookie(cookies[0] or "") is None
    assert sessions.of_cookie(cookies[1] or "") is not None


@pytest.mark.parametrize("cookie", ["", "x", "\udc80\xff", "y" * 10_000], ids=["empty", "x", "bytes", "long"])
def test_a_cookie_that_was_never_given_is_nobodys(desk: Desk, cookie: str) -> None:
    assert desk.sessions().of_cookie(cookie) is None


def test_where_nobody_is_asked_everybody_reads() -> None:
    assert Sessions(None).of_token("anything") is EVERYONE
