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
    """Answers STORED to everything, on a real gRPC server. installation: which it says it is; empty: none."""

    def __init__(self, port: int = 0, installation: str = "") -> None:
        self._installation = installation
        self._changed = threading.Condition()
        self.events: list[metering_pb2.MeteringEvent] = []
        self.statuses: list[metering_pb2.ProducerStatus] = []
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
                if request.HasField("status"):
                    self.statuses.append(request.status)
                self._changed.notify_all()
            answer = answer_to(request)
            answer.installation_id = self._installation
            yield answer

    def wait_for(
        self, condition: Callable[[metering_pb2.MeteringEvent], bool], timeout_s: float = 15
    ) -> metering_pb2.MeteringEvent:
        """Wait for an event and return it; more than one is a failure."""
        return self.wait_for_all(condition, 1, timeout_s)[0]

    def tagged(self, tag: str) -> metering_pb2.MeteringEvent:
        """Wait for the event of the request to which its client gave this id; more than one is a failure."""
        return self.wait_for(lambda event: event.client_request_id == tag)

    def wait_for_all(
        self, condition: Callable[[metering_pb2.MeteringEvent], bool], count: int, timeout_s: float = 15
    ) -> list[metering_pb2.MeteringEvent]:
        """Wait for so many events and return them; more than these is a failure."""
        deadline = time.monotonic() + timeout_s
        found: list[metering_pb2.MeteringEvent] = []
        seen = 0
        with self._changed:
            while True:
                # Each event is looked at once, however often others come: a recorder may have thousands.
                found += filter(condition, self.events[seen:])
                seen = len(self.events)
                if len(found) >= count:
                    break
                left = deadline - time.monotonic()
                assert left > 0, f"{len(found)} such events among {len(self.events)}"
                self._changed.wait(left)
        assert len(found) == count, found
        return found

    def last_status(self, producer_id: str) -> metering_pb2.ProducerStatus:
        """Return what a producer last said of itself."""
        with self._changed:
            return [status for status in self.statuses if status.producer_id == producer_id][-1]

    def close(self) -> None:
        self._server.stop(grace=None).wait()
