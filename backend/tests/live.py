"""The `mlforge` program as a process of its own."""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

from app.config import Settings
from tests.processes import Child, NotReady, free_port, wait_until

MLFORGE = Path(sys.executable).with_name("mlforge")


def environment(settings: Mapping[str, object]) -> dict[str, str]:
    """This process's environment with no setting in it but the given ones."""
    names = {name.upper() for name in Settings.model_fields}
    inherited = {key: value for key, value in os.environ.items() if key not in names}
    # Each server needs a port of its own, and this one has a default.
    inherited["GRPC_PORT"] = str(free_port())
    return inherited | {key.upper(): str(value) for key, value in settings.items()}


class LiveProcess:
    """An `mlforge` command that runs until it is told to end."""

    def __init__(
        self, command: tuple[str, ...], *, folder: Path, settings: Mapping[str, object]
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.child = Child(
            [MLFORGE, *command],
            log=folder / f"{command[0]}-{free_port()}.log",
            cwd=folder,
            env=environment(settings),
        )

    def logs(self) -> str:
        return self.child.output()

    def wait_for_log(self, text: str, *, timeout_s: float = 20) -> None:
        def seen() -> bool:
            if text in self.logs():
                return True
            self._check_running()
            return False

        wait_until(seen, f"the log line {text!r}", timeout_s=timeout_s)

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        return self.child.stop(signal.SIGTERM, timeout_s=20)

    def interrupt(self) -> int:
        """What Ctrl-C sends, and the exit status."""
        return self.child.stop(signal.SIGINT, timeout_s=20)

    def kill(self) -> None:
        """SIGKILL, to the process and its children."""
        self.child.kill()

    def close(self) -> None:
        if self.child.is_running():
            self.stop()

    def _check_running(self) -> None:
        if not self.child.is_running():
            status = self.child.process.returncode
            raise NotReady(f"it ended with {status}:\n{self.logs()[-4000:]}")


class LiveServer(LiveProcess):
    """`mlforge serve` on a free port, answering when made."""

    def __init__(
        self,
        *arguments: str,
        folder: Path,
        settings: Mapping[str, object],
        timeout_s: float = 30,
    ) -> None:
        port, grpc_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.grpc_target = f"127.0.0.1:{grpc_port}"
        defaults = {
            "host": "127.0.0.1",
            "port": port,
            "grpc_port": grpc_port,
            "data_dir": folder / "data",
        }
        super().__init__(
            ("serve", *arguments), folder=folder, settings={**defaults, **settings}
        )
        try:
            wait_until(self.is_ready, "the server's readiness", timeout_s=timeout_s)
        except BaseException as trouble:
            self.kill()
            if isinstance(trouble, NotReady):
                raise NotReady(f"{trouble}:\n{self.logs()[-4000:]}") from None
            raise

    def is_ready(self) -> bool:
        self._check_running()
        try:
            return httpx.get(f"{self.url}/api/v1/ready", timeout=2).status_code == 200
        except httpx.TransportError:
            return False
