"""Whose address a request comes from, also behind proxies."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Further to the left nobody's own proxies stand.
_MOST_HOPS: Final = 32
# What one subscriber of IPv6 gets at least: within it he has as many addresses as he likes.
_SUBSCRIBERS_BITS: Final = 64


def client_address(environ: WSGIEnvironment, trusted_proxies: Collection[Network]) -> str:
    """
    The address that a request counts for: one of IPv4, or a /64 of IPv6.

    It is the peer's. Only a trusted peer is asked further: then the right-most address of
    X-Forwarded-For that is not trusted itself counts, for whatever stands left of it anyone
    may have written. Where that cannot be read, or all are trusted, the peer's counts.
    """
    peer = _address(environ.get("REMOTE_ADDR", ""))
    if peer is None:
        return ""
    if not _is_among(peer, trusted_proxies):
        return _counted(peer)
    for hop in reversed(environ.get("HTTP_X_FORWARDED_FOR", "").rsplit(",", _MOST_HOPS)):
        address = _address(hop.strip())
        if address is None:
            break
        if not _is_among(address, trusted_proxies):
            return _counted(address)
    return _counted(peer)


def _address(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _is_among(address: Address, networks: Collection[Network]) -> bool:
    return any(address in network for network in networks)


def _counted(address: Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    host_bits = address.max_prefixlen - _SUBSCRIBERS_BITS
    return f"{IPv6Address(int(address) >> host_bits << host_bits)}/{_SUBSCRIBERS_BITS}"
