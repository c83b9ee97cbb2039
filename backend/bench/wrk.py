"""HTTP load by wrk, whose requests never repeat."""

import shutil
import subprocess
import tempfile
from itertools import count
from pathlib import Path

from bench.figures import Figures, LoadFailed
from bench.payloads import Payload, Slot

# Loads of one process that may follow each other without repeating an input.
LOADS = 128

SCRIPT = """
local file = assert(io.open("%(file)s", "rb"))
local heads, tails = {}, {}
for line in function() return file:read("*l") end do
  local head, tail = line:match("(%%d+) (%%d+)")
  heads[#heads + 1] = file:read(tonumber(head)) or ""
  tails[#tails + 1] = file:read(tonumber(tail)) or ""
  file:read(1)
end
file:close()
local char, floor, format = string.char, math.floor, string.format
local slots = {
  fraction = function(n) return format("%%07d", n %% 10000000) end,
  token = function(n) return format("%%05d", 10000 + n %% 20000) end,
  float32 = function(n)
    return char(n %% 256, floor(n / 256) %% 256, floor(n / 65536) %% 128)
  end,
  int64 = function(n) return char(n %% 256, 1 + floor(n / 256) %% 100) end,
}
local slot, size, at = slots["%(slot)s"], #heads, %(first)d - 1
function request()
  at = at + %(step)d
  local which = at %% size
  return heads[which + 1] .. slot(floor(at / size)) .. tails[which + 1]
end
function done(summary, latency)
  local e = summary.errors
  io.write(format("\\nRESULT %%d %%d %%d %%f %%f %%f %%f\\n",
    summary.requests, summary.duration,
    e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(90), latency:percentile(99),
    latency.max))
end
"""

_loads = count()


def missing() -> str | None:
    """What a person has to install first, if anything."""
    if shutil.which("wrk"):
        return None
    return "wrk is not installed; on Debian and Ubuntu: apt install wrk"


def load(
    port: int,
    payload: Payload,
    *,
    connections: int,
    seconds: float,
    repeat: bool = False,
) -> Figures:
    """`repeat` sends one request again and again: a cache knows all but the first."""
    with tempfile.TemporaryDirectory() as folder:
        script = _script(Path(folder), port, payload, repeat=repeat)
        output = _run(script, port, connections, seconds)
    return _figures(output)


def _script(folder: Path, port: int, payload: Payload, *, repeat: bool) -> Path:
    file = folder / "requests"
    with file.open("wb") as out:
        for template in payload.templates:
            size = len(template.body(payload.slot, 0))
            head = _head(port, payload, size) + template.head
            out.write(
                b"%d %d\n%b%b\n" % (len(head), len(template.tail), head, template.tail)
            )
    first = 1 if repeat else _first(payload.slot) * len(payload.templates)
    words = {
        "file": file,
        "slot": payload.slot.value,
        "first": first,
        "step": not repeat,
    }
    script = folder / "load.lua"
    script.write_text(SCRIPT % words)
    return script


def _first(slot: Slot) -> int:
    return next(_loads) % LOADS * (slot.limit // LOADS)


def _head(port: int, payload: Payload, size: int) -> bytes:
    lines = [f"POST {payload.path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    lines += [f"{name}: {value}" for name, value in payload.headers.items()]
    return "\r\n".join([*lines, f"Content-Length: {size}", "", ""]).encode()


def _run(script: Path, port: int, connections: int, seconds: float) -> str:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s"]
    command += ["--timeout", "30s", "-s", str(script), f"http://127.0.0.1:{port}"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds + 60, check=False
    )
    if "RESULT " not in done.stdout:
        raise LoadFailed(f"wrk failed: {(done.stdout + done.stderr)[-500:].strip()}")
    return done.stdout


def _figures(output: str) -> Figures:
    numbers = [float(word) for word in output.split("RESULT ")[1].split()]
    requests, took_us, errors, *latencies_us = numbers
    p50_ms, p90_ms, p99_ms, max_ms = (value / 1000 for value in latencies_us)
    if not requests:
        raise LoadFailed("no request was answered")
    return Figures(
        requests / (took_us / 1e6),
        p50_ms,
        p90_ms,
        p99_ms,
        max_ms,
        int(requests),
        int(errors),
    )
