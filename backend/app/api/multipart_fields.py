"""The plain fields of a form: short texts."""

from collections.abc import AsyncIterator
from typing import Final

from app.errors import InvalidField, PayloadTooLarge

FIELD_BYTES: Final = 64 << 10


async def read_field(
    field: str, data: AsyncIterator[bytes], limit_bytes: int = FIELD_BYTES
) -> str:
    value = bytearray()
    async for chunk in data:
        value += chunk
        if len(value) > limit_bytes:
            raise PayloadTooLarge(
                f"Field `{field[:200]}` is longer than {limit_bytes >> 10} kB: shorten "
                "it, or send it as a file if it is one."
            )
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidField(
            f"Field `{field[:200]}` is no UTF-8 text: send text, or a file as `file`."
        ) from None
