"""What `.env` holds that no setting reads."""

from difflib import get_close_matches

from pydantic_settings import DotEnvSettingsSource

from app.config import Settings

# Keys of `.env` that are Docker Compose's, which reads the same file.
COMPOSE_KEYS = ("compose_", "docker_", "postgres_password")


def unknown_in_dotenv() -> dict[str, str | None]:
    """Names in `.env` that are no settings, each with the setting it may have meant."""
    known = list(Settings.model_fields)
    names = [name.lower() for name in DotEnvSettingsSource(Settings).env_vars]
    return {
        name.upper(): nearest[0].upper() if nearest else None
        for name in names
        if name not in known and not name.startswith(COMPOSE_KEYS)
        for nearest in [get_close_matches(name, known, n=1)]
    }
