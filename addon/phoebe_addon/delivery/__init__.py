"""Delivery: brings events from a spool to the rater, and says when that fails.

Begin with `delivery`. `adoption` delivers what other processes left in the folder, `credentials` are what
the rater is shown, `trouble` is what is logged while it can't be reached.
"""

import os

# Before gRPC is imported. Its own lines have a form of their own, and it writes them at each attempt; what
# failed is logged here anyway. GRPC_VERBOSITY=ERROR brings them back.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
