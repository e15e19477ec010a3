"""Which engine it is, by what it says of itself.

Sources: vLLM, SGLang, TensorRT-LLM `serve` and Dynamo name themselves as the owners of their models;
llama.cpp `tools/server` in its header `Server` and at `/props`; SGLang `srt/entrypoints/http_server.py`;
Ollama `server/routes.go`; TGI and TEI `router` at `/info`; Triton's `/v2`; the API references of OpenAI and
Anthropic.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from phoebe_addon.apis.engines import Engine, find_engine
from phoebe_addon.apis.family import at, value_at

from .engine_line import Reply

MODELS_PATH = "/v1/models"

type Page = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Detected:
    """An engine that was recognised. by: by what. version: None if it does not say."""

    engine: Engine
    by: str
    version: str | None = None

    @property
    def name(self) -> str:
        """The engine's name, with its version."""
        return f"{self.engine.name} {self.version}" if self.version else self.engine.name


@dataclass(frozen=True, slots=True)
class _Sign:
    """A page by which an engine is known. tells: whether this page of it is that engine's."""

    path: str
    engine: str
    tells: Callable[[Page], bool]
    version: str = "version"


_OWNERS = {
    "vllm": "vLLM",
    "sglang": "SGLang",
    "tensorrt_llm": "TensorRT-LLM",
    "nvidia": "Dynamo",
    "llamacpp": "llama.cpp",
}
_HEADERS = (
    ("openai-version", "", "OpenAI"),
    ("openai-processing-ms", "", "OpenAI"),
    ("anthropic-organization-id", "", "Anthropic"),
    ("server", "llama.cpp", "llama.cpp"),
)
# The one that most others have as well is last.
_SIGNS = (
    _Sign("/props", "llama.cpp", lambda page: "default_generation_settings" in page, "build_info"),
    _Sign("/get_model_info", "SGLang", lambda page: "model_path" in page),
    _Sign("/server_info", "SGLang", lambda page: "model_path" in page),
    _Sign("/api/version", "Ollama", lambda page: "version" in page),
    _Sign("/info", "TGI", lambda page: str(page.get("router", "")).startswith("text-generation")),
    _Sign("/info", "TEI", lambda page: "model_type" in page and "tokenization_workers" in page),
    _Sign("/v2", "Triton", lambda page: page.get("name") == "triton"),
    _Sign("/version", "vLLM", lambda page: "version" in page),
)
_VERSION_PAGES = {"vLLM": "/version", "TensorRT-LLM": "/version", "llama.cpp": "/props"}


def detect(get: Callable[[str], Reply], models: Reply) -> Detected | None:
    """Recognise an engine. get: asks for a page. models: its list of models. None: it can't be told."""
    known = _by_models(models)
    if known is None:
        return _by_pages(get)
    engine, by = known
    version_page = _VERSION_PAGES.get(engine.name)
    page = _page(get(version_page)) if version_page else {}
    name = next((sign.version for sign in _SIGNS if sign.path == version_page), "version")
    return Detected(engine, by, _text(page.get(name)))


def model_names(models: Reply) -> tuple[str, ...] | None:
    """Read the names of the models an engine lists, aliases included; None: it lists none."""
    cards = value_at(models.document(), at("data"))
    if not isinstance(cards, list):
        return None
    names = (value_at(card, at("id")) for card in cards)
    return tuple(name for name in names if isinstance(name, str))


def _by_models(models: Reply) -> tuple[Engine, str] | None:
    owner = value_at(models.document(), at("data.0.owned_by"))
    if isinstance(owner, str) and owner in _OWNERS:
        return _engine(_OWNERS[owner]), f"GET {MODELS_PATH}: owned by {owner}"
    for header, value, name in _HEADERS:
        if models.head.headers.get(header, "").startswith(value) and header in models.head.headers:
            return _engine(name), f"the header {header}"
    return None


def _by_pages(get: Callable[[str], Reply]) -> Detected | None:
    pages: dict[str, Page] = {}
    for sign in _SIGNS:
        if sign.path not in pages:
            pages[sign.path] = _page(get(sign.path))
        page = pages[sign.path]
        if sign.tells(page):
            return Detected(_engine(sign.engine), f"GET {sign.path}", _text(page.get(sign.version)))
    return None


def _page(reply: Reply) -> Page:
    document = reply.document()
    return document if isinstance(document, dict) else {}


def _engine(name: str) -> Engine:
    engine = find_engine(name)
    assert engine, name
    return engine


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
