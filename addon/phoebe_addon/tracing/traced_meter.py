"""The meter where exchanges are traced: the same books, and how long the spool took."""

import time
from typing import override

from phoebe_addon.exchange.admission import Admission
from phoebe_addon.exchange.event import Ending
from phoebe_addon.exchange.exchange import Exchange
from phoebe_addon.meter import Meter
from phoebe_addon.settings.settings import Settings
from phoebe_addon.spool.seat import Seat
from phoebe_addon.spool.spool import SpoolError
from phoebe_addon.tracing.exchanges import TracedExchanges
from phoebe_proto.v1.metering_pb2 import MeteringEvent

_NOT_DURABLE = "not_durable"


class TracedMeter(Meter):
    """A meter that ends the spans of exchanges with them, however they end."""

    def __init__(self, settings: Settings, seat: Seat | None, traced: TracedExchanges) -> None:
        super().__init__(settings, seat)
        self._traced = traced

    @override
    async def admit(self, exchange: Exchange, admission: Admission) -> None:
        spans = self._traced.of(exchange)
        if spans is None:
            await super().admit(exchange, admission)
            return
        begin_ns = spans.gate_passed_ns = time.time_ns()
        try:
            await super().admit(exchange, admission)
        except SpoolError:
            spans.part("spool.admit", begin_ns, time.time_ns(), _NOT_DURABLE)
            raise
        if not spans.ending:
            spans.part("spool.admit", begin_ns, time.time_ns())

    @override
    async def end(self, exchange: Exchange, ending: Ending) -> bool:
        spans = self._traced.of(exchange)
        if spans is None:
            return await super().end(exchange, ending)
        spans.ending = True
        begin_ns = time.time_ns()
        is_durable = False
        try:
            is_durable = await super().end(exchange, ending)
        finally:
            now_ns = time.time_ns()
            if exchange.metering:
                spans.part("spool.write", begin_ns, now_ns, None if is_durable else _NOT_DURABLE)
            spans.end(now_ns, begin_ns)
        return is_durable

    @override
    def end_all(self) -> None:
        cut_off = [spans for exchange in self.under_way.all() if (spans := self._traced.of(exchange))]
        super().end_all()
        now_ns = time.time_ns()
        for spans in cut_off:
            spans.end(now_ns, now_ns)

    @override
    def close(self) -> None:
        super().close()
        self._traced.close()

    @override
    def _note_end(self, exchange: Exchange, event: MeteringEvent) -> None:
        super()._note_end(exchange, event)
        self._traced.metered(exchange, event)
