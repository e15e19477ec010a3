"""Who runs this process, for what is kept of who did something."""

import getpass
import os
import socket


def user_name() -> str:
    """Return the name of the user who runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"  # in a container the user often has no name


def process_owner() -> str:
    """Return user and machine: "alice@host-1"."""
    return f"{user_name()}@{socket.gethostname()}"
