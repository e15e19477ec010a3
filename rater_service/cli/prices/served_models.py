"""Asks a model server which models it serves."""

import json
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from rater_service.errors import OperatorError

# Lists of models are some kilobytes.
_ANSWER_BYTES_MAX = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model by the name the server reports. `parent`: what it says an adapter was made for."""

    model_id: str
    parent: str | None


def served_models(
    url: str, headers: Sequence[tuple[str, str]], timeout_s: float, ca_file: Path | None
) -> tuple[ServedModel, ...]:
    """Ask for the list of models, by the API of OpenAI and where there is none by that of TGI or Ollama.

    Raises OperatorError if the server does not answer, or not with a list. No message has a header's value.
    """
    with _client(headers, timeout_s, ca_file) as client:
        answers = (
            (path, _get(client, url.rstrip("/") + path)) for path in ("/v1/models", "/info", "/api/tags")
        )
        found = next((document for _, document in answers if document is not None), None)
    models = tuple({model.model_id: model for model in _models(found)}.values())
    if not models:
        raise OperatorError(f"{url} names no model it serves; give the URL as the proxy has it, without /v1")
    return models


def _client(headers: Sequence[tuple[str, str]], timeout_s: float, ca_file: Path | None) -> httpx.Client:
    try:
        trusted = ssl.create_default_context()
        if ca_file is not None:
            trusted.load_verify_locations(ca_file)
    except (OSError, ssl.SSLError) as error:
        raise OperatorError(f"{ca_file}: no certificates can be read from it") from error
    # Neither proxies nor credentials of the environment: what is asked is the server itself.
    return httpx.Client(headers=list(headers), timeout=timeout_s, verify=trusted, trust_env=False)


def _get(client: httpx.Client, url: str) -> object | None:
    try:
        with client.stream("GET", url) as answer:
            if answer.status_code in (404, 405):
                return None
            if answer.status_code != 200:
                raise OperatorError(f"{url} answers with status {answer.status_code}")
            document: object = json.loads(b"".join(_bounded(answer, url)))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise OperatorError(f"{url} can't be asked: {error or type(error).__name__}") from error
    except (ValueError, RecursionError) as error:
        raise OperatorError(f"{url} does not answer with JSON") from error
    return document


def _bounded(answer: httpx.Response, url: str) -> Iterator[bytes]:
    left = _ANSWER_BYTES_MAX
    for piece in answer.iter_bytes():
        left -= len(piece)
        if left < 0:
            raise OperatorError(f"{url} answers with more than {_ANSWER_BYTES_MAX:,} bytes")
        yield piece


def _models(document: object) -> Iterator[ServedModel]:
    """Read `data[].id` (OpenAI; `parent`: vLLM), `model_id` (TGI), `models[].name` (Ollama)."""
    if not isinstance(document, dict):
        return
    if isinstance(document.get("model_id"), str):
        yield ServedModel(document["model_id"], None)
    for members, name in (("data", "id"), ("models", "name")):
        listed = document.get(members)
        for entry in listed if isinstance(listed, list) else ():
            if isinstance(entry, dict) and isinstance(entry.get(name), str) and entry[name]:
                parent = entry.get("parent")
                yield ServedModel(entry[name], parent if isinstance(parent, str) and parent else None)
