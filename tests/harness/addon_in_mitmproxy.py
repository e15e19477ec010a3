"""The addon, and mitmproxy's tools to test addons with. What mitmproxy imports warns of its own old names."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from mitmproxy.addons import asgiapp, clientplayback, onboarding, proxyserver
    from mitmproxy.test import taddons

    from phoebe_addon.addon import PhoebeAddon

__all__ = ["PhoebeAddon", "asgiapp", "clientplayback", "onboarding", "proxyserver", "taddons"]
