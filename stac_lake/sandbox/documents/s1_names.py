"""What follows from a Sentinel-1 product name: the parts that the providers' documents share."""

from __future__ import annotations

from dataclasses import dataclass

from stac_lake.sandbox.documents.envelope import COG, Document, Served, stable_hex
from stac_lake.sandbox.s1_frame import MODES
from stac_lake.sandbox.scene import SandboxScene

_POLARIZATIONS = {
    "SV": ("VV",),
    "SH": ("HH",),
    "DV": ("VV", "VH"),
    "DH": ("HH", "HV"),
}
_SPOKEN = {"V": "vertical", "H": "horizontal"}
_UTILITY = {
    "schema-product": ("annotation/rfi/rfi", "Product Schema"),
    "schema-calibration": ("annotation/calibration/calibration", "Calibration Schema"),
    "schema-noise": ("annotation/calibration/noise", "Noise Schema"),
}


@dataclass(frozen=True)
class S1Name:
    """`S1A_IW_GRDH_1SDV_20240419T045749_20240419T045814_053498_067DF2`, perhaps with `_AF19`."""

    id: str
    platform: str
    mode: str
    product: str
    polarization: str
    datatake: str

    @property
    def polarizations(self) -> tuple[str, ...]:
        return _POLARIZATIONS[self.polarization]

    @property
    def with_unique_id(self) -> str:
        """The name with its four hexadecimal digits, which distinguish reprocessings."""
        return f"{self.id}_{stable_hex(self.id, length=4).upper()}"

    @property
    def shape(self) -> tuple[int, int]:
        """Size of the ground-range image as the documents give it: the wide side first."""
        mode = MODES[self.mode]
        return (mode.samples, mode.lines)

    def roda_folder(self, root: str) -> str:
        """Path of the product under AWS's and the Planetary Computer's `GRD` tree."""
        day = self.id.split("_")[4]
        date = f"{int(day[:4])}/{int(day[4:6])}/{int(day[6:8])}"
        return f"{root}/GRD/{date}/{self.mode}/{self.polarization}/{self.with_unique_id}"


def parse(scene_id: str) -> S1Name:
    """Take a product name apart (Sentinel-1 product specification, naming convention)."""
    parts = scene_id.split("_")
    return S1Name("_".join(parts[:8]), parts[0], parts[1], parts[2], parts[3][2:], parts[7])


def radar_properties(scene: SandboxScene) -> Document:
    """The `sar:`, `sat:` and `s1:` properties that both AWS's and Microsoft's items have."""
    name, facts, wide = parse(scene.id), scene.facts, parse(scene.id).mode == "EW"
    return {
        "sar:frequency_band": "C",
        "sar:center_frequency": 5.405,
        "sar:observation_direction": "right",
        "sar:instrument_mode": name.mode,
        "sar:polarizations": list(name.polarizations),
        "sar:product_type": "GRD",
        "sar:resolution_range": 93 if wide else 20,
        "sar:resolution_azimuth": 87 if wide else 22,
        "sar:pixel_spacing_range": 40 if wide else 10,
        "sar:pixel_spacing_azimuth": 40 if wide else 10,
        "sar:looks_range": 6 if wide else 5,
        "sar:looks_azimuth": 2 if wide else 1,
        "sar:looks_equivalent_number": 10.7 if wide else 4.4,
        "sat:orbit_state": facts["orbit_state"],
        "sat:absolute_orbit": facts["absolute_orbit"],
        "sat:relative_orbit": facts["relative_orbit"],
        "s1:instrument_configuration_ID": "7",
        "s1:datatake_id": str(int(name.datatake, 16)),
        "s1:processing_level": "1",
        "s1:resolution": "medium" if wide else "high",
        "s1:orbit_source": "RESORB",
        "s1:slice_number": "1",
        "s1:total_slices": "1",
        "s1:shape": list(name.shape),
    }


def spoken(polarization: str) -> str:
    """`VH: vertical transmit, horizontal receive`."""
    sent, received = _SPOKEN[polarization[0]], _SPOKEN[polarization[1]]
    return f"{polarization}: {sent} transmit, {received} receive"


def roda_files(scene: SandboxScene, folder: str) -> dict[str, Served]:
    """True href to file of a product in AWS's and the Planetary Computer's flat naming.

    Args:
        scene: The product.
        folder: Href of the product's folder.
    """
    swath = parse(scene.id).mode.lower()
    found = {f"{folder}/manifest.safe": Served(scene, "manifest")}
    for low in (name.lower() for name in scene.facts["polarizations"]):
        found[f"{folder}/measurement/{swath}-{low}.tiff"] = Served(scene, low)
        found[f"{folder}/annotation/{swath}-{low}.xml"] = Served(scene, f"product-{low}")
        for kind in ("calibration", "noise"):
            path = f"{folder}/annotation/calibration/{kind}-{swath}-{low}.xml"
            found[path] = Served(scene, f"{kind}-{low}")
        found[f"{folder}/annotation/rfi/rfi-{swath}-{low}.xml"] = Served(scene, f"rfi-{low}")
    return found


def grd_assets(scene: SandboxScene, folder: str, *, worded: str) -> Document:
    """Measurements and annotations of a GRD product.

    `schema-product-*` points at the interference report instead of the annotation: so do the
    recorded items of both providers.

    Args:
        scene: The product.
        folder: Href of the product's folder.
        worded: `Earth Search` or `Planetary Computer`.
    """
    name, theirs = parse(scene.id), worded == "Earth Search"
    swath = name.mode.lower()
    assets: Document = {
        "safe-manifest": _xml(f"{folder}/manifest.safe", "Manifest File"),
        "thumbnail": {
            "href": f"{folder}/preview/quick-look.png",
            "type": "image/png",
            "title": "Preview Image",
            "roles": ["thumbnail"],
        },
    }
    for polarization in name.polarizations:
        low = polarization.lower()
        for key, (path, title) in _UTILITY.items():
            text = f"{polarization} {title}" if theirs else title
            assets[f"{key}-{low}"] = _xml(f"{folder}/{path}-{swath}-{low}.xml", text)
        assets[low] = {
            "href": f"{folder}/measurement/{swath}-{low}.tiff",
            "type": COG,
            "title": f"{polarization} Data" if theirs else spoken(polarization),
            "roles": ["data"],
        }
        if theirs:
            assets[low]["raster:bands"] = [{"nodata": 0, "data_type": "uint16"}]
    return assets


def _xml(href: str, title: str) -> Document:
    return {"href": href, "type": "application/xml", "title": title, "roles": ["metadata"]}
