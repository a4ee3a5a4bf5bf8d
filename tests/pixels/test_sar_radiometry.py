"""Noise and calibration tables against plain double loops and xarray-sentinel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from defusedxml import ElementTree
from grd_files import Product
from pixel_files import RECORDED

from stac_lake.errors import BadRaster
from stac_lake.pixels.sar.document import parse_document
from stac_lake.pixels.sar.radiometry import read_calibration, read_noise, sigma_nought
from stac_lake.types import Asset

SMALL = Product()
FILE = Asset("noise-VV", "s3://eodata/x.SAFE/annotation/calibration/x.xml", "cdse")
REAL = sorted(RECORDED.glob("s1_grd_safe_sarsen/*.SAFE/annotation/calibration")) if RECORDED else []
"""The real one is not part of this repository; without it these tests have no parameters."""
ROWS, COLUMNS = np.arange(300.0, 520.0, 7), np.arange(380.0, 700.0, 3)


def test_tables_between_their_points() -> None:
    line, pixel = np.meshgrid(ROWS, COLUMNS, indexing="ij")
    calibration = read_calibration(parse_document(SMALL.calibration_file(), FILE))
    # The field is bilinear, so that interpolation is exact, each vector having its own points.
    assert calibration.at(ROWS, COLUMNS) == pytest.approx(SMALL.calibration(line, pixel))
    noise = read_noise(parse_document(SMALL.noise_file(), FILE))
    expected = SMALL.noise(line, pixel) * SMALL.scallop(line, pixel)
    assert noise.at(ROWS, COLUMNS) == pytest.approx(expected, rel=2e-4)


def test_noise_of_before_ipf_290_has_no_azimuth_part() -> None:
    noise = read_noise(parse_document(SMALL.noise_file(old=True), FILE))
    line, pixel = np.meshgrid(ROWS, COLUMNS, indexing="ij")
    assert noise.at(ROWS, COLUMNS) == pytest.approx(SMALL.noise(line, pixel))


def test_sigma_nought_by_definition() -> None:
    calibration = read_calibration(parse_document(SMALL.calibration_file(), FILE))
    noise = read_noise(parse_document(SMALL.noise_file(old=True), FILE))
    dn = np.array([[1, 100], [250, 65535]], np.uint16)
    power = sigma_nought(dn, (200, 498), calibration, noise)
    for (row, column), value in np.ndenumerate(dn):
        a = SMALL.calibration(200 + row, 498 + column)
        eta = float(SMALL.noise(200 + row, 498 + column))
        assert power[row, column] == pytest.approx((float(value) ** 2 - eta) / a**2, rel=1e-6)
    assert power[0, 0] < 0
    dn[0, 0] = 0  # no value, unless the processor has taken the noise off
    assert np.argwhere(np.isnan(sigma_nought(dn, (200, 498), calibration, noise))).tolist() == [
        [0, 0]
    ]
    assert sigma_nought(dn, (200, 498), calibration, None)[0, 0] == 0


@pytest.mark.filterwarnings("ignore")  # xarray-sentinel's own
@pytest.mark.parametrize("folder", REAL, ids=lambda path: path.parent.parent.stem[:24])
def test_real_calibration_is_xarray_sentinels(folder: Path) -> None:
    import xarray_sentinel

    (path,) = folder.glob("calibration-*.xml")
    ours = read_calibration(parse_document(path.read_bytes(), FILE))
    theirs = xarray_sentinel.sentinel1.open_calibration_dataset(path).sigmaNought
    assert theirs.shape == (27, 654)
    rows, columns = np.arange(0.0, 16705, 331), np.arange(0.0, 26102, 173)
    there = theirs.astype(float).interp(line=rows, pixel=columns).values
    assert ours.at(rows, columns) == pytest.approx(there, rel=1e-6)


@pytest.mark.parametrize("folder", REAL, ids=lambda path: path.parent.parent.stem[:24])
def test_real_noise_steps_where_swaths_meet(folder: Path) -> None:
    (path,) = folder.glob("noise-*.xml")
    noise = read_noise(parse_document(path.read_bytes(), FILE))
    root = ElementTree.parse(path)
    vector = root.find("noiseRangeVectorList/noiseRangeVector[4]")
    pixels = np.array(vector.findtext("pixel").split(), float)
    values = np.array(vector.findtext("noiseRangeLut").split(), float)
    row = float(vector.findtext("line"))
    factors = [
        np.interp(
            row, *(np.array(b.findtext(n).split(), float) for n in ("line", "noiseAzimuthLut"))
        )
        for b in root.iterfind("noiseAzimuthVectorList/noiseAzimuthVector")
    ]
    swath = np.searchsorted([8889, 17700], pixels)  # last samples of IW1 and IW2 in the file
    assert noise.at(np.array([row]), pixels)[0] == pytest.approx(values * np.array(factors)[swath])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<noise></noise>", "no noiseLut"),
        (SMALL.noise_file(old=True, scale=1e-5), "before IPF 2.50"),
        (SMALL.noise_file().replace(b"<pixel>0.0 ", b"<pixel>"), "does not fit"),
        (SMALL.noise_file().replace(b"<line>0.0 ", b"<line>"), "does not fit"),
    ],
)
def test_damaged_noise_is_told(data: bytes, message: str) -> None:
    with pytest.raises(BadRaster, match=message):
        read_noise(parse_document(data, FILE))


def test_damaged_calibration_is_told() -> None:
    data = SMALL.calibration_file().replace(b"<sigmaNought>6", b"<sigmaNought>-6")
    with pytest.raises(BadRaster, match="not positive"):
        read_calibration(parse_document(data, FILE))
