"""The options of `mlforge predict`."""

from typing import Annotated, TypeAlias

import typer

from app.enums import FileFormat, OnError, Priority

Model: TypeAlias = Annotated[
    str,
    typer.Argument(
        help="A model on the server (id, name, name:version or name@alias), or the path "
        "of an .onnx file, which needs no server."
    ),
]
File: TypeAlias = Annotated[
    str,
    typer.Argument(help="CSV, NDJSON, Parquet or Arrow, also .gz or .zst; - reads."),
]
Out: TypeAlias = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        help="Where the result goes; its ending says in which format. - writes to the "
        "standard output.",
    ),
]
Server: TypeAlias = Annotated[
    str, typer.Option(envvar="MLFORGE_URL", help="The server's address.")
]
ApiKey: TypeAlias = Annotated[
    str,
    typer.Option(
        envvar="MLFORGE_API_KEY",
        show_default=False,
        help="What a server with authentication asks for. Others see options; set it "
        "in the environment.",
    ),
]
Outputs: TypeAlias = Annotated[
    str, typer.Option(help="Outputs wanted, with commas between; all.")
]
IncludeInputs: TypeAlias = Annotated[
    str, typer.Option(help="Input columns in the result: all, none, or names.")
]
Format: TypeAlias = Annotated[
    FileFormat | None, typer.Option(help="FILE's format, where its name does not say.")
]
OutputFormat: TypeAlias = Annotated[
    FileFormat | None,
    typer.Option(help="The result's format, where its name does not say; FILE's."),
]
OnErrorOption: TypeAlias = Annotated[
    OnError,
    typer.Option(help="Whether a row that can't be scored is recorded or ends it all."),
]
MaxFailedRows: TypeAlias = Annotated[
    int | None,
    typer.Option(
        min=0, help="More failed rows than these end it all.", show_default="any"
    ),
]
ChunkRows: TypeAlias = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Rows that a worker takes at a time.",
        show_default="by the model's speed",
    ),
]
DryRun: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Tell rows, time and size, judged by the first rows, whose predictions go "
        "to the standard output as NDJSON; write nothing else, make no job.",
    ),
]
IdempotencyKey: TypeAlias = Annotated[
    str,
    typer.Option(
        help="A word of your own for this call: made again with the same file and "
        "options, it gives the job that is there.",
        show_default=False,
    ),
]
PriorityOption: TypeAlias = Annotated[
    Priority, typer.Option(help="Before or after the server's other jobs.")
]
Local: TypeAlias = Annotated[
    bool,
    typer.Option("--local", help="Score here, with a model of DATA_DIR's registry."),
]
