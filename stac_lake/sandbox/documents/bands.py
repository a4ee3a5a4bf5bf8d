"""The bands of Sentinel-2 as the providers name and describe them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Band:
    """One band of the MultiSpectral Instrument.

    Attributes:
        id: ESA's name.
        gsd: Native pixel size, metres.
        key: Earth Search's asset key, also its band name.
        common: Common name at Earth Search.
        pc_common: Common name at the Planetary Computer, or None.
        cdse_common: Common name at CDSE.
        title: What both title forms begin with.
        pc_title: The Planetary Computer's wording.
        centre: Central wavelength, micrometres (Earth Search, Planetary Computer).
        width: Full width at half maximum, micrometres.
        cdse_centre: CDSE's central wavelength, micrometres.
        cdse_width: What CDSE states as full width; not a width, copied as it is published.
    """

    id: str
    gsd: int
    key: str
    common: str
    pc_common: str | None
    cdse_common: str
    title: str
    pc_title: str
    centre: float
    width: float
    cdse_centre: float
    cdse_width: float

    @property
    def size(self) -> int:
        """Pixels per side of the 109.8 km tile."""
        return 109_800 // self.gsd

    @property
    def number(self) -> str:
        """`4` or `8A`."""
        return self.id[1:].lstrip("0")


BANDS = {
    band.id: band
    for band in (
        Band("B01", 60, "coastal", "coastal", "coastal", "coastal", "Coastal aerosol",
             "Band 1 - Coastal aerosol", 0.443, 0.027, 0.442, 0.228),
        Band("B02", 10, "blue", "blue", "blue", "blue", "Blue",
             "Band 2 - Blue", 0.49, 0.098, 0.492, 0.267),
        Band("B03", 10, "green", "green", "green", "green", "Green",
             "Band 3 - Green", 0.56, 0.045, 0.559, 0.291),
        Band("B04", 10, "red", "red", "red", "red", "Red",
             "Band 4 - Red", 0.665, 0.038, 0.665, 0.342),
        Band("B05", 20, "rededge1", "rededge", "rededge", "rededge071", "Red edge 1",
             "Band 5 - Vegetation red edge 1", 0.704, 0.019, 0.704, 0.357),
        Band("B06", 20, "rededge2", "rededge", "rededge", "rededge075", "Red edge 2",
             "Band 6 - Vegetation red edge 2", 0.74, 0.018, 0.739, 0.374),
        Band("B07", 20, "rededge3", "rededge", "rededge", "rededge078", "Red edge 3",
             "Band 7 - Vegetation red edge 3", 0.783, 0.028, 0.78, 0.399),
        Band("B08", 10, "nir", "nir", "nir", "nir", "NIR 1",
             "Band 8 - NIR", 0.842, 0.145, 0.833, 0.454),
        Band("B8A", 20, "nir08", "nir08", "rededge", "nir08", "NIR 2",
             "Band 8A - Vegetation red edge 4", 0.865, 0.033, 0.864, 0.441),
        Band("B09", 60, "nir09", "nir09", None, "nir09", "NIR 3",
             "Band 9 - Water vapor", 0.945, 0.026, 0.943, 0.479),
        Band("B10", 60, "cirrus", "cirrus", None, "cirrus", "Cirrus",
             "Band 10 - Cirrus", 1.3735, 0.075, 1.3735, 0.075),
        Band("B11", 20, "swir16", "swir16", "swir16", "swir16", "SWIR 1",
             "Band 11 - SWIR (1.6)", 1.61, 0.143, 1.61, 0.841),
        Band("B12", 20, "swir22", "swir22", "swir22", "swir22", "SWIR 2",
             "Band 12 - SWIR (2.2)", 2.19, 0.242, 2.186, 1.16),
    )
}  # fmt: skip
L2A_BANDS = tuple(band for band in BANDS.values() if band.id != "B10")
TRUE_COLOUR = ("B04", "B03", "B02")


def transform(origin: tuple[float, float], gsd: float) -> list[float]:
    """Six numbers of `proj:transform` for a north-up grid with that upper-left corner."""
    return [gsd, 0, origin[0], 0, -gsd, origin[1]]


def tile_projection(origin: tuple[float, float], gsd: int) -> dict[str, Any]:
    """`proj:shape` and `proj:transform` of a tile's grid."""
    size = 109_800 // gsd
    return {"proj:shape": [size, size], "proj:transform": transform(origin, gsd)}
