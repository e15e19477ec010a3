"""The networks that requests are taken from, because only an edge that can be trusted is in them."""

import ipaddress
from collections.abc import Iterable

type Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# No single operator has this many addresses. All private networks together have less than a fifth of it in
# IPv4, and little more than half of it in IPv6.
_ADDRESSES_OF_ANYONE = {4: 2**28, 6: 2**122}


def is_trusted(peer: str, networks: Iterable[Network]) -> bool:
    """Whether the IP address a connection comes from is in one of the networks."""
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
