"""The suite reaches this machine and the servers it was given, and nothing else."""

import socket

import pytest

from tests.network import LeftTheMachine, check_address


@pytest.mark.parametrize(
    "address",
    [("127.0.0.1", 80), ("127.8.8.8", 1), ("::1", 80, 0, 0), "/tmp/socket", b"\0a"],
)
def test_this_machine_may_be_reached(address: object) -> None:
    check_address(address, set())


def test_a_given_server_may_be_reached() -> None:
    check_address(("192.0.2.1", 5432), {"192.0.2.1"})


def test_a_connection_to_another_machine_is_an_error() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unsent,
        pytest.raises(LeftTheMachine, match=r"192\.0\.2\.1"),
    ):
        unsent.connect(("192.0.2.1", 9))
