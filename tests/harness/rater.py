"""A service under test, and a client of it."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from rater_service.database.database import Pool

if TYPE_CHECKING:  # only the generated types know them
    from phoebe_proto.v1.metering_pb2_grpc import MeteringServiceAsyncStub
    from phoebe_proto.v1.rating_pb2_grpc import RatingServiceAsyncStub


@dataclass(frozen=True, slots=True)
class Rater:
    """A service that answers on a real port. Setting `stopping` ends its streams."""

    port: int
    channel: grpc.aio.Channel
    metering: "MeteringServiceAsyncStub"
    rating: "RatingServiceAsyncStub"
    pool: Pool
    stopping: asyncio.Event
