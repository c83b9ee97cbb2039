"""What the process for files is told."""

import orjson

from app.config import Settings
from app.runtime.filing import in_words
from tests.conftest import MakeSettings


def test_the_process_for_files_has_the_servers_settings_and_secrets(
    make_settings: MakeSettings,
) -> None:
    settings = make_settings(secret_key="k" * 40, job_lease_s=1.5, workers=2)
    told = Settings(_env_file=None, **orjson.loads(in_words(settings)))
    assert told == settings
    assert told.secret_key.get_secret_value() == "k" * 40
