"""Normalised values against numpy on the pixels that were stored."""

from __future__ import annotations

import numpy as np
import pytest
from training_lake import FARM, TrainingLake

from stac_lake.errors import ConfigError
from stac_lake.lake import Lake
from stac_lake.loaders import LakeDataset

CHOSEN = {
    "s2": "s2-l1c", "s1": "s1-rtc", "s3": "s3-olci-efr", "dem": "dem-glo30", "no2": "s5p-no2",
}  # fmt: skip


def valid_pixels(data: np.ndarray, modality: str) -> np.ndarray:
    """(band, pixel) of one image as float64, by the contract's rule of what is valid."""
    if modality == "no2":
        return data[:1, data[1] > 0].astype(np.float64)
    flags = np.nan_to_num(data[-1]).astype(int)
    return data[:-1, (flags & 1 == 1) & (flags & 64 == 0)].astype(np.float64)


@pytest.mark.parametrize("modality", CHOSEN)
def test_lake_statistics(lake: Lake, made: TrainingLake, modality: str) -> None:
    """Mean and deviation over all valid pixels of all items, not the mean of the items' means."""
    dataset = LakeDataset(lake, normalize="lake", modalities=[modality])
    images = [valid_pixels(data, modality) for data in made.of(CHOSEN[modality])]
    pixels = np.concatenate(images, axis=1)
    normal = dataset.normalization[modality]
    assert normal is not None
    np.testing.assert_allclose(normal.mean, pixels.mean(axis=1), rtol=1e-9)
    np.testing.assert_allclose(normal.std, pixels.std(axis=1), rtol=1e-9)


def test_lake_values(lake: Lake, made: TrainingLake) -> None:
    dataset = LakeDataset(lake, normalize="lake")
    index = [dataset.cell_of(i) for i in range(len(dataset))].index(FARM)
    block = dataset[index]["s2"]
    assert block["data"].dtype == np.float32
    normal = dataset.normalization["s2"]
    assert normal is not None
    mean, std = (np.array(n).reshape(-1, 1, 1) for n in (normal.mean, normal.std))
    for n, line in enumerate(block["item"]):
        for t, item in enumerate(line):
            if not item:
                assert not block["data"][n, t].any()
                continue
            data = made.pixels[item][:13].astype(np.float64)
            expected = np.where(data == 0, 0, (data - mean) / std)
            np.testing.assert_allclose(block["data"][n, t], expected, atol=1e-4)


def test_absent_modality_has_the_same_type(lake: Lake) -> None:
    """Batches of lakes, and of cells, go together."""
    dataset = LakeDataset(lake, "grid:code = 'ERA5-0772177'", normalize="lake")
    for name in dataset.shapes:
        assert dataset[0][name]["data"].dtype == np.float32
        assert np.isfinite(dataset[0][name]["data"]).all()


def test_copernicus_fm(lake: Lake, made: TrainingLake) -> None:
    dataset = LakeDataset(
        lake,
        normalize="copernicus-fm",
        modalities=["s2", "s3", "co", "dem"],
    )
    index = [dataset.cell_of(i) for i in range(len(dataset))].index(FARM)
    sample = dataset[index]
    item = sample["s2"]["item"][0][0]
    red = made.pixels[item][3].astype(np.float64)
    expected = np.where(red == 0, 0, (red - 1373.1) / 1144.9)
    np.testing.assert_allclose(sample["s2"]["data"][0, 0, 3], expected, atol=1e-5)
    radiance = made.pixels[sample["s3"]["item"][0]][1]
    expected = np.nan_to_num(radiance) * 0.0133873
    np.testing.assert_allclose(sample["s3"]["data"][0, 1], expected, rtol=1e-5)
    height = np.nan_to_num(made.pixels[sample["dem"]["item"]][0])
    np.testing.assert_allclose(sample["dem"]["data"], height / 10_000, rtol=1e-6)
    column = np.nan_to_num(made.pixels[sample["co"]["item"][0]][0])
    np.testing.assert_array_equal(sample["co"]["data"][0, 0], column)


def test_copernicus_fm_refuses_what_it_did_not_see(lake: Lake) -> None:
    with pytest.raises(ConfigError, match="s1-rtc is not"):
        LakeDataset(lake, normalize="copernicus-fm")
    with pytest.raises(ConfigError, match=r"s2-l2a is not.*modalities without s2"):
        LakeDataset(lake, products=["s2-l2a"], modalities=["s2"], normalize="copernicus-fm")
    # σ0 by name: none is in this lake, so that s1 is masked.
    dataset = LakeDataset(lake, products=["s1-grd"], normalize="copernicus-fm")
    assert not dataset[1]["s1"]["present"].any()
