"""`model_metadata.serving`: how one version is run."""

from typing import Any, Final

from app.engine.providers import BadProvider, checked_providers
from app.services.refusals import refused
from app.serving.settings import DEFAULT_SETTINGS, ServingSettings

MOST_THREADS: Final = 1024
MOST_QUEUED: Final = 100_000
LONGEST_S: Final = 86_400
_FIELDS: Final = tuple(ServingSettings.__dataclass_fields__)


def serving_settings(
    metadata: dict[str, Any], loc: str = "model_metadata"
) -> ServingSettings:
    """Raises InvalidField naming what is wrong and what would do."""
    given = metadata.get("serving")
    if given is None:
        return DEFAULT_SETTINGS
    loc = f"{loc}.serving"
    if not isinstance(given, dict):
        raise refused(loc, f'{loc} must be an object, such as {{"pinned": true}}')
    for name in given:
        if name not in _FIELDS:
            fields = ", ".join(_FIELDS)
            raise refused(
                f"{loc}.{name}", f"{loc} has no field {name[:100]}; it has {fields}"
            )
    return ServingSettings(
        batching=_word(given, loc, "batching", ("auto", "on", "off")),
        pinned=_flag(given, loc, "pinned"),
        threads=_whole(given, loc, "threads", 1, MOST_THREADS),
        queue_limit=_whole(given, loc, "queue_limit", 0, MOST_QUEUED),
        timeout_s=_seconds(given, loc, "timeout_s"),
        providers=_names(given, loc, "providers"),
    )


def _word(given: dict[str, Any], loc: str, name: str, words: tuple[str, ...]) -> Any:
    word = given.get(name, words[0])
    if word not in words:
        choice = ", ".join(f'"{each}"' for each in words)
        raise refused(f"{loc}.{name}", f"{loc}.{name} must be one of {choice}")
    return word


def _flag(given: dict[str, Any], loc: str, name: str) -> bool:
    flag = given.get(name, False)
    if not isinstance(flag, bool):
        raise refused(f"{loc}.{name}", f"{loc}.{name} must be true or false")
    return flag


def _whole(
    given: dict[str, Any], loc: str, name: str, least: int, most: int
) -> int | None:
    number = given.get(name)
    if number is None or (type(number) is int and least <= number <= most):
        return number
    raise refused(
        f"{loc}.{name}", f"{loc}.{name} must be a whole number, {least} to {most}"
    )


def _seconds(given: dict[str, Any], loc: str, name: str) -> float | None:
    seconds = given.get(name)
    if seconds is None:
        return None
    if type(seconds) not in (int, float) or not 0 < seconds <= LONGEST_S:
        raise refused(
            f"{loc}.{name}",
            f"{loc}.{name} must be a number of seconds above 0, {LONGEST_S} at most",
        )
    return float(seconds)


def _names(given: dict[str, Any], loc: str, name: str) -> tuple[str, ...] | None:
    names = given.get(name)
    if names is None:
        return None
    is_list = isinstance(names, list) and 1 <= len(names) <= 16
    if not is_list or not all(isinstance(item, str) for item in names):
        raise refused(f"{loc}.{name}", f"{loc}.{name} must be a list of names")
    return tuple(names)


def check_offered(settings: ServingSettings, loc: str) -> None:
    """Refuses providers that can't be had here. What was stored is not refused: it
    may be from a server that has them."""
    try:
        checked_providers(settings.providers or ())
    except BadProvider as error:
        loc = f"{loc}.serving.providers"
        raise refused(loc, f"{loc}: {error}") from None
