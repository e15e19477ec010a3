"""The standard health service, whole: the library leaves one of its methods out."""

from collections.abc import Sequence

import grpc
from grpc_health.v1 import health, health_pb2


class HealthService(health.aio.HealthServicer):  # type: ignore[misc] # the library has no types
    """Tells of these services, and under the name "" of the process."""

    def __init__(self, services: Sequence[str]) -> None:
        super().__init__()
        self._names = ("", *services)

    async def List(  # noqa: N802 - the name in the contract
        self,
        _request: health_pb2.HealthListRequest,
        context: grpc.aio.ServicerContext[health_pb2.HealthListRequest, health_pb2.HealthListResponse],
    ) -> health_pb2.HealthListResponse:
        """Answer what Check answers, for every service."""
        statuses = {
            name: await self.Check(health_pb2.HealthCheckRequest(service=name), context)
            for name in self._names
        }
        return health_pb2.HealthListResponse(statuses=statuses)
