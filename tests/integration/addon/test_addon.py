"""The story of an exchange: the addon, the guard in mitmproxy's layers and a real spool, without sockets."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from mitmproxy import http
from mitmproxy.test import tflow

from phoebe_addon import turns
from phoebe_addon.exchange.exchange import Stage
from phoebe_addon.gate.refusal import INTERNAL_ERROR
from phoebe_addon.meter import Meter
from phoebe_addon.proxy.guard_rules import GuardRules
from phoebe_addon.spool.seat import Seat
from phoebe_addon.spool.spools import open_own
from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rig.ports import reserve_port
from tests.harness.addon_in_mitmproxy import PhoebeAddon, taddons
from tests.harness.playbook import Playbook, guarded

HOOKS = {"requestheaders", "request", "responseheaders", "response", "error"}
IDENTITY = b"X-Saturn-Auth-Id: auth-1\r\nX-Saturn-Resource-Id: res-1\r\n"
BODY = b'{"model":"m","messages":[]}'
ASK = b"POST /v1/chat/completions HTTP/1.1\r\nHost: p\r\n%sContent-Length: %d\r\n\r\n%s"
ASK_IN_CHUNKS = b"POST /v1/chat/completions HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n"
CHAT = ASK % (IDENTITY, len(BODY), BODY)
ANSWER = b'{"model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}'
ANSWERED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
    len(ANSWER),
    ANSWER,
)


@pytest.fixture
def guard_in_place() -> Iterator[None]:
    before = GuardRules.in_force
    with guarded():
        yield
    GuardRules.in_force = before


@pytest.fixture
async def addon(tmp_path: Path, guard_in_place: None) -> AsyncIterator[PhoebeAddon]:
    """An addon that is running; the rater is away."""
    made = PhoebeAddon()
    with taddons.context(made) as context:
        context.configure(
            made,
            phoebe_upstream="http://engine:8000",
            phoebe_spool=str(tmp_path),
            phoebe_rater=f"127.0.0.1:{reserve_port()}",
            phoebe_trusted_edges=["10.0.0.0/8"],
            phoebe_body_limit="100",
        )
        assert made._settings
        made._meter = Meter(made._settings)
        yield made
        made.done()


def events(addon: PhoebeAddon, folder: Path) -> list[MeteringEvent]:
    """Read what is in the spool after the addon is gone."""
    addon.done()
    spool = open_own(folder, 2**20)
    found = [MeteringEvent.FromString(spooled.event) for spooled in spool.read(100)]
    spool.close()
    return found


def counted(addon: PhoebeAddon, reason: str) -> float | None:
    assert addon._meter
    return addon._meter.metrics.registry.get_sample_value(
        "phoebe_exchanges_refused_total", {"reason": reason}
    )


def test_what_options_let_happen_is_warned_of_once_until_they_change(
    tmp_path: Path, guard_in_place: None, caplog: pytest.LogCaptureFixture
) -> None:
    made = PhoebeAddon()

    def configure(exchanges_max: int, **more: object) -> list[str]:
        caplog.clear()
        context.configure(made, phoebe_exchanges_max=exchanges_max, **more)
        return [record.message for record in caplog.records if "one customer" in record.message]

    with taddons.context(made) as context:
        said = configure(100, phoebe_upstream="http://engine:8000", phoebe_spool=str(tmp_path))
        assert len(said) == 1
        assert configure(100, phoebe_body_limit="1m") == []
        assert configure(2000) == []
        assert configure(100) == said
        assert configure(90) == [said[0].replace("100", "90")]


@pytest.mark.usefixtures("guard_in_place")
def test_a_worker_of_several_takes_no_port_for_metrics(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with taddons.context(made := PhoebeAddon(Seat(1, 2))) as context:
        context.configure(
            made,
            phoebe_upstream="http://engine:8000",
            phoebe_spool=str(tmp_path),
            phoebe_metrics="127.0.0.1:9090",
        )

    assert "phoebe_metrics can't be given to workers" in caplog.text
    assert "give `phoebe proxy --metrics HOST:PORT`" in caplog.text
    assert made._settings is None


async def test_an_exchange_is_admitted_asked_answered_and_ended(addon: PhoebeAddon, tmp_path: Path) -> None:
    book = Playbook(actions={}, held=set(HOOKS))

    book.sends(CHAT)
    await book.play(addon)
    assert b"X-Saturn" not in book.written(book.engine)
    book.sends(ANSWERED, book.engine)
    await book.play(addon)

    (event,) = events(addon, tmp_path)
    assert (event.outcome, event.completion_tokens, event.model_id) == ("completed", 2, "m")
    assert f"x-request-id: {event.request_id}".encode() in book.written().lower()
    assert book.exchange.stage is Stage.ENDED


@pytest.mark.parametrize("answered", [True, False])
async def test_a_flow_that_was_read_from_a_file_is_left_alone(
    addon: PhoebeAddon, tmp_path: Path, answered: bool
) -> None:
    flow = tflow.tflow(resp=answered)
    before = flow.get_state()

    addon.requestheaders(flow)
    await addon.request(flow)
    addon.responseheaders(flow)
    await addon.response(flow)
    await addon.error(flow)

    assert flow.get_state() == before
    assert events(addon, tmp_path) == []


async def test_what_another_addon_answers_is_not_the_engines(addon: PhoebeAddon, tmp_path: Path) -> None:
    class Both:
        """Phoebe's addon, and one behind it that answers itself."""

        def __getattr__(self, name: str) -> object:
            return getattr(addon, name)

        async def request(self, flow: http.HTTPFlow) -> None:
            await addon.request(flow)
            flow.response = http.Response.make(200, ANSWER, {"Content-Type": "application/json"})

    book = Playbook(actions={}, held=set(HOOKS))
    book.sends(CHAT)
    await book.play(Both())

    assert book.engines == []
    (event,) = events(addon, tmp_path)
    assert (event.outcome, event.usage_found) == ("proxy_error", False)


async def test_a_client_that_leaves_while_its_admission_is_written_reaches_no_engine(
    addon: PhoebeAddon, tmp_path: Path
) -> None:
    book = Playbook(actions={}, held=set(HOOKS))
    book.sends(CHAT)
    playing = asyncio.ensure_future(book.play(addon))
    await asyncio.sleep(0)
    assert book.exchange.stage is Stage.CHECKED
    book.leaves()
    await playing

    assert book.engines == []
    assert [event.outcome for event in events(addon, tmp_path)] == ["aborted"]


async def test_a_client_that_leaves_while_a_long_answer_is_read_pays_for_it(
    addon: PhoebeAddon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long answers are read in turns of the event loop, so that much may happen meanwhile."""
    monkeypatch.setattr(turns, "TURN_S", 0.0)
    long = ANSWER[:-1] + b',"text":"%s"}' % (b"x" * 1_000_000)
    book = Playbook(actions={}, held=set(HOOKS))
    book.sends(CHAT)
    await book.play(addon)
    book.sends(ANSWERED.replace(b"%d" % len(ANSWER), b"%d" % len(long)).replace(ANSWER, long), book.engine)
    playing = asyncio.ensure_future(book.play(addon))
    for _ in range(20):
        await asyncio.sleep(0)
    assert book.exchange.answer_is_here
    before = book.exchange.stage
    assert addon._meter
    await addon._meter.end_connection(book.client.id)
    await playing

    assert (before, book.exchange.stage) == (Stage.ANSWERING, Stage.ENDED)
    assert len(addon._meter.under_way) == 0
    (event,) = events(addon, tmp_path)
    assert (event.outcome, event.prompt_tokens, event.completion_tokens) == ("completed", 1, 2)


async def test_what_ended_before_it_went_out_reaches_no_engine(addon: PhoebeAddon, tmp_path: Path) -> None:
    class Stopped:
        """Phoebe's addon, which ends all that is open right after an admission."""

        def __getattr__(self, name: str) -> object:
            return getattr(addon, name)

        async def request(self, flow: http.HTTPFlow) -> None:
            await addon.request(flow)
            assert addon._meter
            addon._meter.end_all()

    book = Playbook(actions={}, held=set(HOOKS))
    book.sends(CHAT)
    await book.play(Stopped())

    assert book.engines == []
    assert book.written().startswith(b"HTTP/1.1 500 ")
    assert book.logs == []
    assert [event.outcome for event in events(addon, tmp_path)] == ["proxy_error"]


async def test_a_failure_after_the_admission_is_the_proxys(addon: PhoebeAddon, tmp_path: Path) -> None:
    class Failing:
        """Phoebe's addon, which refuses what it has just admitted."""

        def __getattr__(self, name: str) -> object:
            return getattr(addon, name)

        async def request(self, flow: http.HTTPFlow) -> None:
            await addon.request(flow)
            addon._refuse(flow, book.exchange, INTERNAL_ERROR)

    book = Playbook(actions={}, held=set(HOOKS))
    book.sends(CHAT)
    await book.play(Failing())

    assert book.engines == []
    assert book.written().startswith(b"HTTP/1.1 500 ")
    assert counted(addon, "internal") == 1
    assert [event.outcome for event in events(addon, tmp_path)] == ["proxy_error"]


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (ASK % (b"", len(BODY), BODY), "identity"),
        (ASK % (IDENTITY, 2, b"[]"), "bad_body"),
        (ASK % (IDENTITY, 101, b""), "body_too_large"),
        # The gate refuses its head, then the guard its body.
        (ASK_IN_CHUNKS + b"65\r\n" + b"x" * 101, "identity"),
        (b"CONNECT engine:8000 HTTP/1.1\r\nHost: engine:8000\r\n\r\n", "connect"),
    ],
)
async def test_a_refusal_is_counted_once_whoever_refuses(
    addon: PhoebeAddon, tmp_path: Path, sent: bytes, reason: str
) -> None:
    book = Playbook(actions={}, held=set(HOOKS))
    book.sends(sent)
    await book.play(addon)

    assert counted(addon, reason) == 1
    assert book.written().startswith(b"HTTP/1.1 4")
    assert book.exchange.stage is Stage.ENDED
    assert events(addon, tmp_path) == []
