"""A port that several sockets listen on."""

import socket
from contextlib import ExitStack, closing

import pytest

from app.cli.listening import SPREADS, SharedPort, close_all, try_port

CONNECTIONS = 640
# Five standard deviations of an even split, in numbers of connections.
MOST_OFF = 65


@pytest.mark.skipif(not SPREADS, reason="this kernel does not spread connections")
def test_connections_are_spread_over_those_who_listen() -> None:
    with closing(SharedPort("127.0.0.1", 0)) as port, ExitStack() as stack:
        servers = [stack.enter_context(one) for _ in range(2) for one in port.open()]
        for server in servers:
            server.listen(CONNECTIONS)
            server.setblocking(False)
        for _ in range(CONNECTIONS):
            stack.enter_context(socket.create_connection(("127.0.0.1", port.port)))
        counts = [accepted(server, stack) for server in servers]
    assert sum(counts) == CONNECTIONS
    assert abs(counts[0] - CONNECTIONS / 2) < MOST_OFF


def accepted(server: socket.socket, stack: ExitStack) -> int:
    count = 0
    while True:
        try:
            stack.enter_context(server.accept()[0])
        except BlockingIOError:
            return count
        count += 1


def test_what_holds_the_port_takes_no_connection() -> None:
    with (
        closing(SharedPort("127.0.0.1", 0)) as port,
        pytest.raises(ConnectionRefusedError),
    ):
        socket.create_connection(("127.0.0.1", port.port))


def test_a_name_of_several_addresses_has_one_port() -> None:
    with closing(SharedPort("localhost", 0)) as port:
        opened = port.open()
        ports = {one.getsockname()[1] for one in opened}
        close_all(opened)
    assert ports == {port.port}


def test_a_port_that_is_listened_on_is_refused() -> None:
    with closing(SharedPort("127.0.0.1", 0)) as port:
        [server] = port.open()
        with server:
            server.listen()
            with pytest.raises(OSError, match="in use"):
                try_port("127.0.0.1", port.port)
