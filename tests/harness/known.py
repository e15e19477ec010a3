"""API families and engines by their names, which tests know to exist."""

from phoebe_addon.apis.engines import Engine, find_engine
from phoebe_addon.apis.families import find_family
from phoebe_addon.apis.family import Family


def family(api: str) -> Family:
    """Return the family of an API."""
    found = find_family(api)
    assert found, api
    return found


def engine(name: str) -> Engine:
    """Return the engine of a name."""
    found = find_engine(name)
    assert found, name
    return found
