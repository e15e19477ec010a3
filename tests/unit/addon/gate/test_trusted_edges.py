import ipaddress
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoebe_addon.gate.trusted_edges import Network, is_trusted, let_anyone_in

PRIVATE = (
    *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
    *("fc00::/7", "fe80::/10", "::1/128"),
)


def networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


@pytest.mark.parametrize(
    "texts",
    [
        ["0.0.0.0/0"],
        ["::/0"],
        ["0.0.0.0/1", "128.0.0.0/1"],
        ["2000::/3"],
        ["10.0.0.0/8", "128.0.0.0/2"],
        [f"{first}.0.0.0/8" for first in range(1, 224, 2)],
    ],
)
def test_a_list_that_covers_much_of_the_internet_lets_anyone_in(texts: list[str]) -> None:
    assert let_anyone_in(networks(*texts))


@pytest.mark.parametrize("texts", [[], ["203.0.113.7/32"], ["8.0.0.0/8", "2001:db8::/32"], list(PRIVATE)])
def test_the_networks_of_one_operator_do_not(texts: list[str]) -> None:
    assert not let_anyone_in(networks(*texts))


@given(st.integers(0, 6), st.sampled_from(["0.0.0.0/0", "::/0"]), st.randoms(use_true_random=False))
def test_everyone_in_pieces_is_everyone(splits: int, whole: str, random: object) -> None:
    pieces: list[Network] = [ipaddress.ip_network(whole)]
    for _ in range(splits):
        at = random.randrange(len(pieces))  # type: ignore[attr-defined]
        pieces[at : at + 1] = pieces[at].subnets()
    random.shuffle(pieces)  # type: ignore[attr-defined]

    assert let_anyone_in(pieces)


def test_an_address_that_is_named_often_counts_once() -> None:
    assert not let_anyone_in(chain.from_iterable([networks("10.0.0.0/8")] * 100))


def test_a_peer_that_was_looked_up_is_looked_up_again_in_other_networks() -> None:
    near, far = networks("10.0.0.0/8"), networks("192.168.0.0/16")

    for _ in range(2):
        assert is_trusted("10.1.2.3", near)
        assert not is_trusted("192.168.0.1", near)
        assert not is_trusted("10.1.2.3", far)
        assert is_trusted("192.168.0.1", far)
        assert not is_trusted("/a/socket", far)
