"""Reading the text of settings."""


def words(text: str) -> list[str]:
    """What stands between commas."""
    return [word for part in text.split(",") if (word := part.strip())]


def check_url(name: str, url: str, schemes: tuple[str, ...]) -> None:
    """Raises ValueError unless it is empty or begins with one of `schemes`."""
    if url and not url.startswith(schemes):
        raise ValueError(f"{name} must begin with {' or '.join(schemes)}")
