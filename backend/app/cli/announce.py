"""What a server says when it listens."""

from dataclasses import dataclass

import typer

from app.kit.hosts import is_loopback


@dataclass(frozen=True, slots=True)
class Listening:
    """Where it listens; `rpc_port` is None where gRPC is turned off."""

    host: str
    port: int
    rpc_port: int | None
    workers: int = 1
    # Whether callers without a key may change models.
    is_open: bool = False

    @property
    def url(self) -> str:
        """Where this machine reaches it."""
        return f"http://{_bracketed(_reachable(self.host))}:{self.port}"


def announce(listening: Listening) -> None:
    host = listening.host
    address = f"http://{_bracketed(host)}:{listening.port}"
    notes = [f"API: {listening.url}/docs"]
    if listening.rpc_port is not None:
        notes.append(f"gRPC: {_bracketed(host)}:{listening.rpc_port}")
    if listening.workers > 1:
        notes.append(f"{listening.workers} workers")
    typer.echo(f"MLForge listens on {address} ({', '.join(notes)}). Ctrl-C stops it.")
    if listening.is_open and not is_loopback(host):
        typer.echo(
            f"WARNING: whoever reaches {address} may upload models, which are programs "
            "that this machine runs, and needs no API key: see AUTH and "
            "ANONYMOUS_SCOPES."
        )


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
