"""A keep-alive HTTP connection that gives the whole answer, for callers that check it."""

import asyncio
from dataclasses import dataclass
from typing import Self

TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Said:
    status: int
    headers: dict[str, str]
    body: bytes


class Talker:
    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def connect(cls, port: int) -> Self:
        # Larger answers than asyncio's own 64 KiB, in one piece.
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=2**20))

    async def post(self, path: str, body: bytes, headers: dict[str, str]) -> Said:
        lines = [f"POST {path} HTTP/1.1", "Host: bench"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""])
        self._writer.write(head.encode() + body)
        return await asyncio.wait_for(self._answer(), TIMEOUT_S)

    async def _answer(self) -> Said:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status, *fields = head.strip().split("\r\n")
        pairs = (field.partition(":") for field in fields)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        body = await self._reader.readexactly(int(headers.get("content-length", 0)))
        return Said(int(status.split(" ")[1]), headers, body)

    async def close(self) -> None:
        self._writer.close()
