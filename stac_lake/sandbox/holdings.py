"""What each provider of the stand-in holds."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from types import ModuleType
from typing import cast

from stac_lake.sandbox import dem, landsat, olci, s1, s2, s5p
from stac_lake.sandbox.catalog import FIRST, Catalog, Holding, Product
from stac_lake.sandbox.documents import cdse, cdse_s2, cdse_swath
from stac_lake.sandbox.documents import earth_search as es
from stac_lake.sandbox.documents import earth_search_s2 as es_s2
from stac_lake.sandbox.documents import planetary_computer as pc
from stac_lake.sandbox.documents import planetary_computer_landsat as pc_landsat
from stac_lake.sandbox.documents import planetary_computer_s2 as pc_s2
from stac_lake.sandbox.documents import planetary_computer_s5p as pc_s5p
from stac_lake.sandbox.documents.envelope import Document
from stac_lake.sandbox.documents.s1_names import parse as parse_s1
from stac_lake.sandbox.scene import SandboxScene

_S1_FIRST = datetime(2014, 10, 10, 0, 28, 21, tzinfo=UTC)
_S2_FIRST = datetime(2015, 6, 27, 10, 25, 31, 456000, tzinfo=UTC)
_S5P_FIRST = datetime(2018, 4, 30, 0, 18, 51, tzinfo=UTC)
_OLCI_FIRST = datetime(2020, 4, 16, 19, 36, 28, tzinfo=UTC)
_LANDSAT_FIRST = datetime(2013, 4, 11, tzinfo=UTC)
_DEM_HREF = re.compile(r"/(Copernicus_DSM_COG_[^/]+_DEM)\.tif$")
_SAFE_HREF = re.compile(r"/(S2[AB]_MSIL(?:1C|2A)_[^/]+)\.SAFE/")
_GRD_HREF = re.compile(r"/(S1[AB]_[^/]+?)(?:_COG\.SAFE)?/(?:annotation|measurement|manifest)")
_EFR_HREF = re.compile(r"/(S3[AB]_OL_1_EFR_[^/]+)\.SEN3/")
_LANDSAT_HREF = re.compile(r"/(LC0[89]_L2S[PR]_\d{6}_\d{8}_\d{8}_02_T[12])/")
_S5P_HREF = re.compile(r"/(S5P_[^/]+)\.nc$")
_GASES = {
    "co": "Carbon Monoxide",
    "no2": "Nitrogen Dioxide",
    "o3": "Ozone",
    "so2": "Sulphur Dioxide",
}
# CDSE listed 419 Collections, with Sentinel's on the last of its three pages.
_CDSE_COLLECTIONS = 419

_PRODUCTS: dict[str, ModuleType] = {
    "s1": s1,
    "s2": s2,
    "s3": olci,
    "s5p": s5p,
    "dem": dem,
    "landsat": landsat,
}


def product_of(kind: str) -> Product:
    """The module that makes scenes of that kind and their files.

    Raises:
        KeyError: No module does.
    """
    return cast(Product, _PRODUCTS[kind.split("-", maxsplit=1)[0]])


def _scene_id(scene: SandboxScene) -> str:
    return scene.id


def _grd_id(scene: SandboxScene) -> str:
    return parse_s1(scene.id).id


def _earth_search() -> tuple[Holding, ...]:
    provider = "earth-search"
    l2a, l1c, grd = product_of("s2-l2a"), product_of("s2-l1c"), product_of("s1-grd")
    return (
        Holding(
            provider, "sentinel-2-l2a", "Sentinel-2 Level-2A", "s2-l2a", l2a,
            es_s2.l2a_item, es_s2.legacy_id, es_s2.l2a_files,
            re.compile(r"/sentinel-s2-l2a-cogs/.+/(S2[AB]_[^/]+_L2A)/"), start=_S2_FIRST,
        ),
        Holding(
            provider, "sentinel-2-c1-l2a", "Sentinel-2 Collection 1 Level-2A", "s2-l2a", l2a,
            es_s2.c1_item, es_s2.c1_id, es_s2.c1_files,
            re.compile(r"/sentinel-2-c1-l2a/.+/(S2[AB]_T[^/]+_L2A)/"), start=_S2_FIRST,
        ),
        Holding(
            provider, "sentinel-2-l1c", "Sentinel-2 Level-1C", "s2-l1c", l1c,
            es_s2.l1c_item, es_s2.legacy_id, start=_S2_FIRST,
        ),
        Holding(
            provider, "sentinel-1-grd", "Sentinel-1 Level-1C Ground Range Detected (GRD)",
            "s1-grd", grd, es.grd_item, _grd_id, start=_S1_FIRST,
        ),
        *(
            Holding(
                provider, f"cop-dem-glo-{gsd}", f"Copernicus DEM GLO-{gsd}", f"dem-glo{gsd}",
                product_of("dem"), es.dem_item, _scene_id, es.dem_files, _DEM_HREF,
                start=dem.DEM_TIME, gsd=gsd,
            )
            for gsd in (30, 90)
        ),
    )  # fmt: skip


def _planetary_computer() -> tuple[Holding, ...]:
    provider = "planetary-computer"
    return (
        Holding(
            provider, "sentinel-2-l2a", "Sentinel-2 Level-2A", "s2-l2a", product_of("s2-l2a"),
            pc_s2.item, pc_s2.item_id, pc_s2.files, _SAFE_HREF, start=_S2_FIRST,
            storage=("sentinel2l2a01", "sentinel2-l2"),
        ),
        Holding(
            provider, "sentinel-1-rtc", "Sentinel 1 Radiometrically Terrain Corrected (RTC)",
            "s1-rtc", product_of("s1-rtc"), pc.rtc_item, pc.rtc_id, pc.rtc_files,
            re.compile(r"/(S1[AB]_[^/]+)/measurement/"), start=_S1_FIRST,
            storage=("sentinel1euwestrtc", "sentinel1-grd-rtc"),
        ),
        Holding(
            provider, "sentinel-1-grd", "Sentinel 1 Level-1 Ground Range Detected (GRD)",
            "s1-grd", product_of("s1-grd"), pc.grd_item, _grd_id, pc.grd_files, _GRD_HREF,
            start=_S1_FIRST, storage=("sentinel1euwest", "s1-grd"),
        ),
        *(
            Holding(
                provider, f"cop-dem-glo-{gsd}", f"Copernicus DEM GLO-{gsd}", f"dem-glo{gsd}",
                product_of("dem"), pc.dem_item, _scene_id, pc.dem_files, _DEM_HREF,
                start=dem.DEM_TIME, gsd=gsd, storage=("elevationeuwest", "copernicus-dem"),
            )
            for gsd in (30, 90)
        ),
        *(
            Holding(
                provider, "sentinel-5p-l2-netcdf", "Sentinel-5P Level-2", f"s5p-{gas}",
                product_of("s5p"), pc_s5p.item, pc_s5p.item_id, pc_s5p.files, _S5P_HREF,
                variants=pc_s5p.offline, start=_S5P_FIRST, gsd=5500,
                storage=("sentinel5euwest", "sentinel-5p"),
            )
            for gas in _GASES
        ),
        Holding(
            provider, "landsat-c2-l2", "Landsat Collection 2 Level-2", "landsat-c2-l2",
            product_of("landsat-c2-l2"), pc_landsat.item, landsat.item_id, pc_landsat.files,
            _LANDSAT_HREF, start=_LANDSAT_FIRST, gsd=30, storage=("landsateuwest", "landsat-c2"),
        ),
    )  # fmt: skip


class _Nothing:
    """Stands for the Collections of CDSE that the stand-in does not fill."""

    @staticmethod
    def scenes(*_: object) -> list[SandboxScene]:
        return []

    @staticmethod
    def scene(kind: str, id: str) -> SandboxScene:  # noqa: A002 - as in the product modules
        raise KeyError(f"no {kind} {id}")


def _no_item(scene: SandboxScene, api: str) -> Document:
    raise KeyError(scene.id)


def _cdse() -> tuple[Holding, ...]:
    provider = "cdse"
    held = (
        Holding(
            provider, "cop-dem-glo-30-dged-cog", "Copernicus DEM GLO-30 (DGED, COG)", "dem-glo30",
            product_of("dem"), cdse.dem_item, _scene_id, cdse.dem_files, _DEM_HREF,
            start=dem.DEM_TIME, gsd=30,
        ),
        Holding(
            provider, "sentinel-1-grd", "Sentinel-1 Ground Range Detected (GRD)", "s1-grd",
            product_of("s1-grd"), cdse.grd_item, cdse.grd_id, cdse.grd_files, _GRD_HREF,
            name_of=cdse.grd_product, start=_S1_FIRST,
        ),
        Holding(
            provider, "sentinel-2-l1c", "Sentinel-2 Level-1C", "s2-l1c", product_of("s2-l1c"),
            cdse_s2.l1c_item, _scene_id, cdse_s2.l1c_files, _SAFE_HREF, start=_S2_FIRST,
        ),
        Holding(
            provider, "sentinel-2-l2a", "Sentinel-2 Level-2A", "s2-l2a", product_of("s2-l2a"),
            cdse_s2.l2a_item, _scene_id, cdse_s2.l2a_files, _SAFE_HREF, start=_S2_FIRST,
        ),
        Holding(
            provider, "sentinel-3-olci-1-efr-ntc", "Sentinel-3 OLCI Level 1 EFR (NTC)",
            "s3-olci-efr", product_of("s3-olci-efr"), cdse_swath.olci_item,
            _scene_id, cdse_swath.olci_files,
            _EFR_HREF, start=_OLCI_FIRST, gsd=300,
        ),
        *(
            Holding(
                provider, f"sentinel-5p-l2-{gas}-{mode.lower()}",
                f"Sentinel-5P Level 2 {title} ({mode})", f"s5p-{gas}", product_of("s5p"),
                cdse_swath.s5p_item, _scene_id, cdse_swath.s5p_files, _S5P_HREF,
                variants=variants, start=_S5P_FIRST, gsd=7000 if gas == "co" else 3500,
            )
            for gas, title in _GASES.items()
            for mode, variants in (("OFFL", pc_s5p.offline), ("RPRO", pc_s5p.reprocessed))
        ),
    )  # fmt: skip
    others = tuple(
        Holding(
            provider, f"clms-{n:03d}", f"Land monitoring product {n}", "none",
            cast(Product, _Nothing), _no_item, _scene_id, start=FIRST, gsd=100,
        )
        for n in range(1, _CDSE_COLLECTIONS - len(held) + 1)
    )  # fmt: skip
    return (*others, *held)


def catalog() -> Catalog:
    """Everything that the sandbox holds."""
    return Catalog((*_earth_search(), *_planetary_computer(), *_cdse()))
