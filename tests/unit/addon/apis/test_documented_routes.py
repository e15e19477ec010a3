"""The documentation lists every route there is."""

from pathlib import Path

import pytest

from phoebe_addon.apis.engines import ENGINES
from phoebe_addon.apis.families import FAMILIES
from phoebe_addon.gate.routes import built_in_routes

DOCS = Path(__file__).resolve().parents[4] / "docs"
PAGE = (DOCS / "api-families.md").read_text("utf-8")


@pytest.mark.parametrize(
    "route",
    [f"{route.method} {route.path}" for route in built_in_routes() if "generate_stream" not in route.path],
)
def test_every_route_is_documented(route: str) -> None:
    assert f"`{route}`" in PAGE


@pytest.mark.parametrize("api", sorted({family.api for family in FAMILIES}))
def test_every_family_is_documented(api: str) -> None:
    assert f"`{api}`" in PAGE


@pytest.mark.parametrize(
    "engine", [engine.name for engine in ENGINES if engine.name not in {"TRTLLM", "TEI"}]
)
def test_every_engine_is_documented(engine: str) -> None:
    assert f"`{engine.casefold()}`" in (DOCS / "addon.md").read_text("utf-8")
