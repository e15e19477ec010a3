"""Answers pass through the metering. Whatever it makes of them, the client gets its bytes."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from mitmproxy import http

from phoebe_addon.exchange.metering import Metering

logger = logging.getLogger(__name__)


def read_buffered(metering: Metering, response: http.Response) -> None:
    """Show an answer that is there whole to the metering, and take out what the client had not asked for."""
    content = response.raw_content or b""
    try:
        passed_on = metering.answer_bytes(content, datetime.now(UTC)) + metering.answer_complete()
    except Exception:
        logger.exception("phoebe: an answer can't be read; it is passed on as it is")
        return
    if passed_on != content:
        response.content = passed_on


def watcher(metering: Metering) -> Callable[[bytes], bytes | list[bytes]]:
    """Make what mitmproxy calls with every chunk of a stream, and with nothing at its end."""

    def watch(chunk: bytes) -> bytes | list[bytes]:
        try:
            if not chunk:
                return metering.answer_complete()
            # An empty chunk would end the answer, no chunk does not.
            return metering.answer_bytes(chunk, datetime.now(UTC)) or []
        except Exception:
            # mitmproxy would cut the answer. The client must not pay for what the watching side can't read.
            logger.exception("phoebe: an answer can't be read; it is passed on as it is")
            return chunk

    return watch
