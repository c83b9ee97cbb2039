"""A file job in a process of its own, which prints by how many MiB it grew at most:
`python -m tests.services.file_memory FOLDER FILE RESULT_FORMAT WIDTH`."""

import asyncio
import resource
import sys
from pathlib import Path

from app.datasets.base import FileRequest
from app.datasets.kinds import kind_of
from app.enums import FileFormat
from app.errors import MLForgeError
from tests import graphs
from tests.services.file_lab import Lab, Model, lab


def _peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


async def _job(one: Lab, source: Path, to: FileFormat) -> None:
    kind = kind_of(None, source.name)
    asked = FileRequest("some", result_format=to)
    try:
        found = await one.scoring.examine(one.folder / "input", kind, asked)
        done = await one.steps(found.recipe)
    except MLForgeError as error:
        sys.stdout.write(f"{error.detail}\n")
        return
    is_ndjson = to is FileFormat.NDJSON
    other = FileFormat.PARQUET if is_ndjson else FileFormat.NDJSON
    for _ in one.scoring.convert(done.parts, found.recipe, other):
        pass


async def _main(folder: Path, source: Path, to: FileFormat, width: int) -> None:
    names = [f"c{at}" for at in range(width)]
    model = Model(graphs.affine(2.0, width=width, feature_names=names), names)
    async with lab(model, folder) as one:
        (one.folder / "input").symlink_to(source)
        before = _peak_mib()
        await _job(one, source, to)
        sys.stdout.write(str(_peak_mib() - before))


if __name__ == "__main__":
    asyncio.run(
        _main(
            Path(sys.argv[1]),
            Path(sys.argv[2]),
            FileFormat(sys.argv[3]),
            int(sys.argv[4]),
        )
    )
