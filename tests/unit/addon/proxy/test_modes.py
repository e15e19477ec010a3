import pytest
from mitmproxy.proxy import mode_specs

from phoebe_addon.gate.declared import UNSAID
from phoebe_addon.proxy.modes import ModeError, check_modes, reversed_modes, upstreams_of, without_http3


@pytest.mark.parametrize(
    "mode",
    [
        "reverse:http3://engine",
        "reverse:quic://engine:443",
        "reverse:udp://engine:53",
        "reverse:dtls://engine:443",
        "reverse:dns://engine",
        "reverse:tls://engine:443",
        "reverse:tcp://engine:80",
        "upstream:http://engine:8080",
        "dns",
        "local",
        "socks5",
        "transparent",
        "tun",
        "wireguard",
    ],
)
def test_a_mode_that_would_carry_traffic_past_the_gate_is_refused_by_name(mode: str) -> None:
    with pytest.raises(ModeError, match=f"--mode {mode} can't be metered: give reverse"):
        check_modes(["reverse:http://engine", mode])


@pytest.mark.parametrize(
    "mode", ["regular", "regular@8081", "reverse:http://engine", "reverse:https://engine"]
)
def test_reverse_proxies_for_http_are_taken_and_the_default_mode_becomes_one(mode: str) -> None:
    check_modes([mode])
    (made,) = reversed_modes([mode])
    assert made.startswith("reverse:http")


def test_no_udp_is_listened_on_and_the_upstream_stays() -> None:
    modes = ["reverse:https://one.engine", "reverse:http://other.engine@8081"]
    for mode in modes:
        mode_specs.ProxyMode.parse(mode)

    assert without_http3(modes)
    assert [mode_specs.ProxyMode.parse(mode).transport_protocol for mode in modes] == ["tcp", "tcp"]
    assert not without_http3(modes)
    upstream = upstreams_of(modes[:1], UNSAID).find("r")
    assert upstream
    assert (upstream.scheme, upstream.host, upstream.port) == ("https", "one.engine", 443)
