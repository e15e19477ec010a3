"""What is known of the model servers themselves, whichever API they speak.

The resource map may declare a resource's engine. What is not declared is not assumed.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Engine:
    """Facts about one kind of model server.

    continuous_usage: it knows `stream_options.continuous_usage_stats`. echoes_model: it answers with the
    model name the client sent, whatever it serves; echoing_apis: it does so in these APIs only.
    usage_per_result: a stream has a usage chunk for every result, all under one id. cached_in_prompt: its
    Anthropic API counts cached tokens inside `input_tokens`. default_asks: members of `stream_options`
    that are true if only that is there. aliases: what else it is called.
    """

    name: str
    continuous_usage: bool = False
    echoes_model: bool = False
    echoing_apis: frozenset[str] = frozenset()
    usage_per_result: bool = False
    cached_in_prompt: bool = False
    default_switches: frozenset[str] = frozenset()
    aliases: tuple[str, ...] = ()

    def echoes(self, api: str) -> bool:
        """Whether the model named in an answer of this API is but the client's own word."""
        return self.echoes_model or api in self.echoing_apis


UNDECLARED = Engine("", continuous_usage=True)
"""An engine nothing is known of. Whether it can report continuous usage is then the operator's word."""

ENGINES = (
    Engine("vLLM", continuous_usage=True),
    Engine("SGLang", continuous_usage=True, echoes_model=True),
    Engine(
        "TensorRT-LLM",
        continuous_usage=True,
        echoes_model=True,
        default_switches=frozenset({"include_usage"}),
        aliases=("TRT-LLM",),
    ),
    Engine("Dynamo", continuous_usage=True),
    Engine("TGI", echoes_model=True),
    Engine(
        "llama.cpp",
        usage_per_result=True,
        echoing_apis=frozenset({"openai.embeddings", "jina.rerank", "cohere.rerank"}),
    ),
    Engine("Ollama"),
    Engine("Triton"),
    Engine("TEI"),
    Engine("OpenAI"),
    Engine("Anthropic"),
    Engine("Cohere"),
    Engine("Jina"),
    Engine("DashScope", cached_in_prompt=True),
)


def find_engine(name: str | None) -> Engine | None:
    """Find an engine by its name; case and punctuation do not matter. None: it is not one that is known."""
    if name is None:
        return UNDECLARED
    plain = _plain(name)
    return next(
        (engine for engine in ENGINES if plain in {_plain(each) for each in (engine.name, *engine.aliases)}),
        None,
    )


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())
