"""Addresses of callers in one spelling, whoever wrote them."""

import pytest

from app.kit.peers import peer_address, rpc_host, site_of


@pytest.mark.parametrize(
    ("text", "address", "site"),
    [
        ("192.0.2.7", "192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7", "192.0.2.7"),
        ("2001:DB8:0:1::7", "2001:db8:0:1::7", "2001:db8:0:1::/64"),
        ("2001:db8:0:1:ffff::8%eth0", "2001:db8:0:1:ffff::8", "2001:db8:0:1::/64"),
        ("2001:db8:0:2::7", "2001:db8:0:2::7", "2001:db8:0:2::/64"),
        ("<script>", None, "unknown"),
        ("", None, "unknown"),
        (None, None, "unknown"),
    ],
)
def test_an_address_has_one_spelling_and_one_site(
    text: str | None, address: str | None, site: str
) -> None:
    assert peer_address(text) == address
    assert site_of(text) == site


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.7:4711", "192.0.2.7"),
        ("ipv6:%5B2001:db8::7%5D:4711", "2001:db8::7"),
        ("unix:/tmp/socket", None),
        ("", None),
    ],
)
def test_grpc_names_the_same_addresses(peer: str, address: str | None) -> None:
    assert peer_address(rpc_host(peer)) == address
