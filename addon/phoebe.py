"""The file mitmdump loads: `mitmdump -s addon/phoebe.py`. Everything else is in the package phoebe_addon."""

from phoebe_addon.addon import PhoebeAddon

addons = [PhoebeAddon()]
