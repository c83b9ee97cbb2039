"""The process that validates one uploaded model. Its argument is its parent's id.

It gets ready, waits for its order on stdin, and from then on all it reads is a
stranger's. It answers on stdout, a line of JSON each time it knows more, and may be
killed at any moment.
"""

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any, Final

from app.engine import report, sandbox
from app.engine.alarm import Alarm
from app.engine.examination import Examination, Say
from app.engine.inspection import InspectionOrder
from app.errors import InvalidModel, Unavailable

_LOCALE_FOLDERS: Final = (Path("/usr/lib/locale"), Path("/usr/share/locale"))


def main() -> None:
    sandbox.die_with_parent(int(sys.argv[1]))
    say = _take_stdout()
    line = sys.stdin.readline()
    if not line:
        return  # Its parent needs it no more.
    order = InspectionOrder.from_json(json.loads(line))
    # Whatever becomes of this process from here on is the model's doing.
    say({"begun": True})
    memory = report.MemoryMeter()
    sandbox.limit_resources(memory_bytes=order.memory_bytes, cpu_s=order.cpu_s)
    landlock = sandbox.confine([order.directory, *_LOCALE_FOLDERS])
    # Its thread is bound by what bound the one that made it: not before, and it is
    # the last that may be made.
    with Alarm() as alarm:
        sandbox.forbid_processes()
        shield = {
            "landlock": landlock,
            "no_new_privileges": sandbox.has_no_new_privileges(),
            "memory_bytes": order.memory_bytes,
            "cpu_s": order.cpu_s,
        }
        _answer(Examination(order, memory, shield, alarm, say))


def _answer(examination: Examination) -> None:
    say = examination.say
    try:
        examination.run()
    except (MemoryError, Unavailable):
        limit_mb = examination.order.memory_bytes // 2**20
        say({"error": f"loading this model needs more than {limit_mb} MB of memory"})
    except InvalidModel as error:
        say({"error": error.detail})
    except Exception as error:
        # The last edge: nobody knows all that a stranger's file can do to the code
        # above, and the parent waits for an answer.
        say({"fault": type(error).__name__, "trace": traceback.format_exc()})


def _take_stdout() -> Say:
    """Keeps stdout for answers alone: ONNX Runtime sometimes prints there."""
    answers = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)

    def say(message: dict[str, Any]) -> None:
        left = memoryview(json.dumps(message).encode() + b"\n")
        while left:
            left = left[os.write(answers, left) :]

    return say
