"""Compressed bodies, within a limit that counts what they hold."""

import gzip
import zlib

import pytest

from app.api.compression import deflate, inflate, only_coding
from app.errors import InvalidRequest, PayloadTooLarge, UnsupportedMediaType

LIMIT = 2**20


async def test_both_codings_are_read_and_written() -> None:
    for coding in ("gzip", "deflate"):
        packed = await deflate(b"abc" * 100, coding)
        assert len(packed) < 100
        assert await inflate(packed, coding, LIMIT) == b"abc" * 100


async def test_a_gzip_of_several_members_is_one_body() -> None:
    packed = gzip.compress(b"one ", mtime=0) + gzip.compress(b"two", mtime=0)
    assert await inflate(packed, "gzip", LIMIT) == b"one two"


async def test_a_body_may_be_as_large_as_the_limit_and_no_larger() -> None:
    assert (
        len(await inflate(gzip.compress(b"\0" * LIMIT, mtime=0), "gzip", LIMIT))
        == LIMIT
    )
    for packed in (
        gzip.compress(b"\0" * (LIMIT + 1)),
        gzip.compress(b"\0" * LIMIT, mtime=0) + gzip.compress(b"\0", mtime=0),
    ):
        with pytest.raises(PayloadTooLarge):
            await inflate(packed, "gzip", LIMIT)


@pytest.mark.parametrize(
    ("packed", "coding"),
    [
        (b"x", "gzip"),
        (gzip.compress(b"abc", mtime=0)[:-1], "gzip"),
        (gzip.compress(b"abc", mtime=0) + b"x", "gzip"),
        (zlib.compress(b"abc") + b"x", "deflate"),
        (zlib.compress(b"abc")[:-1], "deflate"),
        (gzip.compress(b"abc", mtime=0), "deflate"),
    ],
)
async def test_broken_bodies_are_bad_requests(packed: bytes, coding: str) -> None:
    with pytest.raises(InvalidRequest):
        await inflate(packed, coding, LIMIT)


async def test_other_codings_are_not_taken() -> None:
    with pytest.raises(UnsupportedMediaType, match="br"):
        await inflate(b"x", "br", LIMIT)


def test_only_a_coding_that_stands_alone_is_used() -> None:
    assert only_coding("gzip") == "gzip"
    assert only_coding(" Deflate ") == "deflate"
    for accepted in ("", "gzip, deflate", "br", "*", "identity"):
        assert only_coding(accepted) is None
