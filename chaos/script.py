"""The script of the load: what each client asks, how the engine answers, and when one of them gives up.

Pure.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from random import Random

from phoebe_runtime.counts import counted


@dataclass(frozen=True, slots=True)
class Rates:
    """What a token costs, USD, worked out by hand from the price file."""

    prompt: Decimal
    cached: Decimal
    completion: Decimal


@dataclass(frozen=True, slots=True)
class Model:
    """A model the engine may report. rates: None where the price file has no price."""

    id: str
    base: str | None
    rates: Rates | None


LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
QWEN = "Qwen/Qwen2.5-7B-Instruct"
MODELS = (
    Model(LLAMA, None, Rates(Decimal("0.000000200"), Decimal("0.000000050"), Decimal("0.000000600"))),
    Model(QWEN, None, Rates(Decimal("0.000000150"), Decimal("0.000000030"), Decimal("0.000000450"))),
    Model("ft:chaos", LLAMA, Rates(Decimal("0.000000300"), Decimal("0.000000075"), Decimal("0.000000900"))),
    Model("chaos/unpriced", None, None),
)
"""The models of demo/prices.yaml, a fine-tune at half as much again, and one without a price."""

AUTH_IDS = ("acme", "globex", "initech")
RESOURCE_IDS = ("blue", "green")


class Conduct(StrEnum):
    """How the engine behaves in one exchange."""

    ANSWERS = "answers"
    FAILS = "answers with an error"
    HANGS_UP = "hangs up before its answer"
    CUTS = "hangs up within its answer"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens the engine reports. cached: None where it does not tell."""

    prompt: int
    cached: int | None
    completion: int

    def __str__(self) -> str:
        """The counts in words."""
        return f"{self.prompt} ({self.cached} cached) + {self.completion} tokens"

    def cost(self, rates: Rates) -> Decimal:
        """What they cost, USD, exactly."""
        cached = self.cached or 0
        return (
            (self.prompt - cached) * rates.prompt + cached * rates.cached + self.completion * rates.completion
        )


@dataclass(frozen=True, slots=True)
class Advice:
    """What another model used for the answer: the engine asked it."""

    model: Model
    usage: Usage


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer.

    tag: what the client calls it. pause_ms: before the client sends it. chunks: of a streamed answer; 0: a
    document. think_ms: before the answer, and before each chunk. cut_at: the chunk at which an engine that
    CUTS does. leaves_after: bytes of the body after which the client hangs up; None: it stays. advice: None:
    no other model was asked; with it the answer is a document of Anthropic's API.
    """

    tag: str
    addon: int
    auth_id: str
    resource_id: str
    model: Model
    usage: Usage
    conduct: Conduct
    status: int
    chunks: int
    cut_at: int
    think_ms: int
    pause_ms: int
    leaves_after: int | None
    advice: Advice | None = None

    def __str__(self) -> str:
        """The exchange in words."""
        form = counted(self.chunks, "chunk") if self.chunks else "document"
        advice = f", advised by {self.advice.model.id} for {self.advice.usage}" if self.advice else ""
        ends = (
            []
            if self.conduct is Conduct.ANSWERS
            else [f"engine {self.conduct} ({self.status}, at {self.cut_at})"]
        )
        if self.leaves_after is not None:
            ends.append(f"client leaves after {counted(self.leaves_after, 'byte')}")
        return (
            f"{self.tag}: {self.pause_ms} ms, addon {self.addon}, {self.auth_id}/{self.resource_id}, "
            f"{self.model.id}, {self.usage}{advice}, {form} at {self.think_ms} ms; "
            f"{', '.join(ends) or 'whole'}"
        )


def draw_script(random: Random, count: int, addons: int) -> tuple[Exchange, ...]:
    """Draw a load of so many exchanges."""
    return tuple(_draw(random, number, addons) for number in range(count))


def _draw(random: Random, number: int, addons: int) -> Exchange:
    conduct = random.choices(list(Conduct), (86, 6, 3, 5))[0]
    chunks = random.choice((0, random.randint(1, 25)))
    model = random.choices(MODELS, (5, 3, 3, 1))[0]
    return Exchange(
        tag=f"exchange-{number}",
        addon=random.randrange(addons),
        auth_id=random.choice(AUTH_IDS),
        resource_id=random.choice(RESOURCE_IDS),
        model=model,
        usage=_draw_usage(random),
        conduct=conduct,
        status=random.choice((400, 429, 500)) if conduct is Conduct.FAILS else 200,
        chunks=chunks,
        cut_at=random.randint(0, chunks),
        think_ms=random.randint(0, 40) if chunks else random.randint(0, 250),
        pause_ms=random.randint(0, 120),
        leaves_after=random.randint(0, 4000) if random.random() < 0.12 else None,
        advice=_draw_advice(random, model) if not chunks and random.random() < 0.4 else None,
    )


def _draw_advice(random: Random, advised: Model) -> Advice:
    usage = Usage(random.randint(1, 5000), None, random.randint(1, 2000))
    return Advice(random.choice([model for model in MODELS[:2] if model != advised]), usage)


def _draw_usage(random: Random) -> Usage:
    prompt = random.randint(1, 5000)
    return Usage(
        prompt=prompt,
        cached=random.choice((None, 0, random.randint(0, prompt))),
        completion=random.randint(0, 2000),
    )
