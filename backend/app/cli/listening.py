"""Ports: whether one can be had, and one that several processes listen on."""

import socket
import sys
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

# Elsewhere the option exists, but one socket gets every connection.
SPREADS: Final = sys.platform.startswith("linux")


def try_port(host: str, port: int) -> None:
    """OSError or UnicodeError where `host` and `port` can't be listened on."""
    for family, address in _addresses(host, port):
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)


class SharedPort:
    """A port held for processes that listen on it, each on sockets of its own.

    The kernel gives each new connection to one of the sockets that listen; those
    that hold the port never do, so no connection waits on them. Where the kernel
    can't spread, all get the same sockets.
    """

    def __init__(self, host: str, port: int) -> None:
        self.port = port
        self._holders: list[socket.socket] = []
        for family, address in _addresses(host, port):
            holder = _bound(family, (address[0], self.port, *address[2:]))
            self.port = holder.getsockname()[1]
            self._holders.append(holder)

    @property
    def host(self) -> str:
        """The first address, as the system spells it."""
        host: str = self._holders[0].getsockname()[0]
        return host

    def open(self) -> list[socket.socket]:
        """Sockets for one more process, one an address, that do not listen yet."""
        if not SPREADS:
            return [holder.dup() for holder in self._holders]
        return [_bound(held.family, held.getsockname()) for held in self._holders]

    def close(self) -> None:
        close_all(self._holders)


def close_all(sockets: Sequence[socket.socket]) -> None:
    for each in sockets:
        each.close()


# IPv4's has two parts, IPv6's four.
_Address: TypeAlias = tuple[Any, ...]


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, _Address]]:
    found = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    return [(family, address) for family, _, _, _, address in found]


def _bound(family: socket.AddressFamily | int, address: _Address) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if SPREADS:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
    except OSError:
        made.close()
        raise
    return made
