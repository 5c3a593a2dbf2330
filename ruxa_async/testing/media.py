"""Result files that really open: small, valid, and made when asked for, without a codec library."""

import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Literal

from attrs import frozen

__all__ = ["Media", "Suffix", "jpeg", "mp4", "png"]

#: The kinds of file that can be made.
Suffix = Literal["mp4", "png", "jpg"]

_CONTENT_TYPES: Mapping[Suffix, str] = {
    "mp4": "video/mp4",
    "png": "image/png",
    "jpg": "image/jpeg",
}

# ISO/IEC 14496-12, 8.2.2: the transformation that changes nothing.
_MATRIX = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_TIMESCALE = 1000


@frozen
class Media:
    """What a task's result file looks like."""

    suffix: Suffix = "mp4"
    #: Pixels, 1 to 65535.
    width: int = 720
    height: int = 1280
    #: How long a video plays.
    seconds: int = 10

    @property
    def content_type(self) -> str:
        """The media type, such as ``video/mp4``."""
        return _CONTENT_TYPES[self.suffix]

    def render(self) -> bytes:
        """Return the whole file."""
        if self.suffix == "mp4":
            return mp4(self.width, self.height, seconds=self.seconds)
        still: Callable[[int, int], bytes] = png if self.suffix == "png" else jpeg
        return still(self.width, self.height)


def png(width: int, height: int) -> bytes:
    """Return a grey PNG (W3C, Portable Network Graphics, section 5).

    Args:
        width: pixels, 1 to 65535.
        height: pixels, 1 to 65535.
    """
    rows = (b"\0" + b"\x80" * width) * height
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (
            _chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)),
            _chunk(b"IDAT", zlib.compress(rows)),
            _chunk(b"IEND", b""),
        )
    )


def jpeg(width: int, height: int) -> bytes:
    """Return a grey JPEG (ITU-T T.81, annexes B and F).

    Args:
        width: pixels, 1 to 65535.
        height: pixels, 1 to 65535.
    """
    blocks = -(-width // 8) * -(-height // 8)
    # One Huffman code, the bit 0, that says "no difference" (DC) or "end of block" (AC).
    codes = bytes((1, *[0] * 15, 0))
    return b"".join(
        (
            b"\xff\xd8",
            _segment(0xE0, b"JFIF\0" + struct.pack(">3B2H2B", 1, 2, 0, 1, 1, 0, 0)),
            _segment(0xDB, b"\0" + b"\1" * 64),
            _segment(0xC0, struct.pack(">B2H4B", 8, height, width, 1, 1, 0x11, 0)),
            _segment(0xC4, b"\x00" + codes + b"\x10" + codes),
            _segment(0xDA, bytes((1, 1, 0x00, 0, 63, 0))),
            _zero_bits(2 * blocks),
            b"\xff\xd9",
        )
    )


def mp4(width: int, height: int, *, seconds: int) -> bytes:
    """Return an MP4 that shows one grey JPEG frame for its whole length (ISO/IEC 14496-12 and -14).

    Args:
        width: pixels, 1 to 65535.
        height: pixels, 1 to 65535.
        seconds: how long it plays, at least 1.
    """
    frame = jpeg(width, height)
    head = _box("ftyp", b"isom\0\0\2\0isommp41") + _box("mdat", frame)
    samples = _sample_table(
        _sample_entry(width, height), seconds, size=len(frame), offset=len(head) - len(frame)
    )
    return head + _box(
        "moov",
        _full_box("mvhd", _clock(seconds), b"\0\1\0\0\1\0", bytes(10), _MATRIX, bytes(24), _u32(2)),
        _box(
            "trak",
            _track_header(width, height, seconds),
            _box(
                "mdia",
                _full_box("mdhd", _clock(seconds), struct.pack(">2H", 0x55C4, 0)),
                _full_box("hdlr", bytes(4), b"vide", bytes(12), b"sandbox\0"),
                _box(
                    "minf",
                    _full_box("vmhd", bytes(8), flags=1),
                    _box("dinf", _full_box("dref", _u32(1), _full_box("url ", flags=1))),
                    samples,
                ),
            ),
        ),
    )


def _track_header(width: int, height: int, seconds: int) -> bytes:
    times = _u32(0, 0, 1, 0, seconds * _TIMESCALE)
    return _full_box("tkhd", times, bytes(16), _MATRIX, _u32(width << 16, height << 16), flags=3)


def _sample_table(entry: bytes, seconds: int, *, size: int, offset: int) -> bytes:
    return _box(
        "stbl",
        _full_box("stsd", _u32(1), entry),
        _full_box("stts", _u32(1, 1, seconds * _TIMESCALE)),
        _full_box("stsc", _u32(1, 1, 1, 1)),
        _full_box("stsz", _u32(0, 1, size)),
        _full_box("stco", _u32(1, offset)),
    )


def _sample_entry(width: int, height: int) -> bytes:
    # ISO/IEC 14496-1, table 5: object type 0x6C is JPEG, stream type 4 (shifted, with 1) is video.
    decoder = _descriptor(4, bytes((0x6C, 0x11)), bytes(11))
    elementary = _descriptor(3, b"\0\1\0", decoder, _descriptor(6, b"\2"))
    return _box(
        "mp4v",
        struct.pack(">6xH16x2H", 1, width, height),
        struct.pack(">2I4xH32xHh", 0x480000, 0x480000, 1, 24, -1),
        _full_box("esds", elementary),
    )


def _clock(seconds: int) -> bytes:
    return _u32(0, 0, _TIMESCALE, seconds * _TIMESCALE)


def _u32(*numbers: int) -> bytes:
    return struct.pack(f">{len(numbers)}I", *numbers)


def _box(kind: str, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return _u32(8 + len(content)) + kind.encode() + content


def _full_box(kind: str, *parts: bytes, flags: int = 0) -> bytes:
    return _box(kind, _u32(flags), *parts)


def _descriptor(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return bytes((tag, len(content))) + content


def _chunk(kind: bytes, content: bytes) -> bytes:
    return _u32(len(content)) + kind + content + _u32(zlib.crc32(kind + content))


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content


def _zero_bits(count: int) -> bytes:
    # ITU-T T.81, F.1.2.3: the last byte is filled up with ones.
    whole, left = divmod(count, 8)
    return bytes(whole) + (bytes((0xFF >> left,)) if left else b"")
