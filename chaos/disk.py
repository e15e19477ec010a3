"""The disk of a process, as it sees it: its writes and flushes can be made to fail, and it can die at one.

The kernel stops the process at each of these system calls and asks; so it is SQLite's own code that meets the
errors, and nothing in the process knows. Needs Linux and no rights.
"""

import errno
import fcntl
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from contextlib import suppress

from chaos import confined

# From linux/seccomp.h: struct seccomp_notif, struct seccomp_notif_resp and what they are exchanged with.
_QUESTION = struct.Struct("QIIiIQ6Q")
_ANSWER = struct.Struct("QqiI")
_RECEIVE = 0xC0502100
_SEND = 0xC0182101
_GO_ON = 1


class Disk:
    """How the disk of one program behaves, through all its starts.

    was_in_trouble: whether anything failed, or killed it, since the last start.
    """

    def __init__(self) -> None:
        self.was_in_trouble = False
        self._full = False
        self._failing_every = 0
        self._flushes = 0
        self._calls_to_live = 0

    def watch(self, channel: socket.socket) -> None:
        """Watch the process that confined.py starts with the other end of this socket, until it ends."""
        self.was_in_trouble = bool(self._full or self._failing_every)
        threading.Thread(target=self._watch, args=(channel,), name="chaos disk", daemon=True).start()

    def fill(self) -> None:
        """No write succeeds from now on."""
        self._full = self.was_in_trouble = True

    def fail_flushes(self, every: int) -> None:
        """One of so many flushes fails from now on."""
        self._failing_every, self.was_in_trouble = every, True

    def heal(self) -> None:
        """All succeeds again."""
        self._full, self._failing_every, self._calls_to_live = False, 0, 0

    def kill_at_call(self, number: int) -> None:
        """Kill -9 the process at its call of this number, counted from 1 now, before it is done."""
        self._calls_to_live = number

    def _watch(self, channel: socket.socket) -> None:
        descriptor, _ = _receive(channel)
        if descriptor is None:
            return  # it runs unwatched; see `unwatched_because`
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        try:
            while not any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll()):
                # What was asked may be void by now: the process is killed, or a signal broke its call off.
                with suppress(FileNotFoundError, InterruptedError):
                    self._answer_one(descriptor)
        finally:
            os.close(descriptor)

    def _answer_one(self, descriptor: int) -> None:
        question = bytearray(_QUESTION.size)
        fcntl.ioctl(descriptor, _RECEIVE, question)
        identity, pid, _, call, *_ = _QUESTION.unpack(question)
        if self._calls_to_live:
            self._calls_to_live -= 1
            if not self._calls_to_live:
                self.was_in_trouble = True
                os.kill(pid, signal.SIGKILL)
        error = self._error(call)
        answer = bytearray(_ANSWER.pack(identity, 0, -error, 0 if error else _GO_ON))
        fcntl.ioctl(descriptor, _SEND, answer)

    def _error(self, call: int) -> int:
        """What a call ends with; 0: the kernel does it."""
        if call not in confined.flush_calls():
            return errno.ENOSPC if self._full else 0
        self._flushes += 1
        return errno.EIO if self._failing_every and self._flushes % self._failing_every == 0 else 0


def unwatched_because() -> str | None:
    """Why this machine does not let disk calls be watched; None: it does."""
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, "-I", "-S", confined.__file__, str(theirs.fileno()), sys.executable, "-V"]
        subprocess.run(command, check=True, capture_output=True, pass_fds=[theirs.fileno()])
    descriptor, reason = _receive(ours)
    if descriptor is None:
        return reason
    os.close(descriptor)
    return None


def _receive(channel: socket.socket) -> tuple[int | None, str]:
    """Receive the descriptor the kernel asks by; or, without one, why."""
    with channel:
        said, descriptors, _, _ = socket.recv_fds(channel, 4096, 1)
    return (descriptors[0] if descriptors else None), said.decode()
