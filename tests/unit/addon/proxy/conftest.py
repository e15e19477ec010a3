from collections.abc import Iterator

import pytest

from phoebe_addon.proxy.guard_rules import GuardRules
from tests.harness.playbook import guarded


@pytest.fixture
def guard_in_place() -> Iterator[None]:
    """The guard in mitmproxy, as in a proxy that serves, with its first rules."""
    before = GuardRules.in_force
    with guarded():
        yield
    GuardRules.in_force = before
