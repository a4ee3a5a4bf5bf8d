"""NetCDF-4 in ranges against h5py, and what must be refused before anything is read."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from granules import MemorySource, hdf5
from hypothesis import given
from hypothesis import strategies as st

from stac_lake.errors import AssetMissing, BadRaster, ProviderUnavailable, UntrustedSource
from stac_lake.pixels import ranged_file
from stac_lake.pixels.hdf5_chunks import fletcher32
from stac_lake.pixels.netcdf import Granule
from stac_lake.types import Asset

ASSET = Asset("file", "s3://eodata/file.nc", "cdse")
RNG = np.random.default_rng(5)
DATA = RNG.integers(0, 60000, (37, 53)).astype(np.uint16)


def opened(data: bytes) -> Granule:
    return Granule(MemorySource({ASSET.href: data}), ASSET, "item")


def dataset(**options: Any) -> bytes:
    data = options.pop("data", DATA)
    return hdf5(lambda file: file.create_dataset("a/b", data=data, **options))


LAYOUTS: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "chunked": {"chunks": (10, 16)},
    "deflate": {"chunks": (10, 16), "compression": "gzip"},
    "shuffle": {"chunks": (10, 16), "compression": "gzip", "shuffle": True},
    "fletcher": {"chunks": (10, 17), "compression": "gzip", "shuffle": True, "fletcher32": True},
    "checksum only": {"chunks": (7, 9), "fletcher32": True},
    "bytes": {"chunks": (7, 9), "fletcher32": True, "data": DATA.astype(np.uint8)},
    "big-endian": {"chunks": (10, 16), "data": DATA.astype(">i4"), "compression": "gzip"},
    "floats": {"chunks": (64, 64), "maxshape": (None, None), "data": DATA / 7},
}


@pytest.mark.parametrize("options", LAYOUTS.values(), ids=LAYOUTS.keys())
@pytest.mark.parametrize("whole", [True, False], ids=["small", "large"])
def test_windows_are_what_h5py_reads(
    options: dict[str, Any], whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not whole:
        monkeypatch.setattr(ranged_file, "WHOLE_FILE", 0)
        monkeypatch.setattr(ranged_file, "BLOCK", 512)
        monkeypatch.setattr(ranged_file, "BLOCKS_KEPT", 5)
    data = dataset(**dict(options))
    boxes = [((0, 37), (0, 53)), ((5, 6), (50, 53)), ((9, 31), (3, 40)), ((4, 4), (0, 9))]
    with h5py.File(io.BytesIO(data)) as file:
        expected = [file["a/b"][a:b, c:d] for (a, b), (c, d) in boxes]
    with opened(data) as granule:
        found = granule.raw("a/b", boxes)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@given(st.data())
def test_any_window_of_any_chunking(data: st.DataObject) -> None:
    chunks = (data.draw(st.integers(1, 40)), data.draw(st.integers(1, 60)))
    rows = sorted(data.draw(st.tuples(st.integers(0, 37), st.integers(0, 37))))
    columns = sorted(data.draw(st.tuples(st.integers(0, 53), st.integers(0, 53))))
    file = dataset(chunks=(min(chunks[0], 37), min(chunks[1], 53)), compression=1)
    with opened(file) as granule:
        (found,) = granule.raw("a/b", [((rows[0], rows[1]), (columns[0], columns[1]))])
    np.testing.assert_array_equal(found, DATA[rows[0] : rows[1], columns[0] : columns[1]])


def test_a_large_file_costs_one_request_for_all_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranged_file, "WHOLE_FILE", 0)
    source = MemorySource({ASSET.href: dataset(chunks=(4, 4), compression="gzip")})
    with Granule(source, ASSET, "item") as granule:
        granule.shape("a/b")
        before = len(source.asked)
        granule.raw("a/b", [((0, 20), (0, 20)), ((10, 30), (10, 50))])
    assert len(source.asked) == before + 1
    assert before == 2  # the size; both ends of the file


def test_values_are_unpacked_and_fill_is_nan() -> None:
    def write(file: h5py.File) -> None:
        packed = file.create_dataset("packed", data=np.array([0, 1, 65535], np.uint16))
        packed.attrs["scale_factor"] = np.float32(0.5)
        packed.attrs["add_offset"] = np.array([10.0])
        packed.attrs["_FillValue"] = np.uint16(65535)
        fill = np.float32(9.96921e36)
        file.create_dataset("default", data=np.array([1, fill], np.float32))
        bare = file.create_dataset("bare", (6, 6), np.int16, chunks=(3, 3), fillvalue=-5)
        bare[0, 0] = 7

    with opened(hdf5(write)) as granule:
        np.testing.assert_array_equal(granule.values("packed")[0], [10.0, 10.5, np.nan])
        np.testing.assert_array_equal(granule.values("default")[0], [1.0, np.nan])
        (bare,) = granule.raw("bare")
    assert (bare[0, 0], bare[0, 1], bare[5, 5]) == (7, -5, -5)


def test_attributes() -> None:
    def write(file: h5py.File) -> None:
        file.attrs["id"] = "S5P"
        file.attrs["bytes"] = np.bytes_(b"S5P")
        file.attrs["orbit"] = np.array([12367], np.int32)
        file.attrs["many"] = np.arange(3)
        file.create_dataset("x", data=np.zeros(3))

    with opened(hdf5(write)) as granule:
        assert granule.attribute("", "id") == granule.attribute("", "bytes") == "S5P"
        assert granule.attribute("", "orbit") == 12367
        assert granule.attribute("", "many") is None
        assert granule.attribute("x", "units") is None
        assert granule.number("", "id") is None
        assert granule.has("x")
        assert not granule.has("y")
        with pytest.raises(AssetMissing, match=r"a/b.*item=item"):
            granule.raw("a/b")


@pytest.mark.parametrize("size", [0, 1, 2, 3, 400, 70001, 200000])
def test_the_checksum_is_hdf5s(size: int) -> None:
    data = RNG.integers(0, 256, size).astype(np.uint8)
    high = low = 0
    for i in range(0, size, 2):
        word = int(data[i]) << 8 | (int(data[i + 1]) if i + 1 < size else 0)
        low += word
        high += low
    assert fletcher32(data.tobytes()) % 65536 % 65535 == low % 65535
    assert (fletcher32(data.tobytes()) >> 16) % 65535 == high % 65535


def _external_link(file: h5py.File) -> None:
    file["x"] = h5py.ExternalLink("/etc/hostname.h5", "/x")


def _soft_link(file: h5py.File) -> None:
    file.create_dataset("y", data=DATA)
    file["x"] = h5py.SoftLink("/y")


def _external_storage(file: h5py.File) -> None:
    file.create_dataset("x", (8,), "u1", external=[("/etc/hostname", 0, 8)])


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((8,), "u1")
    layout[:] = h5py.VirtualSource("/etc/other.h5", "x", (8,))
    file.create_virtual_dataset("x", layout)


def _plugin(file: h5py.File) -> None:
    file.create_dataset("x", data=DATA, chunks=(10, 16), compression="lzf")


def _huge(file: h5py.File) -> None:
    file.create_dataset("x", (1 << 20, 1 << 20), "u1", chunks=(512, 512))


def _huge_chunks(file: h5py.File) -> None:
    file.create_dataset("x", (20000, 20000), "u1", chunks=(20000, 20000), compression="gzip")


def _many_chunks(file: h5py.File) -> None:
    file.create_dataset("x", (10000, 10000), "u1", chunks=(1, 1))


@pytest.mark.parametrize(
    "write",
    [
        _external_link, _soft_link, _external_storage, _virtual, _plugin, _huge, _huge_chunks,
        _many_chunks,
    ],
)  # fmt: skip
def test_refused_before_anything_is_read(write: Callable[[h5py.File], None]) -> None:
    with opened(hdf5(write)) as granule, pytest.raises(UntrustedSource, match="asset=file"):
        granule.raw("x")


def _chunk(data: bytes) -> bytes:
    """A file whose one deflated chunk is replaced by `data`."""

    def write(file: h5py.File) -> None:
        made = file.create_dataset("x", (32, 32), "u1", chunks=(32, 32), compression="gzip")
        made.id.write_direct_chunk((0, 0), data)

    return hdf5(write)


@pytest.mark.parametrize(
    "data",
    [
        zlib.compress(bytes(200 << 20)),  # inflates to 200 MB where 1 kB is declared
        zlib.compress(bytes(1000)),
        zlib.compress(bytes(1024))[:-3],
        b"no stream at all",
    ],
    ids=["bomb", "short", "truncated", "garbage"],
)
def test_chunks_that_do_not_inflate_to_what_they_declare(data: bytes) -> None:
    with opened(_chunk(data)) as granule, pytest.raises(BadRaster, match=r"asset=file"):
        granule.raw("x")


def test_a_flipped_byte_is_noticed() -> None:
    for options in (
        {"compression": "gzip"},
        {"compression": "gzip", "shuffle": True},
        {"fletcher32": True},
    ):
        data = bytearray(dataset(chunks=(37, 53), **options))
        with h5py.File(io.BytesIO(bytes(data))) as file:
            place = file["a/b"].id.get_chunk_info(0)
        data[place.byte_offset + place.size // 2] ^= 0x10
        with opened(bytes(data)) as granule, pytest.raises(BadRaster):
            granule.raw("a/b")


def test_other_files_are_named_as_what_they_are(tmp_path: Path) -> None:
    for data in (b"", b"<html>Forbidden</html>", b"CDF\x01" + bytes(100), b"\x89HDF\r\n\x1a\n"):
        with pytest.raises(BadRaster, match="item=item"):
            opened(data)
    with pytest.raises(BadRaster):
        opened(dataset()[:700]).raw("a/b")


def test_an_outage_is_not_taken_for_a_corrupt_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranged_file, "WHOLE_FILE", 0)
    monkeypatch.setattr(ranged_file, "BLOCK", 64)
    monkeypatch.setattr(ranged_file, "HEAD_BLOCKS", 1)
    source = MemorySource({ASSET.href: dataset(chunks=(10, 16))})
    answers = iter(range(3))
    ranges = source.read_ranges

    def read_ranges(asset: Asset, wanted: Any) -> list[bytes]:
        if next(answers, None) is None:
            raise ProviderUnavailable("503")
        return ranges(asset, wanted)

    monkeypatch.setattr(source, "read_ranges", read_ranges)
    with pytest.raises(ProviderUnavailable):
        Granule(source, ASSET, "item").raw("a/b")
