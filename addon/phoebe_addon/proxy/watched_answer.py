"""Answers pass through the metering. Whatever it makes of them, the client gets its bytes."""

import logging
from datetime import UTC, datetime

from mitmproxy import http

from phoebe_addon.answer.body import STEP_BYTES
from phoebe_addon.exchange.metering import Metering
from phoebe_addon.formats.steps import Steps
from phoebe_addon.proxy import flows

logger = logging.getLogger(__name__)


# Documents up to here are kept whole and sent on, Content-Length and all, after their event is durable.
# Longer ones and those of unknown length are passed on as they come, framed so that the end can be held back.
_BUFFERED_BYTES_MAX = 8 * 1024 * 1024


def open_answer(flow: http.HTTPFlow, response: http.Response, metering: Metering) -> None:
    """Show the head of an engine's answer to the metering, and choose how its body passes."""
    if metering.answer_began(response.status_code, flows.joined_headers(response.headers)):
        response.headers.pop("content-encoding", None)
    response.headers[flows.REQUEST_ID_HEADER] = metering.admission.request_id
    length = response.headers.get("content-length", "")
    if metering.streams or not length.isdecimal() or int(length[:20]) > _BUFFERED_BYTES_MAX:
        flows.hold_back_end(flow)
        response.stream = AnswerWatch(metering)


def read_buffered(metering: Metering, response: http.Response) -> Steps[None]:
    """Show an answer that is there whole to the metering, and take out what the client had not asked for.

    A long one is read in steps, of which the first does nothing.
    """
    content = response.raw_content or b""
    passed: list[bytes] = []
    try:
        for start in range(0, len(content), STEP_BYTES):
            if len(content) > STEP_BYTES:
                yield
            piece = content[start : start + STEP_BYTES]
            passed.append((yield from metering.answer_steps(piece, datetime.now(UTC))))
        passed.append(metering.answer_complete())
    except Exception:
        logger.exception("phoebe: an answer can't be read; it is passed on as it is")
        metering.pass_on(content[sum(map(len, passed)) :])
        return
    passed_on = b"".join(passed)
    if passed_on != content:
        response.content = passed_on


class AnswerWatch:
    """What mitmproxy calls with every chunk of a stream, and with nothing at its end."""

    __slots__ = ("_metering",)

    def __init__(self, metering: Metering) -> None:
        self._metering = metering

    @property
    def unfolds(self) -> bool:
        """Whether the next chunk may unfold to many more bytes: it is to be shown in steps."""
        return self._metering.unfolds

    def __call__(self, chunk: bytes) -> bytes | list[bytes]:
        """Show a chunk; return what is to be passed on."""
        try:
            if not chunk:
                return self._metering.answer_complete()
            # An empty chunk would end the answer, no chunk does not.
            return self._metering.answer_bytes(chunk, datetime.now(UTC)) or []
        except Exception:
            return self._unread(chunk)

    def steps(self, chunk: bytes) -> Steps[bytes]:
        """Show a chunk in steps; return what is to be passed on, which may be nothing."""
        try:
            return (yield from self._metering.answer_steps(chunk, datetime.now(UTC)))
        except Exception:
            return self._unread(chunk)

    def _unread(self, chunk: bytes) -> bytes:
        # mitmproxy would cut the answer. The client must not pay for what the watching side can't read.
        logger.exception("phoebe: an answer can't be read; it is passed on as it is")
        return self._metering.pass_on(chunk)
