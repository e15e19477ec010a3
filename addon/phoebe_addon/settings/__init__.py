"""The options of the addon, read and checked, and the files they name, which are followed while the proxy
runs.

Begin with `options` (names, defaults, help) and `settings` (what they become). What the values mean is
decided where they are used.
"""
