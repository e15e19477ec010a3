"""Whatever breaks in Phoebe itself, nothing passes unmetered: broken code, broken reloads, removed addons."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from rig.programs import PROJECT
from tests.e2e.conftest import IDENTITY
from tests.harness import engine as engines
from tests.harness.engine import Engine
from tests.harness.proxy import Proxy

CHAT = "/v1/chat/completions"
BODY = {"model": "m", "messages": []}
ADDON = (PROJECT / "addon" / "phoebe.py").read_text()


@contextmanager
def proxy_of(folder: Path, engine: Engine, script: str) -> Iterator[Proxy]:
    """Run mitmdump with a script of our own in place of addon/phoebe.py."""
    path = folder / "phoebe.py"
    path.write_text(script)
    proxy = Proxy(folder, "--mode", f"reverse:{engine.url}", script=path)
    try:
        yield proxy
    finally:
        proxy.stop()


def ask(proxy: Proxy, headers: dict[str, str] = IDENTITY) -> httpx.Response:
    return httpx.post(proxy.url + CHAT, json=BODY, headers=headers, timeout=10)


@pytest.mark.parametrize(
    "poison",
    [
        "import phoebe_addon.gate.gate as broken; broken.check_head = None",
        "import phoebe_addon.gate.gate as broken; broken.check_body = None",
        "import phoebe_addon.proxy.flows as broken; broken.request_head = None",
        "import phoebe_addon.proxy.flows as broken; broken.direct_to = None",
        "import phoebe_addon.addon as broken; broken.admission_of = None",
        "import phoebe_addon.spool.spool as broken; broken.Spool.admit = None",
    ],
)
def test_an_exception_in_the_admission_is_a_500_and_never_forwarded(
    tmp_path: Path, engine: Engine, poison: str
) -> None:
    with proxy_of(tmp_path, engine, f"{ADDON}\n{poison}\n") as proxy:
        response = ask(proxy)
        assert response.status_code == 500
        assert response.json()["error"]["code"] == "internal"
        assert engine.requests == []
        assert "Traceback" in proxy.log()


@pytest.mark.parametrize("hook", ["requestheaders", "request"])
def test_a_hook_that_breaks_altogether_is_a_500_and_never_forwarded(
    tmp_path: Path, engine: Engine, hook: str
) -> None:
    poison = f"""
def broken(self, flow):
    raise RuntimeError("poisoned")
PhoebeAddon.{hook} = broken
"""
    with proxy_of(tmp_path, engine, ADDON.replace("addons =", f"{poison}\naddons =")) as proxy:
        response = ask(proxy)
        assert response.status_code == 500
        assert response.json()["error"]["code"] == "internal"
        assert engine.requests == []
        assert "poisoned" in proxy.log()


def test_a_reader_that_breaks_does_not_break_the_answer(tmp_path: Path, engine: Engine) -> None:
    engine.script = engines.stream([b"data: one\n\n", b"data: [DONE]\n\n"])
    poison = "import phoebe_addon.answer.body as broken; broken.EventStreamBody.feed = None"
    with proxy_of(tmp_path, engine, f"{ADDON}\n{poison}\n") as proxy:
        assert ask(proxy).content == b"data: one\n\ndata: [DONE]\n\n"
        assert "can't be read" in proxy.log()
        assert proxy.metric("phoebe_exchanges_ended_total") == 1


def test_a_script_that_fails_to_load_again_leaves_nothing_open(tmp_path: Path, engine: Engine) -> None:
    engine.script = engines.document({"model": "m"})
    with proxy_of(tmp_path, engine, ADDON) as proxy:
        assert ask(proxy).status_code == 200
        (tmp_path / "phoebe.py").write_text("this is not Python")
        proxy.wait_for_log("error in script")
        response = ask(proxy)
        assert response.status_code == 500
        assert len(engine.requests) == 1


def test_a_script_that_loads_again_goes_on_metering(tmp_path: Path, engine: Engine) -> None:
    engine.script = engines.document({"model": "m"})
    with proxy_of(tmp_path, engine, ADDON) as proxy:
        assert ask(proxy).status_code == 200
        (tmp_path / "phoebe.py").write_text(ADDON + "\n# changed\n")
        proxy.wait_for_log("phoebe: metering", count=2)
        assert ask(proxy).status_code == 200
        assert proxy.metric("phoebe_exchanges_admitted_total") == 1


def test_an_addon_removed_at_run_time_leaves_nothing_open(tmp_path: Path, engine: Engine) -> None:
    remover = """
from mitmproxy import ctx
class Remover:
    def requestheaders(self, flow):
        if "x-remove" in flow.request.headers:
            ctx.options.update(scripts=[])
addons.append(Remover())
"""
    with proxy_of(tmp_path, engine, ADDON + remover) as proxy:
        ask(proxy, {"X-Remove": "1"})
        proxy.wait_for_log("Un-loading script")
        assert ask(proxy).status_code == 500
        assert engine.requests == []


def test_no_engine_is_connected_to_before_the_gate_has_decided(tmp_path: Path) -> None:
    engine = Engine()
    try:
        with proxy_of(tmp_path, engine, ADDON) as proxy:
            assert ask(proxy, {}).status_code == 400
            assert engine.connections == 0
            assert ask(proxy).status_code == 200
            assert engine.connections == 1
    finally:
        engine.close()


def test_nothing_passes_while_mitmproxy_is_not_yet_a_reverse_proxy(tmp_path: Path, engine: Engine) -> None:
    never = "import phoebe_addon.proxy.modes as modes\nmodes.reversed_modes = list\naddons ="
    path = tmp_path / "phoebe.py"
    path.write_text(ADDON.replace("addons =", never))
    proxy = Proxy(tmp_path, script=path, options={"phoebe_upstream": engine.url}, ready=None)
    try:
        proxy.wait_for_log("phoebe: metering")
        response = ask(proxy)
        assert response.status_code == 503
        assert "retry-after" in response.headers
        with httpx.Client(proxy=proxy.url) as through, pytest.raises(httpx.ProxyError, match="503"):
            through.get("https://127.0.0.1:1/")
        with httpx.Client(proxy=proxy.url) as through:
            assert through.get(f"{engine.url}/v1/models", headers=IDENTITY).status_code == 503
        assert engine.requests == []
    finally:
        proxy.stop()


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ([], {}, "no model server"),
        (["--mode", "socks5"], {"phoebe_upstream": "http://127.0.0.1:1"}, "can't be metered"),
        (["--mode", "reverse:tcp://127.0.0.1:1"], {}, "can't be metered"),
        ([], {"phoebe_upstream": "ftp://x"}, "must start with http"),
        ([], {"phoebe_upstream": "http://127.0.0.1:1/v1"}, "must not end with /v1"),
        ([], {"phoebe_upstream": "/no/such/map.yaml"}, "can't read"),
        (
            ["--mode", "reverse:http://127.0.0.1:1"],
            {"phoebe_rater": "x", "phoebe_body_limit": "y", "phoebe_usage": "z"},
            "phoebe_rater: 'x' is not host:port",
        ),
    ],
)
def test_options_that_cannot_be_used_end_mitmdump_with_a_message(
    tmp_path: Path, arguments: list[str], options: dict[str, str], message: str
) -> None:
    proxy = Proxy(tmp_path, *arguments, options=options, ready=None)
    assert proxy.ended() == 1
    assert message in proxy.log()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("import mitmproxy.version as v; v.VERSION = '13.0.0'", "mitmproxy is 13.0.0"),
        (
            "from mitmproxy.proxy.layers import http; del http.HttpStream.check_invalid",
            "mitmproxy.proxy.layers.http:HttpStream.check_invalid is missing",
        ),
        (
            "import sys; sys.modules['mitmproxy.proxy.layers.http._hooks'] = None",
            "mitmproxy.proxy.layers.http._hooks:HttpRequestHeadersHook is missing",
        ),
    ],
)
def test_a_mitmproxy_that_can_not_be_guarded_ends_before_it_listens(
    tmp_path: Path, engine: Engine, change: str, said: str
) -> None:
    changer = tmp_path / "changer.py"
    changer.write_text(change)
    arguments = ("-s", str(PROJECT / "addon" / "phoebe.py"), "--mode", f"reverse:{engine.url}")
    proxy = Proxy(tmp_path, *arguments, script=changer, ready=None)

    assert proxy.ended() == 1
    assert f"phoebe: this mitmproxy can't be guarded: {said}" in proxy.log()
    assert "Supported are mitmproxy 12.2" in proxy.log()
    assert "listening" not in proxy.log()
