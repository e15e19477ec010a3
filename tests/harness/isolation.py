"""Keeps tests from reaching out of their process: no socket of a network, no other process.

Python's audit events tell of both, also where a library opens them. Sockets of the family AF_UNIX stay
possible, because each event loop has a pair of them. gRPC opens its sockets in C, unseen by Python: its
channels and servers are refused instead.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from socket import AF_UNIX

import grpc
import grpc.aio
import pytest

_NETWORK = frozenset({"socket.getaddrinfo", "socket.gethostbyaddr", "socket.gethostbyname"})
_PROCESSES = frozenset(
    {"subprocess.Popen", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system"}
)
_GRPC = ("insecure_channel", "secure_channel", "server")

_isolated = False


@contextmanager
def isolated() -> Iterator[None]:
    """As long as the context lasts, whatever reaches out of this process fails the test that runs."""
    global _isolated  # noqa: PLW0603 - an audit hook stays for the life of the process: it has to be told
    with pytest.MonkeyPatch.context() as patch:
        for module in (grpc, grpc.aio):
            for name in _GRPC:
                patch.setattr(module, name, _refuse_grpc)
        _isolated = True
        try:
            yield
        finally:
            _isolated = False


def _refuse_grpc(*_: object, **__: object) -> None:
    _refuse("gRPC")


def _refuse(what: str) -> None:
    # No subclass of Exception, so that nothing under test can take it for an error of its own.
    pytest.fail(
        f"a unit or property test reaches out of its process ({what}): it belongs in tests/integration"
    )


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if not _isolated:
        return
    opens_socket = event == "socket.__new__" and arguments[1] != AF_UNIX
    if opens_socket or event in _NETWORK or event in _PROCESSES:
        _refuse(event)


sys.addaudithook(_audit)
