"""The methods of a server: each is found by its name, behind what stands in front of it."""

from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest

from rater_service.service.methods import Handler, Methods


class Signing:
    """Adds a letter to each answer, and notes which methods it was put in front of."""

    def __init__(self, letter: str) -> None:
        self.methods: list[str] = []
        self._letter = letter

    def intercept(self, method: str, handler: Handler) -> Handler:
        self.methods.append(method)
        behaviour = handler.unary_unary
        assert behaviour
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: behaviour(request + self._letter, context)
        )


def found(methods: Methods, name: str) -> Handler | None:
    return methods.service(cast("grpc.HandlerCallDetails", SimpleNamespace(method=name)))


@pytest.fixture
def signing() -> tuple[Signing, Signing]:
    return Signing("a"), Signing("b")


def test_a_call_meets_the_interceptors_in_their_order_each_of_which_was_asked_once(
    signing: tuple[Signing, Signing],
) -> None:
    methods = Methods(signing)
    echo: Any = grpc.unary_unary_rpc_method_handler(lambda request, _context: request)
    generic = grpc.method_handlers_generic_handler("x.Service", {"Echo": echo})
    # As generated code does.
    methods.as_server.add_generic_rpc_handlers([generic])
    methods.as_server.add_registered_method_handlers("x.Service", {"Echo": echo})
    for _ in range(2):
        handler = found(methods, "/x.Service/Echo")
        assert handler
        assert handler.unary_unary
        assert handler.unary_unary("", cast("Any", None)) == "ab"
    assert [each.methods for each in signing] == [["/x.Service/Echo"]] * 2


def test_a_method_that_no_service_has_is_not_found(signing: tuple[Signing, Signing]) -> None:
    assert found(Methods(signing), "/x.Service/Other") is None
