"""`make run`, as a newcomer uses it: paste the two calls, stop it with Ctrl-C."""

import os
import re
import shlex
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import httpx
import orjson
import pytest

from tests.live import environment
from tests.processes import Child, free_port, wait_until

ROOT = Path(__file__).parents[2]
CURL = re.compile(r"^ *curl (?:.+\\\n)*.+$", re.MULTILINE)


def make(*words: str) -> list[str]:
    """The command line of make, with this environment in the place of its own."""
    here = Path(sys.executable).parent
    ready = (here.parent / name for name in (".installed", ".installed-dev"))
    fresh = [word for stamp in ready for word in ("-o", str(stamp))]
    return ["make", "-C", str(ROOT), *fresh, f"VENV={here.parent}", *words]


def test_run_prints_two_calls_that_can_be_pasted_and_ends_on_ctrl_c(
    tmp_path: Path,
) -> None:
    port = free_port()
    run = Child(
        make("run", f"PORT={port}", f"DATA_DIR={tmp_path / 'data'}"),
        log=tmp_path / "log",
        cwd=tmp_path,
        env=environment({}),
    )
    try:
        wait_until(lambda: len(CURL.findall(run.output())) == 2, "the two calls")
        for call in CURL.findall(run.output()):
            assert f":{port}/api/v1/models/" in call
            answer = orjson.loads(paste(call))
            assert answer["model_id"]
    finally:
        # A terminal sends Ctrl-C to make and to what it started.
        os.killpg(run.pid, signal.SIGINT)
        status = run.process.wait(20)
    assert status in (0, -signal.SIGINT), run.output()
    assert "Traceback" not in run.output()


def paste(call: str) -> bytes:
    """What the curl line does, read as a shell reads it; curl may be missing."""
    words = shlex.split(call.replace("\\\n", " "))
    url = next(word for word in words if word.startswith("http://"))
    options = dict(pairwise(words))
    if "-F" in options:
        field, _, file = options["-F"].partition("=@")
        content = (Path(file).name, Path(file).read_bytes())
        answer = httpx.post(url, files={field: content}, timeout=30)
    else:
        name, _, value = options["-H"].partition(": ")
        answer = httpx.post(url, content=options["-d"], headers={name: value})
    assert answer.is_success, answer.text
    return answer.content


@pytest.mark.parametrize(
    "target", ["run", "test", "lint", "format", "lock", "coverage"]
)
def test_help_tells_of_the_target(target: str) -> None:
    told = subprocess.run(make("help"), capture_output=True, text=True, check=True)
    assert re.search(rf"^  make {target} +\S", told.stdout, re.MULTILINE)
