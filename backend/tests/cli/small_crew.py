"""A supervisor over processes that do next to nothing, run as a program.

    python -m tests.cli.small_crew KIND

Each process writes its id to the folder of the program as it starts.
"""

import json
import logging
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from app.cli.listening import SharedPort
from app.cli.seat import Post, Seat
from app.cli.supervisor import Supervisor


def works(post: Post) -> int:
    _say(post, {"rpc_port": None})
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    threading.Event().wait()
    return 0


def can_not_start(post: Post) -> int:
    _say(post, {"failed": "no disk in drive A"})
    return 7


def can_not_start_again(post: Post) -> int:
    """One process of each seat works; the next two can't start, the fourth does."""
    if post.is_first or len(list(Path().glob(f"{post.slot}-*"))) > 3:
        return works(post)
    return can_not_start(post)


def will_not_end(post: Post) -> int:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _say(post, {"rpc_port": None})
    threading.Event().wait()
    return 0


def crashes(post: Post) -> int:
    raise RuntimeError("a fault of ours")


KINDS: dict[str, Callable[[Post], int]] = {
    work.__name__: work
    for work in (works, can_not_start, can_not_start_again, will_not_end, crashes)
}


def main(kind: str) -> int:
    logging.basicConfig(format="%(message)s")

    def work(post: Post) -> int:
        number = len(list(Path().glob(f"{post.slot}-*")))
        Path(f"{post.slot}-{number}").write_text(str(post.channel.fileno()))
        try:
            return KINDS[kind](post)
        except SystemExit:
            return 0

    port = SharedPort("127.0.0.1", 0)
    supervisor = Supervisor(
        [port],
        work,
        _tell,
        workers=2,
        grace_s=0.1,
        # Only who will not end has to be killed soon.
        kill_after_s=0.1 if kind == will_not_end.__name__ else 20,
    )
    return supervisor.run()


def _tell(_first: Seat) -> None:
    sys.stdout.write("all are ready\n")
    sys.stdout.flush()


def _say(post: Post, said: dict[str, object]) -> None:
    post.channel.sendall(json.dumps(said).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
