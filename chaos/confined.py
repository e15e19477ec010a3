"""Starts a program that ends with its parent, and whose disk calls its parent may watch.

`python -I -S confined.py CHANNEL PROGRAM ARGUMENT…`. CHANNEL: number of an inherited socket, or "-".
The kernel stops the program at each of its disk calls (seccomp, SECCOMP_RET_USER_NOTIF) and asks whoever has
the descriptor that is sent through CHANNEL. Where that can't be had, what is sent is the reason alone, and
the program runs unwatched.
"""

import ctypes
import os
import platform
import signal
import socket
import struct
import sys

# From linux/seccomp.h, linux/prctl.h, linux/filter.h and linux/audit.h.
PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_SET_MODE_FILTER = 1
SECCOMP_FILTER_FLAG_NEW_LISTENER = 8
SECCOMP_RET_USER_NOTIF = 0x7FC00000
SECCOMP_RET_ALLOW = 0x7FFF0000
BPF_LOAD_WORD, BPF_JUMP_IF_EQUAL, BPF_RETURN = 0x20, 0x15, 0x06
OFFSET_OF_NUMBER, OFFSET_OF_ARCHITECTURE = 0, 4
# By machine: its number among architectures, of the call seccomp, and of pwrite64, fsync, fdatasync.
MACHINES = {
    "x86_64": (0xC000003E, 317, (18, 74, 75)),
    "aarch64": (0xC00000B7, 277, (68, 82, 83)),
}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def flush_calls() -> frozenset[int]:
    """The numbers of fsync and fdatasync on this machine."""
    return frozenset(MACHINES[platform.machine()][2][1:])


def _watched() -> int:
    """Let the kernel ask about this process's disk calls from now on. Returns the descriptor it asks by.

    Raises OSError where that can't be had.
    """
    if sys.platform != "linux" or platform.machine() not in MACHINES:
        raise OSError(f"not on {sys.platform} {platform.machine()}")
    architecture, seccomp, calls = MACHINES[platform.machine()]
    jumps = [(BPF_JUMP_IF_EQUAL, len(calls) - place, 0, call) for place, call in enumerate(calls)]
    code = b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in (
            (BPF_LOAD_WORD, 0, 0, OFFSET_OF_ARCHITECTURE),
            (BPF_JUMP_IF_EQUAL, 1, 0, architecture),
            (BPF_RETURN, 0, 0, SECCOMP_RET_ALLOW),
            (BPF_LOAD_WORD, 0, 0, OFFSET_OF_NUMBER),
            *jumps,
            (BPF_RETURN, 0, 0, SECCOMP_RET_ALLOW),
            (BPF_RETURN, 0, 0, SECCOMP_RET_USER_NOTIF),
        )
    )
    instructions = ctypes.create_string_buffer(code)
    program = _Program(len(jumps) + 6, ctypes.addressof(instructions))
    libc = ctypes.CDLL(None, use_errno=True)
    # Without it only root may; with it set-user-id programs would have no effect, and there are none.
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no-new-privileges is refused")
    descriptor = libc.syscall(
        seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, ctypes.byref(program)
    )
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), f"seccomp: {os.strerror(ctypes.get_errno())}")
    return int(descriptor)


def main() -> None:
    """Become the program."""
    _, channel, *command = sys.argv
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if channel != "-":
        with socket.socket(fileno=int(channel)) as parent:
            try:
                watched = _watched()
            except OSError as error:
                parent.sendall(str(error).encode())
            else:
                socket.send_fds(parent, [b"watched"], [watched])
                os.close(watched)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
