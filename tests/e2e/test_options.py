"""Options of the addon: from the environment, and changed while mitmdump runs."""

from pathlib import Path

import httpx

from tests.e2e.conftest import IDENTITY
from tests.harness import engine as engines
from tests.harness.engine import Engine
from tests.harness.proxy import ROOT, Proxy

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


def test_options_change_while_running_but_for_those_that_need_a_restart(
    tmp_path: Path, engine: Engine
) -> None:
    engine.script = engines.document({"model": "m"})
    script = tmp_path / "phoebe.py"
    script.write_text((ROOT / "addon" / "phoebe.py").read_text() + CHANGER)
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
        assert (status(5_000), status(500)) == (413, 200)
    finally:
        proxy.stop()
