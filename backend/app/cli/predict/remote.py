"""A file scored by a server: sent, followed, fetched."""

import os
import stat
from pathlib import Path
from typing import BinaryIO, Final

from app.cli.predict.body import FormBody
from app.cli.predict.client import JobsClient, Server
from app.cli.predict.display import Display
from app.cli.predict.job import Estimate, JobSeen
from app.cli.predict.outcome import Exit, Stopped
from app.cli.predict.sink import opened, tell_estimate
from app.cli.predict.wanted import (
    STANDARD,
    Wanted,
    open_input,
    sent_name,
    where_models_are,
)
from app.enums import JobStatus

_HEAD_BYTES: Final = 1 << 16
_NOTHING: Final = "Stopped; nothing was submitted."


def predict_remotely(wanted: Wanted, server: Server, display: Display) -> None:
    """Raises Stopped; KeyboardInterrupt becomes one once the job is cancelled."""
    with JobsClient(server) as client:
        try:
            answer = _submit(client, wanted, display)
        except KeyboardInterrupt:
            raise Stopped(Exit.INTERRUPTED, _NOTHING) from None
        if wanted.dry_run:
            tell_estimate(Estimate.of(answer), display)
            return
        job = JobSeen.of(answer)
        try:
            display.say(f"Job {job.id} scores {wanted.file} with {job.model}.")
            job = _follow(client, job, display)
            _check_completed(job)
            _fetch(client, job, wanted.out)
        except KeyboardInterrupt:
            _cancel(client, job)
        more = f": {client.url_of(job.id, 'errors')}"
        display.summary(job.rows_done, job.rows_failed, job.reasons, more)


def _submit(client: JobsClient, wanted: Wanted, display: Display) -> bytes:
    with open_input(wanted) as file:
        sending = _Sending(file, wanted, display)
        try:
            return client.submit(
                sending.body,
                may_resend=sending.may_resend,
                key=wanted.idempotency_key,
            )
        except Stopped as stop:
            raise _perhaps_a_file(stop, wanted.model) from None
        except KeyboardInterrupt:
            raise Stopped(Exit.INTERRUPTED, sending.left_over()) from None


def _perhaps_a_file(stop: Stopped, model: str) -> Stopped:
    """For who gave a folder, or a file of another ending, whose name a model may have."""
    is_unknown = stop.status in {Exit.NOT_FOUND, Exit.UNAVAILABLE}
    if not is_unknown or not Path(model).exists():
        return stop
    said = stop.message.rstrip(".")
    return Stopped(Exit.NOT_FOUND, f"{said}. {where_models_are(model)}.")


class _Sending:
    """A file on its way, from its begin each time."""

    def __init__(self, file: BinaryIO, wanted: Wanted, display: Display) -> None:
        self._file = file
        self._wanted = wanted
        self._display = display
        self._size_bytes = None if wanted.file == STANDARD else _size_of(file)
        self._sent: list[FormBody] = []

    @property
    def may_resend(self) -> bool:
        return self._size_bytes is not None

    def body(self) -> FormBody:
        if self._sent:
            self._file.seek(0)
        head = self._file.read(_HEAD_BYTES)
        self._display.sending(self._size_bytes)
        body = FormBody(
            self._wanted.fields(),
            self._file,
            name=sent_name(self._wanted, head),
            head=head,
            size_bytes=self._size_bytes,
            on_sent=self._display.sent,
        )
        self._sent.append(body)
        return body

    def left_over(self) -> str:
        if not any(body.is_sent for body in self._sent):
            return _NOTHING
        return (
            "Stopped before the server had answered; if a job came of the file, GET "
            "/api/v1/jobs lists it."
        )


def _follow(client: JobsClient, job: JobSeen, display: Display) -> JobSeen:
    display.scoring(job.rows_total or None)
    for seen in client.follow(job.id):
        job = seen
        display.rows(job.rows_done, job.rows_total)
    return job


def _fetch(client: JobsClient, job: JobSeen, out: str) -> None:
    try:
        with opened(out) as sink:
            client.download(job.id, sink)
    except Stopped as stop:
        raise Stopped(
            stop.status,
            f"{stop.message} The result stays on the server: "
            f"{client.url_of(job.id, 'result')}",
        ) from None


def _check_completed(job: JobSeen) -> None:
    if job.status is JobStatus.FAILED:
        raise Stopped(Exit.FAILED, f"Job {job.id} failed: {job.error}")
    if job.status is JobStatus.CANCELLED:
        raise Stopped(Exit.FAILED, f"Job {job.id} was cancelled.")


def _cancel(client: JobsClient, job: JobSeen) -> None:
    if job.has_ended:
        raise Stopped(
            Exit.INTERRUPTED,
            f"Stopped; the result of job {job.id} stays on the server.",
        )
    try:
        client.cancel(job.id)
    except Stopped as stop:
        raise Stopped(
            Exit.INTERRUPTED,
            f"Stopped; job {job.id} could not be cancelled: {stop.message}",
        ) from None
    raise Stopped(Exit.INTERRUPTED, f"Stopped; job {job.id} is cancelled.")


def _size_of(file: BinaryIO) -> int | None:
    """Of a file; a pipe's is known at its end alone."""
    told = os.fstat(file.fileno())
    return told.st_size if stat.S_ISREG(told.st_mode) else None
