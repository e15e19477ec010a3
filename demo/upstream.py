"""A real engine in the place of the toy one: where it is, which model it serves, what that shall cost."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from openai import APIError, APIStatusError

from demo.errors import DemoError
from demo.traffic import open_client


@dataclass(frozen=True, slots=True)
class Upstream:
    """The engine that UPSTREAM names; `origin` is scheme, host and port."""

    origin: str
    model: str | None
    api_key: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model by the name that requests use, and by the name that the engine's answers report."""

    requested: str
    reported: str


def read_upstream(environment: Mapping[str, str]) -> Upstream | None:
    """Reads UPSTREAM, UPSTREAM_MODEL and UPSTREAM_API_KEY; None without UPSTREAM.

    DemoError if UPSTREAM is not the URL of a server.
    """
    text = environment.get("UPSTREAM", "").strip()
    if not text:
        return None
    try:
        url = urlsplit(text)
        fits = url.scheme in {"http", "https"} and url.hostname and url.path.rstrip("/") in {"", "/v1"}
        port = f":{url.port}" if url.port else ""
    except ValueError:
        fits = False
    if not fits or url.query or url.fragment or url.username is not None:
        raise DemoError("UPSTREAM must look like http://host:port; a key belongs into UPSTREAM_API_KEY")
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
    return Upstream(
        origin=f"{url.scheme}://{host}{port}",
        model=environment.get("UPSTREAM_MODEL") or None,
        api_key=environment.get("UPSTREAM_API_KEY") or None,
    )


async def find_model(upstream: Upstream) -> ServedModel:
    """Asks the engine itself, past the proxy: which model it serves, and how its answers call it.

    The second is the price key, and need not be the first. DemoError when the engine can't be used.
    """
    try:
        async with open_client(f"{upstream.origin}/v1", upstream.api_key) as client:
            requested = upstream.model or (await client.models.list()).data[0].id
            answer = await client.chat.completions.create(
                model=requested, messages=[{"role": "user", "content": "Hi"}], max_tokens=1
            )
    except APIStatusError as error:
        raise DemoError(
            f"{upstream.origin} answered {error.request.url.path} with {error.status_code}"
        ) from error
    except APIError as error:
        raise DemoError(f"{upstream.origin} does not work as an OpenAI-compatible engine: {error}") from error
    except IndexError as error:
        raise DemoError(f"{upstream.origin} lists no model: name one in UPSTREAM_MODEL") from error
    reported = answer.model or requested
    if reported.startswith("ft:"):
        raise DemoError(f"{reported} is a fine-tune: name a base model in UPSTREAM_MODEL")
    return ServedModel(requested, reported)


def write_prices(path: Path, model_id: str) -> None:
    """Writes a price file with made-up rates for one model."""
    # A JSON string is a YAML string, whatever is in the model's name.
    rates = '{ prompt: "0.000000200", cached: "0.000000050", completion: "0.000000600" }'
    path.write_text(f"version: 1\nbase_models:\n  {json.dumps(model_id)}: {rates}\n")
