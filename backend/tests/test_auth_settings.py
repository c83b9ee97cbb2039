"""When keys are asked for, by the settings."""

import pytest
from pydantic import ValidationError

from app.enums import Scope
from app.runtime.identity import is_open
from tests.conftest import MakeSettings

PRODUCTION = {"environment": "production", "secret_key": "x" * 40}


@pytest.mark.parametrize(
    ("host", "is_on"),
    [
        ("127.0.0.1", False),
        ("127.8.8.8", False),
        ("::1", False),
        ("localhost", False),
        ("0.0.0.0", True),
        ("::", True),
        ("", True),
        ("192.168.1.5", True),
        ("models.example.org", True),
    ],
)
def test_on_its_own_it_is_off_in_development_on_loopback_alone(
    make_settings: MakeSettings, host: str, is_on: bool
) -> None:
    settings = make_settings(host=host)
    assert settings.auth_is_on is is_on
    assert is_open(settings) is not is_on
    assert make_settings(host=host, **PRODUCTION).auth_is_on
    assert make_settings(host=host, auth="on").auth_is_on
    assert not make_settings(host=host, auth="off").auth_is_on


def test_production_is_refused_without_keys(make_settings: MakeSettings) -> None:
    with pytest.raises(ValidationError, match="AUTH=on"):
        make_settings(auth="off", **PRODUCTION)
    with pytest.raises(ValidationError, match="SECRET_KEY"):
        make_settings(environment="production")


def test_scopes_without_a_key_are_read_and_never_admin(
    make_settings: MakeSettings,
) -> None:
    assert make_settings().scopes_without_key == frozenset()
    settings = make_settings(auth="on", anonymous_scopes=" predict, write ,")
    assert settings.scopes_without_key == {Scope.PREDICT, Scope.WRITE}
    assert is_open(settings)
    for words in ("admin", "predict,root"):
        with pytest.raises(ValidationError, match="ANONYMOUS_SCOPES takes"):
            make_settings(anonymous_scopes=words)


def test_a_word_that_is_no_setting_is_named(make_settings: MakeSettings) -> None:
    assert make_settings(auth="ON").auth_is_on
    assert not make_settings(auth="Off", host="::").auth_is_on
    with pytest.raises(ValidationError, match='AUTH takes auto, on or off, not "yes"'):
        make_settings(auth="yes")
    with pytest.raises(ValidationError, match="foo"):
        make_settings(auth="on", anonymous_scopes="foo")
