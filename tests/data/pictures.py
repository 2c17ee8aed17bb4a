"""Encoded images to test with, sound and not."""

import io
import struct
import zlib
from typing import Any

from PIL import Image


def encode(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(colour: Any = "red", size: tuple[int, int] = (8, 8)) -> bytes:
    """One colour; a number stands for a colour of its own."""
    if isinstance(colour, int):
        colour = (colour % 256, colour // 256 % 256, colour // 65536)
    return encode(Image.new("RGB", size, colour))


def truncated_png() -> bytes:
    data = encode(Image.effect_noise((32, 32), 80))
    return data[: len(data) // 2]


def bomb() -> bytes:
    """A few bytes that claim 60000 x 60000 pixels."""
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    body = _chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + body + _chunk(b"IEND", b"")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
