"""A rater's metering service that keeps what it is sent, for tests of the addon alone."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import override

import grpc

from phoebe_proto.v1 import metering_pb2, metering_pb2_grpc
from tests.harness.recording_rater import answer_to


class EventRecorder(metering_pb2_grpc.MeteringServiceServicer):
    """Answers STORED to everything, on a real gRPC server."""

    def __init__(self, port: int = 0) -> None:
        self._changed = threading.Condition()
        self.events: list[metering_pb2.MeteringEvent] = []
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
        metering_pb2_grpc.add_MeteringServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        self._server.start()

    @override
    def StreamEvents(
        self,
        request_iterator: Iterator[metering_pb2.StreamEventsRequest],
        context: grpc.ServicerContext,
    ) -> Iterator[metering_pb2.StreamEventsResponse]:
        for request in request_iterator:
            with self._changed:
                self.events.extend(request.events)
                self._changed.notify_all()
            yield answer_to(request)

    def wait_for(
        self, condition: Callable[[metering_pb2.MeteringEvent], bool], timeout_s: float = 15
    ) -> metering_pb2.MeteringEvent:
        """Wait for an event and return it; more than one is a failure."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not (found := [event for event in self.events if condition(event)]):
                left = deadline - time.monotonic()
                assert left > 0, f"no such event among {len(self.events)}"
                self._changed.wait(left)
        assert len(found) == 1, found
        return found[0]

    def close(self) -> None:
        self._server.stop(grace=None).wait()
