"""The documentation lists every route there is."""

from pathlib import Path

import pytest

from phoebe_addon.apis.engines import ENGINES
from phoebe_addon.apis.families import FAMILIES
from phoebe_addon.gate.built_in_routes import FREE_ROUTES, MOUNTS, REFUSED_ROUTES
from phoebe_addon.gate.unbillable import unbillable_names

DOCS = Path(__file__).resolve().parents[4] / "docs"
PAGE = (DOCS / "api-families.md").read_text("utf-8")
METERED = [name for family in FAMILIES for name in family.routes if "generate_stream" not in name]


@pytest.mark.parametrize("name", [*METERED, *FREE_ROUTES, *REFUSED_ROUTES])
def test_every_route_is_documented(name: str) -> None:
    assert f"`{name}`" in PAGE


@pytest.mark.parametrize("path", [mount.path for mount in MOUNTS if mount.path])
def test_every_place_where_apis_stand_again_is_documented(path: str) -> None:
    assert f"`{path}`" in PAGE


@pytest.mark.parametrize("api", sorted({family.api for family in FAMILIES}))
def test_every_family_is_documented(api: str) -> None:
    assert f"`{api}`" in PAGE


@pytest.mark.parametrize("name", unbillable_names())
def test_every_kind_of_request_that_cannot_be_billed_is_documented(name: str) -> None:
    assert f"| `{name}` |" in PAGE


@pytest.mark.parametrize("engine", [engine.name for engine in ENGINES])
def test_every_engine_is_documented(engine: str) -> None:
    assert f"`{engine.casefold()}`" in (DOCS / "addon.md").read_text("utf-8")
