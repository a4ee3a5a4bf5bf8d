"""Where the documents of a Sentinel-1 GRD product are, and which polarisations it has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stac_lake.recipe import products
from stac_lake.types import Scene
from stac_lake.upstream import read_item

from .conftest import recorded

_SHARED = Path(__file__).parents[3] / "shared/upstream/planetary-computer/items/sentinel-1-grd"
RECORDED = sorted(_SHARED.glob("*.json"))
"""Without these recorded items only the documents below are checked."""
GRD = products()["s1-grd"]
NAME = "S1A_IW_GRDH_1SDV_20210601T165521_20210601T165546_038146_04808D_5F3A"


def scene_of(document: dict[str, Any], provider: str) -> Scene | str:
    source = next(s for s in GRD.sources if s.provider == provider)
    return read_item(document, GRD, source)


def document_of(folder: str, images: dict[str, str]) -> dict[str, Any]:
    document = recorded("earth-search_sentinel-1-grd")
    assets = {key: {"href": f"{folder}/measurement/{name}"} for key, name in images.items()}
    return document | {"id": NAME, "assets": assets}


@pytest.mark.parametrize(
    ("provider", "folder", "names"),
    [
        (
            "cdse",
            f"s3://eodata/Sentinel-1/SAR/IW_GRDH_1S-COG/2021/06/01/{NAME}_COG.SAFE",
            [f"s1a-iw-grd-{p}-20210601t165521-20210601t165546-038146-04808d-00{n}-cog"
             for n, p in ((1, "vv"), (2, "vh"))],
        ),
        (
            "planetary-computer",
            f"https://sentinel1euwest.blob.core.windows.net/s1-grd/GRD/2021/6/1/IW/DV/{NAME}",
            ["iw-vv", "iw-vh"],
        ),
    ],
)  # fmt: skip
def test_documents_lie_beside_the_image(provider: str, folder: str, names: list[str]) -> None:
    document = document_of(folder, {"vv": f"{names[0]}.tiff", "vh": f"{names[1]}.tiff"})
    # What the items of two providers call the annotation.
    document["assets"]["schema-product-vv"] = {"href": f"{folder}/annotation/rfi/rfi-x.xml"}
    scene = scene_of(document, provider)
    assert isinstance(scene, Scene), scene
    expected = {}
    for polarisation, name in zip(("VV", "VH"), names, strict=True):
        tables = f"{folder}/annotation/calibration"
        expected |= {
            polarisation: f"{folder}/measurement/{name}.tiff",
            f"annotation-{polarisation}": f"{folder}/annotation/{name}.xml",
            f"calibration-{polarisation}": f"{tables}/calibration-{name}.xml",
            f"noise-{polarisation}": f"{tables}/noise-{name}.xml",
        }
    assert {key: asset.href for key, asset in scene.assets.items()} == expected
    assert {a.provider for a in scene.assets.values()} == {provider}
    # Projections of GRD items are made up: none is carried.
    assert {(a.epsg, a.transform, a.shape) for a in scene.assets.values()} == {(None, None, None)}


def test_one_polarisation_is_enough_and_none_is_not() -> None:
    folder = f"https://sentinel1euwest.blob.core.windows.net/s1-grd/{NAME}"
    single = scene_of(document_of(folder, {"hh": "ew-hh.tiff"}), "planetary-computer")
    assert isinstance(single, Scene)
    assert set(single.assets) == {"HH", "annotation-HH", "calibration-HH", "noise-HH"}
    none = document_of(folder, {"thumbnail": "quick-look.png"})
    assert scene_of(none, "planetary-computer") == "no asset of any polarisation"
    odd = document_of(folder, {"vv": "iw-vv.zarr"})
    assert scene_of(odd, "planetary-computer") == "the image of VV is not in a SAFE product"


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem[:16])
def test_recorded_items(path: Path) -> None:
    document = json.loads(path.read_text())
    scene = scene_of(document, "planetary-computer")
    assert isinstance(scene, Scene), scene
    flown = document["properties"]["sar:polarizations"]
    listed = {asset["href"] for asset in document["assets"].values()}
    for polarisation in flown:
        assert scene.assets[polarisation].href in listed
        for kind in ("calibration", "noise"):
            assert scene.assets[f"{kind}-{polarisation}"].href in listed
        folder, _, name = scene.assets[f"annotation-{polarisation}"].href.rpartition("/")
        assert folder.endswith("/annotation")
        assert name == f"{document['properties']['sar:instrument_mode']}-{polarisation}.xml".lower()
