"""From headers to a caller, or to what is wrong with them."""

import pytest

from app.auth.gate import IN_ADDRESS, NO_BEARER, TWO_KEYS, Access, Gate
from app.auth.keyring import KeyRecord, Keyring
from app.auth.principal import EVERYBODY, Principal
from app.auth.tokens import digest_of, new_token
from app.enums import Scope
from app.errors import Forbidden, Unauthorized

PREDICT = Access((Scope.PREDICT,))
WRITE = Access((Scope.WRITE,))
WHOLE = Access((Scope.PREDICT,), whole=True)
Headers = list[tuple[bytes, bytes]]


@pytest.fixture
def keys() -> dict[str, bytes]:
    return {name: new_token().token.encode() for name in ("ana", "ben")}


@pytest.fixture
def gate(keys: dict[str, bytes]) -> Gate:
    return Gate(_ring(keys), without_key=())


def _ring(keys: dict[str, bytes]) -> Keyring:
    keyring = Keyring()
    records = []
    for name, token in keys.items():
        key_id = token[4:16].decode()
        pattern = "a*" if name == "ben" else None
        caller = Principal(name, frozenset({Scope.PREDICT}), key_id, pattern)
        records.append(KeyRecord(key_id, digest_of(token), caller, None))
    keyring.replace(records)
    return keyring


def refused(gate: Gate, headers: Headers, query: bytes = b"") -> str:
    with pytest.raises(Unauthorized) as caught:
        gate.admit(PREDICT, headers, query)
    return caught.value.detail


def test_either_header_names_the_caller(gate: Gate, keys: dict[str, bytes]) -> None:
    ana = keys["ana"]
    for headers in (
        [(b"authorization", b"Bearer " + ana)],
        [(b"authorization", b"bearer  " + ana + b" ")],
        [(b"x-api-key", ana)],
        [(b"x-api-key", ana), (b"authorization", b"Bearer " + ana)],
        [(b"authorization", b"Basic Zm9v"), (b"x-api-key", ana)],
    ):
        assert gate.admit(PREDICT, headers).name == "ana", headers


def test_what_is_wrong_is_told(gate: Gate, keys: dict[str, bytes]) -> None:
    ana, ben = keys["ana"], keys["ben"]
    assert "No API key" in refused(gate, [])
    assert "No API key" in refused(gate, [(b"authorization", b"Basic Zm9v")])
    assert refused(gate, [(b"authorization", ana)]) == NO_BEARER
    both = [(b"authorization", b"Bearer " + ana), (b"x-api-key", ben)]
    assert refused(gate, both) == TWO_KEYS
    twice = [(b"x-api-key", ana), (b"x-api-key", ben)]
    assert refused(gate, twice) == TWO_KEYS
    hidden = b"%6D%6c" + ben[2:].replace(b"_", b"%5F")
    for query in (
        b"/x?key=" + ana,
        b"/x?a=1&api_key=" + ben + b"&b",
        b"/models/" + ana + b"/predict?",
        b"/x?key=" + hidden,
        b"/x?key=" + hidden.replace(b"%", b"%25"),
    ):
        assert refused(gate, [(b"x-api-key", ana)], query) == IN_ADDRESS


def test_no_refusal_holds_a_key(gate: Gate, keys: dict[str, bytes]) -> None:
    ana = keys["ana"]
    for headers in ([(b"authorization", ana)], [(b"x-api-key", ana[:-1])]):
        assert ana[20:60].decode() not in refused(gate, headers)
    with pytest.raises(Forbidden) as caught:
        gate.admit(WRITE, [(b"x-api-key", ana)])
    assert '"write"' in caught.value.detail
    assert ana[20:60].decode() not in caught.value.detail


def test_a_key_for_some_models_is_not_enough_for_all(
    gate: Gate, keys: dict[str, bytes]
) -> None:
    assert gate.admit(WHOLE, [(b"x-api-key", keys["ana"])]).name == "ana"
    with pytest.raises(Forbidden, match="all models"):
        gate.admit(WHOLE, [(b"x-api-key", keys["ben"])])


def test_callers_without_a_key_have_the_scopes_they_are_given(
    keys: dict[str, bytes],
) -> None:
    gate = Gate(_ring(keys), without_key=[Scope.PREDICT])
    assert gate.admit(PREDICT, []).key_id is None
    with pytest.raises(Unauthorized, match='"write"'):
        gate.admit(WRITE, [])
    # A key that is wrong is no way to be nobody.
    assert "mistyped" in refused(gate, [(b"x-api-key", b"mlf_no")])


def test_where_authentication_is_off_everybody_may_do_everything() -> None:
    gate = Gate(None)
    assert gate.admit(WRITE, [(b"x-api-key", b"nonsense")]) is EVERYBODY
    assert not gate.is_on


def test_the_quick_look_says_the_same_or_nothing(
    gate: Gate, keys: dict[str, bytes]
) -> None:
    ana = keys["ana"]
    for authorization, api_key in ((b"Bearer " + ana, None), (None, ana)):
        caller = gate.at_once(authorization, api_key)
        assert caller is not None
        assert caller.name == "ana"
    for authorization, api_key in (
        (b"Basic Zm9v", None),
        (ana, None),
        (b"Bearer " + ana, ana),
        (None, ana[:-1]),
        (None, b""),
    ):
        assert gate.at_once(authorization, api_key) is None
    nobody = gate.at_once(None, None)
    assert nobody is not None
    assert not nobody.may_predict


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"x-api-key", b""),
        (b"x-api-key", b" "),
        (b"authorization", b"Bearer"),
        (b"authorization", b"bearer "),
    ],
)
def test_an_empty_key_is_a_wrong_one_and_not_none(
    keys: dict[str, bytes], name: bytes, value: bytes
) -> None:
    gate = Gate(_ring(keys), without_key=(Scope.PREDICT,))
    assert gate.admit(PREDICT, []).name == "anonymous"
    assert "mistyped" in refused(gate, [(name, value)])
