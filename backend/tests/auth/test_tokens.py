"""Keys have a form that tells a mistyped one, and nothing of them can be guessed."""

import math

from hypothesis import assume, given
from hypothesis import strategies as st

from app.auth.tokens import (
    CHECK_LENGTH,
    ID_LENGTH,
    PREFIX,
    SECRET_LENGTH,
    TOKEN_LENGTH,
    digest_of,
    holds_token,
    id_of,
    new_token,
)
from app.kit.redaction import without_keys

SIGNS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def test_a_new_key_is_read_back_and_kept_as_a_hash() -> None:
    made = new_token()
    assert made.token.startswith(f"{PREFIX}{made.id}_")
    assert len(made.token) == TOKEN_LENGTH
    assert id_of(made.token.encode()) == made.id
    assert made.digest == digest_of(made.token.encode())
    assert made.token[-SECRET_LENGTH - CHECK_LENGTH :] not in made.digest


def test_a_secret_has_256_bits_and_no_two_are_alike() -> None:
    assert SECRET_LENGTH * math.log2(len(SIGNS)) >= 256
    made = {new_token().token for _ in range(500)}
    assert len(made) == 500
    assert set("".join(token[16:] for token in made)) <= {*SIGNS, "_"}


@given(st.integers(0, TOKEN_LENGTH - 1), st.characters(codec="latin-1"))
def test_any_character_that_is_another_is_told(place: int, other: str) -> None:
    token = new_token().token
    assume(token[place] != other)
    mistyped = token[:place] + other + token[place + 1 :]
    assert id_of(mistyped.encode("latin-1")) is None


@given(st.integers(len(PREFIX), TOKEN_LENGTH - 2))
def test_two_characters_that_changed_places_are_told(place: int) -> None:
    token = new_token().token
    swapped = token[:place] + token[place + 1] + token[place] + token[place + 2 :]
    assume(swapped != token)
    assert id_of(swapped.encode()) is None


@given(st.binary(max_size=2 * TOKEN_LENGTH))
def test_what_is_no_key_is_taken_for_none(data: bytes) -> None:
    assert id_of(data) is None


@given(st.integers(0, TOKEN_LENGTH - 1))
def test_a_key_that_was_cut_or_is_too_long_is_told(length: int) -> None:
    token = new_token().token.encode()
    assert id_of(token[:length]) is None
    assert id_of(token + token[:1]) is None


@given(st.text(), st.text())
def test_a_key_is_found_and_left_out_of_any_text(before: str, after: str) -> None:
    made = new_token()
    text = without_keys(f"{before} {made.token} {after}")
    secret = made.token[len(PREFIX) + ID_LENGTH + 1 :]
    assert secret not in text
    assert made.id in text
    assert holds_token(f"a={made.token}&b".encode())
