"""What the log of a real mitmdump says, and in which form."""

import json
import re
from pathlib import Path

import httpx

from rig.ports import reserve_port
from tests.e2e.conftest import IDENTITY
from tests.harness.engine import Engine, document
from tests.harness.events import EventRecorder
from tests.harness.proxy import Proxy

CHAT = "/v1/chat/completions"
SECRET = "a-secret-that-no-log-may-show"
PROMPT = "words-of-a-prompt-that-no-log-may-show"


def test_a_quiet_proxy_says_that_deliveries_fail_once_and_when_they_work_again(
    tmp_path: Path, engine: Engine
) -> None:
    port = reserve_port()
    proxy = Proxy(
        tmp_path,
        *("--mode", f"reverse:{engine.url}", "-q"),
        options={"phoebe_rater": f"127.0.0.1:{port}"},
        ready=None,
    )
    try:
        proxy.wait_for_log("events wait in the spool")
        recorder = EventRecorder(port)
        proxy.wait_for_log("takes events again, after ")
        assert proxy.stop() == 0
        recorder.close()
    finally:
        proxy.stop()
    lines = [line for line in proxy.log().splitlines() if "the rater at" in line]
    assert len(lines) == 2, lines
    assert all(re.match(r"20\d\d-\d\d-\d\dT[0-9:.]{12}Z WARNING phoebe_addon\.", line) for line in lines)


def test_json_is_an_object_a_line_and_a_refusal_says_whose_and_why_without_secrets(
    tmp_path: Path, engine: Engine
) -> None:
    engine.script = document({"model": "m"})
    secret_file = tmp_path / "secret"
    secret_file.write_text("another-secret-of-the-edge-0123456789")
    proxy = Proxy(
        tmp_path / "proxy",
        *("--mode", f"reverse:{engine.url}"),
        options={
            "phoebe_rater": f"127.0.0.1:{reserve_port()}",
            "phoebe_edge_secret_file": str(secret_file),
            "phoebe_log_format": "json",
            "phoebe_name": "gateway-0",
        },
    )
    headers = {**IDENTITY, "X-Phoebe-Edge-Secret": SECRET, "X-Request-Id": "mine", "Authorization": SECRET}
    try:
        for _ in range(20):
            answer = httpx.post(
                f"{proxy.url}{CHAT}?key={SECRET}", json={"model": "m", "prompt": PROMPT}, headers=headers
            )
            assert answer.status_code == 403
    finally:
        assert proxy.stop() == 0
    log = proxy.log()
    assert SECRET not in log
    assert PROMPT not in log
    # What mitmproxy says before it has loaded the script.
    lines = [json.loads(line) for line in log.splitlines() if not line.startswith("[")]
    assert all(line["service.instance.id"] == "gateway-0" for line in lines)
    assert not [line for line in lines if line["logger"] == "mitmproxy.proxy.server"]
    (refused,) = (line for line in lines if line.get("reason"))
    assert (refused["reason"], refused["auth_id"], refused["resource_id"]) == (
        "edge_secret",
        IDENTITY["X-Saturn-Auth-Id"],
        IDENTITY["X-Saturn-Resource-Id"],
    )
    assert (refused["request_id"], refused["network.peer.address"], refused["url.path"]) == (
        "mine",
        "127.0.0.1",
        CHAT,
    )
