"""The routes that every proxy has: what passes free, what is known and refused, where APIs stand again.

What is metered, the API families state themselves. An operator can add to all lists (`routes_file`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from phoebe_addon.apis.families import FAMILIES
from phoebe_addon.apis.family import Family
from phoebe_addon.gate.routes import BodyKind, Route, make_route

FREE_ROUTES = (
    # What a server serves.
    "GET /v1/models",
    "GET /v1/models/{model...}",
    "GET /api/tags",
    "GET /api/ps",
    "POST /api/show",
    "GET /api/v1/models",  # LM Studio
    # How it is.
    "GET /",
    "GET /health",
    "GET /v1/health",
    "GET /health_generate",  # SGLang
    "GET /ping",
    "GET /load",  # vLLM
    "GET /v2/health/{probe}",  # Triton, KServe
    "GET /version",
    "GET /api/version",
    "GET /info",  # TGI, TEI
    "GET /props",  # llama.cpp
    "GET /slots",
    "GET /model_info",  # SGLang
    "GET /get_model_info",
    "GET /server_info",
    "GET /get_server_info",
    # What was said and billed before. A response in the background would be billed here, so it is refused.
    "GET /v1/responses/{response}",
    "GET /v1/responses/{response}/input_items",
    "DELETE /v1/responses/{response}",
    "POST /v1/responses/{response}/cancel",
    # No inference; their counts are no usage.
    "POST /v1/responses/input_tokens",
    "POST /v1/messages/count_tokens",
    "POST /tokenize",
    "POST /detokenize",
    "POST /v1/tokenize",
    "POST /v1/detokenize",
    "POST /decode",  # TEI
    "POST /v1/encode",  # LMDeploy
    "POST /v1/token/encode",  # TabbyAPI
    "POST /v1/token/decode",
    "POST /apply-template",  # llama.cpp
    "POST /v1/{api...}/render",  # vLLM
)
"""Requests that cost nothing and pass without an event. Where GET is free, HEAD is."""

_FREE_BODIES = {"POST /v1/responses/{response}/cancel": BodyKind.JSON_OR_NONE}
"""What the bodies of some of them must be; those of the others are JSON where the method has one."""

REFUSED_ROUTES = {
    "GET /v1/realtime": "WebSocket connections can't be metered",
    "POST /api/embeddings": "this API reports no token counts; use /api/embed",
    "POST /embedding": "this API of llama.cpp reports no token counts; use /v1/embeddings",
    "POST /vertex": "this API reports no token counts; use /generate",
    "POST /v1/batches": "what runs in a batch can't be metered here",
}
"""Requests that are known, and why they are not served."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A place where servers and gateways offer again what is known below `/v1`.

    path: takes the place of `/v1`; a `{model}` in it names the model. apis: with what the names of the APIs
    begin that are there; empty: all are.
    """

    path: str
    apis: tuple[str, ...] = ()


MOUNTS = (
    Mount("/openai/v1"),  # KServe, KubeAI, Azure, Groq
    Mount("/openai/deployments/{model}", ("openai.",)),  # Azure, LiteLLM
    Mount("/anthropic/v1", ("anthropic.",)),  # Xinference, Envoy AI Gateway, Docker Model Runner
    Mount("/engines/v1"),  # Docker Model Runner
    Mount("/engines/{engine}/v1"),
    Mount("/engines", ("openai.responses", "jina.rerank", "vllm.score")),
    Mount("/engines/{engine}", ("jina.rerank", "vllm.score")),
    Mount("/v1/engines/{model}", ("openai.",)),  # LocalAI
    Mount("/api/v0", ("openai.",)),  # LM Studio
    Mount("", ("openai.", "anthropic.", "typesafe.")),  # LocalAI, LiteLLM, llama.cpp, SGLang
)
_MOUNTED = "/v1"


@lru_cache(maxsize=1)
def built_in_routes() -> tuple[Route, ...]:
    """List them. A route that is stated is not taken over by one that a mount would make."""
    routes = {name: make_route(name, families) for name, families in _metered().items()}
    for name in FREE_ROUTES:
        routes.setdefault(name, make_route(name, free_body=_FREE_BODIES.get(name)))
    for name, why in REFUSED_ROUTES.items():
        routes.setdefault(name, make_route(name, why_refused=why))
    for name, mounted in _mounted_free_routes(routes):
        routes.setdefault(mounted, make_route(mounted, free_body=_FREE_BODIES.get(name)))
    return tuple(routes.values())


def _metered() -> dict[str, tuple[Family, ...]]:
    """Collect the families of each route: those that state it, and those that a mount puts there."""
    stated = [(name, family) for family in FAMILIES for name in family.routes]
    mounted = [
        (mounted_name, family)
        for mount in MOUNTS
        for name, family in stated
        if family.api.startswith(mount.apis or "") and (mounted_name := _mounted_name(name, mount))
    ]
    metered: dict[str, list[Family]] = {}
    for name, family in stated:
        metered.setdefault(name, []).append(family)
    for name, family in mounted:
        families = metered.setdefault(name, [])
        if family.api not in {each.api for each in families}:
            families.append(family)
    return {name: tuple(families) for name, families in metered.items()}


def _mounted_free_routes(routes: Iterable[str]) -> Iterator[tuple[str, str]]:
    """List what is free below each mount: all of it, or what belongs to the APIs that are there.

    Each with the route that it is like.
    """
    names = tuple(routes)
    for mount in MOUNTS:
        metered = [name.partition(" ")[2] for name in names if name.startswith(f"POST {mount.path}/")]
        for name in FREE_ROUTES:
            mounted = _mounted_name(name, mount)
            if mounted and (not mount.apis or _belongs_to(mounted.partition(" ")[2], mount, metered)):
                yield name, mounted


def _belongs_to(path: str, mount: Mount, metered: list[str]) -> bool:
    lists_models = path.startswith(f"{mount.path}/models") and "{model}" not in mount.path
    return lists_models or any(path.startswith(f"{each}/") for each in metered)


def _mounted_name(name: str, mount: Mount) -> str | None:
    """Put a route into a mount; None: it does not stand below `/v1`."""
    method, _, path = name.partition(" ")
    below = path.removeprefix(_MOUNTED)
    if below == path or not below.startswith("/") or ("{model" in mount.path and "{model" in below):
        return None
    return f"{method} {mount.path}{below}"
