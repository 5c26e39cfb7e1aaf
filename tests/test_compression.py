from __future__ import annotations

import gzip
import io
import sys
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_binance_replay import compression
from pytest_binance_replay.compression import (
    SUFFIXES,
    compression_of,
    compressor_for,
    suffix_of,
)
from pytest_binance_replay.errors import CassetteNameError, MissingExtraError

TEXT = b'{"t":1,"stream":"btcusdt@trade","data":{}}\n' * 3


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"\x1f", "gzip"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"\x28\xb5", "zstd"),
        (b"\x50\x2a\x4d\x18", "zstd"),
        (b"\x5f\x2a\x4d\x18", "zstd"),
        (b"\x60\x2a\x4d\x18", None),
        (b"\x28\xb5\x2f\xfe", None),
        (b'{"t"', None),
        (b"\n", None),
    ],
)
def test_a_compression_is_told_by_the_first_bytes(
    head: bytes, name: str | None
) -> None:
    told = compression_of(head)
    assert (told and told.name) == name


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".jsonl.zst"])
@given(raw=st.binary(max_size=200), behind=st.binary(max_size=9))
def test_any_bytes_survive_a_member_and_what_is_behind_it_is_kept(
    suffix: str, raw: bytes, behind: bytes
) -> None:
    packed = compressor_for(Path(f"dip{suffix}"))(raw)
    told = compression_of(packed[:4])
    assert told
    decompressor = told.decompressor()
    assert decompressor.decompress(packed + behind) == raw
    assert (decompressor.eof, decompressor.unused_data) == (True, behind)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_bytes_are_always_compressed_alike(suffix: str) -> None:
    path = Path(f"dip{suffix}")
    assert compressor_for(path)(TEXT) == compressor_for(path)(TEXT)


def test_the_first_suffix_leaves_the_bytes_as_they_are() -> None:
    assert compressor_for(Path("dip.jsonl"))(TEXT) == TEXT


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("dip.jsonl", ".jsonl"),
        ("dip.jsonl.gz", ".jsonl.gz"),
        ("dip.jsonl.zst", ".jsonl.zst"),
        ("dip.gz", ""),
        ("dip.jsonl.bz2", ""),
        ("jsonl", ""),
    ],
)
def test_a_cassette_is_known_by_its_whole_suffix(name: str, suffix: str) -> None:
    assert suffix_of(name) == suffix


def test_a_name_without_such_a_suffix_has_no_compressor() -> None:
    with pytest.raises(CassetteNameError) as caught:
        compressor_for(Path("dip.txt"))
    assert str(caught.value) == (
        "'dip.txt' is no name for a cassette. "
        "Let it end in .jsonl, .jsonl.gz, .jsonl.zst."
    )


def test_zstd_without_its_package_names_the_extra_for_reading_and_writing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "compression.zstd", None)
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MissingExtraError) as caught:
        compression_of(b"\x28\xb5\x2f\xfd")
    assert str(caught.value) == (
        "A zstd cassette needs a package that is not installed: "
        'pip install "pytest-binance-replay[zstd]"'
    )
    with pytest.raises(MissingExtraError):
        compressor_for(Path("dip.jsonl.zst"))


@pytest.mark.parametrize("name", ["compression.zstd", "backports.zstd"])
def test_the_zstd_of_python_itself_reads_and_writes_the_same(name: str) -> None:
    pytest.importorskip(name, reason="needs Python 3.14, or its backport")
    zstd = compression._zstd_of_python(import_module(name))
    packed = zstd.compress(TEXT)
    decompressor = zstd.decompressor()
    assert decompressor.decompress(packed + b"more") == TEXT
    assert (decompressor.eof, decompressor.unused_data) == (True, b"more")
    with pytest.raises(zstd.damage):
        zstd.decompressor().decompress(packed[:-1] + b"?")
    assert read_packed(packed) == TEXT


def read_packed(packed: bytes) -> bytes:
    zstandard = pytest.importorskip("zstandard", reason="needs the package zstandard")
    read: bytes = zstandard.ZstdDecompressor().decompress(packed)
    return read


@given(st.binary(max_size=200))
def test_the_gzip_of_python_reads_any_member_of_ours(raw: bytes) -> None:
    with gzip.GzipFile(fileobj=io.BytesIO(compression._gzip_member(raw))) as file:
        assert file.read() == raw
