"""What is known of the model servers themselves, whichever API they speak.

The resource map, or for one URL the option `phoebe_engine`, may declare a resource's engine. What is not
declared is not assumed. Sources, beside those of the families: LocalAI `core/http/endpoints`; LMDeploy
`serve/openai`; mlx-lm `server.py`; mistral.rs `mistralrs-core/src/pipeline`; KServe `protocol/rest/openai`;
Xinference `api/restful_api.py`; Infinity `infinity_server.py`; TabbyAPI `endpoints/OAI`; the LM Studio
documentation; Ollama `types/model/name.go`.
"""

import difflib
import re
from dataclasses import dataclass
from enum import Enum, auto


class Naming(Enum):
    """Whose word the model's name in an engine's answers is."""

    OWN = auto()  # the engine's: it stands on a list of its own
    ECHO = auto()  # the client's, whatever the engine serves
    UNSURE = auto()  # one or the other, by the engine's version or set-up


@dataclass(frozen=True, slots=True)
class Engine:
    """Facts about one kind of model server.

    continuous_usage: it knows `stream_options.continuous_usage_stats`. naming: whose word the model's name
    is; echoing_apis: the client's, in these APIs. nameless_apis: its answers name no model in these.
    loose_names: it takes a name without regard to case, `:latest` and its registry's address.
    usage_per_result: a stream has a usage chunk for every result, all under one id. cached_in_prompt: its
    Anthropic API counts cached tokens inside `input_tokens`. default_switches: members of `stream_options`
    that are true if only that is there. aliases: what else it is called.
    """

    name: str
    continuous_usage: bool = False
    naming: Naming = Naming.OWN
    echoing_apis: frozenset[str] = frozenset()
    nameless_apis: frozenset[str] = frozenset()
    loose_names: bool = False
    usage_per_result: bool = False
    cached_in_prompt: bool = False
    default_switches: frozenset[str] = frozenset()
    aliases: tuple[str, ...] = ()

    @property
    def echoes_model(self) -> bool:
        """Whether it answers with the client's own word in every API."""
        return self.naming is Naming.ECHO

    def echoes(self, api: str) -> bool:
        """Whether answers of this API only repeat the model's name from the request."""
        return self.echoes_model or api in self.echoing_apis

    def may_echo(self, api: str) -> bool:
        """Whether answers of this API may only repeat the model's name from the request."""
        return self.naming is not Naming.OWN or api in self.echoing_apis

    def declared_name(self, name: str, declared: tuple[str, ...]) -> str | None:
        """Find a name among those a resource declares, as it is spelled there; None: it is none of them."""
        if name in declared:
            return name
        if not self.loose_names:
            return None
        return next((each for each in declared if _loose(each) == _loose(name)), None)


UNDECLARED = Engine("", continuous_usage=True, naming=Naming.UNSURE)
"""An engine nothing is known of. Whether it can report usage on every chunk is then the operator's word."""

ENGINES = (
    Engine(
        "vLLM",
        continuous_usage=True,
        nameless_apis=frozenset({"cohere.chat", "cohere.embed"}),
    ),
    Engine("vLLM-Omni", continuous_usage=True),
    Engine(
        "SGLang",
        continuous_usage=True,
        naming=Naming.ECHO,
        nameless_apis=frozenset({"jina.rerank"}),
    ),
    Engine("SGLang-Omni", naming=Naming.ECHO),
    Engine(
        "TensorRT-LLM",
        continuous_usage=True,
        naming=Naming.ECHO,
        default_switches=frozenset({"include_usage"}),
        aliases=("TRT-LLM",),
    ),
    Engine("Dynamo", continuous_usage=True),
    Engine("TGI", naming=Naming.ECHO),
    Engine(
        "llama.cpp",
        # In chats it answers with the client's word before build b7231, of December 2025.
        naming=Naming.UNSURE,
        echoing_apis=frozenset({"openai.embeddings", "jina.rerank", "cohere.rerank"}),
        usage_per_result=True,
    ),
    Engine("Ollama", naming=Naming.ECHO, loose_names=True),
    Engine("LocalAI", naming=Naming.ECHO),
    Engine("LMDeploy"),
    Engine("mlx-lm", naming=Naming.ECHO),
    Engine("mistral.rs"),
    Engine("KServe"),
    Engine("Xinference"),
    Engine("LM Studio", naming=Naming.UNSURE),
    Engine("Infinity"),
    Engine("TabbyAPI"),
    Engine("Triton"),
    Engine("TEI"),
    Engine("OpenAI"),
    Engine("Anthropic"),
    Engine("Cohere"),
    Engine("Jina"),
    Engine("DashScope", cached_in_prompt=True),
)


class UnknownEngineError(ValueError):
    """A name is not that of an engine that is known. The message says what it was likely meant to be."""

    def __init__(self, name: str) -> None:
        similar = _similar_engine(name)
        known = ", ".join(each.name for each in ENGINES)
        super().__init__(
            f"the engine {name[:100]!a} is not one of those that are known"
            + (f"; did you mean {similar.name}?" if similar else "")
            + f"; known: {known}; for another engine leave it out"
        )


def find_engine(name: str | None) -> Engine | None:
    """Find an engine by its name; case and punctuation do not matter. None: it is not one that is known."""
    if name is None:
        return UNDECLARED
    plain = _plain(name)
    return next((engine for engine in ENGINES if plain in _plain_names(engine)), None)


def named_engine(name: str | None) -> Engine:
    """Find an engine by its name; UNDECLARED if there is no name. Raises UnknownEngineError."""
    engine = find_engine(name)
    if engine is None:
        raise UnknownEngineError(name or "")
    return engine


def _similar_engine(name: str) -> Engine | None:
    """Find the engine that a misspelt name is likely to mean."""
    plain = {each: engine for engine in ENGINES for each in _plain_names(engine)}
    close = difflib.get_close_matches(_plain(name), plain, n=1, cutoff=0.7)
    return plain[close[0]] if close else None


def _plain_names(engine: Engine) -> frozenset[str]:
    return frozenset(_plain(each) for each in (engine.name, *engine.aliases))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def _loose(name: str) -> str:
    """Bring a name into one form, as Ollama does: case does not matter, nor what it would fill in."""
    plain = name.casefold().partition("://")[2] or name.casefold()
    plain = plain.removeprefix("registry.ollama.ai/").removeprefix("library/")
    return plain if ":" in plain.rpartition("/")[2] else f"{plain}:latest"
