"""The file mitmdump loads: `mitmdump -s addon/phoebe.py`, or `mitmdump -s "$(phoebe addon-path)"` where the
project is installed. There are two of it, alike: the installed one is phoebe_addon/loaded/phoebe.py.
Everything else is in the package phoebe_addon.
"""

import gc
import sys

from phoebe_addon.proxy import insides

# The check stands before anything is imported that a mitmproxy may not have, and before this one listens to
# anybody. Imports make many objects that stay: to look through them again and again for garbage would take a
# third of the time that Phoebe adds to the start.
try:
    gc.disable()
    insides.check()
except insides.InsidesError as error:
    sys.exit(f"phoebe: {error}")

from phoebe_addon.addon import PhoebeAddon

gc.enable()

addons = [PhoebeAddon()]
