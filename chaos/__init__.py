"""The chaos simulator: the real parts under load and faults drawn from a seed. Start it with `make chaos`."""

import os

# Read when gRPC is imported, which would otherwise speak up whenever a process is started under another user.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
