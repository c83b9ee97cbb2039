"""Keeps the tests on this machine: a connection elsewhere is an error."""

import ipaddress
import os
import socket
import sys
from collections.abc import Collection

from sqlalchemy.engine import make_url

GIVEN_SERVERS = ("TEST_DATABASE_URL", "TEST_REDIS_URL")


class LeftTheMachine(AssertionError):
    """A test tried to reach another host."""


def given_hosts() -> set[str]:
    """The addresses of the servers that the run was given."""
    urls = [
        make_url(os.environ[name]) for name in GIVEN_SERVERS if os.environ.get(name)
    ]
    return {
        str(info[4][0])
        for url in urls
        if url.host
        for info in socket.getaddrinfo(url.host, url.port)
    }


def check_address(address: object, allowed: Collection[str]) -> None:
    """Raises unless `address` is a socket file, of this machine, or allowed."""
    if not isinstance(address, tuple):
        return
    host = str(address[0])
    try:
        is_here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_here = host == "localhost"
    if not is_here and host not in allowed:
        raise LeftTheMachine(f"a test connects to {host}, which is not this machine")


def stay_on_this_machine() -> None:
    """For the life of this process; such a hook can't be taken off."""
    allowed = given_hosts()

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if event == "socket.connect":
            check_address(arguments[1], allowed)

    sys.addaudithook(watch)
