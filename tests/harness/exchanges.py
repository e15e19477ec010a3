"""Exchanges on their way to an engine, and what they are admitted with."""

from datetime import UTC, datetime

from phoebe_addon.answer.reader import RequestFacts
from phoebe_addon.answer.removal import Removal
from phoebe_addon.exchange.admission import Admission
from phoebe_addon.exchange.exchange import Exchange
from phoebe_addon.gate.gate import Pass
from phoebe_addon.gate.identity import Identity
from phoebe_addon.gate.routes import Match, make_route
from phoebe_addon.gate.upstreams import Upstream
from tests.harness.known import family

IDENTITY = Identity("auth-1", "res-1")
PASSED = Pass(
    IDENTITY,
    Upstream("http", "engine", 8000),
    Match(make_route("POST /v1/chat/completions", (family("openai.chat"),)), {}),
    "application/json",
    "",
)


def admission(request_id: str = "r1") -> Admission:
    """Make what a chat request is admitted with now."""
    return Admission(
        request_id=request_id,
        client_request_id=None,
        identity=IDENTITY,
        families=(family("openai.chat"),),
        requested_model=None,
        request_facts=RequestFacts(),
        removal=Removal(),
        served_models=(),
        start_time=datetime.now(UTC),
    )


def checked_exchange(connection_id: str = "connection-1") -> Exchange:
    """Make an exchange whose head is in order."""
    exchange = Exchange(connection_id)
    exchange.pass_head(PASSED)
    return exchange
