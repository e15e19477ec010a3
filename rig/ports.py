"""Ports of loopback: one that stays free for who is told of it, and whether something listens on one."""

import socket
import sys


def reserve_port() -> int:
    """A loopback port that nothing listens on, and that nobody else is given while this process runs.

    Whoever names it can listen on it, any number of times. On Linux the kernel gives it neither to those who
    ask for any port nor to outgoing connections. Elsewhere it is only free now.
    """
    holder = socket.socket()
    # Linux lets a server listen on an address that another socket only holds, if both have this option.
    # Servers have it.
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with holder:
        holder.bind(("127.0.0.1", 0))
        port: int = holder.getsockname()[1]
        if sys.platform == "linux":
            holder.detach()  # so that the descriptor stays open until this process ends
    return port


def accepts(port: int) -> bool:
    """Whether something accepts connections on a port of loopback."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
