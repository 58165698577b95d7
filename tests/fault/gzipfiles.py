"""gzip files with many small blocks, so that small files are cut in the middle too."""

import random
import zlib

HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"


def text(lines: int, seed: int = 1) -> bytes:
    """Lines whose records a test can tell apart."""
    chance = random.Random(seed)
    return b"".join(b"%d %d\n" % (number, chance.randrange(10**6)) for number in range(lines))


def member(data: bytes, level: int = 6) -> bytes:
    """A gzip member with a block for each 127 symbols."""
    deflate = zlib.compressobj(level, zlib.DEFLATED, -15, 1)
    packed = deflate.compress(data) + deflate.flush()
    return HEADER + packed + zlib.crc32(data).to_bytes(4, "little") + len(data).to_bytes(4, "little")
