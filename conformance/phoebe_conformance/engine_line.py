"""The line to an engine: requests go out as the proxy sends them, and answers come in as raw bytes."""

import json
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from phoebe_addon.apis.family import at, value_at
from phoebe_addon.gate.upstreams import Upstream

from .report import UncheckedError

# What is asked for is a few kilobytes; lists of models are the largest.
_ANSWER_BYTES_MAX = 8 * 1024 * 1024
_SAID_LENGTH_MAX = 200
# Shorter ones are no secrets, and would be found in ordinary words.
_SECRET_LENGTH_MIN = 5
_ERROR_PLACES = (at("error.message"), at("error"), at("message"), at("detail"))


@dataclass(frozen=True, slots=True)
class Access:
    """How an engine lets itself be asked.

    headers: sent with every request; their values are secrets. timeout_s: for a whole answer, and for the
    next byte of it. ca_file: certificates to trust besides the usual ones.
    """

    headers: tuple[tuple[str, str], ...] = ()
    timeout_s: float = 60.0
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """The start of an answer. headers: by lower-case name, several of one name joined with commas."""

    status_code: int
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer. content: decoded."""

    head: Head
    content: bytes

    def document(self) -> object:
        """Return the JSON document of a good answer; None: there is none."""
        if self.head.status_code != 200:
            return None
        try:
            document: object = json.loads(self.content)
        except (ValueError, RecursionError):
            return None
        return document


class EngineLine:
    """Asks one engine. Raises UncheckedError when it does not answer, OSError for a bad ca_file."""

    def __init__(self, upstream: Upstream, access: Access) -> None:
        self.upstream = upstream
        self._access = access
        self._client = httpx.Client(
            timeout=access.timeout_s,
            verify=_trust(access.ca_file),
            # Neither proxies nor credentials of the environment: the addon uses none.
            trust_env=False,
        )

    def __enter__(self) -> Self:
        """Open the line."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the line."""
        self._client.close()

    def get(self, path: str) -> Reply:
        """Ask for a page."""
        with self._answer("GET", path, {}, None) as (head, pieces):
            return Reply(head, b"".join(pieces))

    @contextmanager
    def post(
        self, path: str, headers: Mapping[str, str], content: bytes
    ) -> Iterator[tuple[Head, Iterator[bytes]]]:
        """Send JSON. Gives the head and the body's bytes as they come; leaving it early hangs up."""
        with self._answer("POST", path, {"Content-Type": "application/json", **headers}, content) as answer:
            yield answer

    def said(self, content: bytes) -> str:
        """Return what an engine says in the body of an error, short and without secrets."""
        text = content.decode(errors="replace")
        try:
            document: object = json.loads(text)
        except (ValueError, RecursionError):
            document = None
        found = (value_at(document, place) for place in _ERROR_PLACES)
        words = next((each for each in found if isinstance(each, str)), text)
        return self._without_secrets(words).strip()[:_SAID_LENGTH_MAX]

    def _without_secrets(self, text: str) -> str:
        for _, value in self._access.headers:
            # `Bearer KEY`: engines repeat the key alone.
            for secret in (value, *value.split()):
                if len(secret) >= _SECRET_LENGTH_MIN:
                    text = text.replace(secret, "***")
        return text

    @contextmanager
    def _answer(
        self, method: str, path: str, headers: Mapping[str, str], content: bytes | None
    ) -> Iterator[tuple[Head, Iterator[bytes]]]:
        url = httpx.URL(
            scheme=self.upstream.scheme,
            host=self.upstream.host,
            port=self.upstream.port,
            path=self.upstream.path_prefix + path,
        )
        all_headers = httpx.Headers(self._access.headers)
        all_headers.update(headers)
        # As the addon asks: what comes compressed all the same, it reads.
        all_headers["Accept-Encoding"] = "identity"
        ends_at = time.monotonic() + self._access.timeout_s
        try:
            with self._client.stream(method, url, headers=all_headers, content=content) as response:
                joined = {name.lower(): response.headers[name] for name in response.headers}
                pieces = response.iter_raw() if method == "POST" else response.iter_bytes()
                yield Head(response.status_code, joined), self._bounded(pieces, ends_at)
        except httpx.TimeoutException:
            raise self._too_slow() from None
        except httpx.ConnectError as error:
            raise UncheckedError(
                f"The engine can't be reached at {url.scheme}://{url.netloc.decode()}: {error}.",
                "Check the URL, that the engine runs, and with https its certificate (--ca-file).",
                everywhere=True,
            ) from None
        except httpx.HTTPError as error:
            reason = self._without_secrets(str(error)) or type(error).__name__
            raise UncheckedError(
                f"The engine broke off its answer to {method} {path}: {reason}.",
                "Look into its log: it may have crashed, or something between cuts connections.",
            ) from None

    def _bounded(self, pieces: Iterator[bytes], ends_at: float) -> Iterator[bytes]:
        length = 0
        for piece in pieces:
            length += len(piece)
            if length > _ANSWER_BYTES_MAX:
                raise UncheckedError(f"The engine sent more than {_ANSWER_BYTES_MAX} bytes.")
            if time.monotonic() > ends_at:
                raise self._too_slow()
            yield piece

    def _too_slow(self) -> UncheckedError:
        return UncheckedError(
            f"The engine did not answer within {self._access.timeout_s:g} s.",
            "Try again when it has loaded its model, or give it longer (--timeout).",
            everywhere=True,
        )


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    context = httpx.create_ssl_context(trust_env=False)
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context
