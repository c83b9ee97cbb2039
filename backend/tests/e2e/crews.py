"""Server processes of one `mlforge serve --workers`, each spoken to on its own."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import httpx
import psutil

from tests import graphs
from tests.live import LiveServer

MOST_TRIES = 200
API = "/api/v1"


class Line(httpx.Client):
    """One keep-alive connection, and so one server process."""

    def __init__(self, server: LiveServer) -> None:
        super().__init__(
            base_url=server.url,
            timeout=60,
            limits=httpx.Limits(max_connections=1, keepalive_expiry=None),
        )
        try:
            # Who has answered has taken the connection.
            answer = self.get(f"{API}/live")
            here = answer.extensions["network_stream"].get_extra_info("client_addr")
            [self.pid] = [pid for pid in pids(server) if here in _callers(pid)]
        except BaseException:
            self.close()
            raise

    def predict(self, x: float, ref: str = "line") -> httpx.Response:
        body = {"input_data": {"x": [[x, 0, 0]]}}
        return self.post(f"{API}/models/{ref}/predict", json=body)

    def upload(
        self, model: bytes | None = None, *, name: str = "line", version: str = "1.0.0"
    ) -> str:
        """The id of a new version; 2x + 1 unless another model is given."""
        answer = self.post(
            f"{API}/models/upload",
            files={"file": ("model.onnx", model or graphs.affine())},
            data={"name": name, "version": version},
        )
        assert answer.status_code == 201, answer.text
        model_id: str = answer.json()["id"]
        return model_id

    def sample(self, name: str) -> float:
        """The sum of a metric's samples, on the page of this process."""
        lines = self.get("/metrics").text.splitlines()
        return sum(
            float(line.rpartition(" ")[2])
            for line in lines
            if line.startswith((f"{name} ", f"{name}{{"))
        )


def pids(server: LiveServer) -> list[int]:
    """Of the server processes; what these started is not among them."""
    return [child.pid for child in psutil.Process(server.child.pid).children()]


@contextmanager
def line_to_each(server: LiveServer) -> Iterator[list[Line]]:
    """A connection to every server process."""
    with ExitStack() as stack:
        found: dict[int, Line] = {}
        for _ in range(MOST_TRIES):
            line = stack.enter_context(closing(Line(server)))
            found.setdefault(line.pid, line)
            if len(found) == len(pids(server)):
                break
        assert len(found) == len(pids(server)), "a process gets no connections"
        yield list(found.values())


def _callers(pid: int) -> set[tuple[str, int]]:
    connections = psutil.Process(pid).net_connections("tcp")
    return {(one.raddr.ip, one.raddr.port) for one in connections if one.raddr}
