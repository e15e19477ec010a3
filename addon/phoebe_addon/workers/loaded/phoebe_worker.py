"""The file that mitmdump loads in a worker, as `addon/phoebe.py` elsewhere.

It has a folder of its own, because mitmproxy puts that on `sys.path`.
"""

import sys

from phoebe_addon.proxy import insides

# Before anything is imported that a mitmproxy may not have, and before this one listens to anybody.
try:
    insides.check()
except insides.InsidesError as error:
    sys.exit(f"phoebe: {error}")

from phoebe_addon.workers import inside

addons = inside.addons()
