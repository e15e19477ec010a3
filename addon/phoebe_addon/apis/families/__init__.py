"""The API families: a module each, which states its facts in FAMILIES. A new module is found by itself."""

import importlib
import pkgutil

from phoebe_addon.apis.family import Family


def _all_families() -> tuple[Family, ...]:
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return tuple(family for module in modules for family in module.FAMILIES)


FAMILIES: tuple[Family, ...] = _all_families()
"""All of them, by the names of their modules."""


def find_family(api: str) -> Family | None:
    """Find a family by the name of its API."""
    return next((family for family in FAMILIES if family.api == api), None)
