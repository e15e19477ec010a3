"""What the demo sends, asks and charges: one scenario for the toy engine, one for a real engine."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from demo import upstream
from demo.engine import BROKEN, FINE_TUNE, LLAMA, QWEN, UNPRICED
from demo.traffic import Request
from demo.upstream import ServedModel, Upstream


@dataclass(frozen=True, slots=True)
class Scenario:
    """A script for the clients, and what goes with it."""

    script: Sequence[Request]
    # What prices are asked for: model_id and base_model.
    quotes: Sequence[tuple[str, str]]
    prices: Path
    # None: the toy engine.
    engine_url: str | None = None
    api_key: str | None = field(default=None, repr=False)


TOY = Scenario(
    script=(
        Request("plain", "acme", "llama-blue", LLAMA),
        Request("plain, cached prompt", "acme", "llama-blue", LLAMA),
        Request("streamed", "acme", "llama-blue", LLAMA, streamed=True),
        Request("streamed, asks for usage", "acme", "llama-blue", LLAMA, streamed=True, include_usage=True),
        Request("streamed, refuses usage", "acme", "llama-blue", LLAMA, streamed=True, include_usage=False),
        Request("second deployment", "acme", "llama-green", LLAMA, max_tokens=40),
        Request("second deployment, streamed", "acme", "llama-green", LLAMA, streamed=True, max_tokens=40),
        Request("other customer", "globex", "llama-blue", LLAMA, max_tokens=12),
        Request("other customer, streamed", "globex", "llama-blue", LLAMA, streamed=True, max_tokens=12),
        Request("completion", "globex", "qwen", QWEN, api="completions"),
        Request("completion, streamed", "globex", "qwen", QWEN, api="completions", streamed=True),
        Request(
            "completion, asks for usage",
            "globex",
            "qwen",
            QWEN,
            api="completions",
            streamed=True,
            include_usage=True,
        ),
        Request("fine-tune", "initech", "support", FINE_TUNE, base_model=LLAMA),
        Request("fine-tune, streamed", "initech", "support", FINE_TUNE, base_model=LLAMA, streamed=True),
        Request(
            "leaves mid-stream", "initech", "llama-blue", LLAMA, streamed=True, max_tokens=2000, leave_after=4
        ),
        Request("engine fails", "initech", "llama-blue", BROKEN, expected_status=500),
        Request("no price for the model", "initech", "experiment", UNPRICED),
        Request("no resource id", "initech", None, LLAMA, expected_status=400),
    ),
    quotes=((LLAMA, ""), (FINE_TUNE, LLAMA), (UNPRICED, "")),
    prices=Path(__file__).with_name("prices.yaml"),
)


def real_scenario(engine: Upstream, model: ServedModel, folder: Path) -> Scenario:
    """Only what every OpenAI-compatible chat endpoint can do; writes a price file into `folder`."""
    prices = folder / "prices.yaml"
    upstream.write_prices(prices, model.reported)
    return Scenario(
        script=real_script(model.requested),
        quotes=((model.reported, ""),),
        prices=prices,
        engine_url=engine.origin,
        api_key=engine.api_key,
    )


def real_script(model: str) -> Sequence[Request]:
    """Two customers, two deployments, plain and streamed answers of one model."""
    return (
        Request("plain", "acme", "blue", model),
        Request("plain, same prompt again", "acme", "blue", model),
        Request("streamed", "acme", "blue", model, streamed=True),
        Request("streamed, asks for usage", "acme", "blue", model, streamed=True, include_usage=True),
        Request("second deployment", "acme", "green", model),
        Request("other customer", "globex", "blue", model, streamed=True, include_usage=False),
        Request("leaves mid-stream", "globex", "blue", model, streamed=True, max_tokens=2000, leave_after=4),
        Request("no resource id", "globex", None, model, expected_status=400),
    )
