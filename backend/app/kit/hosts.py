"""Addresses of hosts."""

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it; the empty host is all addresses."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
