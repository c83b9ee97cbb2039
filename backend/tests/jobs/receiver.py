"""A receiver of webhooks: a real HTTP server on this machine."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, slots=True)
class Call:
    path: str
    signature: str
    body: bytes


@dataclass(slots=True)
class Receiver:
    """Answers with `statuses` in turn, then with 204."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    has_called: threading.Semaphore = field(
        default_factory=lambda: threading.Semaphore(0)
    )

    def take(self, call: Call) -> int:
        self.calls.append(call)
        status = self.statuses.pop(0) if self.statuses else 204
        self.has_called.release()
        return status


@contextmanager
def receiving(*statuses: int) -> Iterator[Receiver]:
    receiver = Receiver(statuses=list(statuses))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            signature = self.headers.get("X-MLForge-Signature", "")
            status = receiver.take(Call(self.path, signature, body))
            self.send_response(status)
            # Where a redirect leads must never be asked.
            self.send_header("Location", f"{receiver.url}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
