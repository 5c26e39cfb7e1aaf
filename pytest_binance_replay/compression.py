"""How cassettes are compressed: not at all, by gzip or by zstd.

A file that is read is told by its first bytes, and one that is written by its name.
Any compressed file is a sequence of independent members (gzip) or frames (zstd), both
called members here, so that a reader may start at any of them.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from pytest_binance_replay.errors import CassetteNameError, MissingExtraError

SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst")
"""How the names of cassette files end."""

_GZIP_LEVEL = 6
_ZSTD_LEVEL = 9


class Decompressor(Protocol):
    """Decompresses one member, piece by piece."""

    @property
    def eof(self) -> bool:
        """Whether the member has ended."""

    @property
    def unused_data(self) -> bytes:
        """What came behind the end of the member."""

    def decompress(self, data: bytes, /) -> bytes:
        """Take the next piece of any length, and return what it gives."""


class Compression(NamedTuple):
    """One way to compress: a file is a sequence of members.

    Attributes:
        name: What it is called in messages.
        damage: What a decompressor raises for data that is damaged.
        decompressor: Makes what reads one member.
        compress: Makes one member of any bytes; the same bytes make the same member.
    """

    name: str
    damage: type[Exception]
    decompressor: Callable[[], Decompressor]
    compress: Callable[[bytes], bytes]


def _gzip_member(data: bytes) -> bytes:
    # The header has neither time nor name, and no operating system (255), so that the
    # same lines give the same file everywhere.
    packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(data) + packer.flush()
    header = b"\x1f\x8b\x08\x00" + bytes(5) + b"\xff"
    return header + packed + struct.pack("<II", zlib.crc32(data), len(data))


def _gzip() -> Compression:
    def decompressor() -> Decompressor:
        return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)

    return Compression("gzip", zlib.error, decompressor, _gzip_member)


def _zstd_of_python(module: Any) -> Compression:
    """Use ``compression.zstd``, of Python 3.14 and later."""
    options = {
        module.CompressionParameter.compression_level: _ZSTD_LEVEL,
        module.CompressionParameter.checksum_flag: 1,
    }

    def compress(data: bytes) -> bytes:
        packed: bytes = module.compress(data, options=options)
        return packed

    return Compression("zstd", module.ZstdError, module.ZstdDecompressor, compress)


def _zstd_of_package(module: Any) -> Compression:
    """Use the package ``zstandard``."""
    compressor = module.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True)

    def decompressor() -> Decompressor:
        made: Decompressor = module.ZstdDecompressor().decompressobj()
        return made

    return Compression("zstd", module.ZstdError, decompressor, compressor.compress)


def _zstd() -> Compression:
    for name, use in (
        ("compression.zstd", _zstd_of_python),
        ("zstandard", _zstd_of_package),
    ):
        try:
            return use(import_module(name))
        except ImportError:
            continue
    purpose = "A zstd cassette"
    raise MissingExtraError(purpose, "zstd")


_SKIPPABLE_ZSTD_FRAME = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
_BY_MAGIC = ((b"\x1f\x8b", _gzip), (b"\x28\xb5\x2f\xfd", _zstd))
_BY_SUFFIX = {".jsonl.gz": _gzip, ".jsonl.zst": _zstd}


def compression_of(head: bytes) -> Compression | None:
    """Tell how a file is compressed.

    Args:
        head: Its first four bytes, or as many as there are, at least one.

    Returns:
        None if it is not compressed.

    Raises:
        MissingExtraError: If it is compressed by zstd, which needs the extra.
    """
    for magic, compression in _BY_MAGIC:
        if head[: len(magic)] == magic[: len(head)]:
            return compression()
    return _zstd() if _SKIPPABLE_ZSTD_FRAME.match(head) else None


def suffix_of(name: str) -> str:
    """Return the cassette suffix of a file name, empty if it has none."""
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")


def compressor_for(path: Path) -> Callable[[bytes], bytes]:
    """Return what makes one member of any bytes, by the name of the file to be.

    Raises:
        CassetteNameError: If the suffix is not one of a cassette.
        MissingExtraError: If the suffix asks for zstd, which needs the extra.
    """
    suffix = suffix_of(path.name)
    if not suffix:
        problem = f"{str(path)!r} is no name for a cassette"
        raise CassetteNameError(problem, f"Let it end in {', '.join(SUFFIXES)}.")
    compression = _BY_SUFFIX.get(suffix)
    return compression().compress if compression else bytes
