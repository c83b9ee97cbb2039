"""The server's jobs, over HTTP: a server that restarts meanwhile is waited for."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Self
from uuid import uuid4

import httpx
import orjson

from app.cli.predict.body import FormBody
from app.cli.predict.job import JobSeen
from app.cli.predict.outcome import Exit, Stopped, status_of
from app.cli.predict.sink import Sink

JOBS: Final = "/api/v1/jobs"
# A server that restarts is back long before.
PATIENCE_S: Final = 120.0
_PAUSE_S: Final = 1.0
# The server says something at least every 15 s while a job is followed.
_TIMEOUT: Final = httpx.Timeout(60.0, connect=10.0, write=60.0)
_MOST_SHOWN: Final = 2000
_TAG_LETTERS: Final = 64 + len('""')
_PASSING: Final = (502, 503, 504)
_RESTARTING: Final = (502, 503)


class _NotNow(Exception):
    """The server, or what stands before it, says that it will be back."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where it is, and the key it wants, if any."""

    url: str
    api_key: str = field(default="", repr=False)


class JobsClient:
    def __init__(self, server: Server) -> None:
        self._url = server.url.rstrip("/")
        headers = {"X-API-Key": server.api_key} if server.api_key else {}
        self._client = httpx.Client(
            base_url=self._url, timeout=_TIMEOUT, headers=headers
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def submit(
        self, body: Callable[[], FormBody], *, may_resend: bool, key: str = ""
    ) -> bytes:
        """Sends the file; where the connection breaks and the file can be read again,
        once more under the same key, so that one job comes of it whatever happens.

        The answer: a job, or an estimate."""
        headers = {"Idempotency-Key": key or uuid4().hex}
        patience: _Patience | None = None
        while True:
            try:
                sent = body()
                response = self._client.post(
                    JOBS, content=sent, headers=sent.headers | headers
                )
                if response.status_code not in _RESTARTING or not may_resend:
                    _check(response)
                    return response.content
                trouble: Exception = _NotNow(_detail(response))
            except httpx.HTTPError as error:
                is_absent = patience is None and isinstance(error, httpx.ConnectError)
                if is_absent or not may_resend:
                    raise self._away(error) from None
                trouble = error
            patience = patience or _Patience(self._away)
            patience.wait(trouble)

    def follow(self, job_id: str) -> Iterator[JobSeen]:
        """The job at each change, the last time when it has ended."""
        patience = _Patience(self._away)
        while True:
            try:
                for job in self._events(job_id):
                    patience.renew()
                    yield job
                    if job.has_ended:
                        return
                # The server stops, or has talked for long.
                time.sleep(_PAUSE_S)
            except (httpx.TransportError, _NotNow) as error:
                patience.wait(error)

    def cancel(self, job_id: str) -> None:
        self._call("POST", f"{JOBS}/{job_id}/cancel")

    def url_of(self, job_id: str, part: str) -> str:
        return f"{self._url}{JOBS}/{job_id}/{part}"

    def download(self, job_id: str, sink: Sink) -> None:
        """The whole result; what a broken connection left out is asked for again."""
        patience = _Patience(self._away)
        etag = ""
        while True:
            headers = {}
            if etag and sink.size_bytes:
                headers = {"Range": f"bytes={sink.size_bytes}-", "If-Range": etag}
            try:
                with self._streamed(f"{JOBS}/{job_id}/result", headers) as response:
                    if response.status_code != httpx.codes.PARTIAL_CONTENT:
                        sink.restart()
                    etag = response.headers.get("etag", "")
                    for block in response.iter_bytes():
                        sink.write(block)
                        patience.renew()
                return _check_content(sink, etag)
            except (httpx.TransportError, _NotNow) as error:
                patience.wait(error)

    def _events(self, job_id: str) -> Iterator[JobSeen]:
        with self._streamed(f"{JOBS}/{job_id}/events", {}) as response:
            for line in response.iter_lines():
                if line.startswith("data:"):
                    yield JobSeen.of(line.removeprefix("data:"))

    @contextmanager
    def _streamed(self, path: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
        with self._client.stream("GET", path, headers=headers) as response:
            if response.is_error:
                response.read()
                if response.status_code in _PASSING:
                    raise _NotNow(_detail(response))
                _check(response)
            yield response

    def _call(self, method: str, path: str) -> httpx.Response:
        try:
            response = self._client.request(method, path)
        except httpx.HTTPError as error:
            raise self._away(error) from None
        _check(response)
        return response

    def _away(self, error: Exception) -> Stopped:
        return Stopped(
            Exit.UNAVAILABLE,
            f"The server at {self._url} does not answer ({_said(error)}): start it "
            "with `mlforge serve`, or name another with --server or MLFORGE_URL.",
        )


class _Patience:
    """Waits for a server that went away, but not for ever."""

    def __init__(self, away: Callable[[Exception], Stopped]) -> None:
        self._away = away
        self.renew()

    def renew(self) -> None:
        self._until = time.monotonic() + PATIENCE_S

    def wait(self, error: Exception) -> None:
        if time.monotonic() > self._until:
            raise self._away(error) from None
        time.sleep(_PAUSE_S)


def _check(response: httpx.Response) -> None:
    if not response.is_success:
        raise Stopped(status_of(response.status_code), _detail(response))


def _check_content(sink: Sink, etag: str) -> None:
    """A stored result's ETag is the SHA-256 of its bytes."""
    if len(etag) == _TAG_LETTERS and etag != f'"{sink.sha256}"':
        raise Stopped(
            Exit.FAILED,
            "The result came changed: its SHA-256 is not the one the server names. "
            "Download it again.",
        )


def _detail(response: httpx.Response) -> str:
    """What the server said is wrong; of another server, how it began."""
    try:
        return str(orjson.loads(response.content)["detail"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        text = response.text[:_MOST_SHOWN].strip()
        return f"The server answered {response.status_code}: {text or 'nothing'}"


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
