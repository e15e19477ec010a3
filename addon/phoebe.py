"""The file mitmdump loads: `mitmdump -s addon/phoebe.py`, or `mitmdump -s "$(phoebe addon-path)"` where the
project is installed. There are two of it, alike: the installed one is phoebe_addon/loaded/phoebe.py.
Everything else is in the package phoebe_addon.
"""

import sys

from phoebe_addon.proxy import insides

# Before anything is imported that a mitmproxy may not have, and before this one listens to anybody.
try:
    insides.check()
except insides.InsidesError as error:
    sys.exit(f"phoebe: {error}")

from phoebe_addon.addon import PhoebeAddon

addons = [PhoebeAddon()]
