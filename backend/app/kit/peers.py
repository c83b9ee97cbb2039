"""Addresses of callers, as proxies and transports spell them."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import unquote

_IPV6_SITE_BITS: Final = 64
_ANYBODY: Final = "unknown"

Address = IPv4Address | IPv6Address


def peer_address(text: str | None) -> str | None:
    """The address in its one spelling; None where it is none, whoever wrote it."""
    found = _parse(text)
    return None if found is None else str(found)


def rpc_host(text: str) -> str | None:
    """The host in what gRPC calls a peer: `ipv4:1.2.3.4:56`, `ipv6:%5B::1%5D:56`."""
    kind, _, rest = text.partition(":")
    if kind not in ("ipv4", "ipv6"):
        return None
    return unquote(rest).rpartition(":")[0].strip("[]")


def site_of(text: str | None) -> str:
    """What is one caller's: an IPv4 address, or the /64 that an IPv6 address is of,
    since whoever has one of it has all."""
    found = _parse(text)
    if found is None:
        return _ANYBODY
    if isinstance(found, IPv4Address):
        return str(found)
    return str(IPv6Network((found, _IPV6_SITE_BITS), strict=False))


def _parse(text: str | None) -> Address | None:
    try:
        found = ip_address((text or "").partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found
