"""The keyring says whose key it is, or what is wrong with it."""

import pytest

from app.auth.keyring import EXPIRED, MALFORMED, UNKNOWN, KeyRecord, Keyring
from app.auth.principal import Principal
from app.auth.tokens import NewToken, checksum, new_token
from app.enums import Scope
from app.errors import Unauthorized


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def record(made: NewToken, expires_at: float | None = None) -> KeyRecord:
    holder = Principal("holder", frozenset({Scope.PREDICT}), made.id)
    return KeyRecord(made.id, made.digest, holder, expires_at)


def refusal(keyring: Keyring, token: str) -> str:
    with pytest.raises(Unauthorized) as caught:
        keyring.find(token.encode())
    assert caught.value.headers == {"WWW-Authenticate": "Bearer"}
    return caught.value.detail


def test_a_valid_key_is_found_again_and_again() -> None:
    keyring, made = Keyring(), new_token()
    keyring.replace([record(made)])
    for _ in range(3):
        assert keyring.find(made.token.encode()).key_id == made.id


def test_an_unknown_id_and_a_wrong_secret_are_told_alike() -> None:
    keyring, made, other = Keyring(), new_token(), new_token()
    keyring.replace([record(made)])
    forged = f"mlf_{made.id}_{other.token[17:-6]}"
    forged += checksum(forged.encode()).decode()
    assert refusal(keyring, other.token) == refusal(keyring, forged) == UNKNOWN
    assert refusal(keyring, made.token[:-1]) == MALFORMED


def test_a_key_ends_at_its_time_though_nothing_else_happens() -> None:
    clock = Clock()
    keyring, made = Keyring(clock=clock), new_token()
    keyring.replace([record(made, expires_at=1001.0)])
    keyring.find(made.token.encode())
    clock.now = 1001.0
    assert refusal(keyring, made.token) == EXPIRED


def test_a_key_that_is_gone_is_unknown_from_the_next_call() -> None:
    keyring, made = Keyring(), new_token()
    keyring.replace([record(made)])
    keyring.find(made.token.encode())
    keyring.replace([])
    assert refusal(keyring, made.token) == UNKNOWN


def test_use_is_noted_once_for_each_key() -> None:
    keyring, made = Keyring(), new_token()
    keyring.replace([record(made)])
    for _ in range(3):
        keyring.find(made.token.encode())
    assert keyring.take_used() == {made.id}
    assert keyring.take_used() == set()


def test_however_many_keys_are_known_memory_has_a_bound() -> None:
    keyring = Keyring()
    made = [new_token() for _ in range(30)]
    keyring.replace(map(record, made))
    for _ in range(200):
        for one in made:
            assert keyring.find(one.token.encode()).key_id == one.id
