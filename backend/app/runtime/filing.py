"""What scores files, and tells of it."""

from typing import Final

import orjson
from pydantic import SecretStr

from app.artifacts.job_files import JobFiles
from app.config import Settings
from app.database import Database
from app.datasets.limits import MIB, FileLimits
from app.kit.own_threads import OwnThreads
from app.observability.watch import Observer
from app.services.file_process import FileProcess
from app.services.file_scoring import FileScoring
from app.services.file_work import FileWork
from app.services.job_retention import JobRetention
from app.services.job_store import StoreSight
from app.services.job_webhooks import JobWebhooks
from app.services.traffic import Traffic
from app.services.webhook_hosts import WebhookHosts, webhook_key
from app.serving.routes import Routes
from app.serving.runner import Runner

# Long enough for the others to take what this worker could not.
_PAUSE_S: Final = 15.0


class Filing:
    """`process` scores the files of a server that has no workers but its own."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        routes: Routes,
        traffic: Traffic,
        runner: Runner,
        observer: Observer,
    ) -> None:
        # A chunk reads and writes at once.
        self.threads = OwnThreads(2 * settings.job_concurrency)
        self.files = JobFiles(settings.data_dir)
        self.scoring = FileScoring(
            routes,
            traffic,
            runner,
            observer,
            timeout_s=settings.inference_timeout_s,
            threads=self.threads,
            limits=FileLimits(input_bytes=settings.job_max_input_mb * MIB),
        )
        self.work = FileWork(database, self.scoring, self.files)
        self.sight = StoreSight(database, self.files, pause_s=_PAUSE_S)
        self.webhooks = JobWebhooks(
            database,
            WebhookHosts.parse(settings.job_webhook_hosts),
            key=webhook_key(settings.secret_key.get_secret_value()),
        )
        self.retention = JobRetention(
            database,
            self.files,
            days=settings.job_retention_days,
            grace_s=settings.artifact_grace_s,
        )
        self.process = FileProcess(
            database, in_words(settings), sweep_s=settings.job_sweep_s
        )


def in_words(settings: Settings) -> bytes:
    """The settings as JSON, secrets too: for a pipe, not for a log."""
    secrets = {
        name: value.get_secret_value()
        for name, value in settings
        if isinstance(value, SecretStr)
    }
    return orjson.dumps(settings.model_dump(mode="json") | secrets)
