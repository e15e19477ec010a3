"""Options of the addon: from the environment, and changed while mitmdump runs."""

import json
from pathlib import Path

import httpx
import pytest

from rig.programs import PROJECT
from tests.e2e.conftest import IDENTITY
from tests.harness import engine as engines
from tests.harness.engine import Engine, EngineRequest, Line
from tests.harness.events import EventRecorder
from tests.harness.proxy import Proxy

CHAT = "/v1/chat/completions"
CHANGER = """
import logging
from mitmproxy import ctx, exceptions
class Changer:
    def requestheaders(self, flow):
        if change := flow.request.headers.get("x-change"):
            try:
                ctx.options.set(change)
            except exceptions.OptionsError as error:
                logging.info("refused: %s", error)
addons.append(Changer())
"""


def test_options_come_from_the_environment_and_identity_headers_can_be_renamed(
    tmp_path: Path, engine: Engine
) -> None:
    engine.script = engines.document({"model": "m"})
    environment = {
        "PHOEBE_UPSTREAM": engine.url,
        "PHOEBE_AUTH_ID_HEADER": "X-Payer",
        "PHOEBE_RESOURCE_ID_HEADER": "X-Deployment",
    }
    proxy = Proxy(tmp_path, environment=environment)
    try:
        headers = {"X-Payer": "a", "X-Deployment": "r"}
        assert httpx.post(proxy.url + CHAT, json={"model": "m"}, headers=headers).status_code == 200
        assert not {"x-payer", "x-deployment"} & set(engine.requests[0].headers)
        refused = httpx.post(proxy.url + CHAT, json={"model": "m"}, headers=IDENTITY)
        assert refused.status_code == 400
        assert "X-Payer is missing; X-Deployment is missing" in refused.json()["error"]["message"]
    finally:
        proxy.stop()


def test_options_come_from_a_file_of_settings(tmp_path: Path, engine: Engine) -> None:
    engine.script = engines.document({"model": "m"})
    settings = tmp_path / "phoebe.yaml"
    settings.write_text(f"addon:\n  upstream: {engine.url}\n  auth_id_header: X-Payer\n")
    proxy = Proxy(tmp_path, environment={"PHOEBE_CONFIG": str(settings)})
    try:
        headers = {"X-Payer": "a", "X-Saturn-Resource-Id": "r"}
        assert httpx.post(proxy.url + CHAT, json={"model": "m"}, headers=headers).status_code == 200
    finally:
        proxy.stop()


def test_options_change_while_running_but_for_those_that_need_a_restart(
    tmp_path: Path, engine: Engine
) -> None:
    engine.script = engines.document({"model": "m"})
    script = tmp_path / "phoebe.py"
    script.write_text((PROJECT / "addon" / "phoebe.py").read_text() + CHANGER)
    proxy = Proxy(tmp_path, "--mode", f"reverse:{engine.url}", script=script)

    def status(size: int) -> int:
        content = b'{"x": "' + b"x" * size + b'"}'
        return httpx.post(proxy.url + CHAT, content=content, headers=IDENTITY).status_code

    def change(setting: str) -> None:
        httpx.get(proxy.url + "/v1/models", headers={**IDENTITY, "X-Change": setting})

    try:
        assert status(5_000) == 200
        change("phoebe_body_limit=2k")
        assert status(5_000) == 413
        change(f"phoebe_spool={tmp_path / 'other'}")
        assert "phoebe_spool can't be changed while running" in proxy.log()
        change("phoebe_body_limit=nonsense")
        assert "phoebe_body_limit: 'nonsense' is not a size" in proxy.log()
        change("phoebe_trusted_edges=0.0.0.0/0")
        assert "phoebe_trusted_edges lets anyone in" in proxy.log()
        change("phoebe_edge_secrets_file=secret")
        assert "Unknown option(s): phoebe_edge_secrets_file" in proxy.log()
        assert (status(5_000), status(500)) == (413, 200)
    finally:
        proxy.stop()


def test_one_url_that_declares_what_it_is_bills_and_refuses_by_it(
    tmp_path: Path, engine: Engine, rater: EventRecorder
) -> None:
    engine.script = engines.document({"model": "LLAMA3.2:Latest", "done": True, "eval_count": 2})
    options = {
        "phoebe_engine": "ollama",
        "phoebe_models": "llama3.2, other",
        "phoebe_allow_unbillable": "adapter",
        "phoebe_rater": f"127.0.0.1:{rater.port}",
    }
    proxy = Proxy(tmp_path, "--mode", f"reverse:{engine.url}", options=options)
    identity = IDENTITY | {"X-Saturn-Resource-Id": "declared-by-options"}

    def ask(path: str, body: dict[str, object]) -> int:
        return httpx.post(proxy.url + path, json=body, headers=identity, timeout=10).status_code

    try:
        chat = {"model": "LLAMA3.2:Latest", "stream": False, "lora": "x"}
        assert ask("/api/chat", chat) == 200
        assert ask("/api/chat", {"model": "llama3.1"}) == 404
        assert ask("/v1/embeddings", {"model": "other", "encoding_format": "bytes_only"}) == 400
        event = rater.wait_for(lambda event: event.resource_id == identity["X-Saturn-Resource-Id"])
        assert (event.model_id, event.model_untrusted) == ("llama3.2", False)
        assert "neither an engine nor models are declared" not in proxy.log()
    finally:
        proxy.stop()


def test_a_resource_that_declares_nothing_is_warned_of_and_watched(
    tmp_path: Path, engine: Engine, rater: EventRecorder
) -> None:
    def echo(request: EngineRequest, line: Line) -> None:
        name = json.loads(request.body)["model"]
        engines.document({"model": name, "usage": {"prompt_tokens": 1, "completion_tokens": 1}})(
            request, line
        )

    engine.script = echo
    options = {"phoebe_rater": f"127.0.0.1:{rater.port}"}
    proxy = Proxy(tmp_path, "--mode", f"reverse:{engine.url}", options=options)
    identity = IDENTITY | {"X-Saturn-Resource-Id": "declares-nothing"}
    try:
        for model in ("cheap", "dear", "dear", "third"):
            response = httpx.post(proxy.url + CHAT, json={"model": model}, headers=identity, timeout=10)
            assert response.json()["model"] == model
        last = rater.wait_for(
            lambda event: event.resource_id == "declares-nothing" and event.model_id == "third"
        )
        assert last.model_echoed
        log = proxy.log()
        assert log.count("neither an engine nor models are declared") == 1
        assert log.count("it answered as 'cheap' and 'dear', each exactly what was asked") == 1
        assert proxy.metric("phoebe_resources_suspect_total", suspicion="echoes") == 1
    finally:
        proxy.stop()


def test_names_that_are_not_known_end_the_start(tmp_path: Path, engine: Engine) -> None:
    options = {
        "phoebe_allow_unbillable": "bytes_olny",
        "phoebe_usage": "some",
        "phoebe_engine": "sglagn",
    }
    proxy = Proxy(tmp_path, "--mode", f"reverse:{engine.url}", options=options, ready=None)

    assert proxy.ended() == 1
    assert "phoebe_allow_unbillable: unknown: bytes_olny; known: adapter, background, " in proxy.log()
    assert "phoebe_engine: the engine 'sglagn' is not one of those that are known; did you mean SGLang?" in (
        proxy.log()
    )
    assert "phoebe_usage is 'some', which is none of auto, final, continuous, none" in proxy.log()


def test_whatever_is_misspelt_or_of_another_type_ends_the_start_and_all_of_it_is_said(
    tmp_path: Path, engine: Engine
) -> None:
    (tmp_path / "confdir").mkdir()
    (tmp_path / "confdir" / "config.yaml").write_text("phoebe_trusted_edge: 10.0.0.0/8\n")
    options = {
        "phoebe_edge_secrets_file": str(tmp_path / "secret"),
        "phoebe_lean": "on",
        "phoebe_connections_max": "many",
    }
    environment = {"PHOEBE_UPSTREM": engine.url, "PHOEBE_FORWARD_IDENTITY": "yes"}
    proxy = Proxy(
        tmp_path, "--mode", f"reverse:{engine.url}", options=options, environment=environment, ready=None
    )

    assert proxy.ended() == 1
    for said in (
        "there is no option phoebe_edge_secrets_file; did you mean phoebe_edge_secret_file?",
        "there is no option phoebe_trusted_edge; did you mean phoebe_trusted_edges?",
        "there is no variable PHOEBE_UPSTREM; did you mean PHOEBE_UPSTREAM?",
        "PHOEBE_FORWARD_IDENTITY is 'yes', which is neither true nor false",
        "phoebe_lean is 'on', which is neither true nor false",
        "phoebe_connections_max is 'many', which is not a whole number",
    ):
        assert said in proxy.log()
    assert "Traceback" not in proxy.log()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"phoebe_trusted_edges": "0.0.0.0/0"}, "phoebe_trusted_edges lets anyone in"),
        (
            {"edge_secret_file": "secret"},
            "there is no option edge_secret_file; did you mean phoebe_edge_secret",
        ),
    ],
)
def test_a_gate_that_would_be_open_by_mistake_ends_the_start(
    tmp_path: Path, engine: Engine, options: dict[str, str], said: str
) -> None:
    proxy = Proxy(tmp_path, "--mode", f"reverse:{engine.url}", options=options, ready=None)

    assert proxy.ended() == 1
    assert said in proxy.log()
    assert "phoebe: metering" not in proxy.log()
