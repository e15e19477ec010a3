"""The networks that requests are taken from, because only an edge that can be trusted is in them."""

import ipaddress
from collections.abc import Iterable

type Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# No single operator has this many addresses. All private networks together have less than a fifth of it in
# IPv4, and little more than half of it in IPv6.
_ADDRESSES_OF_ANYONE = {4: 2**28, 6: 2**122}
# How many peers are remembered: more than edges have, and little memory.
_PEERS_MAX = 10_000


def is_trusted(peer: str, networks: tuple[Network, ...]) -> bool:
    """Whether the IP address a connection comes from is in one of the networks.

    What is found is remembered for as long as the same tuple is asked for: networks can't change within it.
    """
    if networks is not _looked_up.networks:
        _looked_up.networks, _looked_up.peers = networks, {}
    trusted = _looked_up.peers.get(peer)
    if trusted is None:
        if len(_looked_up.peers) >= _PEERS_MAX:
            _looked_up.peers.clear()
        trusted = _looked_up.peers[peer] = _is_in(peer, networks)
    return trusted


class _LookedUp:
    """Peers that were looked up in the same networks: each sends many requests."""

    __slots__ = ("networks", "peers")

    def __init__(self) -> None:
        self.networks: tuple[Network, ...] = ()
        self.peers: dict[str, bool] = {}


_looked_up = _LookedUp()


def _is_in(peer: str, networks: tuple[Network, ...]) -> bool:
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:  # a Unix socket, or a connection already gone
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in network for network in networks)


def let_anyone_in(networks: Iterable[Network]) -> bool:
    """Whether networks cover so much of the internet, together, that anyone may be in them."""
    all_of_them = list(networks)
    ipv4 = [network for network in all_of_them if isinstance(network, ipaddress.IPv4Network)]
    ipv6 = [network for network in all_of_them if isinstance(network, ipaddress.IPv6Network)]
    return _addresses(ipv4) >= _ADDRESSES_OF_ANYONE[4] or _addresses(ipv6) >= _ADDRESSES_OF_ANYONE[6]


def _addresses[N: (ipaddress.IPv4Network, ipaddress.IPv6Network)](networks: Iterable[N]) -> int:
    """Count the addresses in networks, each once."""
    return sum(network.num_addresses for network in ipaddress.collapse_addresses(networks))
