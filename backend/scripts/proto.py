"""Makes the Python of the protocol's messages, or checks that it is fresh."""

import argparse
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

BACKEND = Path(__file__).resolve().parents[1]
SOURCES = BACKEND / "proto"
GENERATED = BACKEND / "app" / "rpc" / "generated"


def generate(folder: Path) -> None:
    """Messages and their types, of every .proto there is, into `folder`."""
    sources = sorted(str(file) for file in SOURCES.glob("*.proto"))
    status = protoc.main(
        [
            "protoc",
            f"--proto_path={SOURCES}",
            f"--proto_path={files('grpc_tools') / '_proto'}",
            f"--python_out={folder}",
            f"--pyi_out={folder}",
            *sources,
        ]
    )
    if status:
        raise SystemExit(status)


def stale() -> list[str]:
    """The generated files that are absent, out of date, or of no source."""
    with tempfile.TemporaryDirectory() as temporary:
        fresh = Path(temporary)
        generate(fresh)
        wanted = {file.name: file.read_bytes() for file in fresh.iterdir()}
    committed = {
        file.name: file.read_bytes()
        for file in GENERATED.glob("*_pb2*.py*")
        if file.is_file()
    }
    names = sorted(wanted.keys() | committed.keys())
    return [name for name in names if wanted.get(name) != committed.get(name)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing")
    if not parser.parse_args().check:
        generate(GENERATED)
        return 0
    found = stale()
    if found:
        sys.stderr.write(f"Stale: {', '.join(found)}; run: make format\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
