"""Who gets in: a bearer token with every request, or a session that a person opened with one.

A session is 256 random bits in a cookie. Only their SHA-256 is kept, in memory, with whose credential it is.
Each request asks anew what the credential may do, so that a token that is taken away ends its sessions.
"""

import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256

from rater_service.service.access_list import AccessList, Caller, Right, token_digest

IDLE_S = 30 * 60
WHOLE_S = 8 * 60 * 60
SESSIONS_MAX = 1_000
FAILURES_MAX = 5
FAILURES_PERIOD_S = 60.0
_ADDRESSES_MAX = 10_000

EVERYONE = Caller("everyone on this machine", frozenset(Right))
"""Who reads where nobody is asked who they are."""


@dataclass(slots=True)
class _Session:
    credential: bytes = field(repr=False)
    opened_s: float
    used_s: float


@dataclass(slots=True)
class Sessions:
    """The sessions that are open. access: gives the list in force; None: nobody is asked. clock: seconds."""

    access: Callable[[], AccessList] | None
    clock: Callable[[], float] = time.monotonic
    _open: dict[bytes, _Session] = field(default_factory=dict)
    _failures: dict[str, deque[float]] = field(default_factory=dict)

    @property
    def asks(self) -> bool:
        """Whether callers are asked who they are."""
        return self.access is not None

    def of_token(self, token: str) -> Caller | None:
        """Find whose token it is; None: nobody's."""
        return EVERYONE if self.access is None else self.access().caller_of_token(token)

    def sign_in(self, token: str, address: str) -> str | None:
        """Open a session with a token; give what the cookie holds. None: the token is nobody's, or it is too
        often that one from this address was.
        """
        now_s = self.clock()
        failures = self._failures.setdefault(address, deque(maxlen=FAILURES_MAX))
        if len(failures) == FAILURES_MAX and now_s - failures[0] < FAILURES_PERIOD_S:
            # Not noted: who goes on trying from there would keep all others out for good.
            return None
        if self.of_token(token) is None:
            self._note_failure(failures, now_s)
            return None
        self._failures.pop(address, None)
        self._drop_ended(now_s)
        cookie = secrets.token_urlsafe(32)
        self._open[_digest(cookie)] = _Session(token_digest(token), now_s, now_s)
        return cookie

    def of_cookie(self, cookie: str) -> Caller | None:
        """Find whose session a cookie stands for; None: nobody's, or not any more."""
        session = self._open.get(_digest(cookie))
        if session is None or self.access is None:
            return None
        now_s = self.clock()
        caller = None if _has_ended(session, now_s) else self.access().caller_of_digest(session.credential)
        if caller is None:
            self.sign_out(cookie)
            return None
        session.used_s = now_s
        return caller

    def sign_out(self, cookie: str) -> None:
        """End a session."""
        self._open.pop(_digest(cookie), None)

    def _note_failure(self, failures: deque[float], now_s: float) -> None:
        failures.append(now_s)
        if len(self._failures) > _ADDRESSES_MAX:
            self._failures.clear()

    def _drop_ended(self, now_s: float) -> None:
        self._open = {key: one for key, one in self._open.items() if not _has_ended(one, now_s)}
        while len(self._open) >= SESSIONS_MAX:
            del self._open[min(self._open, key=lambda key: self._open[key].used_s)]


def _has_ended(session: _Session, now_s: float) -> bool:
    return now_s - session.used_s > IDLE_S or now_s - session.opened_s > WHOLE_S


def _digest(cookie: str) -> bytes:
    return sha256(cookie.encode("utf-8", "surrogateescape")).digest()
