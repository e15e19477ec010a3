"""The gateways that are measured beside Phoebe, started as they say, with what can be off turned off."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from bench.engine import MODEL
from bench.errors import BenchError
from rig.programs import PROJECT

HERE = Path(__file__).parent
PYTHON = PROJECT / ".venv-peers"
NODE = PROJECT / ".node-peers"
# LiteLLM does not start without one. It is this run's alone.
_KEY = f"sk-{secrets.token_hex(32)}"
_PORTKEY = NODE / "node_modules" / "@portkey-ai" / "gateway"


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway, as it is started.

    does, does_not: as it is set up here.
    """

    name: str
    version: str
    command: tuple[str, ...]
    does: str
    does_not: str
    environment: Mapping[str, str] = field(default_factory=dict)


def headers_for(engine_port: int) -> dict[str, str]:
    """What every request has, whoever gets it: Portkey learns from it where to go, LiteLLM wants its key."""
    return {
        "Authorization": f"Bearer {_KEY}",
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"http://127.0.0.1:{engine_port}/v1",
    }


def litellm(folder: Path, port: int, engine_port: int) -> Gateway:
    """LiteLLM's proxy: one model, one worker, no database. BenchError if it is not installed."""
    program = PYTHON / "bin" / "litellm"
    if not program.exists():
        raise BenchError("LiteLLM is not installed: make bench-peers installs it")
    config = folder / "litellm.yaml"
    parameters = {
        "model": f"openai/{MODEL}",
        "api_base": f"http://127.0.0.1:{engine_port}/v1",
        "api_key": "bench",
    }
    config.write_text(yaml.safe_dump({"model_list": [{"model_name": MODEL, "litellm_params": parameters}]}))
    words = ["--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    return Gateway(
        "LiteLLM proxy",
        _python_version("litellm"),
        (str(program), *words),
        does="routes by model and translates between APIs; counts tokens and cost of each request in memory",
        does_not="keeps anything of a request, as it has no database here; tells who pays",
        # It asks no other host for prices.
        environment={
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_LOG": "ERROR",
            "LITELLM_MASTER_KEY": _KEY,
        },
    )


def portkey(port: int) -> Gateway:
    """Portkey's gateway, headless. BenchError if it is not installed."""
    if not _PORTKEY.exists():
        raise BenchError("Portkey's gateway is not installed: make bench-peers installs it")
    script = str(_PORTKEY / "build" / "start-server.js")
    return Gateway(
        "Portkey gateway",
        str(json.loads((_PORTKEY / "package.json").read_text())["version"]),
        ("node", "--require", str(HERE / "loopback.cjs"), script, f"--port={port}", "--headless"),
        does="routes by headers of the request, translates between APIs",
        does_not="counts tokens, keeps anything of a request, tells who pays",
        environment={"NODE_ENV": "production"},
    )


PHOEBE = (
    "tells who pays, meters; each request is an event on disk before its answer ends, and then in a rater",
    "translates between APIs, chooses among models, retries",
)
"""What Phoebe does, as it is set up here, and what others do and it does not."""
BARE = ("passes requests on: Phoebe is built on it", "anything else")
"""The same of a bare mitmdump."""


def _python_version(distribution: str) -> str:
    name = f"{distribution}-*.dist-info"
    (found,) = PYTHON.glob(f"lib/python*/site-packages/{name}")
    return found.name.removesuffix(".dist-info").partition("-")[2]
