from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from phoebe_proto.v1 import metering_pb2, rating_pb2
from rater_service.service.access_list import Right
from rater_service.service.call_guard import OPEN_METHODS, SUFFICIENT_RIGHTS

OURS = (
    metering_pb2.DESCRIPTOR.services_by_name["MeteringService"],
    rating_pb2.DESCRIPTOR.services_by_name["RatingService"],
)
OTHERS = (
    health_pb2.DESCRIPTOR.services_by_name["Health"],
    reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"],
)


def methods(*services: ServiceDescriptor) -> set[str]:
    return {f"/{service.full_name}/{method.name}" for service in services for method in service.methods}


def test_every_method_that_is_served_has_a_right_or_is_open() -> None:
    assert SUFFICIENT_RIGHTS.keys() | OPEN_METHODS == methods(*OURS, *OTHERS)
    assert not SUFFICIENT_RIGHTS.keys() & OPEN_METHODS


def test_each_of_our_methods_needs_exactly_one_right() -> None:
    assert {method: SUFFICIENT_RIGHTS[method] for method in methods(OURS[0])} == {
        "/phoebe.v1.MeteringService/StreamEvents": {Right.PRODUCE}
    }
    assert all(len(SUFFICIENT_RIGHTS[method]) == 1 for method in methods(*OURS))
    assert not any(Right.PRODUCE in SUFFICIENT_RIGHTS[method] for method in methods(OURS[1]))
